"""Losses against numbers worked out by hand."""

import math

import pytest
import torch

from mem3d.losses import reconstruction_loss, voxel_triplet_loss

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
