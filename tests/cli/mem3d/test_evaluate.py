"""mem3d-cli evaluate: two protocols, and no test on what the memory knows."""

import errno
import json
import os
import shutil

import numpy as np
import pytest

from mem3d.data.dataset import Subset
from mem3d.data.readers.pix3d import Pix3D
from mem3d_cli.mem3d.evaluate import _as_pix3d
from memstore.voxels.binvox import read_binvox, write_binvox
from tests.cli.mem3d.test_app import call, call_main
from tests.helpers.pix3d_folder import make_pix3d
from tests.helpers.r2n2_folder import make_r2n2

CHAIR = "ShapeNetVox32/03001627"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_r2n2(tmp_path_factory.mktemp("evaluate") / "data")


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate") / "run"
    done = call("train", folder, "--data", data, "--preset", "tiny", "--epochs", "1", "--quiet")
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def pix3d(tmp_path_factory):
    return make_pix3d(tmp_path_factory.mktemp("evaluate") / "pix3d")


@pytest.fixture
def leaking(data, tmp_path):
    """The same data, in which one test chair is a copy of a training chair under its own name."""
    root = shutil.copytree(data, tmp_path / "data")
    (root / CHAIR / "test1" / "model.binvox").unlink()
    grid = read_binvox(root / CHAIR / "train0" / "model.binvox")
    write_binvox(root / CHAIR / "test1" / "model.binvox", grid)
    return root


def evaluated(*arguments):
    done = call("evaluate", *arguments, "--json", "--quiet")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_published_folder_is_measured_on_data_that_are_named(run, data, tmp_path):
    """It gives what its run gives; the shapes that it learned from are told by its memory alone."""
    assert call("publish", run, "-o", tmp_path / "published").exit_code == 0
    kept = ("--data", data, "--known-shapes", "keep")
    first, other = evaluated(run, *kept), evaluated(tmp_path / "published", *kept)
    assert first["methods"] == other["methods"] and first["step"] == other["step"]
    assert (first["known"]["learned_known"], other["known"]["learned_known"]) == (True, False)
    told = call("evaluate", tmp_path / "published", *kept).stderr
    assert "shapes in its memory are left out of the test" in told


def test_without_a_run_the_bundled_model_is_measured(data):
    assert evaluated("--data", data)["samples"] == 4


def printed(*arguments):
    """What a command prints, on one line: tables break theirs where the terminal ends."""
    done = call(*arguments)
    assert done.exit_code == 0, done.output
    return " ".join(done.stdout.split())


@pytest.mark.parametrize("command", ["evaluate", "robustness"])
def test_what_is_no_run_is_told_in_plain_words(command, tmp_path):
    for folder, told in ((tmp_path / "none", "nothing there"), (tmp_path, "no file")):
        error = call(command, folder).exception
        assert isinstance(error, ValueError)
        assert f"got {told}, want a run's" in str(error)
        assert "Error" not in str(error)


def test_a_clean_test_set_says_nothing(run):
    summary = evaluated(run)
    found = {"name": 0, "grid": 0, "training": 0}
    assert summary["known"] == {"models": "refuse", **found, "learned_known": True}
    assert summary["protocol"].startswith("Pix2Vox")
    assert "pix3d" not in summary
    assert summary["methods"]["network"]["fixed"]["protocol"] == summary["protocol"]


def test_a_copy_under_another_name_is_refused(run, leaking):
    done = call_main("evaluate", run, "--data", leaking)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "1 of 4 models are known" in done.stderr
    assert "03001627/test1 is 03001627/train0" in done.stderr
    assert "--known-shapes drop" in done.stderr


def test_known_models_are_dropped_or_kept_and_told(run, leaking):
    dropped = evaluated(run, "--data", leaking, "--known-shapes", "drop")
    assert (dropped["samples"], dropped["known"]["grid"]) == (3, 1)
    kept = evaluated(run, "--data", leaking, "--known-shapes", "keep")
    assert (kept["samples"], kept["known"]["models"]) == (4, "keep")
    table = printed("evaluate", run, "--data", leaking, "--known-shapes", "keep")
    assert "NO TEST: 1 of these models are known" in table
    table = printed("evaluate", run, "--data", leaking, "--known-shapes", "drop")
    assert "left out, as the memory knows them: 1 model more" in table


@pytest.fixture(scope="module")
def another(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate") / "another"
    settings = ("--preset", "tiny", "--epochs", "1", "--seed", "1", "--set", "model.refiner=4")
    done = call("train", folder, "--data", data, *settings, "--quiet")
    assert done.exit_code == 0, done.output
    return folder


def test_figures_are_not_lost_where_the_picture_cannot_be_written(run, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("memstore.voxels.contact_sheet.save_png", full)
    done = call("evaluate", run, "--picture", tmp_path / "a.png", "--json", "--quiet")
    assert "No space left on device" in str(done.exception)
    assert json.loads(done.stdout)["samples"] > 0


def test_an_ensemble_is_told_to_be_one(run, another, tmp_path):
    together = evaluated(run, "--ensemble", another)
    assert set(together["with"]) == {str(another)}
    assert together["with"][str(another)]["models"] == "refuse"
    alone = evaluated(run)
    assert "with" not in alone
    for method in ("nearest recalled", "mean of recalled"):  # of the first one
        assert together["methods"][method] == alone["methods"][method]
    others = [evaluated(one)["methods"]["network"] for one in (run, another)]
    assert together["methods"]["network"] not in others
    picture = tmp_path / "p.png"
    table = printed("evaluate", run, "--ensemble", another, "--flip", "--picture", picture)
    assert "view 00 and its mirror image, 2 networks together" in table
    assert picture.is_file()


def test_no_member_of_an_ensemble_may_know_the_test(run, another, data, leaking, tmp_path):
    """One that learned from other data, where it is the other's test shape that leaks."""
    done = call("evaluate", run, "--ensemble", another, "--data", leaking)
    assert "1 of 4 models are known" in str(done.exception)
    twice = call("evaluate", run, "--ensemble", run)
    assert "twice, want each run once" in str(twice.exception)
    learned = shutil.copytree(another, tmp_path / "learned")
    described = json.loads((learned / "run.json").read_text())
    changes = [{"kind": "memorised", "sources": ["03001627/test1"]}]
    (learned / "run.json").write_text(json.dumps(described | {"changes": changes}))
    dropped = evaluated(run, "--ensemble", learned, "--known-shapes", "drop")
    assert (dropped["samples"], dropped["known"]["training"]) == (3, 0)
    assert dropped["with"][str(learned)]["training"] == 1
    refused = str(call("evaluate", run, "--ensemble", learned).exception)
    assert f"--ensemble {learned}: " in refused and "1 of 4 models are known" in refused
    table = printed("evaluate", run, "--ensemble", learned, "--known-shapes", "keep", "--quiet")
    told = f"NO TEST: 1 of these models are known to the memory of {learned}"
    assert told.replace(" ", "") in table.replace(" ", "")


def test_where_all_models_are_known_none_is_left(run):
    done = call_main("evaluate", run, "--subset", "train", "--known-shapes", "drop", "--quiet")
    assert (done.returncode, done.stdout) == (1, "")
    assert "known" in done.stderr and "none is left to test on" in done.stderr


def test_the_training_set_is_known_and_said_to_be(run):
    summary = evaluated(run, "--subset", "train")
    assert summary["known"]["models"] == "keep"
    assert summary["known"]["name"] > 0
    assert call("evaluate", run, "--subset", "train", "--known-shapes", "refuse").exit_code == 1


def test_pix3d_is_told_by_both_protocols_apart(run, pix3d, tmp_path):
    summary = evaluated(run, "--data", pix3d)
    assert (summary["samples"], summary["categories"]) == (3, {"chair": 3})
    assert summary["photos"] == "masked"
    own = summary["pix3d"]
    assert set(own["methods"]) == set(summary["methods"])
    assert all(one["protocol"] == own["protocol"] for one in own["methods"].values())
    assert own["protocol"] != summary["protocol"]
    assert "best on validation" in summary["methods"]["network"]  # of the run's own data
    picture = tmp_path / "p.png"
    shown = printed("evaluate", run, "--data", pix3d, "--picture", picture, "--background")
    assert "IoU on 3 test photos with their background" in shown
    assert "Pix3D's own protocol, not to be compared" in shown
    assert "searched on this very set" in shown
    assert (tmp_path / "p.png").is_file()
    refused = call("evaluate", run, "--background")
    assert "--background: got it with" in str(refused.exception)


def test_what_is_left_of_pix3d_by_several_runs_keeps_its_own_truth(pix3d):
    data = Pix3D.open(pix3d)
    left, truth = _as_pix3d(Subset(Subset(data, [2, 0, 1]), [2, 0]), background=False)
    assert [left.shape_id(i) for i in range(2)] == [data.shape_id(1), data.shape_id(2)]
    for i, whole in enumerate((1, 2)):
        np.testing.assert_array_equal(truth(i), data.pooled(whole))


def test_what_was_learned_and_cannot_be_told_is_said(run, data, tmp_path):
    moved = shutil.copytree(run, tmp_path / "run")
    described = json.loads((moved / "run.json").read_text())
    (moved / "run.json").write_text(json.dumps(described | {"data": str(tmp_path / "gone")}))
    done = call("evaluate", moved, "--data", data, "--json", "--quiet")
    assert done.exit_code == 0, done.output
    assert f"the run's data are not at {tmp_path / 'gone'} (" in done.stderr
    assert "cannot be told" in done.stderr
    assert json.loads(done.stdout)["known"]["learned_known"] is False
    assert "cannot be told" not in call("evaluate", run, "--quiet").stderr


@pytest.mark.parametrize("command", ["evaluate", "robustness"])
def test_data_that_have_moved_are_to_be_named(command, run, tmp_path):
    moved = shutil.copytree(run, tmp_path / "run")
    described = json.loads((moved / "run.json").read_text())
    (moved / "run.json").write_text(json.dumps(described | {"data": str(tmp_path / "gone")}))
    error = str(call(command, moved).exception)
    want = "got nothing there, where the run's data were; name them (--data)"
    assert error == f"{tmp_path / 'gone'}: {want}"


def test_pix3d_without_the_runs_data(run, pix3d, tmp_path):
    moved = shutil.copytree(run, tmp_path / "run")
    described = json.loads((moved / "run.json").read_text())
    (moved / "run.json").write_text(json.dumps(described | {"data": str(tmp_path / "gone")}))
    done = call("evaluate", moved, "--data", pix3d, "--json")
    assert "no category means" in done.stderr
    left = {"network", "nearest recalled", "mean of recalled"}
    assert set(json.loads(done.stdout)["methods"]) == left


def test_trained_on_shapes_of_pix3d_other_photos_of_them_are_no_test(pix3d, tmp_path):
    """As with S1, whose training and test photos show the same shapes."""
    for part, names in {"train": ["0001.jpg", "0004.jpg"], "test": ["0003.jpg"]}.items():
        images = [{"file_name": f"img/chair/{name}"} for name in names]
        (tmp_path / f"pix3d_s1_{part}.json").write_text(json.dumps({"images": images}))
    train = ("train", tmp_path / "run", "--data", pix3d, "--preset", "tiny", "--epochs", "1")
    done = call(*train, "--split", tmp_path / "pix3d_s1_train.json", "--quiet")
    assert done.exit_code == 0, done.output
    refused = call("evaluate", tmp_path / "run")
    assert refused.exit_code == 1
    assert "1 of 1 models are known" in str(refused.exception)
    assert "(pix3d/chair/IKEA_A/voxel)" in str(refused.exception)


def test_all_baselines_and_mirror_images(run):
    summary = evaluated(run, "--baselines", "all", "--flip")
    costly = {"oracle nearest", "oracle of category", "nearest by stem"}
    assert costly < set(summary["methods"])
    assert summary["flip"] is True
    best = summary["methods"]["oracle nearest"]["fixed"]["weighted"]
    assert best >= summary["methods"]["nearest recalled"]["fixed"]["weighted"]
    shown = printed("evaluate", run, "--baselines", "all", "--quiet")
    assert "oracle" in shown and "stem" in shown and "…" not in shown
    assert "view 00 and its mirror image" in printed("evaluate", run, "--flip", "--quiet")


def test_without_the_runs_data_the_oracle_is_left(run, pix3d, tmp_path):
    moved = shutil.copytree(run, tmp_path / "run")
    described = json.loads((moved / "run.json").read_text())
    (moved / "run.json").write_text(json.dumps(described | {"data": str(tmp_path / "gone")}))
    methods = evaluated(moved, "--data", pix3d, "--baselines", "all")["methods"]
    assert "oracle nearest" in methods and "nearest by stem" not in methods
