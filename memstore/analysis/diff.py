"""diff: what changed between two memories, slot by slot."""

from dataclasses import dataclass

import numpy as np

from memstore.errors import ShapeError
from memstore.memory import Memory
from memstore.slots.state import State

_BLOCK = 256  # slots compared at once


@dataclass(frozen=True, kw_only=True)
class Diff:
    """Slots by what happened to them, each in one list; ready for JSON with `asdict`.

    Reads are no change. A slot that was removed and written again counts as replaced.
    """

    added: tuple[int, ...]  # used only in the second
    removed: tuple[int, ...]  # used only in the first
    replaced: tuple[int, ...]  # another value, source or column
    rekeyed: tuple[int, ...]  # the same but for another key: merged, or replaced
    touched: tuple[int, ...]  # the same in all but its age's start
    unchanged: int  # slots the same in all


def diff(before: Memory, after: Memory) -> Diff:
    """Compare two memories, as two snapshots of one, by slot.

    Raises:
        ShapeError: their keys or values differ in size, or they have other columns.
    """
    for name in ("key_dim", "resolution", "columns"):
        first, second = getattr(before.config, name), getattr(after.config, name)
        if first != second:
            raise ShapeError(f"{name}: got {first} and {second}, want memories with the same")
    with before.frozen() as old, after.frozen() as new:
        return _diff(old, new)


def _diff(old: State, new: State) -> Diff:
    """As diff, of states that nobody changes meanwhile."""
    both = np.intersect1d(old.used, new.used)
    is_replaced, is_rekeyed = np.zeros((2, len(both)), np.bool_)
    for start in range(0, len(both), _BLOCK):
        part = slice(start, start + _BLOCK)
        first, second = old.rows(both[part]), new.rows(both[part])
        is_replaced[part] = (first.values != second.values).any(axis=(1, 2, 3))
        is_replaced[part] |= first.sources != second.sources
        for name, column in first.columns.items():
            is_replaced[part] |= column != second.columns[name]
        is_rekeyed[part] = (first.keys != second.keys).any(axis=1)
    is_rekeyed &= ~is_replaced
    is_touched = (old.touched[both] != new.touched[both]) & ~is_replaced & ~is_rekeyed
    return Diff(
        added=tuple(np.setdiff1d(new.used, old.used).tolist()),
        removed=tuple(np.setdiff1d(old.used, new.used).tolist()),
        replaced=tuple(both[is_replaced].tolist()),
        rekeyed=tuple(both[is_rekeyed].tolist()),
        touched=tuple(both[is_touched].tolist()),
        unchanged=int((~is_replaced & ~is_rekeyed & ~is_touched).sum()),
    )
