"""Voxel grids seen from one place, painted from back to front: no depth is compared."""

# R = voxels per side, n = faces that are drawn

from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from mem3d.data.rendering.light import Floats, facing, lamp, reaching, shaded, strength
from mem3d.data.rendering.rasterizer import (
    SAMPLES,
    WHITE,
    Ints,
    covered,
    mixed,
    packed,
    projected,
    ranges,
)
from memstore.voxels.contact_sheet import Rgb

_AXES = np.eye(3, dtype=np.int64)
_STEPS = np.concatenate([_AXES, -_AXES])  # from a voxel to those beside it


def _corners(step: Ints) -> Ints:
    """(4, 3) of the face between a voxel and one beside it, anticlockwise as that one sees it."""
    u, v = np.roll(abs(step), 1), np.roll(abs(step), 2)
    ring = np.array([0 * u, u, u + v, v])[:: step.sum()]
    return np.asarray(ring + step.clip(min=0))


_CORNERS = np.stack([_corners(step) for step in _STEPS])


def draw_voxels(
    grids: NDArray[np.bool_], color: NDArray[np.uint8], eye: Floats, axes: Floats, size: int
) -> Rgb:
    """Draw grids in one color, each by itself on white; a pixel is the mean of four samples.

    A voxel that hides another is nearer to the eye along one axis at least, and along none farther,
    so the sum over the axes tells the order in which faces are to be painted.

    Args:
        grids: (K, R, R, R), drawn at once: most steps cost hardly more for several.
        color: (3,) sRGB.
        eye: (3,) in the frame of `memstore.voxels.mesh`, outside of the cube.
        axes: (3, 3): right, up, towards the viewer.
        size: pixels per side.

    Returns:
        (K, size, size, 3).
    """
    side, wide = grids.shape[-1], SAMPLES * size
    sides, voxels = _faces(grids, (eye + 0.5) * side)
    x, y, z = np.abs((np.arange(side) + 0.5) / side - 0.5 - eye[:, None])
    distance = (x[:, None, None] + y[:, None] + z).ravel()
    order = np.argsort(-distance[voxels % side**3], kind="stable")
    sides, voxels = sides[order], voxels[order]
    number, *cells = np.unravel_index(voxels, grids.shape)
    cells_3n = np.stack(cells)
    normals = _STEPS.astype(np.float32)
    beside = tuple(cells_3n + 1 + _STEPS.T.take(sides, 1))
    sun = reaching(grids, lamp(0, axes))[number, *beside]
    light = strength(normals[sides], axes, facing(normals, 0, axes)[sides] * sun)
    corners_34n = cells_3n[:, None] + _CORNERS.T.take(sides, 2)
    places = (corners_34n.reshape(3, -1) / side - 0.5).astype(np.float32).T
    columns, rows, _ = projected(places, eye, axes, wide)
    spans = covered(columns.reshape(4, -1), rows.reshape(4, -1), wide)
    samples = np.full(len(grids) * wide**2, WHITE)
    # Of a sample that several faces cover, the last color stays.
    rows_first = (number * wide)[spans.owner] + spans.row
    colors = packed(shaded(color, light))[spans.owner]
    samples[ranges(rows_first * wide + spans.begin, spans.counts)] = np.repeat(colors, spans.counts)
    return mixed(samples.reshape(-1, wide)).reshape(-1, size, size, 3)


def _faces(grids: NDArray[np.bool_], eye: Floats) -> tuple[Ints, Ints]:
    """Faces between full and empty voxels that are turned to an eye, in units of voxels.

    Returns:
        (n,) which of the _STEPS leads out of the voxel, and (n,) number of the voxel of all grids.
    """
    side = grids.shape[-1]
    full = np.zeros((len(grids), *(side + 2,) * 3), np.bool_)
    full[:, 1:-1, 1:-1, 1:-1] = grids
    voxels, sides = [], []
    for number, step in enumerate(_STEPS.tolist()):
        axis, sign = int(np.abs(step).argmax()), sum(step)
        # Along the axis, the near side of all voxels up to the eye is turned to it.
        low, high = (0, ceil(eye[axis] - 1)) if sign > 0 else (floor(eye[axis]) + 1, side)
        turned = (slice(None), *[slice(None)] * axis, slice(max(low, 0), max(high, 0)))
        if not grids[turned].size:
            continue
        x, y, z = (slice(1 + move, 1 + move + side) for move in step)
        bare = np.zeros_like(grids)
        bare[turned] = grids[turned] & ~full[:, x, y, z][turned]
        voxels.append(np.flatnonzero(bare))
        sides.append(np.full(len(voxels[-1]), number))
    return np.concatenate(sides), np.concatenate(voxels)
