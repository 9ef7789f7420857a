"""Keys as the present encoder would write them.

A fresh key is the mean of unit features over the test views of the slot's own shape.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mem3d.data.shapes import Shapes
from mem3d.model import Mem3D
from mem3d.recall import Features, Grids
from mem3d.view_features import View, first_views, view_features
from memstore import Memory

Slots = NDArray[np.int64]
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


def fresh_keys(
    model: Mem3D,
    memory: Memory,
    data: Shapes,
    slots: Slots | None = None,
    *,
    views: int = 24,
    batch: int = 32,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Fresh:
    """Encode the shapes that slots hold.

    A slot's shape is looked for by its source; its grid must be that of the data, or the mirror
    image (training mirrors pictures and grids together): then its pictures are mirrored too.

    Args:
        model: encodes, in evaluation mode.
        memory: is not changed.
        data: where the slots' shapes come from.
        slots: (n,) used slots; by default all.
        views: most pictures of each shape, from view 00 on.
        batch: pictures at a time.
        device: where the network is.
        progress: called with pictures done and pictures in all.

    Raises:
        ValueError: a file cannot be read, or a number is out of range.
    """
    if views < 1:
        raise ValueError(f"views: got {views}, want >= 1")
    entries = _entries(data, memory.sources)
    slots = memory.slots if slots is None else slots
    holders, kept = _holders(memory, data, entries, slots)
    shown = [_views(data, entries[name], mirrored, views) for name, mirrored in holders]
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


def _entries(data: Shapes, names: Sequence[str]) -> dict[str, list[int]]:
    """Models of a data set by the name of their shape, of these names only."""
    wanted = set(names) - {""}
    entries: dict[str, list[int]] = {}
    for i in range(len(data)):
        if (name := data.source(i)) in wanted:
            entries.setdefault(name, []).append(i)
    return entries


def _holders(
    memory: Memory, data: Shapes, entries: dict[str, list[int]], slots: Slots
) -> tuple[dict[tuple[str, bool], list[int]], Counter[str]]:
    """Slots by (source, mirrored), and how many have no shape in the data."""
    names = dict(zip(memory.slots.tolist(), memory.sources, strict=True))
    holders: dict[tuple[str, bool], list[int]] = {}
    kept = Counter[str]()
    for slot in slots.tolist():
        [value] = memory.values([slot])
        if (name := names[slot]) not in entries:
            kept[NO_DATA] += 1
            continue
        mirrored = _is_mirrored(value, data.grid(entries[name][0]))
        if mirrored is None:
            kept[NO_GRID] += 1
            continue
        holders.setdefault((name, mirrored), []).append(slot)
    return holders, kept


def _is_mirrored(value: Grids, grid: Grids) -> bool | None:
    """Whether a value is the mirror image of a grid; None if it is another shape."""
    if np.array_equal(value, grid):
        return False
    return True if np.array_equal(value, grid[:, :, ::-1]) else None


def _views(data: Shapes, models: Sequence[int], mirrored: bool, most: int) -> list[View]:
    """Views of all entries of a shape, in the order of the data set, at most so many."""
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
