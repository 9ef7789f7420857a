"""IoU as Pix3D's own evaluation measures it; not to be compared with IoU in the R2N2 frame.

Each grid is cut to its bounding box, padded to a cube and resampled to 32^3, so that neither its
place nor its size counts. One threshold for predictions and truths alike is then searched for the
highest mean IoU, on the test set itself: every number of this protocol is a best case.

Source: Sun et al., Pix3D, CVPR 2018, sec. 5, and "Evaluation details" of its README.
"""

import numpy as np
from numpy.typing import NDArray

from mem3d.data.readers.pix3d import max_pooled

PROTOCOL = "Pix3D: bounding boxes resampled to 32^3, threshold searched on this very set"
SIDE = 32
BOX_THRESHOLD = 0.1
# As the description says; the published program stops at .49.
THRESHOLDS = tuple(step / 100 for step in range(1, 51))
_FINE = 100  # grids with more voxels a side are max-pooled first


def resampled(grid: NDArray[np.generic]) -> NDArray[np.float64]:
    """A grid's bounding box as a cube of 32^3.

    Args:
        grid: (R, R, R) bool or occupancy in [0, 1]. Over 100 voxels a side, it is bool, R a
            multiple of 4, and max-pooled first, so that thin parts do not slip through the mesh.

    Returns:
        (32, 32, 32): trilinear between the voxels of the box, 0 outside of it; all 0 for a grid
        that nowhere reaches BOX_THRESHOLD.
    """
    if len(grid) > _FINE:
        grid = max_pooled(grid.astype(np.bool_))
    values = grid.astype(np.float64)
    full = np.argwhere(values >= BOX_THRESHOLD)
    if not len(full):
        return np.zeros((SIDE,) * 3)
    low, high = full.min(0), full.max(0)
    box = values[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))]
    longest = int((high - low).max())
    x, y, z = (_weights(int(length), longest) for length in high - low)
    cube: NDArray[np.float64] = np.einsum("ax,by,cz,xyz->abc", x, y, z, box, optimize=True)
    return cube


def _weights(length: int, longest: int) -> NDArray[np.float64]:
    """(32, length + 1) linear weights of points spread over `longest`, around a shorter axis."""
    middle = length / 2
    points = np.linspace(middle - longest / 2, middle + longest / 2, SIDE)
    apart = np.abs(points[:, None] - np.arange(length + 1))
    inside = (points >= 0) & (points <= length)
    return np.where(inside[:, None], np.maximum(1 - apart, 0), 0)


def sweep(occupancy: NDArray[np.generic], truth: NDArray[np.generic]) -> NDArray[np.float64]:
    """IoU of one prediction at each of THRESHOLDS.

    Args:
        occupancy: (R, R, R) in [0, 1].
        truth: (Q, Q, Q) bool; its side need not be the prediction's.

    Returns:
        (50,) in [0, 1]; 0 where both are empty, as Pix3D counts it.
    """
    predicted, true = resampled(occupancy), resampled(truth)
    result = np.zeros(len(THRESHOLDS))
    for number, threshold in enumerate(THRESHOLDS):
        full, target = predicted > threshold, true > threshold
        if joint := np.count_nonzero(full | target):
            result[number] = np.count_nonzero(full & target) / joint
    return result


def best_threshold(ious: NDArray[np.float64]) -> int:
    """Which of THRESHOLDS has the highest mean IoU, the lowest among equals.

    Args:
        ious: (N, 50) from `sweep`, N >= 1.
    """
    return int(ious.mean(axis=0).argmax())
