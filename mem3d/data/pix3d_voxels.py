"""Pix3D's voxels in our axes, and in 3D-R2N2's frame.

Pix3D's voxels are 128^3 [left, outward, up], seen from the front. Ours are [x, y, z] with y up and
the front, which is "outward", at +x: "left" becomes z, and nothing is mirrored.

Source: README of Pix3D (Sun et al., CVPR 2018).
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes

from mem3d.data.mat import read_mat

RESOLUTION = 32
FINE = 128  # voxels a side of Pix3D's own grids


def read_voxels(path: Path) -> NDArray[np.bool_]:
    """Voxels of a Pix3D model in our axes.

    Args:
        path: a voxel.mat with a variable "voxel", 128^3, 0 or 1.

    Returns:
        (128, 128, 128) indexed [x, y, z]: y up, front +x; where Pix3D has the object.

    Raises:
        ValueError: not such a file, or no voxel in it is full.
    """
    voxel = read_mat(path, "voxel")
    if voxel.shape != (FINE,) * 3:
        raise ValueError(f"{path}: got voxels {voxel.shape}, want {(FINE,) * 3}")
    full = voxel == 1
    if not (full | (voxel == 0)).all():
        raise ValueError(f"{path}: got voxels other than 0 and 1, want only those")
    if not full.any():
        raise ValueError(f"{path}: got an empty grid, want a full voxel")
    return np.ascontiguousarray(full.transpose(1, 2, 0))


def fitted(full: NDArray[np.bool_], side: int = RESOLUTION) -> NDArray[np.bool_]:
    """A grid in R2N2's frame: longest side over the whole grid, the others centred, solid.

    Args:
        full: (R, R, R), not empty; its longest side has at least `side` voxels, or holes appear.
        side: of the result.

    Returns:
        (side, side, side), full where the centre of a full voxel falls; cavities are filled, as
        binvox does.
    """
    used = [np.flatnonzero(full.any(axis=(b, c))) for b, c in ((1, 2), (0, 2), (0, 1))]
    longest = max(int(np.ptp(places)) + 1 for places in used)
    grid = full
    for axis, places in enumerate(used):
        middle = (places[0] + places[-1] + 1) / 2
        centres = (np.arange(len(full)) + 0.5 - middle) * side / longest + side / 2
        # A centre on the border of two cells fills both, so that what is symmetric stays so.
        cells = np.floor(centres[:, None] + (-1e-6, 1e-6))
        falls = (np.arange(side)[:, None, None] == cells).any(axis=2)  # (side, R)
        counts = np.tensordot(falls.astype(np.float32), grid.astype(np.float32), (1, axis))
        grid = np.moveaxis(counts > 0, 0, axis)
    return np.asarray(binary_fill_holes(grid))
