"""mem3d-cli study, and a network without a memory in the other commands."""

import json
import shutil

import pytest
from PIL import Image
from typer.testing import CliRunner

from mem3d_cli.mem3d.app import app
from mem3d_cli.memstore.app import app as memstore_app
from tests.helpers.r2n2_folder import make_r2n2, picture

OPTIONS = ("--preset", "tiny", "--epochs", 1, "--seeds", 1, "--quiet")


def call(*arguments, app=app):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def out(made_up_data, no_curves, tmp_path_factory):
    out = tmp_path_factory.mktemp("studies") / "first"
    names = ("--only", "no-memory,base,mse", "--hide", "0.3", "--test")
    done = call("study", out, "--data", made_up_data, *OPTIONS, *names)
    assert done.exit_code == 0, done.output
    assert "mse (= base)" in done.output and "after 1 epoch" in done.output
    return out


def test_a_study_leaves_its_tables(out):
    assert {path.name for path in out.iterdir()} == {
        "plot.png",
        "results",
        "runs",
        "table.json",
        "table.md",
    }
    table = json.loads((out / "table.json").read_text())
    assert (table["shares"], table["samples"]) == (["0", "0.3"], {"val": 4, "test": 4})


def test_a_dry_run_lists_what_is_done(out, made_up_data):
    told = call(
        "study", out, "--data", made_up_data, *OPTIONS, "--dry-run", "--only", "base,k1,mse"
    )
    assert told.exit_code == 0, told.output
    assert told.output.splitlines() == [
        "base-s0  to score",  # hidden by .4, the default, it was not scored yet
        "k1-s0    new",
        "mse is base in this preset: not run again",
        "0 of 2 runs done",
    ]


def test_a_stem_of_random_weights_is_told(made_up_data, tmp_path):
    words = ("study", tmp_path, "--data", made_up_data, "--dry-run", "--only", "base")
    told = call(*words, "--stem", "none")
    assert "stem: random weights, so it is trained too" in told.stderr
    assert "stem" not in call(*words).stderr
    assert "base-s0  new" in told.stdout


def test_json_is_the_table(out, made_up_data):
    names = ("--only", "base", "--hide", "0.3", "--json", "--test")
    told = call("study", out, "--data", made_up_data, *OPTIONS, *names)
    assert json.loads(told.stdout) == json.loads((out / "table.json").read_text())


def test_unseen_shapes_are_scored_before_and_after_they_are_memorized(out, made_up_data, tmp_path):
    other = make_r2n2(tmp_path / "other", source=1)
    options = (*OPTIONS, "--only", "base,no-memory", "--unseen", other)
    folder = tmp_path / "study"
    shutil.copytree(out, folder)
    done = call("study", folder, "--data", made_up_data, *options, "--json")
    assert done.exit_code == 0, done.output
    table = json.loads(done.stdout)
    assert table["samples"] == {"val": 4, "test": 4, "unseen": 4, "memorised": 4}
    row = {row["variant"]: row for row in table["rows"]}["base"]
    assert row["memorizing"]["n"] == 1
    alone = call("study", folder, "--data", made_up_data, *OPTIONS, "--unseen-split", "split.json")
    assert "without --unseen" in str(alone.exception)


def test_runs_learn_before_photos(made_up_data, no_curves, tmp_path):
    photos, out = tmp_path / "photos", tmp_path / "study"
    photos.mkdir()
    Image.new("RGB", (64, 64), (200, 30, 30)).save(photos / "red.png")
    options = ("--data", made_up_data, *OPTIONS, "--only", "no-memory", "--hide", "0")
    done = call("study", out, *options, "--backgrounds", photos)
    assert done.exit_code == 0, done.output
    told = json.loads((out / "results" / "no-memory-s0.json").read_text())
    assert len(told["preset"]["train"]["augmentation"]["backgrounds"]) == 16
    refused = call("study", out, *options)
    assert refused.exit_code == 1
    assert "got a result of other settings" in str(refused.exception)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--only", "nonsense"), "variant: got nonsense"),
        (("--hide", "half"), "hide: got 'half'"),
        (("--hide", "0,1"), "hide: got"),
        (("--preset", "huge"), "preset: got 'huge'"),
        (("--epochs", 7), "of other settings"),
    ],
)
def test_what_cannot_be_is_refused(options, named, out, made_up_data):
    told = call("study", out, "--data", made_up_data, *OPTIONS, *options)
    assert isinstance(told.exception, ValueError)  # the entry point makes it one line
    assert named in str(told.exception)


def test_ctrl_c_is_one_line(made_up_data, tmp_path, monkeypatch):
    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("mem3d.study.worker.train", stopped)
    told = call("study", tmp_path / "out", "--data", made_up_data, *OPTIONS)
    assert told.exit_code == 130
    assert "interrupted; the same command goes on from there" in told.output
    assert "Traceback" not in told.output


def test_a_network_without_a_memory_does_what_others_do(out, tmp_path):
    run = out / "runs" / "no-memory-s0"
    scored = call("evaluate", run, "--picture", tmp_path / "test.png", "--json", "--quiet")
    assert scored.exit_code == 0, scored.output
    assert json.loads(scored.stdout)["hit_rate"] == 0
    Image.fromarray(picture(0)).save(tmp_path / "photo.png")
    made = call("reconstruct", run, tmp_path / "photo.png", "--out", tmp_path / "made", "--json")
    assert made.exit_code == 0, made.output
    assert (tmp_path / "made" / "photo.png").exists()
    told = call("inspect", run / "memory", app=memstore_app)
    assert told.exit_code == 0, told.output
