"""Looks at one photo: what they change and what they do not."""

import numpy as np
import pytest
import torch

from mem3d.data.transforms import denormalise
from mem3d.data.transforms import test_input as to_input
from mem3d.model import Mem3D
from mem3d.presets import TINY
from mem3d.variants import is_mirrored, predict, variant
from memstore import Memory
from tests.made_up import picture


@pytest.fixture(scope="module")
def images():
    return torch.from_numpy(np.stack([to_input(picture(seed), 64) for seed in range(2)]))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Mem3D(TINY.model).eval()


def test_the_first_is_the_photo_and_the_second_its_mirror_image(images):
    assert torch.equal(variant(images, 0), images)
    assert torch.equal(variant(images, 1), images.flip(-1))


@pytest.mark.parametrize("number", [2, 3, 9])
def test_others_differ_a_little_and_repeat(number, images):
    one = variant(images, number)
    assert torch.equal(one, variant(images, number))
    upright = one.flip(-1) if is_mirrored(number) else one
    assert 0.005 < (upright - images).abs().mean() < images.std()
    pixels = denormalise(one[0].numpy())
    assert abs(pixels.mean() - denormalise(images[0].numpy()).mean()) < 40


@torch.inference_mode()
def test_none_is_the_plain_prediction(model, images):
    occupancy, output = predict(model, images, Memory(TINY.memory))
    assert torch.equal(occupancy, output.logits.sigmoid())


@torch.inference_mode()
def test_a_mirrored_photo_gives_the_mirrored_shape(model, images):
    """With the mirror image alone, which of the two is the photo cannot matter."""
    memory = Memory(TINY.memory)
    one, _ = predict(model, images, memory, tta=1)
    other, _ = predict(model, images.flip(-1), memory, tta=1)
    torch.testing.assert_close(other, one.flip(-1))


@torch.inference_mode()
def test_occupancies_are_averaged_by_hand(model, images):
    memory = Memory(TINY.memory)
    shapes = [model(variant(images, n), memory).logits.sigmoid() for n in range(3)]
    mirrored = torch.from_numpy(shapes[1].numpy()[:, :, :, ::-1].copy())
    want = (shapes[0] + mirrored + shapes[2]) / 3
    torch.testing.assert_close(predict(model, images, memory, tta=2)[0], want)


def test_less_than_none_is_refused(model, images):
    with pytest.raises(ValueError, match="tta"):
        predict(model, images, Memory(TINY.memory), tta=-1)
