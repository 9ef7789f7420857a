"""Procedural shapes of the 13 ShapeNet categories: exact voxels and a mesh from the same parts."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mem3d.data.procedural.categories.aeroplane import Aeroplane
from mem3d.data.procedural.categories.cabinet import Cabinet
from mem3d.data.procedural.categories.car import Car
from mem3d.data.procedural.categories.display_speaker import Display, Speaker
from mem3d.data.procedural.categories.lamp import Lamp
from mem3d.data.procedural.categories.rifle import Rifle
from mem3d.data.procedural.categories.seating import Bench, Chair, Sofa
from mem3d.data.procedural.categories.table import Table
from mem3d.data.procedural.categories.telephone import Telephone
from mem3d.data.procedural.categories.watercraft import Watercraft
from mem3d.data.procedural.design import Design
from mem3d.data.procedural.solids import Part
from memstore.voxels.mesh import Mesh

RESOLUTION = 32

CATEGORIES: dict[str, type[Design]] = {
    "aeroplane": Aeroplane,
    "bench": Bench,
    "cabinet": Cabinet,
    "car": Car,
    "chair": Chair,
    "display": Display,
    "lamp": Lamp,
    "speaker": Speaker,
    "rifle": Rifle,
    "sofa": Sofa,
    "table": Table,
    "telephone": Telephone,
    "watercraft": Watercraft,
}

_MARGIN = 2  # voxels around the grid in which parts are looked for while the scale is found


@dataclass(frozen=True)
class Shape:
    """An object as a union of solid parts; y up, front +x."""

    category: str
    seed: int
    parts: tuple[Part, ...]

    def mesh(self) -> Mesh:
        """Closed, colored meshes of all parts; longest side 1, centered."""
        pieces = [part.mesh() for part in self.parts]
        vertices = np.concatenate([points for points, _ in pieces])
        starts = np.cumsum([0, *(len(points) for points, _ in pieces[:-1])])
        faces = [triangles + start for (_, triangles), start in zip(pieces, starts, strict=True)]
        colors = [
            np.tile(np.array(part.color, np.uint8), (len(triangles), 1))
            for part, (_, triangles) in zip(self.parts, pieces, strict=True)
        ]
        low, high = vertices.min(0), vertices.max(0)
        unit = (vertices - (low + high) / 2) / (high - low).max()
        return Mesh(
            unit.astype(np.float32),
            np.concatenate(faces).astype(np.int32),
            np.concatenate(colors),
        )

    def grid(self, resolution: int = RESOLUTION) -> NDArray[np.bool_]:
        """Solid voxels (R, R, R) indexed [x, y, z]; see `voxelize`."""
        return voxelize(self.parts, resolution)


def make_shape(category: str, seed: int) -> Shape:
    """Draw a shape; the same arguments give the same shape.

    Args:
        category: a key of CATEGORIES.
        seed: >= 0.
    """
    if category not in CATEGORIES:
        raise ValueError(f"category: got {category!r}, want one of {sorted(CATEGORIES)}")
    if seed < 0:
        raise ValueError(f"seed: got {seed}, want >= 0")
    rng = np.random.default_rng([seed, zlib.crc32(category.encode())])
    design = CATEGORIES[category].draw(rng)
    return Shape(category, seed, tuple(design.parts(rng)))


def voxelize(parts: Sequence[Part], resolution: int = RESOLUTION) -> NDArray[np.bool_]:
    """Voxelize a union of parts, filling the grid along its longest side.

    A voxel is full where at least 2 of its 2 x 2 x 2 sample points are inside a part. Sample
    points are half a voxel apart, so nothing upright and half a voxel thick is ever lost.

    Args:
        parts: at least one, of some volume.
        resolution: R, voxels per side.

    Returns:
        (R, R, R) bool indexed [x, y, z]; the longest side spans 0..R-1, the others are centered.
    """
    bounds = [part.bounds() for part in parts]
    low = np.min([corner for corner, _ in bounds], axis=0)
    high = np.max([corner for _, corner in bounds], axis=0)
    axis = int(np.argmax(high - low))
    # Tips thinner than the rule asks for leave the outermost voxels empty: look, then zoom in, each
    # time a little further, as what is seen depends on where the sample points happen to fall.
    for turn in range(12):
        step = (high - low)[axis] / resolution
        origin = (low + high) / 2 - step * (resolution / 2 + _MARGIN)
        full = _sample(parts, bounds, origin, step, resolution + 2 * _MARGIN)
        first, last = _extent(full)
        axis = int(np.argmax(last - first))
        if first[axis] <= _MARGIN and last[axis] >= resolution + _MARGIN - 1:
            break
        low[axis] = origin[axis] + step * (first[axis] + 0.05 * turn)
        high[axis] = origin[axis] + step * (last[axis] + 1 - 0.05 * turn)
    inner = slice(_MARGIN, -_MARGIN)
    return np.ascontiguousarray(full[inner, inner, inner])


def _extent(full: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last full voxel (3,) along each axis."""
    used = [np.flatnonzero(full.any(tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    return np.array([places[0] for places in used]), np.array([places[-1] for places in used])


def _sample(
    parts: Sequence[Part],
    bounds: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
    origin: NDArray[np.float64],
    step: float,
    count: int,
) -> NDArray[np.bool_]:
    """The 2-of-8 rule on a grid of count^3 voxels of side `step` that starts at `origin`."""
    samples = np.zeros((2 * count,) * 3, np.bool_)
    for part, (low, high) in zip(parts, bounds, strict=True):
        # Ellipsoids reach a little beyond their meshes: look one sample further.
        first = (np.floor((low - origin) / step * 2).astype(int) - 1).clip(0, 2 * count)
        last = (np.ceil((high - origin) / step * 2).astype(int) + 1).clip(0, 2 * count)
        window = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        shape = tuple(last - first)
        places = np.indices(shape).reshape(3, -1).T + first
        inside = part.inside(origin + (places + 0.5) * (step / 2))
        samples[window] |= inside.reshape(shape)
    blocks = samples.reshape(count, 2, count, 2, count, 2).sum((1, 3, 5), dtype=np.uint8)
    full: NDArray[np.bool_] = blocks >= 2
    return full
