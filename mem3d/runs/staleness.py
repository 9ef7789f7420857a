"""How stale the stored keys are: compared with fresh ones, as the present encoder writes them.

A fresh key is the mean of unit features over the test views of the slot's own shape. Training
names a shape after its family (see `shape_family`), so one name may stand for several
shapes: the grid tells which of them a slot holds.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mem3d.data.dataset import ShapeDataset
from mem3d.data.meshes.transforms import shape_family
from mem3d.memory.interface import Features, Grids
from mem3d.network.features import View, first_views, view_features
from mem3d.network.model import Mem3D
from memstore import Memory
from memstore.voxels.grids import pack

Slots = NDArray[np.int64]
Families = Mapping[str, Sequence[int]]
NO_DATA, NO_GRID, NO_FEATURE = "not in the data", "another grid in the data", "no feature"
BLOCK = 256  # rows compared at once


@dataclass(frozen=True)
class Staleness:
    """How near the stored keys are to fresh ones.

    Attributes:
        slots: (n,) compared.
        cosines: (n,) float32 of stored and fresh key, in [-1, 1].
        skipped: how many other slots were asked for and have no fresh key, by reason.
    """

    slots: Slots
    cosines: NDArray[np.float32]
    skipped: dict[str, int]

    @property
    def mean(self) -> float:
        """Of the cosines; nan without any."""
        return float(self.cosines.mean()) if len(self.cosines) else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Counts, and mean, median and 5th percentile of the cosines (None without any)."""
        figures: dict[str, float | None] = dict.fromkeys(("mean", "median", "p5"))
        if len(self.cosines):
            median, p5 = np.percentile(self.cosines, (50, 5)).tolist()
            figures = {"mean": self.mean, "median": median, "p5": p5}
        return {"slots": len(self.slots), "kept": self.skipped, **figures}


@dataclass(frozen=True)
class FreshKeys:
    """Keys of the present encoder for n slots that show g shapes.

    A shape and its mirror image are two; slots that hold the same shape get the same key.

    Attributes:
        slots: (n,) with a fresh key.
        shapes: (n,) in [0, g), which shape each slot shows.
        keys: (g, C) unit vectors, means over the views.
        skipped: how many other slots have none, by reason.
    """

    slots: Slots
    shapes: Slots
    keys: Features
    skipped: dict[str, int]


def families(data: ShapeDataset) -> Families:
    """Positions of a data set's models by the name of their family; no file is read."""
    positions: dict[str, list[int]] = {}
    for i in range(len(data)):
        positions.setdefault(shape_family(data.shape_id(i)), []).append(i)
    return positions


def staleness(
    model: Mem3D,
    memory: Memory,
    data: ShapeDataset,
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
    return compare_keys(memory, fresh)


def compare_keys(memory: Memory, fresh: FreshKeys) -> Staleness:
    """Cosine of stored and fresh key, slot by slot."""
    cosines = np.empty(len(fresh.slots), np.float32)
    for start in range(0, len(cosines), BLOCK):
        part = slice(start, start + BLOCK)
        stored, new = memory.keys(fresh.slots[part]), fresh.keys[fresh.shapes[part]]
        cosines[part] = np.einsum("nc,nc->n", stored, new, dtype=np.float64)
    return Staleness(fresh.slots, cosines.clip(-1, 1), fresh.skipped)


def fresh_keys(
    model: Mem3D,
    memory: Memory,
    data: ShapeDataset,
    slots: Slots | None = None,
    *,
    views: int = 24,
    batch: int = 32,
    device: str = "cpu",
    members: Families | None = None,
) -> FreshKeys:
    """Encode the shapes that slots hold.

    A slot's shape is looked for among the models of its source's family: its grid must be that of
    one of them, or the mirror image (training mirrors pictures and grids together): then the
    pictures are mirrored too. Pictures of all models with that grid count.

    Args:
        model: encodes, in evaluation mode.
        memory: is not changed.
        data: where the slots' shapes come from.
        slots: (n,) used slots; by default all.
        views: most pictures of each shape, from view 00 on.
        batch: pictures at a time.
        device: where the network is.
        members: `families(data)`, for who asks again and again.

    Raises:
        ValueError: a file cannot be read, or a number is out of range.
    """
    if views < 1:
        raise ValueError(f"views: got {views}, want >= 1")
    slots = memory.slots if slots is None else slots
    members = families(data) if members is None else members
    holders, skipped = _holders(memory, data, members, slots)
    pictures = [_views(data, shapes, mirrored, views) for shapes, mirrored in holders]
    order = [view for of_shape in pictures for view in of_shape]
    rows = _units(view_features(model, data, order, batch=batch, device=device))
    keys, groups = [], []
    for of_shape, group in zip(pictures, holders.values(), strict=True):
        units = np.stack([next(rows) for _ in of_shape])
        total = units.sum(axis=0)
        if total.any():
            keys.append(_unit(total).astype(np.float32))
            groups.append(group)
        else:
            skipped[NO_FEATURE] += len(group)
    return _fresh(groups, keys, skipped, memory.config.key_dim)


def _holders(
    memory: Memory, data: ShapeDataset, members: Families, slots: Slots
) -> tuple[dict[tuple[tuple[int, ...], bool], list[int]], Counter[str]]:
    """Slots by (shapes with their grid, mirrored), and how many have no shape in the data."""
    names = dict(zip(slots.tolist(), memory.sources_of(slots), strict=True))
    holders: dict[tuple[tuple[int, ...], bool], list[int]] = {}
    skipped = Counter[str]()
    grids: dict[str, dict[bytes, tuple[int, ...]]] = {}  # of the families met so far
    for slot in slots.tolist():
        [value] = memory.values([slot])
        name = shape_family(names[slot])
        if not name or name not in members:
            skipped[NO_DATA] += 1
            continue
        if name not in grids:
            grids[name] = _by_grid(data, members[name])
        same = _same_grid(value, grids[name])
        if same is None:
            skipped[NO_GRID] += 1
            continue
        holders.setdefault(same, []).append(slot)
    return holders, skipped


def _by_grid(data: ShapeDataset, shapes: Sequence[int]) -> dict[bytes, tuple[int, ...]]:
    """Models of a family by their grid, packed; in the order of the data set."""
    positions: dict[bytes, tuple[int, ...]] = {}
    for i in shapes:
        bits = _bits(data.grid(i))
        positions[bits] = (*positions.get(bits, ()), i)
    return positions


def _same_grid(
    value: Grids, shapes: Mapping[bytes, tuple[int, ...]]
) -> tuple[tuple[int, ...], bool] | None:
    """Models that have a value for their grid, and whether it is their mirror image."""
    for bits, mirrored in ((_bits(value), False), (_bits(value[:, :, ::-1]), True)):
        if bits in shapes:
            return shapes[bits], mirrored
    return None


def _bits(grid: Grids) -> bytes:
    return pack(grid).tobytes()


def _views(data: ShapeDataset, shapes: Sequence[int], mirrored: bool, most: int) -> list[View]:
    """Views of all shapes of a shape, in the order of the data set, at most so many."""
    views: list[View] = []
    for i in shapes:
        views += first_views(data, i, most - len(views))
    return [view._replace(mirrored=mirrored) for view in views]


def _units(batches: Iterable[Features]) -> Iterator[NDArray[np.float64]]:
    """(C,) unit features one by one; zeros where the encoder gives zeros."""
    for features in batches:
        for feature in features.astype(np.float64):
            yield _unit(feature) if feature.any() else feature


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return vector / np.linalg.norm(vector)


def _fresh(
    groups: Sequence[list[int]],
    keys: Sequence[Features],
    skipped: Counter[str],
    key_dim: int,
) -> FreshKeys:
    """As arrays, slots ascending."""
    slots = np.array([slot for group in groups for slot in group], np.int64)
    shapes = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    order = np.argsort(slots)
    return FreshKeys(
        slots=slots[order],
        shapes=shapes[order],
        keys=np.array(keys, np.float32).reshape(-1, key_dim),
        skipped=dict(skipped),
    )
