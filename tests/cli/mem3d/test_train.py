"""What `mem3d-cli train` passes on, and what it says at the end."""

import json

import pytest
from typer.testing import CliRunner

from mem3d.training import trainer
from mem3d_cli.mem3d.app import app


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
