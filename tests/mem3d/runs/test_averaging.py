"""The mean of several checkpoints, as a run and as a command."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from mem3d.network import checkpoint
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY
from mem3d.runs.averaging import average, mean_weights
from mem3d.runs.folder import memorized_sources
from mem3d_cli.mem3d.app import app
from memstore import PathExistsError


@pytest.fixture
def run(trained):
    return trained[0]


@pytest.fixture
def other(run, tmp_path):
    """A checkpoint of the same sizes with other weights."""
    model, memory, state = checkpoint.load(run)
    memory.close()
    with torch.no_grad():
        for number, value in enumerate(model.state_dict().values()):
            if value.is_floating_point():
                value.mul_(0.5).add_(number % 7)
    checkpoint.save(tmp_path / "other.safetensors", state, model)
    return tmp_path / "other.safetensors", model.state_dict()


def test_each_weight_is_the_mean_and_the_memory_the_first_run_s(run, other, tmp_path):
    file, theirs = other
    record = average(run, [file, file], tmp_path / "mean")
    first, old_memory, _ = checkpoint.load(run)
    found, memory, state = checkpoint.load(tmp_path / "mean")
    for name, value in found.state_dict().items():
        mine = first.state_dict()[name]
        if value.is_floating_point():
            want = (mine.double() + 2 * theirs[name].double()) / 3
            torch.testing.assert_close(value.double(), want, rtol=1e-6, atol=1e-7)
        else:
            assert torch.equal(value, mine)
    np.testing.assert_array_equal(memory.keys(memory.slots), old_memory.keys(old_memory.slots))
    assert np.isnan(state.validation_iou)
    change = json.loads((tmp_path / "mean/run.json").read_text())["changes"][-1]
    assert (change["kind"], change["checkpoints"]) == ("averaged", [str(file)] * 2)
    assert record["same_data"] is change["same_data"] is True
    assert memorized_sources(tmp_path / "mean") == set()
    memory.close()
    old_memory.close()


def test_a_ranked_key_stays_the_first_run_s(tmp_path):
    """The memory was written under it."""
    preset = replace(
        TINY,
        model=replace(TINY.model, key="ranked"),
        memory=replace(TINY.memory, key_dim=128),
        train=replace(TINY.train, triplet_weight=0.0),
    )
    mine, theirs = Mem3D(preset.model), Mem3D(preset.model)
    nan = float("nan")
    state = checkpoint.State(
        preset=preset, step=0, snapshot="", validation_iou=nan, best_iou=nan, best_step=-1
    )
    checkpoint.save(tmp_path / "other.safetensors", state, theirs)
    before = {name: value.clone() for name, value in mine.state_dict().items()}
    mean_weights(mine, [tmp_path / "other.safetensors"])
    moved = {
        name for name, value in mine.state_dict().items() if not torch.equal(value, before[name])
    }
    assert moved and not any(name.startswith("key.") for name in moved)
    assert {name for name in before if name.startswith("decoder.")} & moved


def test_a_run_with_itself_is_itself(run, tmp_path):
    copy = shutil.copy(run / "best.safetensors", tmp_path)
    average(run, [copy], tmp_path / "mean")
    first, memory, _ = checkpoint.load(run)
    found, copy, _ = checkpoint.load(tmp_path / "mean")
    for name, value in first.state_dict().items():
        assert torch.equal(found.state_dict()[name], value)
    memory.close()
    copy.close()


def test_what_cannot_be_averaged_changes_nothing(run, other, tmp_path):
    with pytest.raises(ValueError, match="checkpoints: got one"):
        average(run, [], tmp_path / "mean")
    with pytest.raises(ValueError, match=r"best\.safetensors only, want another"):
        average(run, [run, run / "best.safetensors"], tmp_path / "mean")
    with pytest.raises(ValueError, match=r"none\.safetensors"):
        average(run, [tmp_path / "none.safetensors"], tmp_path / "mean")
    model, memory, state = checkpoint.load(run)
    memory.close()
    fields = model.config.__dict__ | {"hidden": model.config.hidden + 8}
    wider = Mem3D(type(model.config)(**fields))
    checkpoint.save(tmp_path / "wider.safetensors", state, wider)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match="do not fit"):
        mean_weights(model, [other[0], tmp_path / "wider.safetensors"])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not (tmp_path / "mean").exists()
    (tmp_path / "mean").mkdir()
    with pytest.raises(PathExistsError):
        average(run, [other[0]], tmp_path / "mean")


def test_the_command_says_what_it_made(run, other, tmp_path):
    called = ["average", str(run), str(other[0]), "--out", str(tmp_path / "mean"), "--json"]
    result = CliRunner().invoke(app, called)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told == {"out": str(tmp_path / "mean"), "checkpoints": 2, "same_data": True}
    again = CliRunner().invoke(app, called)
    assert "exists" in str(again.exception)
