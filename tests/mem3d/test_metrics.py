"""IoU and F-score, edge cases in the open."""

import numpy as np
import pytest
import torch

from mem3d.metrics import f_score, iou, threshold_sweep
from tests.helpers.r2n2_folder import box


def batch(*grids):
    return torch.from_numpy(np.stack(grids))


def test_iou_by_hand():
    half, quarter = box((0, 0, 0), (16, 32, 32)), box((0, 0, 0), (8, 32, 32))
    empty = np.zeros((32,) * 3, bool)
    got = iou(batch(quarter, half, empty).float(), batch(half, half, empty), threshold=0.5)
    assert got.tolist() == [0.5, 1.0, 1.0]


def test_iou_counts_a_voxel_above_the_threshold_only():
    occupancy = torch.full((1, 2, 2, 2), 0.3)
    full = torch.ones(1, 2, 2, 2, dtype=torch.bool)
    assert iou(occupancy, full, threshold=0.29).item() == 1
    assert iou(occupancy, full, threshold=0.3).item() == 0


def test_iou_refuses_to_broadcast():
    with pytest.raises(ValueError, match="occupancy"):
        iou(torch.zeros(2, 1, 4, 4, 4), torch.zeros(2, 4, 4, 4, dtype=torch.bool), threshold=0.5)


def test_sweep_is_one_column_per_threshold():
    occupancy = torch.tensor([0.25, 0.35]).view(2, 1, 1, 1)
    full = torch.ones(2, 1, 1, 1, dtype=torch.bool)
    assert threshold_sweep(occupancy, full, (0.2, 0.3)).tolist() == [[1, 0], [1, 1]]


def test_f_score_of_a_shape_with_itself_is_one():
    grid = box((4, 4, 4), (20, 28, 12))
    # Different points of one surface: dense enough that each has a neighbor within 3 %.
    assert f_score(grid.astype(np.float32), grid, threshold=0.5, distance=0.03) > 0.99


def test_f_score_of_shapes_far_apart_is_zero():
    one, other = box((0, 0, 0), (4, 4, 4)), box((20, 20, 20), (30, 30, 30))
    assert f_score(one.astype(np.float32), other, threshold=0.5) == 0


def test_f_score_falls_with_the_distance_between_surfaces():
    grid, moved = box((4, 4, 4), (20, 20, 20)), box((5, 4, 4), (21, 20, 20))
    scores = [f_score(grid.astype(np.float32), other, threshold=0.5) for other in (grid, moved)]
    assert scores[0] > scores[1] > 0.2  # four of six faces still lie on each other


def test_f_score_without_a_surface():
    empty, full = np.zeros((8,) * 3, bool), box((2, 2, 2), (6, 6, 6), 8)
    assert f_score(empty.astype(np.float32), empty, threshold=0.5) == 1
    assert f_score(full.astype(np.float32), empty, threshold=0.5) == 0
    assert f_score(empty.astype(np.float32), full, threshold=0.5) == 0
