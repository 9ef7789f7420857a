"""Pix3D's voxels: axes, size, and what is refused."""

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.io import savemat

from mem3d.data.readers.pix3d import fitted, read_voxels


def test_axes_by_name(tmp_path):
    """One voxel far to the left, outward and up, and one at the other end."""
    left_outward_up = np.zeros((128,) * 3, np.uint8)
    left_outward_up[100, 20, 60] = left_outward_up[1, 2, 3] = 1
    savemat(tmp_path / "voxel.mat", {"voxel": left_outward_up})
    assert np.argwhere(read_voxels(tmp_path / "voxel.mat")).tolist() == [[2, 3, 1], [20, 60, 100]]


def test_the_longest_side_spans_the_grid_and_the_others_are_centered():
    """By hand: 100 long, 32/100 a cell; 50 high -> 16 cells; 30 wide -> 9.6, centered, so 10."""
    full = np.zeros((128,) * 3, bool)
    full[3:103, 70:120, 11:41] = True
    want = np.zeros((32,) * 3, bool)
    want[:, 8:24, 11:21] = True
    assert_array_equal(fitted(full), want)


def test_fitting_keeps_mirror_symmetry_and_fills_cavities():
    rng = np.random.default_rng(0)
    full = np.zeros((128,) * 3, bool)
    full[10:110, 20:90, 30:95] = rng.random((100, 70, 65)) < 0.01
    full |= full[:, :, ::-1]
    assert_array_equal(fitted(full), fitted(full)[:, :, ::-1])
    shell = np.zeros((128,) * 3, bool)
    shell[:] = True
    shell[8:-8, 8:-8, 8:-8] = False
    assert fitted(shell).all()


def test_fitting_equals_the_loops():
    rng = np.random.default_rng(1)
    full = np.zeros((128,) * 3, bool)
    full[10:109, 20:87, 30:94] = rng.random((99, 67, 64)) < 0.0005
    full[[10, 108], 50, 60] = True
    places = np.argwhere(full)
    middle = (places.min(0) + places.max(0) + 1) / 2
    want = np.zeros((32,) * 3, bool)
    for place in places:
        for nudge in product((-1e-6, 1e-6), repeat=3):  # on a border: both cells
            want[tuple(np.floor((place + 0.5 - middle) * 32 / 99 + 16 + nudge).astype(int))] = True
    assert want.sum() > 100
    assert_array_equal(fitted(full), want)


@pytest.mark.parametrize(
    ("voxel", "says"),
    [
        (np.zeros((128,) * 3, np.uint8), "an empty grid"),
        (np.full((128,) * 3, 2, np.uint8), "other than 0 and 1"),
        (np.full((128,) * 3, np.nan, np.float32), "other than 0 and 1"),
        (np.ones((64,) * 3, np.uint8), r"got voxels \(64, 64, 64\)"),
        (np.ones((128, 128), np.uint8), r"got voxels \(128, 128\)"),
    ],
)
def test_voxels_that_are_none(voxel, says, tmp_path):
    savemat(tmp_path / "voxel.mat", {"voxel": voxel}, do_compression=True)
    with pytest.raises(ValueError, match=rf"voxel\.mat: .*{says}"):
        read_voxels(tmp_path / "voxel.mat")
