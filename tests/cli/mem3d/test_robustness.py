"""mem3d-cli robustness, as a user calls it."""

import errno
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from mem3d.bundled import bundled_model
from tests.cli.mem3d.test_app import call
from tests.helpers.r2n2_folder import make_r2n2


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_r2n2(tmp_path_factory.mktemp("robustness") / "data")


@pytest.fixture(scope="module")
def run(data, no_curves, tmp_path_factory):
    folder = tmp_path_factory.mktemp("robustness") / "first"
    done = call("train", folder, "--data", data, "--preset", "tiny", "--epochs", "1", "--quiet")
    assert done.exit_code == 0, done.output
    return folder


def measured(*arguments):
    done = call("robustness", *arguments, "--shares", "0,0.4", "--json", "--quiet")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_without_a_run_the_bundled_model_is_measured(data, tmp_path):
    result = measured("--data", data, "--out", tmp_path / "out")
    assert {row["label"] for row in result["curves"]} == {bundled_model().name}


def test_runs_and_means_of_runs_in_one_picture(run, tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(tmp_path / "photos" / "a.png")
    out = tmp_path / "out"
    found = measured(run, f"both={run},{run}", "--backgrounds", tmp_path / "photos", "--out", out)
    assert json.loads((out / "robustness.json").read_text()) == found
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (found["models"], found["subset"]) == (4, "test")
    assert [one["share"] for one in found["hidden"]] == [0, 0.4]
    assert found["hidden"][1]["mean"] == pytest.approx(0.4, abs=0.05)
    rows = {(row["label"], row["ground"], row["method"]): row for row in found["curves"]}
    assert len(rows) == 8
    alone = rows["first", "before photos", "network"]
    both = rows["both", "before photos", "network"]
    assert both["mean"] == alone["mean"] and alone["deviation"] is None
    assert both["deviation"] == [0, 0]


def test_figures_are_not_lost_where_they_cannot_be_written(run, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("memstore.files.write_atomic", full)
    done = call("robustness", run, "--shares", "0,0.4", "--out", tmp_path / "out", "--json", "-q")
    assert "No space left on device" in str(done.exception)
    assert json.loads(done.stdout)["curves"]


def test_a_file_in_the_place_of_the_folder_to_write_to_is_told_first(run, tmp_path):
    (tmp_path / "out").touch()
    done = call("robustness", run, "--out", tmp_path / "out")
    assert str(done.exception) == f"{tmp_path / 'out'}: got a file, want a folder"


def test_a_table_names_labels_and_shares(run, tmp_path):
    done = call("robustness", run, "--label", "mine", "--shares", "0,0.5", "--out", tmp_path / "o")
    assert done.exit_code == 0, done.output
    assert "mine" in done.stdout and "50%" in done.stdout and "curves.png" in done.stdout
    assert "…" not in done.stdout
    assert call("robustness", run, "--subset", "val", "--out", tmp_path / "v").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["RUN", "RUN"], "'first' twice"),
        (["RUN", "--label", "a", "--label", "b"], "want one per run"),
        (["RUN", "--shares", "much"], "want numbers such as"),
        (["RUN", "--shares", "0.5,0.1"], "ascending"),
        (["RUN", "--shares", "0,1.5"], "share: got 1.5"),
        (["label="], "label="),
        (["absent"], "want a run's"),
        (["RUN", "--backgrounds", "absent"], "absent"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_named_and_write_nothing(arguments, says, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = [run if word == "RUN" else word for word in arguments]
    done = call("robustness", *named, "--quiet")
    assert isinstance(done.exception, ValueError | OSError)
    assert says in str(done.exception)
    assert not (tmp_path / "robustness").exists()


def test_known_models_are_no_test(run, data, tmp_path):
    other = shutil.copytree(data, tmp_path / "data")
    split = json.loads((other / "split.json").read_text())
    for entry in split:
        entry["test"].append(entry["train"][0])
        entry["train"] = entry["train"][1:]
    (other / "split.json").write_text(json.dumps(split))
    words = ("robustness", run, "--data", other, "--out", tmp_path / "out")
    assert "this would be no test" in str(call(*words).exception)
    second = shutil.copytree(run, tmp_path / "second")
    told = json.loads((second / "run.json").read_text())
    memorized = [{"kind": "memorised", "sources": ["02691156/test0"]}]
    (second / "run.json").write_text(json.dumps({**told, "changes": memorized}))
    found = measured(*words[1:], second, "--known-shapes", "drop")  # all runs see what none knows
    assert (found["models"], found["known"][str(run)]["models"]) == (3, "drop")
    known = [found["known"][str(one)] for one in (run, second)]
    assert [one["name"] + one["grid"] + one["training"] for one in known] == [2, 3]
