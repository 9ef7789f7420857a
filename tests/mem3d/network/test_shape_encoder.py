"""Priors to one vector: order, padding, none at all; each kind against a sample-wise oracle."""

import pytest
import torch

from mem3d.network.config import SHAPE_ENCODERS
from mem3d.network.presets import PAPER
from mem3d.network.shape_encoder import ShapeEncoder


def encoder(resolution=4, hidden=8, kind="lstm"):
    torch.manual_seed(0)
    return ShapeEncoder(resolution, hidden, kind, feature_dim=5)


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


def naive(model, priors, feature):
    """Prior vector (H,) of one image from its own priors (k, R, R, R), one at a time."""
    if model.kind == "fc":
        return torch.tanh(model.fc.weight @ feature + model.fc.bias)
    if model.kind in ("box", "none") or not len(priors):
        return torch.zeros(model.hidden)
    return model.lstm(priors.flatten(1)[None])[0][0, -1]


COUNTS = (0, 1, 3, 2)


def made_up_batch():
    """Priors and features; what stands from COUNTS on is padding."""
    random = torch.Generator().manual_seed(2)
    return grids(4, 3, 4, 4, 4), torch.randn(4, 5, generator=random)


@pytest.mark.parametrize("kind", SHAPE_ENCODERS)
def test_each_kind_equals_the_oracle_whatever_the_padding_holds(kind):
    model, counts = encoder(kind=kind), torch.tensor(COUNTS)
    priors, features = made_up_batch()
    spoiled = priors.clone()
    for row, count in enumerate(COUNTS):
        spoiled[row, count:] = torch.randn(4, 4, 4) * 100
    want = [naive(model, priors[row, :count], features[row]) for row, count in enumerate(COUNTS)]
    for batch in (priors, spoiled):
        torch.testing.assert_close(model(batch, counts, features), torch.stack(want))


@pytest.mark.parametrize("kind", SHAPE_ENCODERS)
def test_kept_projections_give_the_same(kind):
    model, counts = encoder(kind=kind), torch.tensor(COUNTS)
    priors, features = made_up_batch()
    each = torch.stack([torch.stack([model.project(one) for one in row]) for row in priors])
    together = model(priors, counts, features)
    torch.testing.assert_close(model.fold(each, counts, features), together)


@pytest.mark.parametrize("kind", ("lstm", "fc"))
def test_gradients_are_finite_and_reach_every_weight(kind):
    model, counts = encoder(kind=kind), torch.tensor(COUNTS)
    priors, features = made_up_batch()
    model(priors, counts, features).square().sum().backward()
    for name, weight in model.named_parameters():
        assert weight.grad.isfinite().all() and weight.grad.any(), name


def test_the_kinds_without_memory_read_nothing():
    assert [kind for kind in SHAPE_ENCODERS if encoder(kind=kind).reads] == ["lstm"]


def test_the_paper_s_weights_keep_their_names():
    """Checkpoints from before there was a choice name them so."""
    names = [name for name, _ in encoder().named_parameters()]
    kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    assert names == [f"lstm.{kind}_l0" for kind in kinds]


def test_fc_asks_for_what_it_needs():
    with pytest.raises(ValueError, match="features: got none"):
        encoder(kind="fc")(grids(1, 1, 4, 4, 4), torch.tensor([1]))


def test_pooled_priors_are_averaged_over_cubes():
    torch.manual_seed(0)
    pooled = ShapeEncoder(8, 6, pool=2)
    small = ShapeEncoder(4, 6)
    small.load_state_dict(pooled.state_dict())
    priors, counts = (torch.rand(2, 3, 8, 8, 8) < 0.4).float(), torch.tensor([3, 1])
    averaged = priors.view(2, 3, 4, 2, 4, 2, 4, 2).mean((3, 5, 7))
    torch.testing.assert_close(pooled(priors, counts), small(averaged, counts))
