"""Keys as the present encoder would write them.

A fresh key is the mean of unit features over the test views of the slot's own shape. Training
names a shape after its family (see `data.deforming.family`), so one name may stand for several
shapes: the grid tells which of them a slot holds.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mem3d.data.deforming import family
from mem3d.data.shapes import Shapes
from mem3d.model import Mem3D
from mem3d.recall import Features, Grids
from mem3d.view_features import View, first_views, view_features
from memstore import Memory

Slots = NDArray[np.int64]
Families = Mapping[str, Sequence[int]]
NO_DATA, NO_GRID, NO_FEATURE = "not in the data", "another grid in the data", "no feature"


@dataclass(frozen=True)
class Fresh:
    """Keys of the present encoder for n slots that show g shapes.

    A shape and its mirror image are two; slots that hold the same shape get the same key.

    Attributes:
        slots: (n,) with a fresh key.
        shapes: (n,) in [0, g), which shape each slot shows.
        keys: (g, C) unit vectors, means over the views.
        queries: (g, C) unit features of the first view of each.
        kept: how many other slots keep their key, by reason.
    """

    slots: Slots
    shapes: Slots
    keys: Features
    queries: Features
    kept: dict[str, int]


def families(data: Shapes) -> Families:
    """Positions of a data set's models by the name of their family; no file is read."""
    found: dict[str, list[int]] = {}
    for i in range(len(data)):
        found.setdefault(family(data.source(i)), []).append(i)
    return found


def fresh_keys(
    model: Mem3D,
    memory: Memory,
    data: Shapes,
    slots: Slots | None = None,
    *,
    views: int = 24,
    batch: int = 32,
    device: str = "cpu",
    members: Families | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Fresh:
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
        progress: called with pictures done and pictures in all.

    Raises:
        ValueError: a file cannot be read, or a number is out of range.
    """
    if views < 1:
        raise ValueError(f"views: got {views}, want >= 1")
    slots = memory.slots if slots is None else slots
    known = families(data) if members is None else members
    holders, kept = _holders(memory, data, known, slots)
    shown = [_views(data, models, mirrored, views) for models, mirrored in holders]
    order = [view for part in shown for view in part]
    rows = _units(view_features(model, data, order, batch=batch, device=device))
    keys, queries, found, done = [], [], [], 0
    for part, held in zip(shown, holders.values(), strict=True):
        units = np.stack([next(rows) for _ in part])
        done += len(part)
        if progress:
            progress(done, len(order))
        total = units.sum(axis=0)
        if total.any():
            keys.append(_unit(total).astype(np.float32))
            queries.append(units[units.any(axis=1).argmax()].astype(np.float32))
            found.append(held)
        else:
            kept[NO_FEATURE] += len(held)
    return _fresh(found, keys, queries, kept, memory.config.key_dim)


def _holders(
    memory: Memory, data: Shapes, members: Families, slots: Slots
) -> tuple[dict[tuple[tuple[int, ...], bool], list[int]], Counter[str]]:
    """Slots by (models with their grid, mirrored), and how many have no shape in the data."""
    names = dict(zip(memory.slots.tolist(), memory.sources, strict=True))
    holders: dict[tuple[tuple[int, ...], bool], list[int]] = {}
    kept = Counter[str]()
    grids: dict[str, dict[bytes, tuple[int, ...]]] = {}  # of the families met so far
    for slot in slots.tolist():
        [value] = memory.values([slot])
        name = family(names[slot])
        if not name or name not in members:
            kept[NO_DATA] += 1
            continue
        if name not in grids:
            grids[name] = _by_grid(data, members[name])
        found = _found(value, grids[name])
        if found is None:
            kept[NO_GRID] += 1
            continue
        holders.setdefault(found, []).append(slot)
    return holders, kept


def _by_grid(data: Shapes, models: Sequence[int]) -> dict[bytes, tuple[int, ...]]:
    """Models of a family by their grid, packed; in the order of the data set."""
    found: dict[bytes, tuple[int, ...]] = {}
    for i in models:
        bits = _bits(data.grid(i))
        found[bits] = (*found.get(bits, ()), i)
    return found


def _found(
    value: Grids, models: Mapping[bytes, tuple[int, ...]]
) -> tuple[tuple[int, ...], bool] | None:
    """Models that have a value for their grid, and whether it is their mirror image."""
    for bits, mirrored in ((_bits(value), False), (_bits(value[:, :, ::-1]), True)):
        if bits in models:
            return models[bits], mirrored
    return None


def _bits(grid: Grids) -> bytes:
    return np.packbits(grid).tobytes()


def _views(data: Shapes, models: Sequence[int], mirrored: bool, most: int) -> list[View]:
    """Views of all models of a shape, in the order of the data set, at most so many."""
    found: list[View] = []
    for i in models:
        found += first_views(data, i, most - len(found))
    return [view._replace(mirrored=mirrored) for view in found]


def _units(batches: Iterable[Features]) -> Iterator[NDArray[np.float64]]:
    """(C,) unit features one by one; zeros where the encoder gives zeros."""
    for features in batches:
        for feature in features.astype(np.float64):
            yield _unit(feature) if feature.any() else feature


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return vector / np.linalg.norm(vector)


def _fresh(
    held: Sequence[list[int]],
    keys: Sequence[Features],
    queries: Sequence[Features],
    kept: Counter[str],
    key_dim: int,
) -> Fresh:
    """As arrays, slots ascending."""
    slots = np.array([slot for part in held for slot in part], np.int64)
    shapes = np.repeat(np.arange(len(held)), [len(part) for part in held])
    order = np.argsort(slots)
    return Fresh(
        slots=slots[order],
        shapes=shapes[order],
        keys=np.array(keys, np.float32).reshape(-1, key_dim),
        queries=np.array(queries, np.float32).reshape(-1, key_dim),
        kept=dict(kept),
    )
