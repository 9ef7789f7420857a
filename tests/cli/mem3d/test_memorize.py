"""mem3d-cli memorize, as a user calls it."""

import inspect
import json
import shutil
from textwrap import dedent

import numpy as np
import pytest
from PIL import Image

import mem3d
from mem3d.bundled import bundled_model
from mem3d.data.readers.r2n2 import R2N2
from mem3d.evaluation.leakage import known_shapes
from mem3d.network import checkpoint
from mem3d.runs import copy_run, memorize
from memstore.voxels.binvox import write_binvox
from tests.cli.mem3d.test_app import call, call_main
from tests.helpers.r2n2_folder import blob, make_r2n2, picture

PAIR = ("--photo", "a.png", "--grid", "a.binvox")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_r2n2(tmp_path_factory.mktemp("memorize") / "data")


@pytest.fixture(scope="module")
def run(data, no_curves, tmp_path_factory):
    folder = tmp_path_factory.mktemp("memorize") / "run"
    done = call("train", folder, "--data", data, "--preset", "tiny", "--epochs", "1", "--quiet")
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def pair(tmp_path):
    """A photo with a mask, and its shape."""
    Image.fromarray(picture(77)).save(tmp_path / "chair.png")
    write_binvox(tmp_path / "chair.binvox", blob(77))
    return tmp_path / "chair.png", tmp_path / "chair.binvox"


def told(*arguments):
    done = call(*arguments, "--json", "--quiet")
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout)


def test_the_command_explains_itself():
    assert "Example" in call("memorize", "--help").output


def test_the_bundled_model_s_memory_is_copied_and_added_to(data, tmp_path):
    """What comes out is a run as any other: it is opened, added to, and guards its shapes."""
    before = {path: path.stat().st_mtime_ns for path in bundled_model().rglob("*")}
    made = told("memorize", "--data", data, "--known-shapes", "keep", "--out", tmp_path / "more")
    assert made["written"] > 0
    with mem3d.load() as first, mem3d.load(tmp_path / "more") as more:
        assert more.memory.clock == first.memory.clock + made["written"]
    assert {path: path.stat().st_mtime_ns for path in bundled_model().rglob("*")} == before
    page = (tmp_path / "more" / "README.md").read_text()
    assert page.startswith("# A trained Mem3D") and "---\n" not in page
    assert "Since then:" in page and "pip install" not in page
    slots, capacity = made["slots_after"], made["capacity"]
    assert f"The memory has {slots:,} of {capacity:,} slots in use now." in page
    assert page.count(" memory ") == 1 and "with a memory of" not in page
    again = told(
        *("memorize", tmp_path / "more", "--data", data, "--known-shapes", "keep"),
        *("--out", tmp_path / "again"),
    )
    assert again["written"] > 0
    refused = call("evaluate", tmp_path / "more", "--data", data)
    assert "this would be no test" in str(refused.exception)
    unnamed = call("evaluate", tmp_path / "more")
    assert "got no data set, want what training wrote; or name the data" in str(unnamed.exception)


def test_memorized_shapes_are_no_test(run, data, tmp_path):
    """The guard of evaluate sees what was memorized, also where it was merged or evicted."""
    out = tmp_path / "more"
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    options = ("--data", data, "--subset", "test", "--known-shapes", "keep", "--out", out)
    done = told("memorize", run, *options, "--views", 2)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()} == before
    assert (done["pictures"], done["dropped"]) == (8, 0)
    assert done["merged"] + done["inserted"] + done["evicted"] == done["written"]
    described = json.loads((out / "run.json").read_text())
    assert described["changes"][0]["sources"] == [
        f"{synset}/test{i}" for synset in ("02691156", "03001627") for i in range(2)
    ]
    assert described["data"] == str(data)
    refused = call("evaluate", out, "--quiet")
    assert "4 of 4 models are known" in str(refused.exception)
    assert told("evaluate", run)["known"]["name"] == 0


def test_what_the_memory_holds_is_left_out_or_refused(run, data, tmp_path):
    known = known_shapes(checkpoint.load(run)[1], R2N2.open(data))
    options = ("--data", data, "--out", tmp_path / "more")
    refused = call("memorize", run, *options, "--known-shapes", "refuse")
    assert f"{len(known)} of 16 models are known" in str(refused.exception)
    all_known = call("memorize", run, *options, "--subset", "train")
    assert "8 of 8 models are known" in str(all_known.exception)
    assert list(tmp_path.iterdir()) == []
    done = told("memorize", run, *options)
    assert (done["dropped"], done["pictures"]) == (len(known), 16 - len(known))
    [change] = json.loads((tmp_path / "more" / "run.json").read_text())["changes"]
    assert not {one.shape_id for one in known} & set(change["sources"])


def test_one_photo_is_recalled_afterwards(run, pair, tmp_path):
    photo, grid = pair
    out = tmp_path / "more"
    shown = call("memorize", run, "--photo", photo, "--grid", grid, "--out", out, "--capacity", 99)
    assert shown.exit_code == 0, shown.output
    assert "1 pair written: 1 inserted" in shown.stdout and "of 99" in shown.stdout
    rows = call("reconstruct", out, photo, "--out", tmp_path / "shapes", "--json", "--quiet").stdout
    [row] = json.loads(rows)["photos"]
    assert row["recalled"][0]["source"] == "chair"
    assert row["recalled"][0]["cosine"] == pytest.approx(1, abs=1e-4)
    _, memory, state = checkpoint.load(out)
    assert memory.config.capacity == state.preset.memory.capacity == 99


def test_a_full_memory_says_what_to_do(run, data, tmp_path):
    """Eight slots and twice as many new shapes."""
    root = shutil.copytree(data, tmp_path / "data")
    for i, path in enumerate(sorted(root.rglob("model.binvox"))):
        write_binvox(path, np.random.default_rng(i).random((32,) * 3) < 0.5)  # unlike all others
    done = call(
        "memorize", run, "--data", root, "--out", tmp_path / "more", "--known-shapes", "keep"
    )
    assert done.exit_code == 0, done.output
    assert "the memory of 8 slots is full" in done.stderr
    assert "--capacity" in done.stderr


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ((), "--data, --photo: got neither, want"),
        (("--photo", "a.png"), "--data, --photo: got --photo, want --data, or --photo and --grid"),
        (("--data", "nowhere"), "nowhere: got nothing there"),
        (("--data", "a", "--grid", "a.binvox"), "--data, --photo: got --data and --grid, want"),
        (("--data", "a", "--mask", "a.png", "--name", "a"), "--mask, --name: got it without"),
        (
            (*PAIR, "--known-shapes", "refuse", "--views", 1),
            "--views, --known-shapes: got it without --data",
        ),
        ((*PAIR, "--split", "a", "--subset", "val"), "--split, --subset: got it without --data"),
    ],
)
def test_bad_input_leaves_nothing(options, error, run, tmp_path):
    done = call("memorize", run, *options, "--out", tmp_path / "more")
    assert (done.exit_code, done.stdout) == (1, "")
    assert error in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_an_error_is_one_line(run, tmp_path):
    options = ("--photo", "a.png", "--grid", "a.binvox", "--out", tmp_path / "more")
    done = call_main("memorize", run, *options)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "a.png" in done.stderr


def test_a_damaged_pair_leaves_nothing(run, pair, tmp_path):
    photo, grid = pair
    write_binvox(grid, blob(0)[::2, ::2, ::2])
    options = ("--photo", photo, "--grid", grid, "--out", tmp_path / "more")
    done = call("memorize", run, *options)
    assert "grid: got shape (16, 16, 16)" in str(done.exception)
    assert not (tmp_path / "more").exists()
    grid.write_bytes(b"no shape")
    assert "#binvox" in str(call("memorize", run, *options).exception)


def test_ctrl_c_is_one_line_and_leaves_nothing(run, data, tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("mem3d.network.features.encode", stopped)
    out = tmp_path / "new"
    done = call("memorize", run, "--data", data, "--out", out, "--known-shapes", "keep")
    assert (done.exit_code, done.stdout) == (130, "")
    assert done.stderr == f"{out}: interrupted; nothing was written\n"
    assert list(tmp_path.iterdir()) == []


def test_the_example_of_copy_run_runs(run, data, tmp_path, monkeypatch):
    code = dedent(inspect.getdoc(copy_run).split("Example:\n")[1])
    names = {
        "checkpoint": checkpoint,
        "open_dataset": mem3d.open_dataset,
        "memorize": memorize,
        "copy_run": copy_run,
    }
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "first").symlink_to(run)
    (tmp_path / "new-shapes").symlink_to(data)
    exec(compile(code, "copy.py", "exec"), names)
    changes = json.loads((tmp_path / "runs" / "more" / "run.json").read_text())["changes"]
    shapes = mem3d.open_dataset(data)
    assert changes[-1]["sources"] == [shapes.shape_id(i) for i in range(len(shapes))]
    before, after = (checkpoint.load(path)[1] for path in (run, tmp_path / "runs" / "more"))
    assert after.clock == before.clock + len(shapes)
