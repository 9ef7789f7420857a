"""Contact sheets."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from memstore import ShapeError
from memstore.voxels.contact_sheet import Tile, on_white, save_png, sheet

WHITE = np.full((20, 20, 3), 255, np.uint8)


def test_half_transparent_black_on_white_is_gray():
    pixels = np.array([[[0, 0, 0, 255], [0, 0, 0, 0], [0, 0, 0, 128]]], np.uint8)
    assert on_white(pixels)[0, :, 0].tolist() == [0, 255, 127]


def test_what_is_no_picture_is_named():
    for image in (np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2)), np.zeros(2, np.uint8)):
        with pytest.raises(ShapeError, match="want uint8"):
            on_white(image)


def test_a_sheet_holds_every_tile_and_grows_with_captions():
    dark = np.zeros((30, 10, 3), np.uint8)
    plain = sheet([[Tile(WHITE), Tile(dark)], [Tile(dark)]], size=30)
    assert plain.shape == (8 + 2 * 38, 8 + 2 * 38, 3)
    assert (plain == 0).all(axis=2).sum() == 2 * 30 * 10
    named = sheet([[Tile(dark, "one\ntwo")]], title="x", size=30)
    assert named.shape[0] > 8 + 38 + 2 * 10
    assert sheet([]).shape[2] == 3


def test_a_long_caption_stays_below_its_tile():
    name = "03001627/1a74a83fa6d24b3cacd67ce2c72c02e"
    picture = sheet([[Tile(WHITE, name), Tile(WHITE)]], size=60)
    below = picture[8 + 60 :, 8 + 60 + 1 :]
    assert (below == 255).all()
    assert (picture[8 + 60 :, : 8 + 60] < 255).any()


@pytest.mark.parametrize("channels", [3, 4])
def test_png_round_trip(channels, tmp_path):
    """PIL, which checks every chunk, reads what was written."""
    picture = np.random.default_rng(0).integers(0, 256, (4, 5, channels), np.uint8)
    for maker in ("", "mem3d"):
        save_png(tmp_path / "a.png", picture[:, ::-1], maker)
        with Image.open(tmp_path / "a.png") as image:
            image.verify()
        with Image.open(tmp_path / "a.png") as image:
            assert_array_equal(np.asarray(image), picture[:, ::-1])
            assert image.info.get("Software", "") == maker


def test_what_is_no_picture_is_not_saved(tmp_path):
    for image in (np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2, 3)), np.zeros((2, 2), np.uint8)):
        with pytest.raises(ShapeError, match="want uint8"):
            save_png(tmp_path / "a.png", image)
