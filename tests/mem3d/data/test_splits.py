"""Split files, and a few shapes that stand for a whole set."""

import json

import pytest

from mem3d.data.splits import (
    Entry,
    keep_categories,
    named,
    read_split,
    shapes_on_disk,
    spread,
    write_split,
)

CHAIRS = {"taxonomy_id": "03001627", "taxonomy_name": "seat", "train": ["a", "b"], "test": ["c"]}
BEDS = {"taxonomy_id": "02818832", "taxonomy_name": "bed", "val": ["d"], "baseline": {"1-view": 1}}


@pytest.fixture
def split(tmp_path):
    def write(content):
        path = tmp_path / "split.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_subsets_in_the_order_of_the_file(split):
    path = split([CHAIRS, BEDS])
    assert [entry.name for entry in read_split(path)] == ["a", "b", "c", "d"]
    assert [entry.name for entry in read_split(path, "train")] == ["a", "b"]


def test_files_that_cannot_be_read_are_told_without_a_number(tmp_path):
    with pytest.raises(ValueError) as told:
        read_split(tmp_path / "absent.json")
    assert str(told.value) == f"{tmp_path}/absent.json: got nothing there, want a JSON file"
    with pytest.raises(ValueError, match=r"a\.json: got no readable JSON \(Not a directory\)"):
        (tmp_path / "file").touch()
        read_split(tmp_path / "file" / "a.json")


def test_known_synsets_have_one_name_whatever_the_file_says(split):
    names = {entry.category for entry in read_split(split([CHAIRS, BEDS]))}
    assert names == {"chair", "bed"}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[" * 100_000,
        "{}",
        [1],
        [{"taxonomy_id": "1", "train": "abc"}],
        [{"taxonomy_id": "1", "train": [7]}],
        [{"taxonomy_id": "1", "train": ["../../etc"]}],
        [{"taxonomy_id": "..", "train": ["a"]}],
        [{"taxonomy_id": "1", "train": ["a"], "test": ["a"]}],
        [{"train": ["a"]}],
    ],
)
def test_a_bad_file_is_named(split, content):
    with pytest.raises(ValueError, match=r"split\.json: got"):
        read_split(split(content))


def test_a_split_file_that_would_take_gigabytes_is_refused(tmp_path):
    path = tmp_path / "split.json"
    path.write_bytes(b"[" + b"{}," * (20 << 20) + b"{}]")  # 60 MB, 1.5 GB as Python has it
    with pytest.raises(ValueError, match=r"split\.json: got over 33554432 bytes of JSON"):
        read_split(path)
    path.write_bytes(b"[" + b"{}," * (8 << 20) + b"{}]")
    with pytest.raises(ValueError, match=r"split\.json: got 16777218 values in JSON, want at most"):
        read_split(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.json"):
        read_split(tmp_path / "none.json")


def test_the_published_split(real_data):
    counts = [
        len(read_split(real_data / "splits" / "pix2vox_ShapeNet.json", part))
        for part in ("train", "val", "test")
    ]
    assert counts == [30643, 4371, 8770]  # Pix2Vox, datasets/ShapeNet.json


def test_categories_by_name_or_synset():
    entries = [Entry("03001627", "chair", "a"), Entry("02818832", "bed", "b")]
    assert keep_categories(entries, ["chair"]) == entries[:1]
    assert keep_categories(entries, ["02818832", "car"]) == entries[1:]
    assert keep_categories(entries, None) == entries
    with pytest.raises(ValueError, match="chiar"):
        keep_categories(entries, ["chiar"])


def test_folders_on_disk(tmp_path):
    (tmp_path / "ShapeNetRendering" / "03001627" / "b").mkdir(parents=True)
    (tmp_path / "ShapeNetRendering" / "03001627" / "a").mkdir()
    (tmp_path / "ShapeNetRendering" / "03001627.tgz").touch()
    found = shapes_on_disk(tmp_path)
    assert found == [Entry("03001627", "chair", "a"), Entry("03001627", "chair", "b")]


@pytest.mark.parametrize("name", ["a b", "ä", "x" * 201])
def test_a_folder_of_another_name_is_not_left_out_without_a_word(name, tmp_path):
    (tmp_path / "ShapeNetRendering" / "03001627" / "a").mkdir(parents=True)
    (tmp_path / "ShapeNetRendering" / "03001627" / ".hidden").mkdir()
    assert len(shapes_on_disk(tmp_path)) == 1
    (tmp_path / "ShapeNetRendering" / "03001627" / name).mkdir()
    with pytest.raises(ValueError, match="got a folder of this name, want a shape's name"):
        shapes_on_disk(tmp_path)


def test_a_split_that_is_written_is_read_again(tmp_path):
    path = tmp_path / "split.json"
    sources = ["03001627/b", "03001627/a", "02818832/c"]
    write_split(path, sources, ["chair", "chair", "bed"], ["train", "train", "val"])
    assert json.loads(path.read_text()) == [
        {"taxonomy_id": "02818832", "taxonomy_name": "bed", "train": [], "val": ["c"], "test": []},
        {
            "taxonomy_id": "03001627",
            "taxonomy_name": "chair",
            "train": ["a", "b"],
            "val": [],
            "test": [],
        },
    ]
    assert [entry.category for entry in read_split(path)] == ["bed", "chair", "chair"]
    with pytest.raises(ValueError, match="is there"):
        write_split(path, [], [], [])
    for source in ("plain", "a/../b", "a/b/c"):
        with pytest.raises(ValueError, match="want 'synset/model'"):
            write_split(tmp_path / "new.json", [source], ["chair"], ["test"])


def test_categories_share_evenly_by_hand():
    names = ["a"] * 10 + ["b"] * 2 + ["c"] * 6
    assert spread(names, 3) == [5, 11, 15]  # one of each, from their middles
    chosen = [names[i] for i in spread(names, 8)]
    assert [chosen.count(name) for name in "abc"] == [3, 2, 3]


def test_small_categories_leave_their_part_to_others():
    names = ["a"] * 10 + ["b"]
    assert len(spread(names, 6)) == 6
    assert 10 in spread(names, 6)
    assert spread(names, 99) == list(range(11))


def test_fewer_models_than_categories():
    names = [letter for letter in "abcdef" for _ in range(3)]
    chosen = spread(names, 3)
    assert len({names[i] for i in chosen}) == 3
    assert spread(names, 0) == spread([], 4) == []


def test_models_by_name():
    sources = ["x/1", "x/2", "y/2", "plain"]
    assert named(sources, ["1", "y/2", "plain"]) == [0, 2, 3]
    with pytest.raises(ValueError, match="'2', the name of 2 shapes, want that of one"):
        named(sources, ["2"])
    with pytest.raises(ValueError, match="of 0 shapes"):
        named(sources, ["z"])
