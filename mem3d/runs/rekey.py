"""Fresh keys, as the present encoder writes them, in the place of the stored ones."""

from dataclasses import dataclass

import numpy as np

from mem3d.memory.interface import Features
from mem3d.runs.staleness import BLOCK, FreshKeys, Slots
from memstore import Memory


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What fresh keys do to the nearest slot of the shapes' own first views, as shares in [0, 1].

    Slots of the same shape count as one. All are nan without a shape.

    Attributes:
        changed: views whose nearest slot shows another shape afterwards.
        own_before: views whose nearest slot shows their own shape, by the stored keys.
        own_after: by the fresh ones.
    """

    changed: float
    own_before: float
    own_after: float


def agreement(memory: Memory, fresh: FreshKeys) -> Agreement:
    """Look the first views up before and after the fresh keys are in; changes nothing."""
    slots = memory.slots
    if not len(fresh.queries):
        return Agreement(changed=np.nan, own_before=np.nan, own_after=np.nan)
    rows = np.searchsorted(slots, fresh.slots)
    shows = len(fresh.keys) + np.arange(len(slots))  # a slot that keeps its key is like no other
    shows[rows] = fresh.shapes
    keys = memory.keys(slots)
    before = shows[_nearest(fresh.queries, keys)]
    keys[rows] = fresh.keys[fresh.shapes]
    after = shows[_nearest(fresh.queries, keys)]
    own = np.arange(len(fresh.queries))
    return Agreement(
        changed=float((before != after).mean()),
        own_before=float((before == own).mean()),
        own_after=float((after == own).mean()),
    )


def rekey(memory: Memory, fresh: FreshKeys) -> None:
    """Put the fresh keys in; values, sources, ages and all other slots stay. Commits nothing."""
    for start in range(0, len(fresh.slots), BLOCK):
        part = slice(start, start + BLOCK)
        memory.replace_keys(fresh.slots[part], fresh.keys[fresh.shapes[part]])


def _nearest(queries: Features, keys: Features) -> Slots:
    """(B,) row of the most similar key."""
    parts = [queries[start : start + BLOCK] for start in range(0, len(queries), BLOCK)]
    return np.concatenate([(part @ keys.T).argmax(axis=1) for part in parts])
