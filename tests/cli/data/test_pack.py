"""data pack and data index, as a user calls them."""

import json

import pytest
from typer.testing import CliRunner

from mem3d.data.open import open_dataset
from mem3d_cli.mem3d.app import app
from tests.helpers.pix3d_folder import make_pix3d
from tests.helpers.r2n2_folder import make_r2n2


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def root(tmp_path):
    """8 models, one of them without a grid."""
    root = make_r2n2(tmp_path / "data", train=2, val=1, test=1)
    (root / "ShapeNetVox32" / "02691156" / "train0" / "model.binvox").unlink()
    return root


@pytest.mark.parametrize("name", ["pack", "index"])
def test_help_has_an_example(name):
    result = call("data", name, "--help")
    assert result.exit_code == 0
    assert f"Example: mem3d-cli data {name} shapes --out shapes" in result.output.replace("\n", " ")


def test_pack(root, tmp_path):
    out = tmp_path / "p"
    result = call("data", "pack", root, "-o", out, "--per-shard", 5, "--processes", 1, "--quiet")
    assert (result.exit_code, result.stdout) == (0, f"{out}: 7 shapes, 14 views\n")
    assert "skipped 02691156/train0: no ShapeNetVox32" in result.stderr
    assert len(open_dataset(out, "train")) == 3
    assert call("data", "pack", root, "-o", out).exit_code != 0


def test_pack_one_category_and_another_split(root, tmp_path):
    split = tmp_path / "split.json"
    split.write_text(json.dumps([{"taxonomy_id": "03001627", "test": ["val0", "train1"]}]))
    out, wishes = tmp_path / "p", ("--category", "chair", "--split", split)
    result = call("data", "pack", root, "-o", out, *wishes, "--json", "--processes", 1)
    assert json.loads(result.stdout) == {"path": str(out), "models": 2, "views": 4, "skipped": 0}
    assert [open_dataset(out, "test").shape_id(i) for i in (0, 1)] == [
        "03001627/val0",
        "03001627/train1",
    ]


def test_index(root):
    out = root / "index.json"
    result = call("data", "index", root, "--out", out, "--occupancy", "--json", "--quiet")
    assert json.loads(result.stdout) == {"path": str(out), "models": 7, "views": 14, "skipped": 1}
    assert len(open_dataset(out, "train")) == 3


def test_what_lists_its_own_models_is_not_indexed(root, tmp_path):
    assert call("data", "pack", root, "-o", tmp_path / "p", "--processes", 1).exit_code == 0
    result = call("data", "index", tmp_path / "p", "--out", tmp_path / "index.json")
    assert f"{tmp_path / 'p'}: got a pack, " in str(result.exception)
    pix3d = make_pix3d(tmp_path / "pix3d")
    result = call("data", "index", pix3d, "--out", tmp_path / "index.json")
    assert f"{pix3d}: got Pix3D, " in str(result.exception)


def test_training_on_a_pack_or_an_index_is_training_on_the_files(root, tmp_path):
    assert call("data", "pack", root, "-o", tmp_path / "p", "--processes", 1).exit_code == 0
    assert call("data", "index", root, "--out", tmp_path / "index.json").exit_code == 0
    logs = []
    for place in (root, tmp_path / "p", tmp_path / "index.json"):
        run = tmp_path / f"run-{place.stem}"
        result = call("train", run, "--data", place, "--preset", "tiny", "--quiet")
        assert result.exit_code == 0, result.output
        rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        timed = {"seconds", "memory_share", *(key for key in rows[0] if key.endswith("_ms"))}
        logs.append([{k: v for k, v in row.items() if k not in timed} for row in rows])
    assert len(logs[0]) == 2
    assert logs[0] == logs[1] == logs[2]
