"""Solid voxels of meshes as they are found: with holes, flipped faces, overlapping parts.

A voxel is full if the surface passes through it, or if it lies inside. So nothing is too thin to
be kept, and a grid is a little fatter than its mesh, as those of the R2N2 data set are. Inside is
what the outside cannot reach through empty voxels, and also what two of the three axes call
inside, which mends holes wider than a voxel.

Source: ours; why these rules and not others: benchmarks/data/voxelization.py.
"""

import numpy as np
from numpy.typing import NDArray

from memstore.voxels.mesh import Mesh

RESOLUTION = 32  # voxels per side, as in the R2N2 data set

Points = NDArray[np.float64]
Ints = NDArray[np.int64]

_SPACING = 0.25  # voxels between the points that stand for a surface
_SHRINK = 1e-4  # a side that lies just between two voxels belongs to the inner one
_MERGE = 2**20  # corners in the same cell of so many per side of the grid are one
_MAX_POINTS = 200_000_000  # some ten seconds; a mesh of a million faces has three million
_BLOCK = 1 << 20  # points or pairs handled at once: bounds the memory of any mesh
# Lines run beside the middles of voxels, where the edges of tidy meshes would be met too often.
_ASIDE = (0.5 + 0.0137, 0.5 - 0.0093)


def voxelize_mesh(mesh: Mesh, resolution: int = RESOLUTION) -> NDArray[np.bool_]:
    """Voxelize a mesh, filling the grid along its longest side.

    Args:
        mesh: at least one face; neither closed nor consistently turned.
        resolution: R, voxels per side, 1..256.

    Returns:
        (R, R, R) bool indexed [x, y, z]; the longest side spans 0..R-1, the others are centered.

    Raises:
        ValueError: a mesh without faces or of no size, or a resolution out of range.
    """
    from scipy import ndimage  # imported late: it is slow, and few need it

    if not 1 <= resolution <= 256:
        raise ValueError(f"resolution: got {resolution}, want 1..256")
    corners = _placed(mesh, resolution)
    grid = surface(corners, resolution)
    grid |= inside_votes(corners, resolution) >= 2
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(grid)
    return filled


def surface(corners: Points, resolution: int) -> NDArray[np.bool_]:
    """Voxels (R, R, R) that triangles (F, 3, 3), in units of voxels, pass through.

    Each triangle is covered with points: rows along its longest side, a quarter of a voxel apart,
    and a quarter of a voxel or less from row to row.

    Raises:
        ValueError: more points than that of any sensible mesh: triangles by the thousand that
            each fill the grid.
    """
    lengths = np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2)
    turn = lengths.argmax(1)  # corner that the longest side starts from
    a, b, c = (corners[np.arange(len(corners)), (turn + k) % 3] for k in range(3))
    longest = lengths.max(1)
    heights = np.linalg.norm(np.cross(b - a, c - a), axis=1) / np.maximum(longest, 1e-12)
    along, up = (np.ceil(x / _SPACING).astype(np.int64).clip(1) for x in (longest, heights))
    count = int(((along + 1) * (up + 1)).sum())
    if count > _MAX_POINTS:
        raise ValueError(f"mesh: got a surface of {count:,} points, want at most {_MAX_POINTS:,}")
    grid = np.zeros(resolution**3, np.bool_)
    kinds, kind = np.unique(along * (up.max(initial=0) + 1) + up, return_inverse=True)
    order = np.argsort(kind, kind="stable")
    for alike in np.split(order, np.bincount(kind, minlength=len(kinds)).cumsum()[:-1]):
        s, t = np.meshgrid(
            np.linspace(0, 1, along[alike[0]] + 1), np.linspace(0, 1, up[alike[0]] + 1)
        )
        weights = np.stack([(1 - s) * (1 - t), s * (1 - t), t], axis=2).reshape(-1, 3)
        per_block = max(1, _BLOCK // len(weights))
        for start in range(0, len(alike), per_block):
            block = alike[start : start + per_block]
            points = weights @ np.stack([a[block], b[block], c[block]], axis=1)
            x, y, z = points.reshape(-1, 3).astype(np.int64).clip(0, resolution - 1).T
            grid[(x * resolution + y) * resolution + z] = True
    return grid.reshape((resolution,) * 3)


def inside_votes(corners: Points, resolution: int) -> NDArray[np.uint8]:
    """How many of the three axes find each voxel (R, R, R) to be inside triangles (F, 3, 3).

    Along a line, a part of the mesh that is crossed an even number of times is inside between
    crossings 1 and 2, 3 and 4, ...: parts may overlap and be turned any way. What parts with an
    odd number leave over is taken together, as panels that make a box only jointly; if that is
    odd too, something is missing there, and the line does not vote for it.
    """
    parts = _parts(corners, resolution)
    votes = np.zeros((resolution,) * 3, np.uint8)
    for axis in range(3):
        line, depth, face = _crossings(corners, axis, resolution)
        inside = _between(line, depth, parts[face], resolution)
        # Indexed (line's two coordinates, along): back to x, y, z.
        votes += np.moveaxis(inside, 2, axis)
    return votes


def _placed(mesh: Mesh, resolution: int) -> Points:
    """Triangles (F, 3, 3) in units of voxels, centered in the grid."""
    if not len(mesh.faces):
        raise ValueError("mesh: got no faces, want at least one")
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    low, high = corners.min((0, 1)), corners.max((0, 1))
    longest = float((high - low).max())
    if not 0 < longest < np.inf:
        raise ValueError(f"mesh: got longest side {longest}, want a finite size above 0")
    scale = resolution * (1 - _SHRINK) / longest
    placed: Points = (corners - (low + high) / 2) * scale + resolution / 2
    return placed


def _parts(corners: Points, resolution: int) -> Ints:
    """Number of the connected part that each face (F,) belongs to; touching corners connect."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    cells = (corners.reshape(-1, 3) / resolution * (_MERGE - 1)).astype(np.int64)
    keys = (cells[:, 0] * _MERGE + cells[:, 1]) * _MERGE + cells[:, 2]
    unique, corner = np.unique(keys, return_inverse=True)
    a, b, c = corner.reshape(-1, 3).T
    rows, columns = np.concatenate([a, b]), np.concatenate([b, c])
    links = coo_array((np.ones(len(rows), np.bool_), (rows, columns)), (len(unique),) * 2)
    part = connected_components(links, directed=False)[1].astype(np.int64)
    of_face: Ints = part[a]
    return of_face


def _crossings(corners: Points, axis: int, resolution: int) -> tuple[Ints, Points, Ints]:
    """Line (N,) = first * R + second coordinate, depth (N,) and face (N,) of each crossing."""
    across = [a for a in range(3) if a != axis]
    # Line number i runs at coordinate i + _ASIDE; a face may meet lines first .. last - 1.
    flat = corners[:, :, across] - np.array(_ASIDE)
    first = np.ceil(flat.min(1)).astype(np.int64).clip(0, resolution)
    last = (np.floor(flat.max(1)).astype(np.int64) + 1).clip(first, resolution)
    lines = (last - first).prod(1)
    met = np.flatnonzero(lines)
    hits: list[tuple[Ints, Points, Ints]] = []
    for block in np.split(met, np.flatnonzero(np.diff(lines[met].cumsum() // _BLOCK)) + 1):
        count = lines[block]
        face = np.repeat(block, count)
        number = np.arange(count.sum()) - np.repeat(count.cumsum() - count, count)
        width = (last - first)[face, 1]
        place = first[face] + np.stack(
            [number // np.maximum(width, 1), number % np.maximum(width, 1)], 1
        )
        a, b, c = (flat[face, k] - place for k in range(3))
        weights = np.stack([_cross(b, c), _cross(c, a), _cross(a, b)], axis=1)
        hit = (weights > 0).all(1) | (weights < 0).all(1)
        weights, face, place = weights[hit], face[hit], place[hit]
        depth = (weights * corners[face, :, axis]).sum(1) / weights.sum(1)
        hits.append((place[:, 0] * resolution + place[:, 1], depth, face))
    line, depth, face = (np.concatenate(column) for column in zip(*hits, strict=True))
    return line, depth, face


def _cross(a: Points, b: Points) -> Points:
    """(N,) z of the cross products of vectors (N, 2)."""
    product: Points = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    return product


def _between(line: Ints, depth: Points, part: Ints, resolution: int) -> NDArray[np.bool_]:
    """(R, R, R) whether the middle of each voxel along each line is between two crossings."""
    change = np.zeros((resolution**2, resolution + 1), np.int32)
    for own in (True, False):
        group = line * (int(part.max(initial=0)) + 1) + part if own else line
        order = np.lexsort((depth, group))
        line, depth, part, group = line[order], depth[order], part[order], group[order]
        _, start, count = np.unique(group, return_index=True, return_counts=True)
        place = np.arange(len(line)) - np.repeat(start, count)
        even = np.repeat(count % 2 == 0, count)
        # Voxel k is inside from crossing d on if k + 0.5 > d.
        voxel = np.ceil(depth[even] - 0.5).astype(np.int64).clip(0, resolution)
        np.add.at(change, (line[even], voxel), 1 - 2 * (place[even] % 2).astype(np.int32))
        line, depth, part = line[~even], depth[~even], part[~even]
    inside: NDArray[np.bool_] = change.cumsum(1)[:, :-1] > 0
    return inside.reshape((resolution,) * 3)
