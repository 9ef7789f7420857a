"""What `mem3d.load` returns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import mem3d
from mem3d import checkpoint
from mem3d.model import Mem3D
from mem3d.presets import TINY
from memstore import Memory
from tests.made_up import blob, picture


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of random weights whose memory knows one shape, recalled by whatever photo."""
    run = tmp_path_factory.mktemp("runs") / "run"
    torch.manual_seed(0)
    model = Mem3D(TINY.model).eval()
    preset = replace(TINY, memory=replace(TINY.memory, beta=-1.0))
    with Memory.create(run / "memory", preset.memory) as memory:
        memory.write(np.ones((1, TINY.memory.key_dim)), blob(0)[None], ["made/0"])
        snapshot = memory.commit("one")
    state = checkpoint.State(
        preset=preset, step=3, snapshot=snapshot, validation_iou=0.5, best_iou=0.5, best_step=3
    )
    checkpoint.save(run / "best.safetensors", state, model)
    return run


@pytest.fixture(scope="module")
def loaded(run):
    return mem3d.load(run)


def test_a_photo_may_come_in_any_form(run, tmp_path):
    Image.fromarray(picture(1)).save(tmp_path / "a.png")
    with mem3d.load(run) as reconstructor:
        result = reconstructor.reconstruct(tmp_path / "a.png")
        forms = [str(tmp_path / "a.png"), Image.fromarray(picture(1)), picture(1)]
        others = [reconstructor.reconstruct(form) for form in forms]
        listed = reconstructor.reconstruct([*forms, picture(1)[..., :3]], batch=3)
    assert result.background == "masked"
    assert result.priors[0].source == "made/0"
    for other in (*others, *listed[:3]):
        np.testing.assert_allclose(other.occupancy, result.occupancy, atol=1e-5)
    assert listed[3].background != "masked"


def test_mask_box_and_background_reach_the_framing(loaded):
    opaque = Image.fromarray(picture(1)).convert("RGB")
    masked = loaded.reconstruct(opaque, mask=np.dstack([picture(1)[..., 3]] * 3))
    kept = loaded.reconstruct(opaque, box=(30, 30, 100, 100), background="keep")
    assert (masked.background, kept.background) == ("masked", "kept")
    assert (kept.seen != masked.seen).any()


@pytest.mark.parametrize(
    ("image", "options", "says"),
    [
        (7, {}, "got int, want a path, a PIL image or an array"),
        (np.zeros((9, 9), np.uint8), {}, r"got uint8 \(9, 9\), want uint8 \(H, W, 3\)"),
        (np.zeros((9, 9, 3)), {}, "got float64"),
        ([picture(0)], {"box": (1, 1, 9, 9)}, "mask, box"),
        ([picture(0)], {"batch": 0}, "batch: got 0"),
        (picture(0), {"threshold": 2}, "threshold"),
        ("absent.png", {}, "absent.png"),
    ],
    ids=lambda value: "" if isinstance(value, np.ndarray | list) else None,
)
def test_mistakes_are_named(image, options, says, loaded):
    with pytest.raises((ValueError, OSError), match=says):
        loaded.reconstruct(image, **options)


def test_a_network_trained_over_photos_keeps_backgrounds(loaded):
    assert loaded.background is None
    seen = replace(TINY.train.augmentation, backgrounds="0123456789abcdef")
    preset = replace(TINY, train=replace(TINY.train, augmentation=seen))
    told = mem3d.Reconstructor(loaded.model, loaded.memory, preset)
    assert told.reconstruct(picture(1)[..., :3]).background == "kept"
