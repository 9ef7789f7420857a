from dataclasses import replace

import numpy as np
import pytest
import torch

from mem3d.config import ModelConfig
from mem3d.model import Mem3D
from mem3d.presets import TINY
from mem3d.recall import Recalled, nothing_recalled
from mem3d.refiner import SHOWN, Refiner, moved
from memstore import Memory

CONFIG = replace(TINY.model, refiner=8, refiner_blocks=1, fuse=True, lift=True, priors=6)


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


def naive_shown(one, shown):
    grids, weights = [], []
    for b, count in enumerate(one.counts.tolist()):
        cosines = one.cosines[b, :count]
        mean = np.zeros(one.priors.shape[2:], np.float32)
        for k in range(count):
            mean += one.priors[b, k].numpy() * cosines[k] / cosines.sum()
        best = [one.priors[b, k].numpy() if k < count else 0 * mean for k in range(shown)]
        grids.append(np.stack([*best, mean]))
        weights.append([cosines[k] if k < count else 0.0 for k in range(shown)])
    return np.stack(grids), np.array(weights, np.float32)


@pytest.mark.parametrize("counts", [(0, 3), (6, 1), (0, 0)])
def test_the_best_priors_and_the_mean_of_all_are_shown(counts):
    refiner, one = Refiner(CONFIG), recalled(1, counts)
    grids, weights = refiner._shown(one)
    want_grids, want_weights = naive_shown(one, SHOWN)
    np.testing.assert_allclose(grids.numpy(), want_grids, atol=1e-6)
    np.testing.assert_allclose(weights.numpy(), want_weights, atol=1e-6)


def test_padding_changes_nothing():
    torch.manual_seed(0)
    refiner = Refiner(CONFIG).eval()
    torch.nn.init.normal_(refiner.last.weight)
    one = recalled(2, (2, 1))
    grown, images = torch.randn(2, CONFIG.decoder[-2], 16, 16, 16), torch.randn(2, 3, 64, 64)
    maps, cameras = torch.randn(2, CONFIG.head[1], 8, 8), torch.tensor([[1.0, 0.5, 0.6, 0, 0]] * 2)
    with torch.no_grad():
        before = refiner(grown, one, images, maps, cameras)
        narrow = replace(one, priors=one.priors[:, :2], cosines=one.cosines[:, :2])
        torch.testing.assert_close(refiner(grown, narrow, images, maps, cameras), before)
        assert before.shape == (2, 32, 32, 32)
        assert not torch.equal(before[0], before[1])


def test_it_starts_from_nearly_empty_grids():
    model = Mem3D(CONFIG).eval()
    with torch.no_grad():
        logits = model.refiner(
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
    found = moved(true, guessed)
    assert (found[:100] == 0).all()  # unknown: always guessed
    near = (found[100:] - 5).abs().max(1).values < 0.6
    assert 0.35 < near.float().mean() < 0.65
    assert (found[100:][~near] == 0).all()
    assert (found[100:][near] != 5).any(1).all()


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"refiner": 0, "fuse": True}, "want some for fuse"),
        ({"refiner": 0, "lift": True}, "want some for fuse"),
        ({"refiner": -1}, "want >= 0"),
        ({"refiner": 4, "refiner_blocks": 0}, "1 to 64"),
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
    image, memory = torch.randn(1, 3, 64, 64), Memory(TINY.memory)
    with torch.inference_mode():
        assert torch.equal(model(image, memory).logits, loaded(image, memory).logits)
