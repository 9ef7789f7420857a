from dataclasses import replace

import numpy as np
import pytest
import torch

from mem3d.memory.host import HostMemory
from mem3d.memory.interface import Recalled, nothing_recalled
from mem3d.network.config import ModelConfig
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY
from mem3d.network.refiner import (
    SINGLES,
    Gate,
    Refiner,
    by_cubes,
    cosines_of,
    jitter_cameras,
    soft_iou,
    top_priors,
)
from mem3d.training.losses import gate_loss
from memstore import Memory

CONFIG = replace(
    TINY.model, refiner=8, refiner_blocks=1, fuse_priors=True, pixel_features=True, priors=6
)


def recalled(seed, counts, width=6, side=32):
    rng = np.random.default_rng(seed)
    real = np.arange(width) < np.array(counts)[:, None]
    priors = (rng.random((len(counts), width, side, side, side)) < 0.3) & real[
        ..., None, None, None
    ]
    cosines = np.where(real, np.sort(rng.random((len(counts), width)), axis=1)[:, ::-1], -np.inf)
    return Recalled(
        torch.from_numpy(priors).float(),
        torch.tensor(counts),
        np.where(real, 0, -1),
        cosines.astype(np.float32),
    )


def naive_shown(one, top_priors):
    grids, weights = [], []
    for b, count in enumerate(one.counts.tolist()):
        cosines = one.cosines[b, :count]
        mean = np.zeros(one.priors.shape[2:], np.float32)
        for k in range(count):
            mean += one.priors[b, k].numpy() * cosines[k] / cosines.sum()
        best = [one.priors[b, k].numpy() if k < count else 0 * mean for k in range(top_priors)]
        grids.append(np.stack([*best, mean]))
        weights.append([cosines[k] if k < count else 0.0 for k in range(top_priors)])
    return np.stack(grids), np.array(weights, np.float32)


@pytest.mark.parametrize("counts", [(0, 3), (6, 1), (0, 0)])
def test_the_best_priors_and_the_mean_of_all_are_shown(counts):
    one = recalled(1, counts)
    grids, mean, weights = top_priors(one.priors, cosines_of(one), SINGLES)
    want_grids, want_weights = naive_shown(one, SINGLES)
    np.testing.assert_allclose(grids.numpy(), want_grids[:, :-1], atol=1e-6)
    np.testing.assert_allclose(mean.numpy(), want_grids[:, -1], atol=1e-6)
    np.testing.assert_allclose(weights.numpy(), want_weights, atol=1e-6)


def test_padding_changes_nothing():
    torch.manual_seed(0)
    refiner = Refiner(CONFIG).eval()
    torch.nn.init.normal_(refiner.last.weight)
    one = recalled(2, (2, 1))
    grown, images = torch.randn(2, CONFIG.decoder[-2], 16, 16, 16), torch.randn(2, 3, 64, 64)
    maps, cameras = torch.randn(2, CONFIG.head[1], 8, 8), torch.tensor([[1.0, 0.5, 0.6, 0, 0]] * 2)
    with torch.no_grad():
        before, _ = refiner(grown, one, images, maps, cameras)
        narrow = replace(one, priors=one.priors[:, :2], cosines=one.cosines[:, :2])
        torch.testing.assert_close(refiner(grown, narrow, images, maps, cameras)[0], before)
        assert before.shape == (2, 32, 32, 32)
        assert not torch.equal(before[0], before[1])


def test_it_starts_from_nearly_empty_grids():
    model = Mem3D(CONFIG).eval()
    with torch.no_grad():
        logits, _ = model.refiner(
            torch.randn(1, CONFIG.decoder[-2], 16, 16, 16),
            nothing_recalled(torch.zeros(1, CONFIG.feature_dim), 32),
            torch.randn(1, 3, 64, 64),
            torch.randn(1, CONFIG.head[1], 8, 8),
            torch.tensor([[1.0, 0.5, 0.6, 0, 0]]),
        )
    assert (logits == -2).all()


def test_a_lifting_refiner_wants_viewpoints():
    refiner = Refiner(CONFIG)
    with pytest.raises(ValueError, match="want both"):
        refiner(
            torch.randn(1, CONFIG.decoder[-2], 16, 16, 16),
            recalled(0, (1,)),
            torch.randn(1, 3, 64, 64),
            torch.randn(1, CONFIG.head[1], 8, 8),
            None,
        )


def test_training_cameras_are_true_or_guessed():
    torch.manual_seed(0)
    true, guessed = torch.full((400, 5), 5.0), torch.zeros(400, 5)
    true[:100] = torch.nan
    result = jitter_cameras(true, guessed)
    assert (result[:100] == 0).all()  # unknown: always guessed
    near = (result[100:] - 5).abs().max(1).values < 0.6
    assert 0.35 < near.float().mean() < 0.65
    assert (result[100:][~near] == 0).all()
    assert (result[100:][near] != 5).any(1).all()


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"refiner": 0, "fuse_priors": True}, "want channels for fuse_priors"),
        ({"refiner": 0, "pixel_features": True}, "want channels for fuse_priors"),
        ({"refiner": -1}, "want >= 0"),
        ({"refiner": 4, "refiner_blocks": 0}, "refiner_blocks: got 0, want >= 1"),
        ({"refiner": 4, "decoder": (8,)}, "2 layers or more"),
    ],
)
def test_settings_that_do_not_fit_are_refused(fields, match):
    with pytest.raises(ValueError, match=match):
        ModelConfig(**({"image_size": 64, "head": (16, 8, 8), "hidden": 16} | fields))


def test_what_is_loaded_sees_what_was_saved():
    torch.manual_seed(0)
    model = Mem3D(CONFIG).eval()
    torch.nn.init.normal_(model.refiner.last.weight)
    with torch.device("meta"):  # as checkpoint.load builds it
        loaded = Mem3D(CONFIG).eval()
    loaded.to_empty(device="cpu")
    for tensor in loaded.state_dict().values():
        tensor.fill_(7)
    for buffer in loaded.buffers():
        buffer.fill_(7)
    loaded.load_state_dict(model.state_dict())
    image, memory = torch.randn(1, 3, 64, 64), HostMemory(Memory(TINY.memory))
    with torch.inference_mode():
        assert torch.equal(model(image, memory).logits, loaded(image, memory).logits)


def naive_gate(gate, total, one):
    occupancy = gate.coarse(total)[:, 0].sigmoid().double().numpy()
    logs = np.full(one.cosines.shape, -np.inf)
    for b, count in enumerate(one.counts.tolist()):
        scores = []
        for k in range(count):
            prior = one.priors[b, k].double().numpy()
            small = prior.reshape(16, 2, 16, 2, 16, 2).mean((1, 3, 5))
            shared = (small * occupancy[b]).sum()
            fit = shared / (small.sum() + occupancy[b].sum() - shared)
            scores.append(gate.scale[0].item() * fit + gate.scale[1].item() * one.cosines[b, k])
        if count:
            logs[b, :count] = scores - np.log(np.exp(scores).sum())
    return logs


def test_the_gate_weighs_by_fit_and_cosine():
    torch.manual_seed(0)
    gate, one, total = Gate(8).eval(), recalled(4, (3, 0, 6)), torch.randn(3, 8, 16, 16, 16)
    with torch.no_grad():
        actual = gate(total, one)
        want = naive_gate(gate, total, one)
    for b, count in enumerate(one.counts.tolist()):
        np.testing.assert_allclose(actual[b, :count].numpy(), want[b, :count], atol=1e-4)
        if count:
            assert actual[b].exp()[count:].sum() == 0
            assert actual[b].exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_a_gated_refiner_shows_nothing_where_nothing_was_recalled():
    torch.manual_seed(0)
    config = replace(CONFIG, prior_gate=True, pixel_features=False)
    refiner = Refiner(config).eval()
    torch.nn.init.normal_(refiner.last.weight)
    grown, maps = torch.randn(2, CONFIG.decoder[-2], 16, 16, 16), torch.zeros(2, 1, 8, 8)
    one = recalled(5, (2, 0))
    alone = Recalled(one.priors[1:], one.counts[1:], one.slots[1:], one.cosines[1:])
    none = nothing_recalled(torch.zeros(1, CONFIG.feature_dim), 32)
    with torch.no_grad():
        both, _ = refiner(grown, one, None, maps, None)
        without, _ = refiner(grown[1:], none, None, maps[1:], None)
        padded, _ = refiner(grown[1:], alone, None, maps[1:], None)
    torch.testing.assert_close(both[1:], without)
    torch.testing.assert_close(padded, without)


def test_the_gate_learns_from_how_good_priors_are():
    one, grids = recalled(6, (3, 0, 1)), torch.rand(3, 32, 32, 32) < 0.3
    logs = torch.log_softmax(torch.randn(3, 6), 1)
    wanted = []
    for b, count in enumerate(one.counts.tolist()):
        ious = []
        for k in range(count):
            prior = one.priors[b, k].bool()
            ious.append(((prior & grids[b]).sum() / (prior | grids[b]).sum()).item())
        share = np.exp(np.array(ious) / 0.05)
        wanted.append(-(share / share.sum() * logs[b, :count].numpy()).sum() if count else None)
    want = np.mean([one for one in wanted if one is not None])
    actual = gate_loss(logs, one.priors, one.counts, grids)
    assert actual.item() == pytest.approx(want, rel=1e-4)
    assert gate_loss(logs[1:2], one.priors[1:2], one.counts[1:2], grids[1:2]) == 0


def test_a_gate_wants_fusion():
    with pytest.raises(ValueError, match="want fuse_priors too"):
        replace(TINY.model, refiner=4, prior_gate=True)


def test_the_product_over_cubes_is_the_convolution():
    torch.manual_seed(0)
    layer = torch.nn.Conv3d(3, 5, 2, stride=2, bias=False)
    grids = torch.randn(2, 3, 8, 8, 8)
    torch.testing.assert_close(by_cubes(layer.weight, grids), layer(grids))


@pytest.mark.parametrize("stretch", [False, True])
def test_grids_and_means_meet_one_weight_as_if_side_by_side(stretch):
    torch.manual_seed(0)
    refiner = Refiner(replace(CONFIG, rescale_priors=stretch, pose_channels=4))
    result = [(torch.rand(2, SINGLES, 32, 32, 32), torch.rand(2, 32, 32, 32)) for _ in range(2)]
    result = result[: 1 + stretch]
    side_by_side = torch.cat([torch.cat([grids, mean[:, None]], 1) for grids, mean in result], 1)
    want = refiner.from_priors(side_by_side)
    torch.testing.assert_close(refiner.from_grids(result), want, atol=1e-4, rtol=1e-4)


def test_only_means_have_a_gradient_by_the_weights():
    weights = torch.rand(2, 6, requires_grad=True)
    grids, mean, best = top_priors(recalled(1, (6, 6)).priors, weights, SINGLES)
    assert (grids.requires_grad, mean.requires_grad, best.requires_grad) == (False, True, True)


def test_soft_iou_by_hand():
    answers = torch.tensor([0.5, 1.0, 0, 0, 0, 0, 0, 0]).view(1, 2, 2, 2)
    priors = torch.tensor([[1.0, 1, 0, 0, 0, 0, 0, 0], [0.0] * 8]).view(1, 2, 2, 2, 2)
    assert soft_iou(answers, priors).tolist() == [[0.75, 0.0]]
    assert soft_iou(torch.zeros(1, 2, 2, 2), priors)[0, 1] == 0
    with torch.autocast("cpu", torch.bfloat16):  # as many voxels as bfloat16 cannot count
        assert soft_iou(torch.ones(1, 8, 8, 8), torch.ones(1, 1, 8, 8, 8)) == 1
        third = torch.full((1, 2, 2, 2), 1 / 3)
        assert soft_iou(third, priors)[0, 0].item() == pytest.approx(1 / 6)  # 2 / 3 of 4
