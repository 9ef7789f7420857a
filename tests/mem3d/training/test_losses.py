"""Losses against numbers worked out by hand."""

import math

import pytest
import torch

from mem3d.training.losses import dice_loss, reconstruction_loss, voxel_triplet_loss

X, Y = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
YES = torch.tensor([True])


def test_bce_of_undecided_logits_is_log_2():
    loss = reconstruction_loss(torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2, dtype=torch.bool))
    assert loss.item() == pytest.approx(math.log(2))


def test_bce_refuses_shapes_that_would_broadcast():
    with pytest.raises(ValueError, match="logits"):
        reconstruction_loss(torch.zeros(2, 1, 2, 2, 2), torch.zeros(2, 2, 2, 2, dtype=torch.bool))


@pytest.mark.parametrize(
    ("feature", "positive", "negative", "want"),
    [
        (X, X, Y, 0.0),  # cos 1 and 0: the margin is met
        (X, Y, X, 1.1),  # cos 0 and 1: 1 - 0 + .1
        (X, X, X, 0.1),  # a tie costs the margin
        (7 * X, Y, 3 * X, 1.1),  # lengths do not matter
    ],
)
def test_triplet_by_hand(feature, positive, negative, want):
    loss = voxel_triplet_loss(feature, positive, negative, YES, margin=0.1)
    assert loss.item() == pytest.approx(want, abs=1e-6)


def test_triplet_averages_over_valid_images_only():
    features, positive, negative = X.repeat(3, 1), Y.repeat(3, 1), X.repeat(3, 1)
    valid = torch.tensor([True, False, False])
    loss = voxel_triplet_loss(features, positive, negative, valid, margin=0.1)
    assert loss.item() == pytest.approx(1.1)


def test_triplet_without_a_valid_image_is_zero_and_harmless():
    features = X.clone().requires_grad_()
    loss = voxel_triplet_loss(features, 0 * X, 0 * X, ~YES, margin=0.1)
    loss.backward()
    assert loss.item() == 0
    assert torch.isfinite(features.grad).all()


def test_triplet_pulls_towards_the_positive_key():
    features = torch.tensor([[1.0, 1.0]], requires_grad=True)
    voxel_triplet_loss(features, X, Y, YES, margin=0.1).backward()
    step = features.grad[0]
    assert step[0] < 0 < step[1]  # descending moves towards x, away from y


def test_dice_by_hand():
    grids = torch.zeros(2, 2, 2, 2, dtype=torch.bool)
    grids[0, 0] = grids[1] = True
    sure = torch.where(grids, 50.0, -50.0)
    assert dice_loss(sure, grids).item() == pytest.approx(0, abs=1e-6)
    halves = torch.zeros(2, 2, 2, 2)  # p = .5 everywhere
    first, second = 1 - (2 * 2 + 1) / (4 + 4 + 1), 1 - (2 * 4 + 1) / (4 + 8 + 1)
    assert dice_loss(halves, grids).item() == pytest.approx((first + second) / 2)


def test_dice_weighs_a_thin_shape_as_much_as_a_solid_one():
    thin, solid = (torch.zeros(1, 8, 8, 8, dtype=torch.bool) for _ in range(2))
    thin[0, 0, 0], solid[0] = True, True
    missed = torch.full((1, 8, 8, 8), -50.0)
    assert dice_loss(missed, thin) > 0.85
    both = torch.cat([missed, torch.full((1, 8, 8, 8), 50.0)])
    assert dice_loss(both, torch.cat([thin, solid])) > 0.4
