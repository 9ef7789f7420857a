"""Cameras and extents learned before all else."""

from dataclasses import replace

import pytest
import torch

from mem3d.data.loader import TrainingViews
from mem3d.data.readers.r2n2 import R2N2
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY
from mem3d.training.heads.pose import pretrain_pose
from mem3d.training.state import TrainingJob
from mem3d.training.stem_cache import StemCache

PRESET = replace(
    TINY,
    model=replace(
        TINY.model,
        refiner=8,
        fuse_priors=True,
        rescale_priors=True,
        pixel_features=True,
        pose_channels=6,
    ),
    train=replace(TINY.train, freeze_stem=True, cached_views=2, pose_epochs=12),
)


@pytest.fixture(scope="module")
def data(made_up_data):
    return R2N2.open(made_up_data, "train")


@pytest.fixture(scope="module")
def cache(data):
    torch.manual_seed(0)
    model = Mem3D(PRESET.model)
    model.encoder.freeze_stem()
    views = TrainingViews(data, 64, seed=0, augment=False, with_viewpoints=True)
    return StemCache.build(model.encoder, views, 2, batch=4, workers=0)


def fresh():
    torch.manual_seed(1)
    return Mem3D(PRESET.model)


def learned(data, cache, tmp_path, epochs):
    model = fresh()
    train = replace(PRESET.train, pose_epochs=epochs, learning_rate=1e-2)
    job = TrainingJob(data, None, tmp_path, replace(PRESET, train=train), "cpu")
    told = []
    return model, pretrain_pose(model, job, cache, lambda *at: told.append(at)), told


def test_guesses_get_better_and_nothing_else_changes(data, cache, tmp_path):
    _, first, _ = learned(data, cache, tmp_path, 1)
    model, last, told = learned(data, cache, tmp_path, 12)
    assert last < 0.7 * first
    assert told == [(step, 12) for step in range(1, 13)]
    before, after = fresh().state_dict(), model.state_dict()
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"pose", "viewpoint", "extents"}


def test_the_same_seed_learns_the_same(data, cache, tmp_path):
    one, other = (learned(data, cache, tmp_path, 3)[0].state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("part", "fields"), [("model", {"pose_channels": 0}), ("train", {"cached_views": 0})]
)
def test_it_wants_layers_of_their_own_and_kept_maps(part, fields):
    changed = {part: replace(getattr(PRESET, part), **fields)}
    with pytest.raises(ValueError, match="pose_epochs: got 12, want 0 without"):
        replace(PRESET, **changed)


def test_what_one_run_learned_another_finds(data, cache, tmp_path):
    job = TrainingJob(data, None, tmp_path / "run", PRESET, "cpu")
    kept = tmp_path / "study"
    kept.mkdir()
    first, second = fresh(), fresh()
    torch.manual_seed(5)
    assert pretrain_pose(first, job, cache, folder=kept) is not None
    after = torch.rand(1)
    with torch.no_grad():
        second.pose.layers[0].weight.zero_()
    torch.manual_seed(5)
    assert pretrain_pose(second, job, cache, folder=kept) is None
    assert torch.equal(torch.rand(1), after)  # as if it had learned
    one, other = first.state_dict(), second.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert len(list(kept.glob("poses-*.safetensors"))) == 1

    another = replace(PRESET, train=replace(PRESET.train, seed=7))
    assert pretrain_pose(fresh(), replace(job, preset=another), cache, folder=kept) is not None
    small = Mem3D(replace(PRESET.model, pose_channels=9))
    assert pretrain_pose(small, job, cache, folder=kept) is not None
    assert len(list(kept.glob("poses-*.safetensors"))) == 3


def test_bfloat16_learns_as_well(data, cache, tmp_path, monkeypatch):
    preset = replace(PRESET, train=replace(PRESET.train, precision="bfloat16", learning_rate=1e-2))
    losses = []
    for can in (False, True):
        monkeypatch.setattr("mem3d.system.computes_bfloat16", lambda device, can=can: can)
        job = TrainingJob(data, None, tmp_path / "run", preset, "cpu")
        losses.append(pretrain_pose(fresh(), job, cache))
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
