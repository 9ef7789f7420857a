"""How sure the network is of a surface, as colours.

A surface lies where occupancy crosses the threshold, so the occupancy on it tells nothing: it is
the threshold everywhere. Nor does that of the voxel just beneath, which depends on where between
two voxels the surface runs. What tells how sure the network is is whether a voxel close beneath is
surely filled: the surest of the filled voxel at the surface and its neighbours.
"""

# R = voxels per side, V = vertices

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memstore.meshes import Mesh

UNSURE, MIDDLE, SURE = (228, 120, 50), (222, 214, 196), (66, 112, 180)  # sRGB
_NEAR = 1e-3  # voxels; a vertex so close to a plane of voxel centres lies in it


def confidence(mesh: Mesh, occupancy: NDArray[np.float32], threshold: float) -> NDArray[Any]:
    """How sure the network is at each vertex of a mesh.

    Of each filled voxel around the vertex (one under a smooth surface, up to seven at a corner of a
    blocky one) the largest occupancy among it and its 26 neighbours counts; their mean is taken.

    Args:
        mesh: of that occupancy, from `memstore.meshes.smooth` or `blocky`.
        occupancy: (R, R, R) in [0, 1].
        threshold: filled where occupancy > threshold.

    Returns:
        (V,) in [threshold, 1].
    """
    side = len(occupancy)
    padded = np.pad(occupancy, 1)
    surest = _surest(padded)
    at = (mesh.vertices.astype(np.float64) + 0.5) * side + 0.5  # voxel i's centre is i + 1
    low, high = np.floor(at + _NEAR), np.ceil(at - _NEAR)
    total, count = np.zeros(len(at)), np.zeros(len(at))
    seen: list[NDArray[np.int64]] = []
    for choice in product((False, True), repeat=3):
        voxels = np.where(choice, high, low).astype(np.int64).clip(0, side + 1)
        found = padded[tuple(voxels.T)]
        filled = found > threshold
        for other in seen:  # where low is high, the same voxel comes again
            filled &= (voxels != other).any(1)
        seen.append(voxels)
        total += np.where(filled, surest[tuple(voxels.T)], 0)
        count += filled
    return np.where(count > 0, total / count.clip(min=1), threshold)


def coloured(mesh: Mesh, occupancy: NDArray[np.float32], threshold: float) -> Mesh:
    """The mesh with colours from UNSURE (just above the threshold) to SURE (occupancy 1)."""
    share = (confidence(mesh, occupancy, threshold) - threshold) / (1 - threshold)
    stops = np.array([UNSURE, MIDDLE, SURE], float)
    colors = [np.interp(share, (0, 0.5, 1), stops[:, channel]) for channel in range(3)]
    return Mesh(mesh.vertices, mesh.faces, vertex_colors=np.stack(colors, 1).round().astype("u1"))


def _surest(occupancy: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest value among each voxel and its neighbours; the edges hold nothing."""
    for axis in range(3):  # what comes round from the other side is the edge's
        beside = [np.roll(occupancy, step, axis) for step in (-1, 1)]
        occupancy = np.maximum(occupancy, np.maximum(*beside))
    return occupancy
