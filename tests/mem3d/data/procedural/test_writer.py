"""Data sets of procedural shapes on disk."""

import json
import shutil

import pytest
from numpy.testing import assert_array_equal

from mem3d.data.procedural.shape import make_shape
from mem3d.data.procedural.writer import synthesize
from mem3d.data.readers.r2n2 import R2N2

SMALL = {"models_per_category": 3, "views": 2, "categories": ["table", "sofa"], "size": 24}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "set"
    calls = []
    count = synthesize(root, **SMALL, seed=5, progress=lambda *call: calls.append(call))
    assert count == 6
    assert calls == [(done, 6) for done in range(1, 7)]
    return root


def files(root):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_the_reader_reads_it(made):
    data = R2N2.open(made).check()
    assert (len(data), data.skipped) == (6, ())
    assert {shape.category for shape in data.shapes} == {"table", "sofa"}
    assert data.image(0, 1).shape == (24, 24, 4)
    model = data.shapes[0]
    assert_array_equal(data.grid(0), make_shape(model.category, int(model.name)).grid())


def test_the_number_of_processes_changes_nothing(made, tmp_path):
    synthesize(tmp_path / "set", **SMALL, seed=5, processes=2)
    assert files(tmp_path / "set") == files(made)


def test_an_interrupted_run_is_taken_up(made, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(made, root)
    (root / "split.json").unlink()
    shutil.rmtree(next(root.glob("ShapeNetRendering/*/*/rendering")))
    (root / ".partial" / "sofa-5000000").mkdir(parents=True)
    assert synthesize(root, **SMALL, seed=5) == 1
    assert files(root) == files(made)
    assert synthesize(root, **SMALL, seed=5) == 0


def test_a_folder_made_otherwise_is_refused(made, tmp_path):
    with pytest.raises(ValueError, match=r"\(seed 5 -> 6\)"):
        synthesize(made, **SMALL, seed=6)
    (tmp_path / "precious.txt").touch()
    with pytest.raises(ValueError, match="other files"):
        synthesize(tmp_path, **SMALL)


def test_the_split_is_70_10_20_and_leaves_none_out(tmp_path):
    synthesize(tmp_path / "set", 10, views=1, categories=["table"], size=8)
    (entry,) = json.loads((tmp_path / "set" / "split.json").read_text())
    assert [len(entry[part]) for part in ("train", "val", "test")] == [7, 1, 2]
    names = entry["train"] + entry["val"] + entry["test"]
    assert sorted(names) == [f"{number:07d}" for number in range(10)]


@pytest.mark.parametrize(
    "setting",
    [{"views": 0}, {"seed": -1}, {"processes": 0}, {"categories": []}, {"categories": ["x"]}],
)
def test_settings_out_of_range_are_named(setting, tmp_path):
    with pytest.raises(ValueError, match=next(iter(setting))):
        synthesize(tmp_path / "set", **(SMALL | setting))
    assert not (tmp_path / "set").exists()
