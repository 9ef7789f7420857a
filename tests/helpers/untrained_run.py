"""What the demo page's tests begin with: an untrained network, and a memory of three shapes."""

from dataclasses import replace

import torch
from PIL import Image

from mem3d.data.images.preprocess import test_pixels as pixels_of
from mem3d.network import checkpoint
from mem3d.network.features import encode
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY
from memstore import Memory
from tests.helpers.r2n2_folder import blob, picture

SOURCES = ["03001627/long-model-name-0", "02691156/b", ""]


def make_run(folder):
    """A run folder as training leaves one; its memory holds blobs 0 to 2 under their pictures."""
    torch.manual_seed(0)
    model = Mem3D(TINY.model).eval()
    config = replace(TINY.memory, capacity=4, beta=0.0, value_similarity="iou")
    features = encode(model, [pixels_of(picture(i), TINY.model.image_size) for i in range(3)])
    with Memory.create(folder / "memory", config) as memory:
        for i in range(3):
            memory.write(features[i : i + 1], blob(i)[None], [SOURCES[i]])
        memory.read(features[1:2], 1)
        snapshot = memory.commit("trained")
    state = checkpoint.State(
        preset=replace(TINY, memory=config),
        step=1,
        snapshot=snapshot,
        validation_iou=0.5,
        best_iou=0.5,
        best_step=1,
    )
    checkpoint.save(folder / "best.safetensors", state, model)
    return folder


def save_photo(path, seed=0):
    Image.fromarray(picture(seed)).save(path)
    return path
