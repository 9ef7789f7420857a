"""Photos by name, folder and pattern."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mem3d.data.images.io import MAX_NAME, distinct_names, find_photos


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.JPG", "notes.txt", "in/c.png", "in/deep/d.png", "odd[1].png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()


@pytest.mark.parametrize(
    ("wanted", "photos"),
    [
        (["b.JPG", "a.png"], ["b.JPG", "a.png"]),
        (["in"], ["in/c.png"]),
        (["*.png"], ["a.png", "odd[1].png"]),
        (["**/*.png"], ["a.png", "in/c.png", "in/deep/d.png", "odd[1].png"]),
        (["?.*", "a.png", "in"], ["a.png", "b.JPG", "in/c.png"]),
        (["odd[1].png"], ["odd[1].png"]),
        (["absent.png"], ["absent.png"]),  # opening it tells what is wrong
    ],
)
def test_what_words_stand_for(wanted, photos, here):
    found = find_photos(wanted)
    assert [str(path) for path in found.photos] == photos
    assert {str(path) for path in found.named} == {w for w in wanted if w in photos}


def test_other_files_are_told_apart(here):
    assert [path.name for path in find_photos(["*"]).other_files] == ["notes.txt"]


@pytest.mark.parametrize("wanted", ["*.webp", "*.txt", "in/deep/*/*"])
def test_a_pattern_that_fits_no_picture_is_an_error(wanted, here):
    with pytest.raises(ValueError, match="no picture that fits"):
        find_photos([wanted])


@pytest.mark.parametrize(
    ("photos", "names"),
    [
        (["a.png", "in/b.png"], ["a", "b"]),
        (["x/m1/r/00.png", "x/m2/r/00.png", "x/01.png"], ["m1_r_00", "m2_r_00", "01"]),
        (["x/1/00.png", "x/2/00.png", "y/1/00.png"], ["x_1_00", "x_2_00", "y_1_00"]),
        (["a.jpg", "a.png", "a-2.png"], ["a", "a-2", "a-2-2"]),
        (["in/a.jpg", "in/a.png", "on/a.png"], ["in_a", "in_a-2", "on_a"]),
        (["a/b.png", "c/b.png", "a_b.png"], ["a_b", "c_b", "a_b-2"]),
        (["/a.png", "/in/a.png"], ["a", "in_a"]),
        (["/in/../on/a.png", "/in/a.png"], ["on_a", "in_a"]),
        (["/.in/a.png", "/on/a.png"], ["in_a", "on_a"]),
    ],
)
def test_names_tell_photos_apart(photos, names):
    assert distinct_names([Path(photo) for photo in photos]) == names


def test_folders_as_long_as_they_may_be():
    """A name and its ending have to fit 255 bytes, of which a letter takes up to four."""
    photos = [Path("/", first, "ü" * 120, "a.png") for first in "xy"]
    names = distinct_names(photos)
    assert names[1] == f"{names[0]}-2"
    assert len(os.fsencode(names[0])) <= MAX_NAME and names[0].endswith("ü_a")
    long = "b" * 200
    assert distinct_names([Path("x", f"{long}.png"), Path("y", f"{long}.png")])[0] == long


words = st.text("ab_-2", min_size=1, max_size=3)


@given(st.lists(st.lists(words, min_size=1, max_size=4), unique_by=tuple))
def test_no_two_names_are_alike(places):
    names = distinct_names([Path("/", *parts[:-1], f"{parts[-1]}.png") for parts in places])
    assert len(set(names)) == len(places)
    assert not any("/" in name for name in names)
    stems = [parts[-1] for parts in places]
    for stem, name in zip(stems, names, strict=True):
        assert stem in name and (stems.count(stem) > 1 or name.startswith(stem))
