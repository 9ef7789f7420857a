"""Folders with one file per slot."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from numpy.testing import assert_allclose, assert_array_equal

from memstore import PAPER, FormatError, Memory, MemstoreError, PathError
from memstore.exchange import export, import_memory
from memstore.voxels.binvox import write_binvox
from memstore.voxels.mesh import smooth
from tests.helpers.random_memories import busy_memory

GRIDS = np.random.default_rng(0).random((3, 4, 4, 4)) < 0.5
EYE = np.eye(3, dtype=np.float32)


def three(sources=("chair/1a", "", "../../ä b")):
    memory = Memory(replace(PAPER, capacity=4, key_dim=3, resolution=4, delta=1))
    memory.write(EYE, GRIDS, sources)
    return memory


@pytest.mark.parametrize("kind", ["glb", "stl", "ply"])
def test_meshes_read_by_others_are_the_stored_shapes(kind, tmp_path):
    export(three(), tmp_path / "out", kind)
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    assert len(list((tmp_path / "out").iterdir())) == 4
    for entry, grid in zip(index["slots"], GRIDS, strict=True):
        read = trimesh.load_mesh(tmp_path / "out" / entry["file"])
        assert_allclose(read.volume, smooth(grid).volume(), rtol=1e-4)
        assert 0 < read.volume < grid.mean()  # the grid's cube has volume 1; corners are cut off


def test_the_index_says_what_is_in_which_file(tmp_path):
    memory = three()
    memory.read(EYE[:1], k=1)
    export(memory, tmp_path / "out", "binvox")
    entries = json.loads((tmp_path / "out" / "index.json").read_text())["slots"]
    assert [entry["file"] for entry in entries] == [
        "000000_chair-1a.binvox",
        "000001.binvox",
        "000002_..-..-b.binvox",
    ]
    assert [(e["slot"], e["age"], e["reads"]) for e in entries] == [(0, 2, 1), (1, 1, 0), (2, 0, 0)]
    assert_array_equal(np.load(tmp_path / "out" / "features.npy"), EYE)
    read = trimesh.load(tmp_path / "out" / "000001.binvox")
    assert_array_equal(read.encoding.dense, GRIDS[1])


def test_an_empty_value_has_no_mesh(tmp_path):
    memory = Memory(replace(PAPER, capacity=1, key_dim=3, resolution=4))
    memory.write(EYE[:1], GRIDS[:1] & False)
    export(memory, tmp_path / "out", "stl")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["index.json"]
    assert json.loads((tmp_path / "out" / "index.json").read_text())["slots"][0]["file"] is None


@pytest.fixture
def foreign(tmp_path):
    """Two shapes as somebody else left them; the second in name comes first in time."""
    for name, grid in (("b", GRIDS[1]), ("a/model", GRIDS[0])):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        write_binvox(tmp_path / "in" / f"{name}.binvox", grid)
    return tmp_path / "in"


def test_a_folder_with_one_array(foreign):
    np.save(foreign / "features.npy", EYE[:2] * 5)
    memory = import_memory(foreign)
    assert memory.sources == ["a/model", "b"]
    assert_array_equal(memory.keys([0, 1]), EYE[:2])
    assert_array_equal(memory.values([0, 1]), GRIDS[:2])


def test_a_folder_with_an_array_beside_each(foreign):
    np.save(foreign / "a" / "model.npy", EYE[2])
    np.save(foreign / "b.npy", EYE[:1].astype(np.float64))
    memory = import_memory(foreign, policy=True, capacity=7)
    assert memory.config.capacity == 7
    assert_array_equal(memory.keys([0, 1]), EYE[[2, 0]])


@pytest.mark.parametrize(
    ("features", "match"),
    [
        (EYE, r"features\.npy: features: got shape \(3, 3\), want \(2, any\)"),
        (EYE[0], r"want \(2, any\)"),
        (EYE[:2].astype(int), "features: got int64"),
        (EYE[:2] * 0, r"features\[0\]: got all zeros"),
        (EYE[:2, :0], "want floats"),
    ],
)
def test_features_that_do_not_fit_are_named(features, match, foreign):
    np.save(foreign / "features.npy", features)
    with pytest.raises(FormatError, match=match):
        import_memory(foreign)


@pytest.mark.parametrize("features", ["features.npy", "FEATURES.NPY"])
def test_endings_in_capitals(features, foreign):
    """Before: such files were left out without a word."""
    (foreign / "b.binvox").rename(foreign / "b.BinVox")
    np.save(foreign / "features.npy", EYE[:2])
    (foreign / "features.npy").rename(foreign / features)
    memory = import_memory(foreign)
    assert memory.sources == ["a/model", "b"]
    (foreign / features).unlink()
    for name, key in (("a/model", EYE[1]), ("b", EYE[2])):
        np.save(foreign / f"{name}.npy", key)
        (foreign / f"{name}.npy").rename(foreign / f"{name}.NPY")
    memory = import_memory(foreign)
    assert_array_equal(memory.keys([0, 1]), EYE[[1, 2]])
    assert_array_equal(memory.values([0, 1]), GRIDS[:2])


def test_what_would_be_left_out_is_refused(foreign, tmp_path):
    np.save(foreign / "b.npy", EYE[0])
    np.save(foreign / "a" / "model.npy", EYE[1])
    np.save(foreign / "a" / "lost.npy", EYE[2])
    with pytest.raises(FormatError, match=r"got a/lost\.npy, want no \.npy file but one per"):
        import_memory(foreign)
    (foreign / "a" / "lost.npy").rename(foreign / "b.NPY")
    with pytest.raises(FormatError, match=r"got b\.(npy|NPY), want no \.npy file but one per"):
        import_memory(foreign)
    (foreign / "b.NPY").rename(foreign / "features.npy")
    with pytest.raises(FormatError, match=r"got features\.npy and a/model\.npy, want one or the"):
        import_memory(foreign)
    (foreign / "features.npy").unlink()
    assert len(import_memory(foreign)) == 2
    (tmp_path / "other").mkdir()
    (foreign / "more").symlink_to(tmp_path / "other")
    with pytest.raises(FormatError, match="more: got a link to a folder, want the folder itself"):
        import_memory(foreign)


def test_a_folder_that_cannot_be_read_is_not_passed_over(foreign, monkeypatch):
    np.save(foreign / "features.npy", EYE[:2])
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("/a"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PathError, match="Permission denied"):
        import_memory(foreign)


def test_a_file_that_the_index_does_not_name_is_refused(tmp_path):
    export(three(), tmp_path / "a", "binvox")
    write_binvox(tmp_path / "a" / "one_more.BINVOX", GRIDS[0])
    with pytest.raises(FormatError, match=r"index\.json: got no entry for one_more\.BINVOX, want"):
        import_memory(tmp_path / "a")


def test_a_folder_that_lacks_something(foreign, tmp_path):
    with pytest.raises(FormatError, match=r"got no features\.npy and no model\.npy beside a/model"):
        import_memory(foreign)
    write_binvox(foreign / "c.binvox", np.ones((5, 5, 5), np.bool_))
    with pytest.raises(FormatError, match=r"c\.binvox: voxels: got shape \(5, 5, 5\)"):
        import_memory(foreign)
    (tmp_path / "none").mkdir()
    with pytest.raises(FormatError, match="got 0 binvox files"):
        import_memory(tmp_path / "none")


@pytest.mark.parametrize("name", ["../secret.binvox", "/etc/passwd", "a/b.binvox", None, 3])
def test_an_index_that_points_elsewhere_is_refused(name, tmp_path):
    export(busy_memory(), tmp_path / "a", "binvox")
    index = json.loads((tmp_path / "a" / "index.json").read_text())
    index["slots"][0]["file"] = name
    (tmp_path / "a" / "index.json").write_text(json.dumps(index))
    with pytest.raises(FormatError, match=r"index\.json: got files that are not binvox"):
        import_memory(tmp_path / "a")


def test_an_index_far_longer_than_its_files_call_for_is_not_parsed(tmp_path):
    export(busy_memory(), tmp_path / "a", "binvox")
    (tmp_path / "a" / "index.json").write_text("[" + "{}," * 90_000 + "{}]")
    with pytest.raises(FormatError, match=r"index: got \S+ bytes, want <= "):
        import_memory(tmp_path / "a")


def test_the_longest_index_is_read(tmp_path):
    memory = Memory(replace(PAPER, capacity=300, key_dim=300, resolution=1, delta=1))
    grids = np.arange(300).reshape(-1, 1, 1, 1) % 2 == 0
    memory.write(np.eye(300), grids, ["\1" * 128] * 300)  # six characters each in JSON
    export(memory, tmp_path / "a", "binvox")
    assert import_memory(tmp_path / "a").sources == memory.sources


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["b.binvox", "b.npy", "features.npy", "index.json"])
def test_a_pipe_is_not_waited_for(name, foreign):
    if name != "features.npy":
        np.save(foreign / "a" / "model.npy", EYE[2])
    (foreign / name).unlink(missing_ok=True)
    os.mkfifo(foreign / name)
    with pytest.raises(PathError, match=f"{name}: got no regular file"):
        import_memory(foreign)


@pytest.mark.parametrize("make", ["mkdir", "symlink_to"])
def test_what_is_no_file_is_named(make, foreign):
    getattr(foreign / "a.binvox", make)(*["nowhere"] * (make == "symlink_to"))
    with pytest.raises(MemstoreError, match=r"a\.binvox: "):
        import_memory(foreign)
