"""The list of a data folder's models and files."""

import json

import pytest
from numpy.testing import assert_array_equal

from mem3d.data.loader import BatchSampler
from mem3d.data.open import open_dataset
from mem3d.data.readers.r2n2 import R2N2
from mem3d.data.readers.r2n2_index import write_index
from mem3d.data.zarr_pack.writer import pack
from tests.helpers.r2n2_folder import make_r2n2


@pytest.fixture
def root(tmp_path):
    """8 models, of which one lacks its grid and one has a broken view."""
    root = make_r2n2(tmp_path / "data", train=2, val=1, test=1)
    (root / "ShapeNetVox32" / "02691156" / "train0" / "model.binvox").unlink()
    (root / "ShapeNetRendering/03001627/val0/rendering/00.png").write_bytes(b"")
    return root


def test_an_index_opens_what_the_folder_does(root, tmp_path):
    files = R2N2.open(root)
    write_index(files, tmp_path / "index.json")
    for subset in (None, "train", "val", "test"):
        ours, theirs = open_dataset(tmp_path / "index.json", subset), R2N2.open(root, subset)
        good = [model for model in theirs.shapes if model.shape_id != "03001627/val0"]
        assert [model.shape_id for model in ours.shapes] == [model.shape_id for model in good]
        assert [model.views for model in ours.shapes] == [2] * len(good)
        assert {skip.shape_id for skip in ours.skipped} == {"02691156/train0", "03001627/val0"}
    ours = open_dataset(tmp_path / "index.json", "test", categories=["chair"])
    assert_array_equal(ours.image(0, 1), R2N2.open(root, "test").image(1, 1))
    assert_array_equal(ours.grid(0), R2N2.open(root, "test").grid(1))


def test_what_it_says(root):
    write_index(R2N2.open(root), root / "index.json", occupancy=True)
    found = json.loads((root / "index.json").read_text())
    assert found["root"] == "."
    row = found["models"][2]
    assert row.pop("occupancy") == R2N2.open(root).grid(2).mean()
    assert row == {
        "source": "02691156/test0",
        "category": "aeroplane",
        "subset": "test",
        "rendering": "ShapeNetRendering/02691156/test0/rendering",
        "views": 2,
        "binvox": "ShapeNetVox32/02691156/test0/model.binvox",
        "cameras": "ShapeNetRendering/02691156/test0/rendering/rendering_metadata.txt",
        "height": 137,
        "width": 137,
    }
    assert all((root / row[name]).exists() for name in ("rendering", "binvox", "cameras"))


def test_it_moves_with_its_folder(root, tmp_path):
    write_index(R2N2.open(root), root / "index.json")
    root.rename(tmp_path / "moved")
    assert open_dataset(tmp_path / "moved" / "index.json").image(0, 0).shape == (137, 137, 4)


def test_where_it_says_it_lies_opens_it_again(root, tmp_path):
    """A run writes down root and split, and is tested on what these two open."""
    write_index(R2N2.open(root), tmp_path / "index.json")
    ours = open_dataset(tmp_path / "index.json", "train").check()
    again = open_dataset(ours.root, "test", ours.split)
    assert [again.shape_id(i) for i in range(len(again))] == ["02691156/test0", "03001627/test0"]


def test_an_index_that_has_left_its_data_says_so_once(root, tmp_path):
    write_index(R2N2.open(root), root / "index.json")
    moved = (root / "index.json").rename(tmp_path / "index.json")
    with pytest.raises(ValueError, match=r"index\.json: got root '\.', want the data there"):
        open_dataset(moved, "train")


def test_what_a_check_leaves_can_be_listed_and_packed(root, tmp_path):
    write_index(R2N2.open(root), tmp_path / "index.json")
    checked = open_dataset(tmp_path / "index.json").check()
    (tmp_path / "deep").mkdir()
    write_index(checked, tmp_path / "deep" / "index.json")
    assert len(open_dataset(tmp_path / "deep" / "index.json", "train").check()) == 3
    assert len(pack(checked, tmp_path / "p")) == 6


def test_packing_from_an_index_keeps_the_subsets(root, tmp_path):
    write_index(R2N2.open(root), tmp_path / "index.json")
    pack(open_dataset(tmp_path / "index.json"), tmp_path / "p")
    got, want = (
        open_dataset(tmp_path / "p", "train"),
        open_dataset(tmp_path / "index.json", "train"),
    )
    assert [got.shape_id(i) for i in range(len(got))] == [model.shape_id for model in want.shapes]
    assert len(got) == 3


def test_an_empty_list(root):
    (root / "split.json").write_text("[]")
    write_index(R2N2.open(root), root / "index.json")
    assert len(open_dataset(root / "index.json")) == 0


def broken_rows():
    yield "no source", lambda row: row.pop("source")
    yield "a path that leads away", lambda row: row.update(source="../../etc")
    yield "another path", lambda row: row.update(binvox="/etc/passwd")
    yield "views no number", lambda row: row.update(views="2")
    yield "too many views", lambda row: row.update(views=101)
    yield "another subset", lambda row: row.update(subset="all")
    yield "no category", lambda row: row.update(category=3)


@pytest.mark.parametrize("damage", [f for _, f in broken_rows()], ids=[n for n, _ in broken_rows()])
def test_a_damaged_row_is_refused(root, damage):
    path = root / "index.json"
    write_index(R2N2.open(root), path)
    found = json.loads(path.read_text())
    damage(found["models"][1])
    path.write_text(json.dumps(found))
    with pytest.raises(ValueError, match=r"index\.json"):
        open_dataset(path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "[" * 100_000, '{"mem3d_index": 1, "root": ".", "models": [1]}']
)
def test_what_is_no_index(tmp_path, text):
    path = tmp_path / "index.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="index"):
        open_dataset(path)


def test_another_kind_of_file_is_refused(root):
    with pytest.raises(ValueError, match=r"want \.json"):
        write_index(R2N2.open(root), root / "index.csv")


def test_the_whole_of_r2n2_opens(tmp_path):
    """43,784 models; work that grows with their square would take minutes (pytest's limit)."""
    sources = [f"03001627/{number:032x}" for number in range(43_784)]
    rows = [
        {
            "source": source,
            "category": "chair",
            "subset": ("train", "val", "test")[n % 3],
            "rendering": f"ShapeNetRendering/{source}/rendering",
            "views": 24,
            "binvox": f"ShapeNetVox32/{source}/model.binvox",
        }
        for n, source in enumerate(sources)
    ]
    found = {"mem3d_index": 1, "root": ".", "models": rows, "skipped": []}
    (tmp_path / "index.json").write_text(json.dumps(found))
    (tmp_path / "ShapeNetRendering").mkdir()
    data = open_dataset(tmp_path / "index.json", "train")
    assert len(data) == 14_595
    shown = [model for step in BatchSampler(len(data), 32, 1, seed=0) for _, model in step]
    assert sorted(shown) == list(range(len(data)))
