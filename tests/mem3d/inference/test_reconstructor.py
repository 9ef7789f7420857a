"""What `mem3d.load` returns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import mem3d
from mem3d.network import checkpoint
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY
from memstore import Memory
from tests.helpers.r2n2_folder import blob, picture


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


@pytest.mark.parametrize(
    "mask",
    [
        picture(1)[..., 3] > 127,
        (picture(1)[..., 3] > 127).astype(np.uint8),
        (picture(1)[..., 3] > 127) * np.uint8(255),
        (picture(1)[..., 3] > 127).astype(np.int64),
        Image.fromarray(picture(1)[..., 3] > 127),
        Image.fromarray((picture(1)[..., 3] > 127).astype(np.uint8)),
    ],
    ids=["bool", "0 and 1", "0 and 255", "integers", "bits", "picture of 0 and 1"],
)
def test_a_mask_may_come_in_any_form(mask, loaded):
    opaque = picture(1)[..., :3]
    same = loaded.reconstruct(
        opaque, mask=np.dstack([(picture(1)[..., 3] > 127) * np.uint8(255)] * 3)
    )
    result = loaded.reconstruct(opaque, mask=mask)
    assert result.background == "masked" and not result.doubts
    np.testing.assert_array_equal(result.network_input, same.network_input)


def test_a_gray_array_is_a_photo(loaded):
    gray = np.asarray(Image.fromarray(picture(1)).convert("L"))
    result = loaded.reconstruct(gray, background="keep")
    same = loaded.reconstruct(np.dstack([gray] * 3), background="keep")
    np.testing.assert_array_equal(result.network_input, same.network_input)


def test_doubts_are_in_the_result_and_its_picture(loaded):
    cut_off = loaded.reconstruct(picture(1)[:, 60:])
    assert cut_off.doubts == ("touches the border",)
    plain = replace(cut_off, doubts=())
    top = slice(0, 24)  # the line above the tiles
    assert (cut_off.picture()[top] != plain.picture()[top]).any()


def test_mask_box_and_background_reach_the_framing(loaded):
    opaque = Image.fromarray(picture(1)).convert("RGB")
    masked = loaded.reconstruct(opaque, mask=np.dstack([picture(1)[..., 3]] * 3))
    kept = loaded.reconstruct(opaque, box=(30, 30, 100, 100), background="keep")
    assert (masked.background, kept.background) == ("masked", "kept")
    assert (kept.network_input != masked.network_input).any()


@pytest.mark.parametrize(
    ("image", "options", "says"),
    [
        (7, {}, "got int, want a path, a PIL image or an array"),
        (np.zeros((9, 9, 2), np.uint8), {}, r"got shape \(9, 9, 2\), want \(H, W\)"),
        (picture(0), {"mask": 7}, "mask: got int, want a path"),
        (picture(0), {"mask": np.zeros((137, 137))}, "mask: got float64"),
        (picture(0), {"mask": np.zeros((137, 137), bool)}, "mask: got no light pixel"),
        (picture(0), {"box": (1, 2, 3)}, "box: got .*, want four whole numbers"),
        (picture(0), {"box": (1.5, 2, 30, 40)}, "box: got .*, want four whole numbers"),
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


@pytest.fixture(scope="module")
def another(run, tmp_path_factory):
    """A run of other weights, which begins with few voxels filled and knows no shape."""
    folder = tmp_path_factory.mktemp("runs") / "another"
    torch.manual_seed(1)
    preset = replace(TINY, model=replace(TINY.model, refiner=4))
    with Memory.create(folder / "memory", preset.memory) as memory:
        snapshot = memory.commit("none")
    state = checkpoint.State(
        preset=preset, step=3, snapshot=snapshot, validation_iou=0.5, best_iou=0.5, best_step=3
    )
    checkpoint.save(folder / "best.safetensors", state, Mem3D(preset.model).eval())
    return folder


def test_several_answer_together_and_tell_of_the_first_ones_memory(run, another, tmp_path):
    apart = []
    for one in (run, another):
        with mem3d.load(one) as reconstructor:
            apart.append(reconstructor.reconstruct(picture(1)))
    with mem3d.load(run, ensemble=[another]) as both:
        result = both.reconstruct(picture(1))
        logits = [np.log(one.occupancy / (1 - one.occupancy)) for one in apart]
        want = 1 / (1 + np.exp(-(logits[0] + logits[1]) / 2))
        np.testing.assert_allclose(result.occupancy, want, atol=1e-5)
        assert [prior.source for prior in result.priors] == ["made/0"]
        with pytest.raises(ValueError, match="ensemble: got 1, want none: save each by itself"):
            both.save_pretrained(tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_the_memories_of_all_are_closed(run, another, monkeypatch):
    closed = []
    monkeypatch.setattr(Memory, "close", lambda memory: closed.append(memory.path))
    with mem3d.load(run, ensemble=[another]):
        assert closed == []
    assert closed == [run / "memory", another / "memory"]


def test_ensembles_of_ensembles_answer_too_and_a_text_is_no_list(run, another):
    with mem3d.load(run, ensemble=[another]) as pair, mem3d.load(another) as single:
        three = mem3d.Reconstructor(single.model, single.memory, single.preset, [pair])
        assert three.ensemble == (pair, *pair.ensemble)
    with pytest.raises(ValueError, match="want a list of folders"):
        mem3d.load(run, ensemble=str(another))


def test_where_one_of_several_cannot_be_opened_none_stays_open(run, tmp_path, monkeypatch):
    closed = []
    monkeypatch.setattr(Memory, "close", lambda memory: closed.append(memory.path))
    with pytest.raises(ValueError, match="nowhere: got nothing there"):
        mem3d.load(run, ensemble=[tmp_path / "nowhere"])
    assert closed == [run / "memory"]
