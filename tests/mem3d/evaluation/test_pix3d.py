"""Pix3D's IoU: by hand, and against plain loops and scipy's interpolation."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.interpolate import RegularGridInterpolator

from mem3d.data.readers.pix3d import max_pooled
from mem3d.evaluation.pix3d import THRESHOLDS, best_threshold, resampled, sweep


def naive_resampled(grid):
    """Step by step as the README of Pix3D tells it, with scipy's interpolation."""
    if len(grid) > 100:
        cells = len(grid) // 4
        pooled = np.zeros((cells,) * 3)
        for x, y, z in np.ndindex(pooled.shape):
            block = grid[4 * x : 4 * x + 4, 4 * y : 4 * y + 4, 4 * z : 4 * z + 4]
            pooled[x, y, z] = block.max()
        grid = pooled
    full = np.argwhere(grid >= 0.1)
    if not len(full):
        return np.zeros((32, 32, 32))
    low, high = full.min(0), full.max(0)
    box = grid[low[0] : high[0] + 1, low[1] : high[1] + 1, low[2] : high[2] + 1].astype(float)
    side = max(high - low)
    box = np.pad(box, [(0, int(n == 1)) for n in box.shape])  # scipy wants two points an axis
    axes = [np.arange(n) for n in box.shape]
    inside = high - low  # beyond the box, the padding included, is nothing
    value = RegularGridInterpolator(axes, box, bounds_error=False, fill_value=0)
    result = np.zeros((32, 32, 32))
    points = {}
    for cell in np.ndindex(result.shape):
        point = inside / 2 - side / 2 + side * np.array(cell) / 31
        if (point >= 0).all() and (point <= inside).all():
            points[cell] = point
    for cell, found in zip(points, value(list(points.values())), strict=True):
        result[cell] = found
    return result


def box(side, low, high):
    grid = np.zeros((side,) * 3, bool)
    grid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return grid


def test_place_and_size_do_not_count():
    cube, moved = box(32, (0, 0, 0), (8, 8, 8)), box(32, (9, 20, 3), (25, 31, 14))
    assert resampled(cube).all()
    assert_allclose(sweep(cube, box(32, (3, 9, 17), (13, 19, 27))), 1)
    assert sweep(cube, moved).max() < 1


def test_a_flat_box_by_hand():
    """17 x 5 x 17 voxels: 16 long, 4 high, so that of 32 layers 31/4 apart 8 lie inside."""
    cube = resampled(box(32, (0, 0, 0), (17, 5, 17)))
    # Layer k is at height 2 - 8 + 16 k / 31, within [0, 4] for k = 12 ... 19.
    assert_array_equal(np.flatnonzero(cube.any(axis=(0, 2))), range(12, 20))
    assert_allclose(cube[:, 12:20], 1)


def test_iou_by_hand():
    """Half a cube against the whole: its box is 32 x 16 x 32."""
    whole, half = box(32, (0, 0, 0), (32, 32, 32)), box(32, (0, 0, 0), (32, 16, 32))
    # 31 long, 15 high: layer k is at 7.5 - 15.5 + k, within [0, 15] for 16 of 32 layers.
    assert_allclose(sweep(half, whole), 0.5)


def test_empty_grids_score_0():
    empty, full = np.zeros((32, 32, 32), np.float32), box(32, (0, 0, 0), (4, 4, 4))
    assert_array_equal(sweep(empty, empty), 0)
    assert_array_equal(sweep(empty + 0.09, full), 0)  # nowhere at the box's threshold


def test_one_threshold_for_all_is_searched():
    """Each sample has its own best threshold; the mean decides. By hand: .2, .5, .4."""
    ious = np.zeros((2, len(THRESHOLDS)))
    ious[0, 3], ious[1, 3] = 0.4, 0.0
    ious[0, 7], ious[1, 7] = 0.3, 0.7
    ious[0, 9], ious[1, 9] = 0.0, 0.8
    assert best_threshold(ious) == 7
    assert THRESHOLDS[7] == 0.08
    assert best_threshold(np.ones((1, len(THRESHOLDS)))) == 0
    assert (THRESHOLDS[0], THRESHOLDS[-1], len(THRESHOLDS)) == (0.01, 0.5, 50)


@pytest.mark.parametrize("seed", range(3))
def test_a_soft_grid_equals_the_loops(seed):
    rng = np.random.default_rng(seed)
    low, high = rng.integers(0, 12, 3), rng.integers(14, 32, 3)
    soft = np.zeros((32, 32, 32), np.float32)
    part = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    soft[part] = rng.random(high - low)
    truth = box(32, rng.integers(0, 12, 3), rng.integers(14, 32, 3))
    one, other = naive_resampled(soft), naive_resampled(truth)
    assert_allclose(resampled(soft), one, atol=1e-6)
    want = [((one > t) & (other > t)).sum() / ((one > t) | (other > t)).sum() for t in THRESHOLDS]
    assert_allclose(sweep(soft, truth), want, atol=1e-4)


def test_a_fine_grid_is_pooled_first_and_a_flat_one_keeps_its_layer():
    fine = box(128, (5, 9, 64), (99, 80, 65))
    assert_array_equal(max_pooled(fine), box(32, (1, 2, 16), (25, 20, 17)))
    assert_allclose(resampled(fine), naive_resampled(fine), atol=1e-6)
    dot = box(32, (3, 3, 3), (4, 4, 4))
    assert_allclose(resampled(dot), naive_resampled(dot), atol=1e-6)
