"""The mirror image and further networks: what they change and what they do not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from mem3d.data.images.preprocess import test_pixels as to_pixels
from mem3d.memory.host import HostMemory
from mem3d.network.encoder import normalize
from mem3d.network.model import Mem3D
from mem3d.network.predict import EnsembleMember, predict, sized_for
from mem3d.network.presets import TINY
from memstore import Memory
from tests.helpers.r2n2_folder import picture


@pytest.fixture(scope="module")
def images():
    return torch.from_numpy(np.stack([to_pixels(picture(seed), 64) for seed in range(2)]))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Mem3D(TINY.model).eval()


@torch.inference_mode()
def test_none_is_the_plain_prediction(model, images):
    occupancy, output = predict(model, images, Memory(TINY.memory))
    assert torch.equal(occupancy, output.logits.sigmoid())


@torch.inference_mode()
def test_a_mirrored_photo_gives_the_mirrored_shape(model, images):
    """With the mirror image alone, which of the two is the photo cannot matter."""
    memory = Memory(TINY.memory)
    one, _ = predict(model, images, memory, flip=True)
    other, _ = predict(model, images.flip(-1), memory, flip=True)
    torch.testing.assert_close(other, one.flip(-1))


@torch.inference_mode()
def test_logits_are_averaged_by_hand(model, images):
    memory = Memory(TINY.memory)
    plain, flipped = (model(seen, HostMemory(memory)).logits for seen in (images, images.flip(-1)))
    mirrored = torch.from_numpy(flipped.numpy()[:, :, :, ::-1].copy())
    want = ((plain + mirrored) / 2).sigmoid()
    torch.testing.assert_close(predict(model, images, memory, flip=True)[0], want)


@torch.inference_mode()
def test_several_networks_are_averaged_by_hand_each_with_its_memory(model, images):
    torch.manual_seed(1)
    other = Mem3D(replace(TINY.model, refiner=4)).eval()  # begins with few voxels filled
    memory, full = Memory(TINY.memory), Memory(TINY.memory)
    full.write(np.eye(1, TINY.memory.key_dim, dtype=np.float32), np.ones((1, 32, 32, 32), bool))
    looks = [one(images, HostMemory(its)).logits for one, its in ((model, memory), (other, full))]
    assert not torch.allclose(*looks, atol=1e-2)
    occupancy, output = predict(model, images, memory, ensemble=[EnsembleMember(other, full)])
    torch.testing.assert_close(occupancy, ((looks[0] + looks[1]) / 2).sigmoid())
    assert torch.equal(output.logits, looks[0])  # what is told is the first one's
    mirrored, _ = predict(
        model, images.flip(-1), memory, flip=True, ensemble=[EnsembleMember(other, full)]
    )
    both, _ = predict(model, images, memory, flip=True, ensemble=[EnsembleMember(other, full)])
    torch.testing.assert_close(mirrored, both.flip(-1))


def test_networks_with_other_grids_are_refused(model, images):
    fine = Mem3D(replace(TINY.model, decoder=(16, 8, 8, 4, 4), hidden=24)).eval()
    memory = Memory(replace(TINY.memory, resolution=64))
    with pytest.raises(ValueError, match=r"got grids of 64 voxels a side beside 32, want the same"):
        predict(model, images, Memory(TINY.memory), ensemble=[EnsembleMember(fine, memory)])


@torch.inference_mode()
def test_networks_that_take_other_pictures_get_them_scaled(model, images):
    torch.manual_seed(1)
    small = Mem3D(replace(TINY.model, image_size=48, refiner=4)).eval()
    memory = Memory(TINY.memory)
    own = Memory(replace(TINY.memory, key_dim=small.config.feature_dim, beta=0.0))
    keys = np.eye(2, small.config.feature_dim, dtype=np.float32) + 0.1
    own.write(keys, np.random.default_rng(0).random((2, 32, 32, 32)) < 0.3)
    assert (small(sized_for(small, images), HostMemory(own)).recalled.counts == 2).all()
    shown = torch.zeros(len(images), 3, 48, 48)
    for row, image in enumerate(
        normalize(images)
    ):  # PIL's filter, in float: the same picture, made smaller
        for channel, plane in enumerate(image):
            smaller = Image.fromarray(plane.numpy()).resize((48, 48), Image.Resampling.BILINEAR)
            shown[row, channel] = torch.from_numpy(np.array(smaller))
    torch.testing.assert_close(sized_for(small, images), shown, atol=1e-4, rtol=0)
    assert sized_for(model, images) is images
    occupancy, _ = predict(model, images, memory, ensemble=[EnsembleMember(small, own)])
    want = (model(images, HostMemory(memory)).logits + small(shown, HostMemory(own)).logits) / 2
    torch.testing.assert_close(occupancy, want.sigmoid(), atol=1e-4, rtol=0)
    mirrored, _ = predict(
        model, images.flip(-1), memory, flip=True, ensemble=[EnsembleMember(small, own)]
    )
    both, _ = predict(model, images, memory, flip=True, ensemble=[EnsembleMember(small, own)])
    torch.testing.assert_close(mirrored, both.flip(-1), atol=1e-4, rtol=0)
