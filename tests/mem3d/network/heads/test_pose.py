"""Recalled shapes rescale_to_extents to the extents that the image tells."""

from dataclasses import replace
from math import log

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mem3d.memory.host import HostMemory
from mem3d.network.config import ModelConfig
from mem3d.network.heads.pose import (
    ExtentHead,
    PoseTrunk,
    extent_loss,
    extents,
    rescale_to_extents,
    true_extents,
    width,
)
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY
from memstore import Memory

SIDE = 8
bounds = st.tuples(st.integers(0, SIDE - 1), st.integers(1, SIDE)).map(sorted)
box = st.tuples(*[bounds.filter(lambda ends: ends[0] < ends[1])] * 3)


def filled(ends) -> torch.Tensor:
    grid = torch.zeros((SIDE,) * 3)
    grid[tuple(slice(*pair) for pair in ends)] = 1
    return grid


def pieces(low: float, high: float, wanted: float) -> np.ndarray:
    """(R, R) the matrix of one axis, by sums over a hundred points in each new voxel."""
    result = np.zeros((SIDE, SIDE))
    for new in range(SIDE):
        for point in (np.arange(100) + 0.5) / 100:
            along = (new + point - (SIDE - wanted) / 2) / wanted
            if 0 <= along < 1:
                result[new, int(low + along * (high - low))] += 0.01
    return result


@given(box)
def test_extents_are_those_of_the_box(ends):
    low, high = extents(filled(ends))
    assert low.tolist() == [first for first, _ in ends]
    assert high.tolist() == [last for _, last in ends]


def test_extents_of_nothing_are_the_whole_side():
    low, high = extents(torch.zeros(2, SIDE, SIDE, SIDE))
    assert (low == 0).all() and (high == SIDE).all()


@given(box, st.tuples(*[st.integers(1, SIDE)] * 3))
def test_a_full_box_becomes_a_centered_one_of_the_volume_wanted(ends, wanted):
    share = torch.tensor([wanted]) / SIDE
    result = rescale_to_extents(filled(ends)[None, None], share)
    assert result.sum().item() == pytest.approx(np.prod(wanted), rel=1e-4)
    assert torch.allclose(result, result.flip(-1).flip(-2).flip(-3), atol=1e-4)
    assert result.max() <= 1 + 1e-4


@given(st.integers(0, 2**32 - 1), st.tuples(*[st.integers(1, SIDE)] * 3))
def test_each_axis_is_what_sums_over_points_say(seed, wanted):
    rng = np.random.default_rng(seed)
    grid = torch.from_numpy(rng.random((SIDE,) * 3) < 0.2).float()
    low, high = extents(grid)
    x, y, z = (pieces(*pair) for pair in zip(low.tolist(), high.tolist(), wanted, strict=True))
    want = np.einsum("ax,by,cz,xyz->abc", x, y, z, grid.numpy())
    result = rescale_to_extents(grid[None, None], torch.tensor([wanted]) / SIDE)[0, 0]
    # a point stands for a hundredth of a voxel along each of the three axes
    np.testing.assert_allclose(result, want, atol=0.08)


def test_a_grid_that_has_the_extents_stays_as_it_is():
    grid = torch.from_numpy(np.random.default_rng(0).random((SIDE,) * 3) < 0.3).float()
    grid[0], grid[-1], grid[:, 0], grid[:, -1], grid[..., 0], grid[..., -1] = (1.0,) * 6
    assert torch.allclose(
        rescale_to_extents(grid[None, None], torch.ones(1, 3))[0, 0], grid, atol=1e-6
    )


def test_loss_is_that_of_the_logarithms():
    grid = filled([(0, 8), (2, 4), (0, 4)])[None]
    assert true_extents(grid).tolist() == [[1.0, 0.25, 0.5]]
    assert extent_loss(true_extents(grid), grid).item() == 0
    off = extent_loss(torch.tensor([[1.0, 0.5, 0.5]]), grid).item()
    assert off == pytest.approx((log(2) - 0.05) / 3)  # smooth L1 with beta .1, by hand


def test_the_head_says_one_for_the_longest_side():
    guessed = ExtentHead(16)(torch.randn(5, 16))
    assert guessed.amax(1).tolist() == [1.0] * 5
    assert (guessed > 0).all()


def stretching() -> ModelConfig:
    return replace(TINY.model, refiner=8, fuse_priors=True, rescale_priors=True)


def test_a_network_shows_what_it_laid_over_the_answer_and_learns_extents():
    config = stretching()
    memory = Memory(replace(TINY.memory, beta=-1.0))
    rng, side = np.random.default_rng(0), (config.resolution,) * 3
    memory.write(rng.random((5, config.feature_dim)), rng.random((5, *side)) < 0.1)
    model = Mem3D(config).train()
    truth = torch.from_numpy(rng.random((2, *side)) < 0.1)
    images = torch.randn(2, 3, config.image_size, config.image_size)
    encoded = model.encoder.encode(images)
    recalled = model.recall(model.query(encoded), HostMemory(memory))
    output = model.forward_features(encoded, model.query(encoded), recalled, grids=truth)

    assert (
        output.aligned_priors is not None
        and output.aligned_priors.shape == output.recalled.priors.shape
    )
    assert output.extents is not None
    extent_loss(output.extents, truth).backward()
    assert all(weight.grad is not None for weight in model.extents.parameters())


def test_without_recalled_grids_there_is_nothing_to_stretch():
    with pytest.raises(ValueError, match="rescale_priors: got True, want fuse_priors"):
        replace(TINY.model, rescale_priors=True)


@pytest.mark.parametrize("size", [32, 64, 137, 224])
def test_the_trunk_is_as_wide_as_it_says(size):
    config = replace(TINY.model, image_size=size, hidden=64)
    trunk = PoseTrunk(4, 6).eval()
    result = trunk(torch.randn(1, 4, config.map_side, config.map_side))
    assert result.shape == (1, width(config.map_side, 6))


def test_guesses_of_a_network_with_a_trunk_do_not_move_its_keys():
    model = Mem3D(replace(stretching(), pixel_features=True, pose_channels=6)).train()
    size = model.config.image_size
    truth = torch.zeros(2, 32, 32, 32)
    truth[:, :, 4:20] = 1
    encoded = model.encoder.encode(torch.randn(2, 3, size, size))
    recalled = model.recall(model.query(encoded), HostMemory(Memory(TINY.memory)))
    output = model.forward_features(encoded, model.query(encoded), recalled, grids=truth)
    extent_loss(output.extents, truth).backward()
    assert model.pose is not None
    assert all(weight.grad is not None for weight in model.pose.parameters())
    assert all(weight.grad is None for weight in model.encoder.head.parameters())
