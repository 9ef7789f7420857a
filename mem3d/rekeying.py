"""Keys as the present encoder would write them, and how far the stored ones are from that.

A key is written once and then only merged, while the encoder learns on: it grows stale. Nor is it
what a test would show: training encodes augmented pictures, with the BatchNorm statistics of their
batch. fresh_keys.py has what is put in its place.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mem3d.data.shapes import Shapes
from mem3d.fresh_keys import Families, Fresh, Slots, fresh_keys
from mem3d.model import Mem3D
from mem3d.recall import Features
from memstore import Memory

_BLOCK = 256  # rows compared at once


@dataclass(frozen=True)
class Staleness:
    """How near the stored keys are to fresh ones.

    Attributes:
        slots: (n,) compared.
        cosines: (n,) float32 of stored and fresh key, in [-1, 1].
        kept: how many other slots were asked for and have no fresh key, by reason.
    """

    slots: Slots
    cosines: NDArray[np.float32]
    kept: dict[str, int]

    @property
    def mean(self) -> float:
        """Of the cosines; nan without any."""
        return float(self.cosines.mean()) if len(self.cosines) else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Counts, and mean, median and 5th percentile of the cosines (None without any)."""
        told: dict[str, float | None] = dict.fromkeys(("mean", "median", "p5"))
        if len(self.cosines):
            median, p5 = np.percentile(self.cosines, (50, 5)).tolist()
            told = {"mean": self.mean, "median": median, "p5": p5}
        return {"slots": len(self.slots), "kept": self.kept, **told}


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


def staleness(
    model: Mem3D,
    memory: Memory,
    data: Shapes,
    *,
    sample: int | None = 64,
    seed: int = 0,
    views: int = 1,
    batch: int = 32,
    device: str = "cpu",
    members: Families | None = None,
) -> Staleness:
    """Compare stored keys with fresh ones; cheap enough for the end of an epoch.

    Neither the model, its mode, torch's random state nor the memory (its reads included) changes.

    Args:
        model: encodes, in evaluation mode.
        memory: whose keys.
        data: where the slots' shapes come from, found by family and grid.
        sample: slots to compare, drawn from the used ones; None for all.
        seed: of the draw: the same seed and slots give the same sample.
        views: most pictures of each shape.
        batch: pictures at a time.
        device: where the network is.
        members: `families(data)`, for who asks again and again.

    Raises:
        ValueError: a file cannot be read, or a number is out of range.
    """
    if sample is not None and sample < 1:
        raise ValueError(f"sample: got {sample}, want >= 1")
    slots = memory.slots
    if sample is not None and sample < len(slots):
        slots = np.sort(np.random.default_rng(seed).choice(slots, sample, replace=False))
    fresh = fresh_keys(
        model, memory, data, slots, views=views, batch=batch, device=device, members=members
    )
    return compared(memory, fresh)


def compared(memory: Memory, fresh: Fresh) -> Staleness:
    """Cosine of stored and fresh key, slot by slot."""
    cosines = np.empty(len(fresh.slots), np.float32)
    for start in range(0, len(cosines), _BLOCK):
        part = slice(start, start + _BLOCK)
        stored, new = memory.keys(fresh.slots[part]), fresh.keys[fresh.shapes[part]]
        cosines[part] = np.einsum("nc,nc->n", stored, new, dtype=np.float64)
    return Staleness(fresh.slots, cosines.clip(-1, 1), fresh.kept)


def agreement(memory: Memory, fresh: Fresh) -> Agreement:
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


def rekey(memory: Memory, fresh: Fresh) -> None:
    """Put the fresh keys in; values, sources, ages and all other slots stay. Commits nothing."""
    for start in range(0, len(fresh.slots), _BLOCK):
        part = slice(start, start + _BLOCK)
        memory.replace_keys(fresh.slots[part], fresh.keys[fresh.shapes[part]])


def _nearest(queries: Features, keys: Features) -> Slots:
    """(B,) row of the most similar key."""
    parts = [queries[start : start + _BLOCK] for start in range(0, len(queries), _BLOCK)]
    return np.concatenate([(part @ keys.T).argmax(axis=1) for part in parts])
