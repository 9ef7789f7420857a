"""Weights and memory as one pair; files from strangers."""

import errno
import os
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from mem3d import tensor_files
from mem3d.network import checkpoint
from mem3d.network.checkpoint import FILES, check_device, check_run, check_trained, is_published
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY
from memstore import Memory, PathError, SnapshotError
from tests.helpers.r2n2_folder import blob


@pytest.fixture
def run(tmp_path):
    """A folder with a memory of two snapshots and a checkpoint of the first."""
    torch.manual_seed(0)
    model = Mem3D(TINY.model)
    with Memory.create(tmp_path / "memory", TINY.memory) as memory:
        keys = np.eye(TINY.memory.key_dim, dtype=np.float32)
        memory.write(keys[:1], blob(0)[None], ["a/0"])
        snapshot = memory.commit("first")
        checkpoint.save(tmp_path / "best.safetensors", state(snapshot), model)
        memory.write(keys[1:2], ~blob(0)[None], ["a/1"])
        memory.commit("second")
    return tmp_path, model


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def state(snapshot):
    return checkpoint.State(
        preset=TINY,
        step=7,
        snapshot=snapshot,
        validation_iou=0.25,
        best_iou=0.25,
        best_step=7,
    )


def test_loading_gives_the_weights_and_the_memory_of_that_moment(run):
    folder, model = run
    loaded, memory, read = checkpoint.load(folder)
    with memory:
        assert len(memory) == 1  # not the later snapshot's two
    assert not loaded.training
    assert read == state(memory.snapshot)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, loaded.state_dict()[name])


def test_a_checkpoint_whose_snapshot_is_gone_is_an_error(run):
    folder, model = run
    checkpoint.save(folder / "best.safetensors", state("0" * 20), model)
    with pytest.raises(SnapshotError):
        checkpoint.load(folder)


def test_weights_alone_cannot_be_resumed(run):
    folder, model = run
    optimizer = torch.optim.AdamW(model.parameters())
    with pytest.raises(ValueError, match="weights only"):
        checkpoint.restore_run(folder / "best.safetensors", model, optimizer)


def test_a_failed_write_leaves_the_old_file(run, monkeypatch):
    folder, model = run
    before = (folder / "best.safetensors").read_bytes()
    monkeypatch.setattr(tensor_files, "put_in_place", full_disk)
    with pytest.raises(PathError) as error:
        checkpoint.save(folder / "best.safetensors", state("x"), model)
    path = folder / "best.safetensors"
    assert str(error.value) == f"{path}: cannot be written: No space left on device"
    assert path.read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["best.safetensors", "memory"]


def test_what_a_checkpoint_says_of_itself_is_checked_without_its_tensors(run):
    path = run[0] / "best.safetensors"
    data = path.read_bytes()
    path.write_bytes(data.replace(b'\\"step\\": 7', b'\\"step\\": 6'))
    assert path.read_bytes() != data
    with pytest.raises(ValueError, match="damaged header"):
        checkpoint.read_state(path)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no list of mapped files")
def test_a_resumed_run_lets_its_checkpoint_go(run):
    """A tensor that is mapped from it would keep the file on the disk when it is replaced."""
    folder, model = run
    optimizer = torch.optim.AdamW(model.parameters())
    sum((weight**2).sum() for weight in model.parameters()).backward()
    optimizer.step()
    checkpoint.save(folder / "last.safetensors", state("x"), model, optimizer)
    checkpoint.restore_run(folder / "last.safetensors", model, optimizer)
    assert float(optimizer.state_dict()["state"][0]["step"]) == 1
    assert "last.safetensors" not in Path("/proc/self/maps").read_text()


def test_a_missing_file_names_itself(tmp_path):
    with pytest.raises(ValueError, match=r"best\.safetensors"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"mem3d": "no json"},
        {"mem3d": "[" * 9999},
        {"mem3d": "{}"},
        {"mem3d": '{"format": 2}'},
        {"mem3d": "[1]"},
    ],
)
def test_safetensors_of_something_else_are_refused(tmp_path, metadata):
    save_file({"a": torch.zeros(1)}, tmp_path / "x.safetensors", metadata=metadata)
    with pytest.raises(ValueError, match=r"x\.safetensors"):
        checkpoint.read_state(tmp_path / "x.safetensors")


@given(data=st.binary(max_size=200))
def test_any_bytes_give_a_named_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"x\.safetensors"):
        checkpoint.read_state(path)


def test_a_header_that_claims_too_much_is_not_read(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", 2**40) + b"{}")
    with pytest.raises(ValueError, match="header"):
        checkpoint.read_state(path)


def test_settings_that_claim_too_much_take_no_memory(run):
    """A tiny file that claims a huge network is refused before the network is made."""
    folder, model = run
    huge = replace(TINY, model=replace(TINY.model, hidden=65_536))
    snapshot = checkpoint.read_state(folder / "best.safetensors").snapshot
    checkpoint.save(folder / "best.safetensors", replace(state(snapshot), preset=huge), model)
    with pytest.raises(ValueError, match="do not fit"):  # its LSTM alone would take 50 GB
        checkpoint.load(folder)


@pytest.mark.parametrize("field", ["step", "snapshot", "best_iou", "data"])
def test_a_state_of_other_types_is_refused(run, field):
    folder, model = run
    damaged = replace(state("x"), **{field: ["odd"]})
    checkpoint.save(folder / "best.safetensors", damaged, model)
    with pytest.raises(ValueError, match="damaged"):
        checkpoint.load(folder)


def test_optimizer_state_of_other_weights_is_refused(run):
    folder, model = run
    optimizer = torch.optim.AdamW(model.parameters())
    sum(weight.sum() for weight in model.parameters()).backward()
    optimizer.step()
    checkpoint.save(folder / "last.safetensors", state("x"), model, optimizer)
    fewer = torch.optim.AdamW(list(model.parameters())[:3])
    with pytest.raises(ValueError, match="optimizer state"):
        checkpoint.restore_run(folder / "last.safetensors", model, fewer)


def test_a_file_and_nothing_are_told(tmp_path):
    (tmp_path / "best.safetensors").touch()
    for name, what in (("best.safetensors", "a file"), ("absent", "nothing there")):
        for check in (check_run, check_trained):
            with pytest.raises(ValueError, match=f"{name}: got {what}, want a run's folder"):
                check(tmp_path / name)
    check_run(tmp_path)


def test_a_published_folder_is_no_run(tmp_path):
    for name in FILES:
        assert not is_published(tmp_path)
        (tmp_path / name).touch()
    assert is_published(tmp_path)
    check_trained(tmp_path)
    with pytest.raises(ValueError, match="published folder, want the run that it was made from"):
        check_run(tmp_path)


def test_a_word_that_is_no_device():
    with pytest.raises(ValueError) as error:
        check_device("gpu")
    assert str(error.value) == "device: got 'gpu', want cpu or cuda"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there():
    with pytest.raises(ValueError, match="want cpu or an available GPU"):
        check_device("cuda")


def test_the_cpu_will_do():
    assert check_device("cpu") == "cpu"
