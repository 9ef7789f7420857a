"""Photos by name, folder and pattern."""

import pytest

from mem3d.data.photo_search import find_photos


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
    assert [path.name for path in find_photos(["*"]).others] == ["notes.txt"]


@pytest.mark.parametrize("wanted", ["*.webp", "*.txt", "in/deep/*/*"])
def test_a_pattern_that_fits_no_picture_is_an_error(wanted, here):
    with pytest.raises(ValueError, match="no picture that fits"):
        find_photos([wanted])
