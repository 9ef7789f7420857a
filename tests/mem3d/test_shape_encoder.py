"""The LSTM over priors: order, padding, none at all."""

import torch

from mem3d.config import PAPER
from mem3d.shape_encoder import ShapeEncoder


def encoder(resolution=4, hidden=8):
    torch.manual_seed(0)
    return ShapeEncoder(resolution, hidden)


def grids(*shape):
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(1)) < 0.5).float()


def test_the_papers_parameter_count():
    with torch.device("meta"):
        lstm = ShapeEncoder(PAPER.model.resolution, PAPER.model.hidden)
    assert sum(weight.numel() for weight in lstm.parameters()) == 285_229_056  # docs/paper.md


def test_no_prior_gives_zeros():
    vectors = encoder()(grids(2, 3, 4, 4, 4), torch.tensor([0, 2]))
    assert vectors.shape == (2, 8)
    assert (vectors[0] == 0).all()
    assert (vectors[1] != 0).any()


def test_padding_changes_nothing():
    model, priors = encoder(), grids(1, 3, 4, 4, 4)
    noisy = torch.cat([priors, torch.ones(1, 2, 4, 4, 4)], dim=1)
    counts = torch.tensor([3])
    torch.testing.assert_close(model(noisy, counts), model(priors, counts))


def test_equals_the_lstm_run_on_each_image_alone():
    model, priors, counts = encoder(), grids(3, 4, 4, 4, 4), torch.tensor([1, 4, 2])
    together = model(priors, counts)
    for row, count in enumerate(counts.tolist()):
        alone = model.lstm(priors[row, :count].flatten(1)[None])[0][0, -1]
        torch.testing.assert_close(together[row], alone)


def test_order_matters():
    model, priors = encoder(), grids(1, 2, 4, 4, 4)
    counts = torch.tensor([2])
    assert not torch.allclose(model(priors, counts), model(priors.flip(1), counts))
