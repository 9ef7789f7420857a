"""The R2N2 reader on a synthetic folder and on real shapes, and its note of shapes read whole."""

import json
import os

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from mem3d.data.readers.r2n2 import NAME, R2N2, fingerprint, read_checked, write_checked
from memstore.voxels.binvox import write_binvox
from tests.helpers.r2n2_folder import make_r2n2

CHAIR = "03001627"


def add_model(root, name, views=2, synset=CHAIR, seed=0):
    grid = np.random.default_rng(seed).random((32, 32, 32)) < 0.1
    vox = root / "ShapeNetVox32" / synset / name
    vox.mkdir(parents=True)
    write_binvox(vox / "model.binvox", grid)
    rendering = root / "ShapeNetRendering" / synset / name / "rendering"
    rendering.mkdir(parents=True)
    for view in range(views):
        Image.new("RGBA", (5, 4), (view, 0, 0, 128)).save(rendering / f"{view:02d}.png")
    lines = "".join(f"{10 * view} 26.5 0 0.8 25\n" for view in range(views))
    (rendering / "rendering_metadata.txt").write_text(lines)
    return grid


@pytest.fixture
def root(tmp_path):
    add_model(tmp_path, "b", seed=1)
    add_model(tmp_path, "a", views=1)
    return tmp_path


@pytest.fixture
def model(tmp_path):
    make_r2n2(tmp_path, train=1, val=0, test=0)
    place = "03001627/train0"
    return (
        tmp_path / "ShapeNetRendering" / place / "rendering",
        tmp_path / "ShapeNetVox32" / place / "model.binvox",
    )


def test_everything_about_a_model(root):
    data = R2N2.open(root)
    assert [model.name for model in data.shapes] == ["a", "b"]
    assert (len(data), data.skipped) == (2, ())
    assert data.shape_id(1) == f"{CHAIR}/b"
    assert (data.shapes[1].category, data.views(1)) == ("chair", 2)
    assert data.image(1, 1).shape == (4, 5, 4)
    assert data.image(1, 1)[0, 0].tolist() == [1, 0, 0, 128]
    assert_allclose(data.cameras(1), [[0, 26.5, 0, 0.8, 25], [10, 26.5, 0, 0.8, 25]])


def test_grids_are_read_once_and_not_shared(root):
    want = np.random.default_rng(1).random((32, 32, 32)) < 0.1
    data = R2N2.open(root)
    data.grid(1)[:] = True
    (root / "ShapeNetVox32" / CHAIR / "b" / "model.binvox").unlink()
    assert data.grid(1).dtype == np.bool_
    assert_array_equal(data.grid(1), want)


def test_a_split_file_sets_the_order_and_the_missing_are_named(root):
    rendering = root / "ShapeNetRendering" / CHAIR
    (root / "ShapeNetVox32" / CHAIR / "a" / "model.binvox").rename(root / "away")
    add_model(root, "gap", views=3)
    (rendering / "gap" / "rendering" / "01.png").unlink()
    split = [{"taxonomy_id": CHAIR, "train": ["b", "lost", "a", "gap"], "test": []}]
    (root / "split.json").write_text(json.dumps(split))

    data = R2N2.open(root, "train")

    assert [model.name for model in data.shapes] == ["b"]
    assert [skipped.shape_id.split("/")[1] for skipped in data.skipped] == ["lost", "a", "gap"]
    reasons = " ".join(skipped.reason for skipped in data.skipped)
    assert reasons.count("model.binvox") == 2
    assert "01.png" in reasons
    assert len(R2N2.open(root, "test")) == 0


def test_check_skips_what_cannot_be_read(root):
    (root / "ShapeNetVox32" / CHAIR / "a" / "model.binvox").write_bytes(b"#binvox 1\n")
    add_model(root, "cut")
    (root / "ShapeNetRendering" / CHAIR / "cut" / "rendering" / "01.png").write_bytes(b"\x89PNG")
    calls = []

    checked = R2N2.open(root).check(progress=lambda count, total: calls.append((count, total)))

    assert [model.name for model in checked.shapes] == ["b"]
    assert [skipped.shape_id for skipped in checked.skipped] == [f"{CHAIR}/a", f"{CHAIR}/cut"]
    assert "01.png" in checked.skipped[1].reason
    assert calls == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    "text", ["", "1 2 0 0.8 25\n", "a b c d e\n" * 2, "1 2 3\n" * 2, "nan 2 0 0.8 25\n" * 2]
)
def test_bad_metadata_is_named(root, text):
    path = root / "ShapeNetRendering" / CHAIR / "b" / "rendering" / "rendering_metadata.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"rendering_metadata\.txt"):
        R2N2.open(root).cameras(1)


def test_a_file_that_went_missing_is_named(root):
    data = R2N2.open(root)
    (root / "ShapeNetRendering" / CHAIR / "b" / "rendering" / "00.png").unlink()
    with pytest.raises(ValueError, match=r"00\.png"):
        data.image(1, 0)


@pytest.mark.parametrize("name", ["01.PNG", "02.PNG"])
def test_a_view_whose_ending_is_in_capitals_is_told(root, name):
    """Before: the shape had one view less, without a word."""
    rendering = root / "ShapeNetRendering" / CHAIR / "b" / "rendering"
    (rendering / "01.png").rename(rendering / name)
    skipped = R2N2.open(root).skipped
    assert [skip.shape_id for skip in skipped] == [f"{CHAIR}/b"]
    assert skipped[0].reason.endswith("rendering/01.png")


def test_a_grid_of_another_size_is_named(root):
    path = root / "ShapeNetVox32" / CHAIR / "b" / "model.binvox"
    write_binvox(path, np.ones((64, 64, 64), np.bool_))
    with pytest.raises(ValueError, match="got 64 voxels a side, want 32"):
        R2N2.open(root).grid(1)


def test_mistakes_when_opening(root):
    with pytest.raises(ValueError, match="want the R2N2 layout"):
        R2N2.open(root / "nowhere")
    with pytest.raises(ValueError, match=r"no split\.json"):
        R2N2.open(root, "train")
    with pytest.raises(ValueError, match="subset"):
        R2N2.open(root, "training")
    with pytest.raises(ValueError, match=r"view: got 2, want 0\.\.1"):
        R2N2.open(root).image(1, 2)


def test_stray_files_beside_the_models_are_ignored(root):
    """As in the published archives, each of which holds a copy of itself."""
    (root / "ShapeNetRendering" / "ShapeNetRendering.tgz").write_bytes(b"stray")
    (root / "ShapeNetRendering" / CHAIR / "stray.tgz").write_bytes(b"stray")
    (root / "ShapeNetVox32" / "ShapeNetVox32.tgz").write_bytes(b"stray")
    (root / "ShapeNetRendering" / CHAIR / "a" / "rendering" / "renderings.txt").write_text("00.png")
    data = R2N2.open(root).check()
    assert [data.shape_id(i) for i in range(len(data))] == [f"{CHAIR}/a", f"{CHAIR}/b"]
    assert data.skipped == ()


@pytest.mark.parametrize("name", ["aeroplane", "airplane", "02691156"])
def test_a_category_goes_by_its_other_name(root, name):
    add_model(root, "plane", synset="02691156")
    data = R2N2.open(root, categories=[name])
    assert [data.category(i) for i in range(len(data))] == ["aeroplane"]


def test_a_large_set_is_read_from_end_to_end_once(root, monkeypatch):
    monkeypatch.setattr("mem3d.data.readers.r2n2.WORTH_IT", 3)  # three pictures, which it has
    read = []
    image = R2N2.image
    monkeypatch.setattr(
        R2N2, "image", lambda self, i, v: (read.append((i, v)), image(self, i, v))[1]
    )

    assert len(R2N2.open(root).check()) == 2
    assert (sorted(read), read.clear()) == ([(0, 0), (1, 0), (1, 1)], None)
    assert len(R2N2.open(root).check()) == len(R2N2.open(root).check(1)) == 2
    assert read == []

    picture = root / "ShapeNetRendering" / CHAIR / "b" / "rendering" / "01.png"
    picture.write_bytes(picture.read_bytes()[:30])  # cut short since
    checked = R2N2.open(root).check()
    assert [skipped.shape_id for skipped in checked.skipped] == [f"{CHAIR}/b"]
    assert {i for i, _ in read} == {1}
    assert len(R2N2.open(root).check()) == 1  # what is broken is read, and named, each time


def test_a_small_set_and_a_short_check_leave_no_note(root, monkeypatch):
    R2N2.open(root).check()
    monkeypatch.setattr("mem3d.data.readers.r2n2.WORTH_IT", 1)
    R2N2.open(root).check(1)
    assert not (root / ".checked.json").exists()


def test_a_folder_without_a_split_says_how_to_make_one(tmp_path):
    (tmp_path / "ShapeNetRendering").mkdir()
    with pytest.raises(ValueError) as told:
        R2N2.open(tmp_path, "train")
    assert f"mem3d-cli data split {tmp_path} --out {tmp_path}/split.json" in str(told.value)


def test_the_list_of_shapenet_with_few_folders(real_data, tmp_path):
    """Counts of Pix2Vox's split; the models that are there come first and last in its lists."""
    split = real_data / "splits" / "pix2vox_ShapeNet.json"
    listed = {entry["taxonomy_id"]: entry for entry in json.loads(split.read_text())}
    for name in (listed["02691156"]["train"][0], listed["02691156"]["train"][-1]):
        add_model(tmp_path, name, synset="02691156")
    add_model(tmp_path, listed["04530566"]["test"][0], synset="04530566", views=1)

    train, test = (R2N2.open(tmp_path, subset, split) for subset in ("train", "test"))

    assert (len(train), len(train.skipped)) == (2, 30643 - 2)
    assert (len(test), len(test.skipped)) == (1, 8770 - 1)
    assert {train.category(0), test.category(0)} == {"aeroplane", "watercraft"}
    assert "02958343/f9c1d7748c15499c6f2bd1c4e9adb41" in {one.shape_id for one in train.skipped}
    assert len(train.check()) == 2


def test_real_models(real_data):
    data = R2N2.open(real_data / "r2n2_real").check()
    assert (len(data), data.skipped) == (7, ())
    assert sorted(model.category for model in data.shapes) == sorted(
        ["aeroplane", "car", "chair", "chair", "chair", "chair", "lamp"]
    )
    for i in range(7):
        used = np.argwhere(data.grid(i))
        longest = int(np.ptp(used, axis=0).argmax())
        assert used.min(0)[longest] == 0
        assert used.max(0)[longest] == 31
        assert data.image(i, 23).shape == (137, 137, 4)
        assert data.cameras(i)[:, 4].tolist() == [25] * 24


def test_a_fingerprint_changes_with_any_file(model):
    rendering, binvox = model
    seen = [fingerprint(rendering, binvox)]
    assert fingerprint(rendering, binvox) == seen[0]
    os.utime(binvox, ns=(0, 1))
    seen.append(fingerprint(rendering, binvox))
    (rendering / "01.png").write_bytes(b"other")
    seen.append(fingerprint(rendering, binvox))
    (rendering / "02.png").write_bytes(b"new")
    seen.append(fingerprint(rendering, binvox))
    assert len(set(seen)) == 4
    binvox.unlink()
    assert fingerprint(rendering, binvox) is None


def test_a_note_comes_back(tmp_path):
    assert read_checked(tmp_path) == {}
    write_checked(tmp_path, {"a/b": "c"})
    assert read_checked(tmp_path) == {"a/b": "c"}


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000, b'{"version": 0, "whole": {"a": "b"}}']
)
def test_a_damaged_note_counts_as_none(tmp_path, data):
    (tmp_path / NAME).write_bytes(data)
    assert read_checked(tmp_path) == {}


def test_a_note_that_cannot_be_written_is_done_without(tmp_path):
    write_checked(tmp_path / "absent", {"a/b": "c"})
    (tmp_path / NAME).mkdir()
    write_checked(tmp_path, {"a/b": "c"})
    assert read_checked(tmp_path) == {}
