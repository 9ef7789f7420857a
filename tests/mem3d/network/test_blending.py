"""What is recalled blended into the answer: by hand, in use only, and how much."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mem3d.data.images.preprocess import test_pixels as pixels_of
from mem3d.data.loader import normalize
from mem3d.data.readers.r2n2 import R2N2
from mem3d.network.blending import LEAST, blended
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY
from mem3d.runs import blend_search
from mem3d.runs.blend_search import choose_blend
from memstore import Memory

CONFIG = replace(TINY.model, image_size=32, priors=2)
MEMORY = replace(TINY.memory, key_dim=CONFIG.feature_dim, beta=0.0)


def logit(p):
    return np.log(p / (1 - p))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Mem3D(CONFIG).eval()


@pytest.fixture
def models(made_up_data):
    return R2N2.open(made_up_data, "val")


def images(models, view=0):
    pixels = [pixels_of(models.image(i, view), 32) for i in range(len(models))]
    return normalize(torch.from_numpy(np.stack(pixels)))


@pytest.fixture
def memory(model, made_up_data):
    learned = R2N2.open(made_up_data, "train")
    memory = Memory(MEMORY)
    with torch.inference_mode():
        keys = model.encoder(images(learned)).numpy()
    memory.write(keys, np.stack([learned.grid(i) for i in range(len(learned))]))
    return memory


def test_blends_as_a_naive_one_does():
    rng = np.random.default_rng(0)
    logits, priors = rng.normal(size=(3, 4, 4, 4)), rng.random((3, 2, 4, 4, 4)).round(1)
    priors[1, 1] = priors[2] = 0
    counts = [2, 1, 0]
    want = np.empty_like(logits)
    for b, count in enumerate(counts):
        for at in np.ndindex(4, 4, 4):
            want[b][at] = logits[b][at] + 0.25
            if count:
                mean = sum(priors[b, k][at] for k in range(count)) / count
                recalled = logit(min(max(mean, LEAST), 1 - LEAST))
                want[b][at] = 0.4 * logits[b][at] + 0.6 * recalled + 0.25
    found = blended(
        torch.from_numpy(logits).float(),
        torch.from_numpy(priors).float(),
        torch.tensor(counts),
        0.6,
        0.25,
    )
    np.testing.assert_allclose(found.numpy(), want, atol=1e-5)


def test_only_answers_in_use_are_blended(model, memory, models):
    plain, one = model, images(models)
    mixed = Mem3D(replace(CONFIG, blend=0.5, shift=-0.3)).eval()
    mixed.load_state_dict(plain.state_dict())
    with torch.inference_mode():
        own, found = plain(one, memory), mixed(one, memory)
        want = blended(own.logits, own.recalled.priors, own.recalled.counts, 0.5, -0.3)
        torch.testing.assert_close(found.logits, want)
        assert not torch.allclose(found.logits, own.logits)
        alone = mixed(one, Memory(MEMORY)).logits
        torch.testing.assert_close(alone, plain(one, Memory(MEMORY)).logits - 0.3)
        seen = plain.encoder.see(one)
        in_training = mixed.train().reconstruct(seen, memory).logits
        torch.testing.assert_close(in_training, plain.train().reconstruct(seen, memory).logits)


def test_stretched_priors_are_blended_as_they_are_laid(memory, models):
    torch.manual_seed(0)
    config = replace(CONFIG, refiner=4, fuse=True, stretch=True)
    plain = Mem3D(config).eval()
    mixed = Mem3D(replace(config, blend=0.5)).eval()
    mixed.load_state_dict(plain.state_dict())
    with torch.inference_mode():
        own, found = plain(images(models), memory), mixed(images(models), memory)
    assert not torch.equal(own.laid, own.recalled.priors)
    want = blended(own.logits, own.laid, own.recalled.counts, 0.5, 0.0)
    torch.testing.assert_close(found.logits, want)


SHARES, SHIFTS = (0.0, 0.3, 0.6), (-0.5, 0.0, 0.3)  # fewer than there are, for the naive one


def naive_best(model, memory, models, views):
    """Each pair of numbers by itself, set in the network: (IoU, share, shift) of the best."""
    scores = []
    for share in SHARES if model.shape_encoder.reads else (0.0,):
        for shift in SHIFTS:
            model.config = replace(model.config, blend=share, shift=shift)
            by_category = {}
            for view in range(views):
                with torch.inference_mode():
                    full = (model(images(models, view), memory).logits.sigmoid() > 0.3).numpy()
                for i in range(len(models)):
                    grid = models.grid(i)
                    iou = (full[i] & grid).sum() / (full[i] | grid).sum()
                    by_category.setdefault(models.category(i), []).append(iou)
            means = [np.mean(ious) for ious in by_category.values()]
            scores.append((np.mean(means), share, shift))
    return scores


@pytest.mark.parametrize("kind", ["lstm", "none"])
def test_the_best_blend_is_chosen(kind, memory, models, monkeypatch):
    monkeypatch.setattr(blend_search, "SHARES", SHARES)
    monkeypatch.setattr(blend_search, "SHIFTS", SHIFTS)
    torch.manual_seed(0)
    model = Mem3D(replace(CONFIG, shape_encoder=kind, blend=0.2)).eval()
    with torch.no_grad():
        for weight in model.decoder.parameters():
            weight.mul_(1.5)  # else all logits are nearly alike
    found = choose_blend(model, memory, models, views=2, batch=3)
    assert model.config.blend == 0.2  # as it was
    scores = naive_best(model, memory, models, 2)
    best = max(score for score, *_ in scores)
    chosen = {(share, shift): score for score, share, shift in scores}
    assert chosen[found.share, found.shift] == pytest.approx(best, abs=1e-6)
    assert found.after == pytest.approx(best, abs=1e-6)
    assert found.before == pytest.approx(chosen[0.0, 0.0], abs=1e-6)
    alone = max(score for score, share, _ in scores if share == 0)
    assert found.shifted == pytest.approx(alone, abs=1e-6)
    assert found.pictures == 8 and (kind == "lstm") == (found.share > 0)


def test_nothing_to_choose_by_is_refused(model, memory, models):
    from mem3d.data.dataset import Subset

    with pytest.raises(ValueError, match="at least 1 to choose by"):
        choose_blend(model, memory, Subset(models, []))


@pytest.mark.parametrize("setting", [{"blend": 1.0}, {"blend": -0.1}, {"shift": float("nan")}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ValueError, match="blend, shift: got"):
        replace(CONFIG, **setting)
