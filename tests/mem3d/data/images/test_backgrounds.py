"""Folders of photos for backgrounds."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mem3d.data.images.augment import NONE
from mem3d.data.images.backgrounds import MOST, SIDE, Backgrounds
from mem3d.data.images.preprocess import train_pixels
from tests.helpers.r2n2_folder import blob, picture


def folder_of(path, names, color=(10, 200, 30)):
    path.mkdir()
    for name in names:
        Image.new("RGB", (40, 30), color).save(path / name)
    return path


def test_broken_photos_and_other_files_are_left_out(tmp_path):
    folder = folder_of(tmp_path / "a", ["b.jpg", "c.png"])
    (folder / "d.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no picture either")
    found = Backgrounds.open(folder)
    assert found.pictures.shape == (2, SIDE, SIDE, 3)
    assert [name for name, _ in found.skipped] == ["d.jpg"]


def test_the_fingerprint_is_of_names_not_of_place(tmp_path):
    one = Backgrounds.open(folder_of(tmp_path / "a", ["x.png", "y.png"]))
    moved = Backgrounds.open(folder_of(tmp_path / "b", ["y.png", "x.png"]))
    other = Backgrounds.open(folder_of(tmp_path / "c", ["x.png", "z.png"]))
    assert one.fingerprint == moved.fingerprint != other.fingerprint


@pytest.mark.parametrize("names", [[], ["notes.txt"]])
def test_a_folder_without_photos_is_an_error(names, tmp_path):
    for name in names:
        (tmp_path / name).write_text("")
    with pytest.raises(ValueError, match="readable picture"):
        Backgrounds.open(tmp_path)
    with pytest.raises(ValueError, match="absent"):
        Backgrounds.open(tmp_path / "absent")


def test_a_large_folder_takes_bounded_memory(tmp_path, monkeypatch):
    assert MOST * SIDE * SIDE * 3 < 2e8  # bytes
    monkeypatch.setattr("mem3d.data.images.backgrounds.MOST", 3)
    found = Backgrounds.open(folder_of(tmp_path / "a", [f"{i}.png" for i in range(9)]))
    assert len(found.pictures) == 3


def test_pieces_are_squares_of_the_photo(tmp_path):
    found = Backgrounds.open(folder_of(tmp_path / "a", ["x.png"]))
    for seed in range(20):
        piece = found.draw(np.random.default_rng(seed))
        assert piece.shape[0] == piece.shape[1] >= SIDE / 2
        assert (piece == (10, 200, 30)).all()


def test_a_share_of_the_views_lies_over_photos(tmp_path):
    found = Backgrounds.open(folder_of(tmp_path / "a", ["x.png"], (0, 0, 0)))
    how = replace(NONE, photos=0.25)
    dark = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        image, _ = train_pixels(picture(0), blob(0), 32, rng, how, found)
        dark += bool((image[:, 0, 0] < 20).all())
    assert 25 <= dark <= 75  # 50 are meant
