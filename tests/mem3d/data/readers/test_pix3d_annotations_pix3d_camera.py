"""Pix3D's camera by hand; test_pix3d.py holds it against ray-traced photos."""

import numpy as np
from numpy.testing import assert_array_equal

from mem3d.data.readers.pix3d_annotations import Pose, silhouette

AHEAD = Pose(np.eye(3), np.array([0.0, 0.0, 2.0]), 1.0)  # front turned to the camera


def block(where, side=8):
    """A full 2 x 2 x 2 corner of a grid and a dot in the opposite one, which fixes the scale."""
    grid = np.zeros((side,) * 3, bool)
    grid[-1, -1, -1] = grid[0, 0, 0] = True
    grid[where] = True
    return grid


def share(mask):
    """Part of a picture's full pixels in its left half, and in its upper half."""
    total, half = mask.sum(), len(mask) // 2
    return mask[:, :half].sum() / total, mask[:half].sum() / total


def test_left_up_and_front():
    """Seen from the front, +z is to the left, +y up, and what is at +x is nearer, so larger."""
    high = (slice(None), slice(6, 8), slice(6, 8))  # a bar along x, at high y and z
    left, up = share(silhouette(block(high), AHEAD, (100, 100), (0, 0, 100), 100))
    assert left > 0.8
    assert up > 0.8
    near, far = np.zeros((2, 8, 8, 8), bool)
    for grid, x in ((near, 7), (far, 0)):
        grid[x] = True
        grid[7 - x, 3:5, 3:5] = True  # the same box around both
    areas = [silhouette(g, AHEAD, (100, 100), (0, 0, 100), 100).sum() for g in (near, far)]
    assert areas[0] > 1.3 * areas[1]


def test_size_by_hand():
    """A cube's farthest voxel center is .5 away: its side is 1 / sqrt(3) from center to center.

    Of 64 voxels a side, that is 63 steps; the near face is (1 + 1/63) of it wide, half of that
    nearer than 2, and a photo of 200 pixels with focal length 1 shows it 200 * side / depth wide.
    """
    side = 64 / 63 / np.sqrt(3)
    mask = silhouette(np.ones((64, 64, 64), bool), AHEAD, (200, 100), (50, 0, 100), 100)
    width = 200 * side / (2 - side / 2)
    assert abs(mask.any(axis=0).sum() - width) <= 2
    assert abs(mask.any(axis=1).sum() - width) <= 2
    assert abs(share(mask)[0] - 0.5) < 0.02
    assert abs(share(mask)[1] - 0.5) < 0.02


def test_the_square_may_leave_the_photo_and_be_scaled():
    grid = np.ones((8, 8, 8), bool)
    whole = silhouette(grid, AHEAD, (100, 100), (0, 0, 100), 200)
    wider = silhouette(grid, AHEAD, (100, 100), (-50, -50, 200), 400)
    assert_array_equal(wider[100:300, 100:300], whole)


def test_what_cannot_be_seen_is_empty():
    behind = Pose(np.eye(3), np.array([0.0, 0.0, -2.0]), 1.0)
    within = Pose(np.eye(3) * 1e200, np.array([0.0, 0.0, 1e-3]), 1e30)
    grid = np.ones((4, 4, 4), bool)
    assert not silhouette(grid, behind, (50, 50), (0, 0, 50), 50).any()
    assert not silhouette(np.zeros_like(grid), AHEAD, (50, 50), (0, 0, 50), 50).any()
    assert silhouette(grid, within, (50, 50), (0, 0, 50), 50).shape == (50, 50)
