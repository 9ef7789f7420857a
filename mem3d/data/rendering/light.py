"""Light on a surface: two lamps that come with the camera, and some light from above.

The first lamp casts shadows. Rays find them one by one (renderer); of a voxel grid, the light that
reaches each voxel is found layer by layer, with soft edges.
"""

# F = faces, R = voxels per side

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mem3d.data.rendering.texture import LINEAR, to_srgb

Floats = NDArray[np.float32]

# (right, up, towards the viewer), strength.
_LAMPS = (((-0.5, 0.75, 0.55), 0.75), ((0.75, 0.15, 0.5), 0.2))
_AMBIENT = 0.12  # plus as much again from straight above
_LEVELS = 4095  # of light, to be looked up as sRGB
_SRGB = np.round(to_srgb(np.arange(_LEVELS + 1) / _LEVELS) * 255).astype(np.uint8)


def lamp(number: int, axes: Floats) -> Floats:
    """(3,) unit vector towards a lamp, 0 (which casts shadows) or 1.

    Args:
        number: of the lamp.
        axes: (3, 3) of the camera.
    """
    towards = np.array(_LAMPS[number][0], np.float32) @ axes
    return np.asarray(towards / np.linalg.norm(towards), np.float32)


def facing(normals: Floats, number: int, axes: Floats) -> Floats:
    """(F,) cosine between each normal and a lamp, 0 on the side that it does not see."""
    return np.asarray((normals @ lamp(number, axes)).clip(min=0), np.float32)


def strength(normals: Floats, axes: Floats, first: Floats) -> Floats:
    """(F,) light on faces with these normals.

    Args:
        normals: (F, 3) of length one.
        axes: (3, 3) of the camera.
        first: (F,) `facing` of the first lamp, less where it is in shadow.
    """
    total: Floats = _AMBIENT * (1.5 + 0.5 * normals[:, 1])
    total = total + _LAMPS[0][1] * first
    return total + _LAMPS[1][1] * facing(normals, 1, axes)


def shaded(albedo: NDArray[np.uint8], light: Floats) -> NDArray[np.uint8]:
    """sRGB (F, 3) of faces with colors (F, 3), or one (3,), in light (F,)."""
    levels = LINEAR[albedo] * light[:, None] * _LEVELS + np.float32(0.5)
    return np.asarray(_SRGB[levels.astype(np.int64).clip(max=_LEVELS)])


def reaching(grid: NDArray[np.bool_], towards: Floats) -> Floats:
    """How much of a far lamp's light reaches each voxel through those before it.

    Light goes from layer to layer along the axis that it is nearest to, and is mixed from the four
    voxels around the place where it comes through.

    Args:
        grid: (..., R, R, R), one or several.
        towards: (3,) to the lamp.

    Returns:
        (..., R + 2, R + 2, R + 2) in [0, 1] for each grid and a voxel more on every side; a full
        voxel gets what comes to its middle if it were empty itself.
    """
    axis = int(np.abs(towards).argmax())
    step = 1 if towards[axis] > 0 else -1
    across, down = (towards[i] / abs(towards[axis]) for i in range(3) if i != axis)
    # From the lamp on; what blocks the light of a layer falls on the next, moved by the slope.
    side = grid.shape[-1] + 2
    full = np.zeros((side, *grid.shape[:-3], side, side), np.float32)
    full[1:-1, ..., 1:-1, 1:-1] = np.moveaxis(grid, axis - 3, 0)[::-step]
    rows, columns = _moved(side, float(across)), _moved(side, float(down)).T
    shadow = np.zeros_like(full)
    first = int(full.reshape(side, -1).any(1).argmax())
    for above, before, below in zip(
        full[first:], shadow[first:], shadow[first + 1 :], strict=False
    ):
        np.matmul(rows @ np.maximum(before, above), columns, out=below)
    return np.moveaxis(1 - shadow[::-step], 0, axis - 3)


@lru_cache(maxsize=64)  # pictures are mostly taken from the same few sides
def _moved(side: int, by: float) -> Floats:
    """(side, side) that times a column gives it moved by some cells, zeros coming in."""
    whole = int(np.floor(by))
    share = by - whole
    moved = (1 - share) * np.eye(side, k=whole) + share * np.eye(side, k=whole + 1)
    return moved.astype(np.float32)
