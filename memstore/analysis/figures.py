"""Pictures of a memory: its shapes, and what lies near a query.

Shapes are drawn by painter's algorithm, so that no renderer is needed: seen from far away, the
faces of voxels are parallelograms, and those of nearer voxels go over those of farther ones.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from memstore.errors import ShapeError
from memstore.memory import Memory
from memstore.scalars import as_int
from memstore.slots import arguments
from memstore.slots.filters import Where
from memstore.slots.stats import facts_of
from memstore.voxels.contact_sheet import TILE, Legend, Rgb, Tile, sheet
from memstore.voxels.grids import unpack
from memstore.voxels.mesh import blocky
from memstore.voxels.names import short_name

_AZIMUTH, _ELEVATION = np.deg2rad([35.0, 25.0])  # from +x towards +z; above the horizon
_COLORS = ((104, 141, 188), (178, 203, 232), (66, 96, 138))  # of the faces +x (front), +y, +z
_SPAN = 1.55  # sides of the grid per picture: a full grid just fits
_FINE = 2  # drawn so many times larger, then scaled down
_SIDES = Legend("Sides of a shape:", _COLORS, ("front (+x)", "top (+y)", "side (+z)"))
_ANSWERS = 4  # per row of a sheet of neighbors: so wide a page shows it as it is
_BLANK = np.ones((1, 1), np.bool_)


def contact_sheet(
    memory: Memory,
    slots: ArrayLike | None = None,
    count: int = 48,
    columns: int = 6,
) -> Rgb:
    """Draw stored shapes, each with its slot and source, age and reads.

    Args:
        slots: (n,) used slots in the order to draw them; by default all, most read first.
        count: at most so many are drawn.
        columns: shapes per row.

    Returns:
        (H, W, 3).
    """
    count, columns = arguments.as_count("count", count), arguments.as_count("columns", columns)
    with memory.frozen() as state:
        used, order = state.used, ""
        if slots is None:
            drawn, order = used[np.argsort(-state.reads[used], kind="stable")], ", most read first"
        else:
            drawn = arguments.as_slots(slots, state.touched)
        drawn = drawn[:count]
        captions = [facts_of(state, slot) for slot in drawn.tolist()]
        grids = unpack(state.values[drawn], state.config.resolution)
    tiles = []
    for facts, grid in zip(captions, grids, strict=True):
        name = short_name(facts.source)
        caption = f"{facts.slot}: {name}\nage {facts.age:,}, {facts.reads:,} reads"
        tiles.append(Tile(drawing(grid), caption))
    title = f"{len(drawn):,} of {len(used):,} shapes{order}"
    return sheet(_in_rows(tiles, columns), title, legend=_SIDES)


def neighbour_sheet(
    memory: Memory,
    features: ArrayLike,
    k: int = 8,
    where: Where | None = None,
    *,
    slots: ArrayLike | None = None,
    pictures: Sequence[NDArray[Any]] | None = None,
) -> Rgb:
    """Draw queries, each set apart, and the shapes whose keys are nearest to it, nearest first.

    Args:
        features: (B, C) of any norm but zero.
        k: most shapes per query.
        where: conditions on columns, as `Memory.read` takes them.
        slots: (B,) used slots whose keys the features are: their values are drawn as the queries.
        pictures: (H, W, 3 or 4) uint8 of each query, drawn instead.

    Returns:
        (H, W, 3).

    Raises:
        ShapeError: there are more or fewer slots, or pictures, than features.
    """
    with memory.frozen() as state:  # at once: a hit may be removed
        hits, cosines, _ = memory.search(features, k, where=where)
        asked = _queries(memory, len(hits), slots, pictures)
        rows = [row[row >= 0].tolist() for row in hits]
        grids = [memory.values(row) for row in rows]
        sources = [[facts_of(state, slot).source for slot in row] for row in rows]
        used = len(state.used)
    tiles: list[list[Tile]] = []
    for query, *row in zip(asked, rows, cosines, grids, sources, strict=True):
        answers = []
        for slot, cosine, grid, source in zip(*row, strict=False):  # cosines go on with padding
            caption = f"cosine {cosine:.3f}\n{slot}: {short_name(source)}"
            answers.append(Tile(drawing(grid), caption))
        lines = _in_rows(answers, _ANSWERS) or [[]]
        first = [query, *(Tile(_BLANK) for _ in lines[1:])]
        tiles += [[apart, *line] for apart, line in zip(first, lines, strict=True)]
    heads = ("query", "nearest first")
    return sheet(tiles, f"nearest of {used:,} shapes", heads=heads, legend=_SIDES, apart=1)


def _queries(
    memory: Memory,
    count: int,
    slots: ArrayLike | None,
    pictures: Sequence[NDArray[Any]] | None,
) -> list[Tile]:
    """Tiles of the queries: a picture or a slot's value and name; else blank, with a number."""
    of_slots = None if slots is None else np.atleast_1d(np.asarray(slots))
    for name, entries in (("slots", of_slots), ("pictures", pictures)):
        if entries is not None and len(entries) != count:
            raise ShapeError(f"{name}: got {len(entries)} for {count} features, want as many")
    captions = [f"query {number}" for number in range(count)]
    images: list[NDArray[Any]] = [_BLANK] * count
    if of_slots is not None:
        sources = memory.sources_of(of_slots)
        pairs = zip(of_slots.tolist(), sources, strict=True)
        captions = [f"{slot}: {short_name(source)}" for slot, source in pairs]
        images = [drawing(grid) for grid in memory.values(of_slots)]
    return list(map(Tile, images if pictures is None else pictures, captions))


def _in_rows(tiles: Sequence[Tile], columns: int) -> list[list[Tile]]:
    """Tiles in rows of so many."""
    return [list(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]


def drawing(grid: NDArray[np.bool_], size: int = TILE) -> Rgb:
    """Draw a grid's voxels on white from the front right above, always to the same scale.

    Args:
        grid: (R, R, R) bool; y is up, the front is +x.
        size: pixels per side.

    Returns:
        (size, size, 3); all white if no voxel is full.
    """
    size = as_int("size", size)
    a, e = _AZIMUTH, _ELEVATION
    back = np.array([np.cos(e) * np.cos(a), np.sin(e), np.cos(e) * np.sin(a)])  # to the viewer
    right = np.array([np.sin(a), 0.0, -np.cos(a)])
    down = np.cross(right, back)
    mesh = blocky(grid)
    quads = np.concatenate([mesh.faces[0::2], mesh.faces[1::2, 2:]], axis=1)
    corners = mesh.vertices[quads].astype(np.float64)  # (F, 4, 3)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 1])
    normals = np.rint(normals * len(grid) ** 2)
    is_front = normals.sum(axis=1) > 0  # +x, +y or +z: the three sides that look at the viewer
    corners, normals = corners[is_front], normals[is_front]
    voxels = corners.mean(axis=1) - normals / (2 * len(grid))
    order = np.argsort(voxels @ back, kind="stable")
    scale = _FINE * size / _SPAN
    points = (corners @ np.stack([right, down], axis=1) * scale + _FINE * size / 2).tolist()
    canvas = Image.new("RGB", (_FINE * size, _FINE * size), "white")
    draw = ImageDraw.Draw(canvas)
    axes = normals.argmax(axis=1).tolist()
    for face in order.tolist():
        draw.polygon([(x, y) for x, y in points[face]], fill=_COLORS[axes[face]])
    return np.array(canvas.resize((size, size), Image.Resampling.BOX))
