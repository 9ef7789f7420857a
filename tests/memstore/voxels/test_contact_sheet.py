"""Contact sheets."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from memstore import ShapeError
from memstore.voxels.contact_sheet import Legend, Tile, on_white, save_png, sheet

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


RED, BLUE = (250, 0, 0), (0, 0, 250)


def test_a_legend_stands_once_above_all_tiles():
    rows = [[Tile(WHITE)] * 9] * 2
    plain, named = (sheet(rows, legend=key) for key in (None, Legend("", (RED, BLUE), ("a", "b"))))
    assert len(named) == len(plain) + 15 + 8
    for color in (RED, BLUE):
        assert (named == color).all(axis=2).sum() == 20 * 11
    assert (named[8 + 15 + 8 :] == plain[8:]).all()


def test_a_scale_runs_from_its_first_color_to_its_last():
    scale = Legend("sure", (RED, (255, 255, 255), BLUE), ("0", "1"), is_scale=True)
    picture = sheet([[Tile(WHITE)] * 3], legend=scale)
    line = picture[8 + 6]
    first, last = (np.flatnonzero((line == color).all(axis=1)) for color in (RED, BLUE))
    assert (len(first), len(last)) == (1, 1)
    assert last[0] - first[0] == 95
    between = line[first[0] : last[0], 0].astype(int) - line[first[0] : last[0], 2]
    assert (np.diff(between) <= 0).all()


def test_a_legend_is_broken_where_it_does_not_fit():
    words = ("one thing", "another thing")
    wide, narrow = (
        sheet([[Tile(WHITE)]], size=size, legend=Legend("", (RED, BLUE), words))
        for size in (300, 120)
    )
    assert len(narrow) - 120 == len(wide) - 300 + 15
    assert (narrow[:, -8:] == 255).all()


def test_columns_are_set_apart_by_a_line():
    rows = [[Tile(WHITE)] * 3] * 2
    plain, apart = (sheet(rows, size=30, apart=apart) for apart in (0, 1))
    assert apart.shape == (plain.shape[0], plain.shape[1] + 16, 3)
    [line] = np.flatnonzero((apart < 255).all(axis=(0, 2)) | (apart[20] < 255).all(axis=1))
    assert 8 + 30 < line < 8 + 30 + 8 + 16
    assert (sheet(rows, size=30, apart=3) == plain).all()  # of nothing


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
