"""What `mem3d-cli train` passes on, and what it says at the end."""

import errno
import json
import os

import pytest
from typer.testing import CliRunner

from mem3d import tensor_files
from mem3d.training import trainer
from mem3d_cli.mem3d.app import app
from memstore.voxels.binvox import write_binvox
from tests.helpers.r2n2_folder import blob
from tests.helpers.untrained_run import save_photo


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_options_reach_the_run_and_its_early_end_is_said(made_up_data, tmp_path, monkeypatch):
    def validate(state, job, data, row, members):
        row["val_iou"] = 1 / (1 + state.step)

    monkeypatch.setattr(trainer, "_validate", validate)
    run = tmp_path / "run"
    settings = ("precision=bfloat16", "schedule=cosine", "warmup=3", "patience=1")
    options = [word for setting in settings for word in ("--set", f"train.{setting}")]
    options += ["--epochs", 9, "--batch", 3, "--learning-rate", 1e-5, "--seed", 7]
    command = ("train", run, "--data", made_up_data, "--preset", "tiny", *options)
    for _ in range(2):
        done = call(*command, "--quiet")
        assert done.exit_code == 0, done.output
        assert "ended early: no better IoU in 1 validations since epoch 1" in done.stdout
    train = json.loads((run / "run.json").read_text())["preset"]["train"]
    assert (train["precision"], train["schedule"]) == ("bfloat16", "cosine")
    assert (train["warmup"], train["patience"]) == (3, 1)
    assert (train["epochs"], train["batch"], train["seed"]) == (9, 3, 7)
    assert train["learning_rate"] == 1e-5
    assert len((run / "log.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("option", "status", "says"),
    [
        (("--set", "train.precision=float16"), 1, "train.precision: got 'float16', want 'float32'"),
        (("--set", "train.warmup=-1"), 1, "train.warmup: got -1, want >= 0"),
        (("--learning-rate", "0"), 1, "train.learning_rate: got 0.0, want > 0"),
        (("--learning-rate", "inf"), 1, "train.learning_rate: got 'inf', want a number"),
        (("--epochs", "0"), 2, "--epochs"),
    ],
)
def test_options_out_of_range_are_refused(made_up_data, tmp_path, option, status, says):
    done = call("train", tmp_path / "run", "--data", made_up_data, "--preset", "tiny", *option)
    assert done.exit_code == status and says in f"{done.exception}{done.stderr}"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", [("train",), ("study", "--dry-run")], ids=lambda c: c[0])
def test_grids_that_no_data_have_are_refused_at_once(command, tmp_path):
    """The data are not even looked at."""
    words = (command[0], tmp_path / "out", "--data", tmp_path / "none", *command[1:])
    done = call(*words, "--preset", "tiny", "--set", "model.decoder=[64,32,16,8,4]")
    assert "got 5 layers, which make grids of 64^3 voxels, want 4" in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_a_run_is_not_written_into_its_data(made_up_data):
    before = sorted(made_up_data.iterdir())
    done = call("train", made_up_data, "--data", made_up_data, "--preset", "tiny")
    assert "got the data's own folder" in str(done.exception)
    assert sorted(made_up_data.iterdir()) == before


def test_nothing_is_made_in_a_folder_with_other_files(tmp_path):
    """Not even the shapes that a run without data begins with."""
    (tmp_path / "README.md").write_text("mine")
    done = call("train", tmp_path, "--preset", "tiny")
    assert "got a folder with other files (README.md)" in str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def files_of(folder):
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


@pytest.mark.parametrize("writes", range(4))
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(
    writes, made_up_data, tmp_path, monkeypatch, no_curves
):
    """Whichever of the checkpoints of two epochs (last; best, last; last) finds no room."""
    real, calls = tensor_files.put_in_place, []

    def full(beside, path):
        calls.append(path)
        if len(calls) > writes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(beside, path)

    command = ("train", "--data", made_up_data, "--preset", "tiny", "--epochs", 2, "--quiet")
    with monkeypatch.context() as patch:
        patch.setattr(tensor_files, "put_in_place", full)
        patch.setattr(trainer, "note_best", lambda state, row, _: row["epoch"] == 1)
        done = call(*command, tmp_path / "run")
    assert str(done.exception) == (
        f"{calls[-1]}: cannot be written: No space left on device; make room, and the same "
        "command goes on from there"
    )
    assert isinstance(done.exception, OSError)  # the entry point makes it one line
    assert not [name for name in files_of(tmp_path / "run") if "partial" in name]
    assert call(*command, tmp_path / "run").exit_code == 0
    rows = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert [json.loads(row)["epoch"] for row in rows] == [1, 2]


@pytest.mark.parametrize("command", ["memorize", "average", "publish"])
def test_a_full_disk_leaves_nothing_of_a_new_folder(command, trained, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run, out = trained[0], tmp_path / "new"
    save_photo(tmp_path / "a.png", 3)
    write_binvox(tmp_path / "a.binvox", blob(3))
    pair = ("--photo", tmp_path / "a.png", "--grid", tmp_path / "a.binvox")
    other = tmp_path / "other.safetensors"
    other.write_bytes((run / "best.safetensors").read_bytes())
    before = files_of(tmp_path)
    monkeypatch.setattr(tensor_files, "put_in_place", full)
    options = {
        "memorize": ("--out", out, *pair),
        "average": (other, "--out", out),
        "publish": ("-o", out),
    }
    done = call(command, run, *options[command])
    assert isinstance(done.exception, OSError)
    assert str(done.exception).endswith(
        "cannot be written: No space left on device; nothing was written; make room, and run the "
        "command again"
    )
    assert files_of(tmp_path) == before
