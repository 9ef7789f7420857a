"""diff: what changed between two memories, slot by slot."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    replaced: tuple[int, ...]  # another value or source
    rekeyed: tuple[int, ...]  # the same value and source, another key: merged, or replaced
    touched: tuple[int, ...]  # the same in all but its age's start
    unchanged: int  # slots the same in all


def diff(before: Memory, after: Memory) -> Diff:
    """Compare two memories, as two snapshots of one, by slot.

    Raises:
        ShapeError: their keys or values differ in size.
    """
    for name in ("key_dim", "resolution"):
        first, second = getattr(before.config, name), getattr(after.config, name)
        if first != second:
            raise ShapeError(f"{name}: got {first} and {second}, want memories with the same")
    with before.frozen() as old, after.frozen() as new:
        return _diff(old, new)


def _diff(old: State, new: State) -> Diff:
    """As diff, of states that nobody changes meanwhile."""
    both = np.intersect1d(old.used, new.used)
    parts = [both[start : start + _BLOCK] for start in range(0, len(both), _BLOCK)]
    nothing = [np.empty(0, np.int64)]
    value = np.concatenate(nothing + [part[_replaced(old, new, part)] for part in parts])
    key = np.concatenate(nothing + [part[_rekeyed(old, new, part)] for part in parts])
    rekeyed = np.setdiff1d(key, value)
    same = np.setdiff1d(both, np.union1d(value, key))
    touched = same[old.touched[same] != new.touched[same]]
    return Diff(
        added=tuple(np.setdiff1d(new.used, old.used).tolist()),
        removed=tuple(np.setdiff1d(old.used, new.used).tolist()),
        replaced=tuple(value.tolist()),
        rekeyed=tuple(rekeyed.tolist()),
        touched=tuple(touched.tolist()),
        unchanged=len(same) - len(touched),
    )


def _replaced(old: State, new: State, slots: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) whether the value or the source differs."""
    values = (old.values[slots] != new.values[slots]).any(axis=(1, 2, 3))
    replaced: NDArray[np.bool_] = values | (old.sources[slots] != new.sources[slots])
    return replaced


def _rekeyed(old: State, new: State, slots: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) whether the key differs."""
    rekeyed: NDArray[np.bool_] = (old.index.keys[slots] != new.index.keys[slots]).any(axis=1)
    return rekeyed
