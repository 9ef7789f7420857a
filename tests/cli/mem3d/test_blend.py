"""mem3d-cli blend, as a user calls it."""

import json

import pytest

from mem3d.network import checkpoint
from tests.cli.mem3d.test_app import call
from tests.helpers.r2n2_folder import make_r2n2


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_r2n2(tmp_path_factory.mktemp("blend") / "data")


@pytest.fixture(scope="module")
def run(data, no_curves, tmp_path_factory):
    folder = tmp_path_factory.mktemp("blend") / "run"
    options = ("--set", "memory.beta=0.0", "--epochs", "1", "--quiet")
    done = call("train", folder, "--data", data, "--preset", "tiny", *options)
    assert done.exit_code == 0, done.output
    return folder


def test_a_blended_run_scores_what_was_promised(run, data, tmp_path):
    out = tmp_path / "blended"
    lines = call("blend", run, "--out", out, "--views", 1, "--quiet")
    assert lines.exit_code == 0, (lines.output, lines.exception)
    described = json.loads((out / "run.json").read_text())
    change = described["changes"][-1]
    assert (change["kind"], change["pictures"]) == ("blended", 4)
    assert f"model.blend {change['share']:g}" in lines.stdout and "written" in lines.stdout
    _, memory, state = checkpoint.load(out)
    assert (state.preset.model.blend, state.preset.model.shift) == (
        change["share"],
        change["shift"],
    )
    assert described["preset"]["model"]["blend"] == change["share"]
    scores = call("evaluate", out, "--data", data, "--subset", "val", "--json", "--quiet")
    told = json.loads(scores.stdout)
    assert told["methods"]["network"]["fixed"]["macro"] == pytest.approx(change["after"], abs=1e-4)
    assert change["after"] >= change["before"]
    page = (out / "README.md").read_text()
    assert "Trained on 8 models" in page and f"share {change['share']:g}" in page
    assert call("publish", out, tmp_path / "published").exit_code == 0
    card = (tmp_path / "published/README.md").read_text()
    assert f"share {change['share']:g}" in card and str(data) not in card
    first, kept, _ = checkpoint.load(run)
    assert first.config.blend == 0 and len(kept) == len(memory)


def test_a_dry_run_writes_nothing(run, tmp_path):
    before = {path for path in run.rglob("*")}
    done = call("blend", run, "--dry-run", "--views", 1, "--json", "--quiet")
    told = json.loads(done.stdout)
    assert told["out"] is None and told["pictures"] == 4 and 0 <= told["share"] < 1
    assert {path for path in run.rglob("*")} == before


def test_models_that_are_known_choose_nothing(run, data):
    done = call("blend", run, "--data", data, "--subset", "train", "--dry-run", "--quiet")
    assert "none is left to choose by" in str(done.exception)


@pytest.mark.parametrize("command", ["blend", "rekey"])
@pytest.mark.parametrize(
    ("options", "got"), [((), "neither"), (("--dry-run", "--out", "new"), "both")]
)
def test_either_a_report_or_a_run_is_wanted(command, options, got, run):
    told = f"--out, --dry-run: got {got}, want one of them"
    assert str(call(command, run, *options).exception) == told


def test_what_is_there_stays(run, tmp_path):
    assert "exists" in str(call("blend", run, "--out", tmp_path).exception)


def test_ctrl_c_is_one_line(run, tmp_path, monkeypatch):
    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("mem3d.runs.blend_search.choose_blend", stopped)
    done = call("blend", run, "--out", tmp_path / "new")
    assert done.exit_code == 130 and "interrupted" in done.stderr
    assert not (tmp_path / "new").exists()
