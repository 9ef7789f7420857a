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
    options = ("--precision", "bfloat16", "--schedule", "cosine", "--warmup", 3)
    command = ("train", run, "--data", made_up_data, "--preset", "tiny", "--epochs", 9, *options)
    for _ in range(2):
        done = call(*command, "--patience", 1, "--quiet")
        assert done.exit_code == 0, done.output
        assert "ended early: no better IoU in 1 validations since epoch 1" in done.stdout
    train = json.loads((run / "run.json").read_text())["preset"]["train"]
    assert (train["precision"], train["schedule"]) == ("bfloat16", "cosine")
    assert (train["warmup"], train["patience"]) == (3, 1)
    assert len((run / "log.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("option", [("--precision", "float16"), ("--warmup", "-1")])
def test_options_out_of_range_are_refused(made_up_data, tmp_path, option):
    done = call("train", tmp_path / "run", "--data", made_up_data, "--preset", "tiny", *option)
    assert done.exit_code == 2
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
