"""The wired network: shapes, gradients, what the memory changes, one batch by heart."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mem3d.data.images.preprocess import test_pixels as to_pixels
from mem3d.memory.host import HostMemory
from mem3d.memory.interface import nothing_recalled
from mem3d.network.model import Mem3D
from mem3d.network.presets import PAPER, TINY
from mem3d.network.refiner import Refiner
from mem3d.training.losses import reconstruction_loss
from memstore import Memory
from tests.helpers.r2n2_folder import blob, picture

SEEDS = (0, 1, 2, 3)


def images(size=64):
    return torch.from_numpy(np.stack([to_pixels(picture(seed), size) for seed in SEEDS]))


def grids():
    return torch.from_numpy(np.stack([blob(seed) for seed in SEEDS]))


def filled_memory(model):
    """One slot per picture: delta = 1 takes only equal grids for known ones."""
    memory = Memory(replace(TINY.memory, delta=1.0, beta=0.0))
    with torch.inference_mode():
        features = model.encoder(images()).numpy()
    memory.write(features, grids().numpy(), [f"made/{seed}" for seed in SEEDS])
    return HostMemory(memory)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Mem3D(TINY.model)


def test_the_paper_network_has_355_million_weights():
    with torch.device("meta"):
        model = Mem3D(PAPER.model)
    # 1,444,928 stem + 4,131,840 head + 285,229,056 LSTM + 64,243,032 decoder
    assert sum(weight.numel() for weight in model.parameters()) == 355_048_856


def test_an_empty_memory_is_no_obstacle(model):
    output = model(images(), HostMemory(Memory(TINY.memory)))
    assert output.logits.shape == (4, 32, 32, 32)
    assert output.recalled.counts.tolist() == [0, 0, 0, 0]


def test_the_memory_changes_the_output(model):
    model.eval()
    with torch.inference_mode():
        with_priors = model(images(), filled_memory(model))
        without = model(images(), HostMemory(Memory(TINY.memory)))
    assert (with_priors.recalled.counts > 0).all()
    assert not torch.allclose(with_priors.logits, without.logits)


def test_any_memory_will_do(model):
    class Fake:
        def recall(self, features, k, exclude=None):
            return nothing_recalled(features, 32)

    assert model(images(), Fake()).logits.shape == (4, 32, 32, 32)


def test_gradients_reach_every_weight(model):
    output = model(images(), filled_memory(model))
    reconstruction_loss(output.logits, grids()).backward()
    silent = [
        name
        for name, weight in model.named_parameters()
        if weight.grad is None or not weight.grad.any()
    ]
    assert silent == []


def test_one_batch_can_be_learned_by_heart(model):
    model.encoder.freeze_stem()  # for speed
    memory = filled_memory(model.eval())
    model.train()
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(learning, 4e-2)
    for _ in range(100):
        loss = reconstruction_loss(model(images(), memory).logits, grids())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.02  # an even guess costs .69, the mean shape about .3


def test_the_batch_around_an_image_does_not_matter_in_evaluation(model):
    model.eval()
    memory = filled_memory(model)
    with torch.inference_mode():
        together = model(images(), memory).logits[2]
        alone = model(images()[2:3], memory).logits[0]
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_the_number_of_priors_is_a_setting():
    model = Mem3D(replace(TINY.model, priors=1)).eval()
    with torch.inference_mode():
        recalled = model(images(), filled_memory(model)).recalled
    assert recalled.slots.shape == (4, 1)


@pytest.mark.parametrize("kind", ("fc", "none"))
def test_a_network_without_a_memory_recalls_nothing(kind):
    class Unreadable:
        def recall(self, features, k, exclude=None):
            raise AssertionError("it was read")

    model = Mem3D(replace(TINY.model, shape_encoder=kind))
    output = model(images(), Unreadable())
    assert output.logits.shape == (4, 32, 32, 32)
    assert output.recalled.counts.tolist() == [0, 0, 0, 0]
    assert output.recalled.slots.tolist() == [[-1]] * 4
    assert not output.recalled.priors.any()


def test_a_box_of_the_guessed_extents_stands_for_what_is_recalled(monkeypatch):
    calls, real = [], Refiner.forward

    def watched(self, grown, recalled, images, maps, viewpoints, aligned=None, guess=None):
        calls.append((recalled, aligned))
        return real(self, grown, recalled, images, maps, viewpoints, aligned, guess)

    monkeypatch.setattr(Refiner, "forward", watched)
    fields = {"refiner": 4, "fuse_priors": True, "rescale_priors": True, "prior_gate": True}
    model = Mem3D(replace(TINY.model, shape_encoder="box", **fields)).eval()
    output = model(images(), HostMemory(Memory(TINY.memory)))
    [(recalled, aligned)] = calls
    assert recalled.priors.all() and recalled.counts.tolist() == [1, 1, 1, 1]
    spans = aligned.sum((1, 2, 3, 4)) ** (1 / 3) / 32
    torch.testing.assert_close(spans, output.extents.prod(1) ** (1 / 3))
    assert output.recalled.counts.tolist() == [0, 0, 0, 0] and not output.recalled.priors.any()
    with pytest.raises(ValueError, match="got 'box', want rescale_priors"):
        replace(TINY.model, shape_encoder="box")
