"""Where a picture was taken from, as the network is to guess it.

A viewpoint is five numbers: azimuth and elevation in radians, the logarithm of the distance, and
where the object's middle lies, to the right and down, over the side of what the network sees. The
distance is in units of the grid's side, from the grid's center, and corrected for the crop: a crop
that shows the object smaller counts as a camera further away. So a grid can be laid over its
picture without knowing how large the object was in the scene.
"""

from collections.abc import Sequence
from math import hypot, log, nan, radians
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mem3d.data.images.preprocess import CROP, TEST_WINDOW, Grid, Window
from mem3d.data.rendering.renderer import FOCAL, MAX_DISTANCE


class Viewpoint(NamedTuple):
    """Camera of a picture relative to the grid; all nan where it is not known."""

    azimuth: float  # radians around y, from +x towards +z
    elevation: float  # radians above the horizon
    log_distance: float  # of the camera from the grid's center, in grid sides
    right: float  # of the grid's center in the picture, from the middle, in picture sides
    down: float


UNKNOWN = Viewpoint(nan, nan, nan, nan, nan)


def viewpoint(
    camera: Sequence[float] | NDArray[np.float64] | None, grid: Grid, window: Window = TEST_WINDOW
) -> Viewpoint:
    """Viewpoint of a view as the network sees it.

    Args:
        camera: (5,) row of R2N2.cameras, of the whole picture; None if it is not known.
        grid: (R, R, R) true shape, mirrored or not.
        window: what of the picture is shown.

    Returns:
        the viewpoint; UNKNOWN without a camera or of an empty grid.
    """
    if camera is None or not grid.any():
        return UNKNOWN
    azimuth, elevation, _, ratio, _ = (float(value) for value in camera)
    extents = [_extent(grid, axis) for axis in range(3)]
    longest = max(extents) / hypot(*extents)  # the scene's unit is the bounding box's diagonal
    zoom = CROP / window.side
    sign = -1.0 if window.is_mirrored else 1.0
    return Viewpoint(
        azimuth=sign * radians(azimuth),
        elevation=radians(elevation),
        log_distance=log(MAX_DISTANCE * ratio / longest / zoom),
        right=-sign * window.x / window.side,
        down=-window.y / window.side,
    )


FOCAL_IN_CROP = FOCAL / CROP  # focal length over the side of a test crop


def _extent(grid: Grid, axis: int) -> int:
    """Voxels from the first to the last filled one along an axis."""
    filled = np.flatnonzero(grid.any(tuple({0, 1, 2} - {axis})))
    return int(filled[-1] - filled[0]) + 1
