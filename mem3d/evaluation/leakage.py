"""Which models of a test set a memory holds already, or was filled from.

A memory network that has stored a test shape need only look it up. Names alone do not tell: data
sets hold the same shape under several names, also across their own splits. Nor does the memory
alone: a shape that was learned may have been merged into another one's slot, or evicted.

Names are compared as `shape_family` gives them: the variants of a mesh are one shape.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mem3d.data.dataset import ShapeDataset, Subset
from mem3d.data.meshes.transforms import shape_family
from memstore import Memory
from memstore.voxels.grids import pack

_AT_ONCE = 256  # grids unpacked at a time: 8 MiB at 32^3


By = Literal["name", "grid", "training"]
_MEANS: dict[By, str] = {
    "name": "in the memory by name",
    "grid": "in the memory as the same grid under another name",
    "training": "learned in training or memorized, and merged or evicted since",
}


@dataclass(frozen=True)
class KnownShape:
    """A shape that the memory knows.

    Attributes:
        shape: its position in the data set.
        shape_id: its name.
        by: "name", the memory holds a grid of its family; "grid", an identical or mirrored grid of
            another name; "training", neither, but the name is among those learned.
        stored: the name in the memory, "" if it was not told; or the name learned.
    """

    shape: int
    shape_id: str
    by: By
    stored: str


def known_shapes(
    memory: Memory, data: ShapeDataset, learned: Collection[str] = frozenset()
) -> tuple[KnownShape, ...]:
    """Find the models of a data set whose shapes are known, in the order of the data set.

    Training writes a shape as its picture shows it, so one mirrored left to right counts as the
    same. A copy under another name is found only while the memory holds it.

    Args:
        memory: as it is.
        data: models to look for.
        learned: names of the shapes the memory was filled from, as far as that is known.

    Raises:
        ValueError: a grid of the data set cannot be read; names its file.
    """
    names, learned = ({shape_family(name) for name in some} for some in (memory.sources, learned))
    grids = _stored_grids(memory)
    matches = []
    for i in range(len(data)):
        shape_id = data.shape_id(i)
        if (name := shape_family(shape_id)) in names:
            matches.append(KnownShape(i, shape_id, "name", name))
            continue
        grid = data.grid(i)
        stored = grids.get(_bits(grid), grids.get(_bits(grid[:, :, ::-1])))
        if stored is not None:
            matches.append(KnownShape(i, shape_id, "grid", stored))
        elif name in learned:
            matches.append(KnownShape(i, shape_id, "training", name))
    return tuple(matches)


def unlearned(data: ShapeDataset, learning: ShapeDataset) -> Subset:
    """The models of a data set whose shapes are not learned from: other names, other grids.

    The same test models for every network that learns from the same data, whatever its memory
    keeps. Mirrored grids count as the same, as in `known_shapes`.

    Raises:
        ValueError: a grid of either cannot be read; names its file.
    """
    names = {shape_family(learning.shape_id(i)) for i in range(len(learning))}
    grids = {_bits(learning.grid(i)) for i in range(len(learning))}
    new = []
    for i in range(len(data)):
        grid = data.grid(i)
        is_known = _bits(grid) in grids or _bits(grid[:, :, ::-1]) in grids
        if shape_family(data.shape_id(i)) not in names and not is_known:
            new.append(i)
    return Subset(data, new)


def describe(shapes: tuple[KnownShape, ...], total: int) -> str:
    """How many models are known, in which ways, and an example of each; one line."""
    parts = []
    for by, means in _MEANS.items():
        some = [shape for shape in shapes if shape.by == by]
        if some:
            also = f" is {some[0].stored or 'an unnamed slot'}" if by == "grid" else ""
            parts.append(f"{len(some)} {means} ({some[0].shape_id}{also})")
    return f"{len(shapes)} of {total} models are known: {', '.join(parts)}"


def _stored_grids(memory: Memory) -> dict[bytes, str]:
    """Name by packed grid; the lowest slot's name where several hold the same grid."""
    slots, sources = memory.slots, memory.sources
    stored: dict[bytes, str] = {}
    for start in range(0, len(slots), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        for grid, source in zip(memory.values(slots[part]), sources[part], strict=True):
            stored.setdefault(_bits(grid), source)
    return stored


def _bits(grid: NDArray[np.bool_]) -> bytes:
    return pack(grid).tobytes()
