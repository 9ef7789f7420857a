"""Pictures of a memory: its shapes, and what lies near a query.

Shapes are drawn by painter's algorithm, so that no renderer is needed: seen from far away, the
faces of voxels are parallelograms, and those of nearer voxels go over those of farther ones.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from memstore.memory import Memory
from memstore.scalars import as_int
from memstore.slots import arguments
from memstore.slots.filters import Where
from memstore.slots.stats import facts_of
from memstore.voxels.contact_sheet import TILE, Rgb, Tile, sheet
from memstore.voxels.grids import unpack
from memstore.voxels.mesh import blocky

_AZIMUTH, _ELEVATION = np.deg2rad([35.0, 25.0])  # from +x towards +z; above the horizon
_COLORS = ((104, 141, 188), (178, 203, 232), (66, 96, 138))  # of the faces +x (front), +y, +z
_SPAN = 1.55  # sides of the grid per picture: a full grid just fits
_FINE = 2  # drawn so many times larger, then scaled down


def contact_sheet(
    memory: Memory, slots: ArrayLike | None = None, count: int = 48, columns: int = 8
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
        source = facts.source or "no source"
        caption = f"{facts.slot}: {source}\nage {facts.age:,}, {facts.reads:,} reads"
        tiles.append(Tile(drawing(grid), caption))
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    return sheet(rows, f"{len(drawn):,} of {len(used):,} shapes{order}")


def neighbour_sheet(
    memory: Memory, features: ArrayLike, k: int = 8, where: Where | None = None
) -> Rgb:
    """Draw the shapes whose keys are nearest to queries, a row per query, nearest first.

    Args:
        features: (B, C) of any norm but zero.
        k: most shapes per row.
        where: conditions on columns, as `Memory.read` takes them.

    Returns:
        (H, W, 3).
    """
    with memory.frozen() as state:  # at once: a hit may be removed
        slots, cosines, _ = memory.search(features, k, where=where)
        hits = [row[row >= 0].tolist() for row in slots]
        grids = [memory.values(row) for row in hits]
        sources = [[facts_of(state, slot).source for slot in row] for row in hits]
        used = len(state.used)
    rows = []
    for number, row in enumerate(zip(hits, cosines, grids, sources, strict=True)):
        tiles = []
        for slot, cosine, grid, source in zip(*row, strict=False):  # cosines go on with padding
            caption = f"query {number}: {cosine:.3f}\n{slot}: {source or 'no source'}"
            tiles.append(Tile(drawing(grid), caption))
        rows.append(tiles)
    return sheet(rows, f"nearest of {used:,} shapes, by cosine")


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
