"""What transparency says of an object, and what is doubtful about a mask."""

import numpy as np
import pytest

from mem3d.data.images.framing import frame_photo
from mem3d.data.images.io import read_image
from mem3d.data.images.masks import FEWEST, outline, own_mask
from tests.helpers.r2n2_folder import picture


def chair(ground, object_alpha=255, color=(120, 70, 30)):
    """An L of 2,400 pixels in a picture of 160 x 120; `ground` is the alpha around it."""
    rgba = np.full((120, 160, 4), 255, np.uint8)
    rgba[..., 3] = ground
    for rows, columns in ((slice(30, 90), slice(40, 60)), (slice(70, 90), slice(60, 120))):
        rgba[rows, columns] = (*color, object_alpha)
    return rgba


def same_square(one, two):
    """Whether the same square is cut, within what a guessed outline may miss."""
    return abs(one.rgba.shape[0] - two.rgba.shape[0]) <= 4


CUT_OUT = frame_photo(chair(ground=0))


def with_alpha(alpha):
    rgba = chair(ground=255)
    rgba[..., 3] = alpha
    return rgba


def rounded_corners():
    y, x = np.mgrid[:120, :160]
    away = np.hypot(np.maximum(0, abs(x - 79.5) - 69.5), np.maximum(0, abs(y - 59.5) - 49.5))
    return with_alpha(np.where(away > 10, 0, 255))


def one_pixel(alpha):
    rgba = chair(ground=255)
    rgba[0, 0, 3] = alpha
    return rgba


@pytest.mark.parametrize(
    "rgba",
    [one_pixel(254), one_pixel(0), rounded_corners(), chair(ground=140), chair(ground=254)],
    ids=["one pixel of 254", "one of 0", "round corners", "ground of 140", "ground of 254"],
)
def test_alpha_that_leaves_nearly_all_is_no_mask(rgba):
    framed = frame_photo(rgba)
    assert framed.background == "cut"
    assert same_square(framed, CUT_OUT)
    assert frame_photo(rgba, background="keep").background == "kept"


@pytest.mark.parametrize("count", [1, FEWEST - 1])
def test_alpha_that_leaves_next_to_nothing_is_no_mask(count):
    rgba = chair(ground=0, object_alpha=0)
    rgba.reshape(-1, 4)[:count, 3] = 255
    framed = frame_photo(rgba)
    assert framed.background == "cut"
    assert same_square(framed, CUT_OUT)


def test_a_veil_over_the_ground_is_no_object():
    """An alpha of 100 around, 255 within: what is more opaque than not is the object."""
    framed = frame_photo(chair(ground=100))
    assert framed.background == "masked"
    np.testing.assert_array_equal(framed.rgba[..., 3], CUT_OUT.rgba[..., 3])


@pytest.mark.parametrize("alpha", [30, 100, 127])
def test_a_half_transparent_object_is_an_object(alpha):
    framed = frame_photo(chair(ground=0, object_alpha=alpha))
    assert framed.background == "masked" and not framed.doubts
    inside = CUT_OUT.rgba[..., 3] > 0
    np.testing.assert_array_equal(framed.rgba[..., 3] > 0, inside)
    np.testing.assert_array_equal(framed.rgba[inside], CUT_OUT.rgba[inside])


def test_an_opaque_speck_beside_a_half_transparent_object():
    rgba = chair(ground=0, object_alpha=100)
    rgba[3:6, 3:6, 3] = 255
    assert frame_photo(rgba).rgba.shape == CUT_OUT.rgba.shape


@pytest.mark.parametrize("size", [1, 3, 10])
def test_specks_do_not_set_the_frame(size):
    """100 of 2,400 pixels are less than a twentieth."""
    rgba = chair(ground=0)
    rgba[2 : 2 + size, 150 : 150 + size, 3] = 255
    framed = frame_photo(rgba)
    assert not framed.doubts
    assert framed.rgba.shape == CUT_OUT.rgba.shape
    masked = frame_photo(chair(ground=255), mask=rgba[..., 3])
    assert masked.rgba.shape == CUT_OUT.rgba.shape


def test_pieces_that_hang_together_by_a_thread_are_one():
    """A cable thinner than a pixel: its alpha is over 127 here and there only."""
    alpha = np.zeros((40, 80), np.uint8)
    alpha[10:30, 5:25] = 255
    alpha[20, 25:70] = 60
    alpha[20, 66:70] = 200
    assert outline(alpha).box == (5, 10, 70, 30)


def test_what_is_doubtful():
    whole = np.zeros((100, 100), np.uint8)
    whole[20:80, 30:60] = 255
    assert outline(whole).doubts == ()
    cut_off = np.roll(whole, 20, 0)
    assert outline(cut_off).doubts == ("touches the border",)
    pair = whole.copy()
    pair[40:60, 70:80] = 255
    assert outline(pair).doubts == ("several pieces",)
    assert outline(np.full((100, 100), 255, np.uint8)).doubts == (
        "touches the border",
        "nearly all of the picture",
    )
    tiny = np.zeros((100, 100), np.uint8)
    tiny[50:57, 50:57] = 255  # 49 of 10,000
    assert outline(tiny).doubts == ("nearly nothing of the picture",)


def test_doubts_of_a_guessed_outline():
    rgb = np.full((120, 160, 3), 250, np.uint8)
    rgb[40:80, 30:70] = (180, 30, 30)
    opaque = np.dstack([rgb, np.full((120, 160), 255, np.uint8)])
    assert frame_photo(opaque).doubts == ()
    beside = opaque.copy()
    beside[40:60, 100:130, :3] = (180, 30, 30)
    assert frame_photo(beside).doubts == ("several pieces",)
    cut_off = np.roll(opaque, -30, 1)
    cut_off[:, 130:] = 250
    assert frame_photo(cut_off).doubts == ("touches the border",)
    assert frame_photo(beside, box=(25, 35, 75, 85)).doubts == ()


def test_a_box_says_where_the_object_ends():
    """That a mask touches the box, or fills it, is no doubt."""
    rgba = chair(ground=0)
    assert frame_photo(rgba, box=(40, 30, 60, 90)).doubts == ()
    with pytest.raises(ValueError, match="mask: got no object in the box"):
        frame_photo(rgba, box=(0, 0, 20, 20))


def test_renders_have_masks_to_be_believed(real_data):
    files = sorted((real_data / "r2n2_real").glob("ShapeNetRendering/*/*/rendering/*.png"))
    for file in files[::3]:
        rgba = read_image(file)
        same, is_mask = own_mask(rgba)
        assert is_mask and same is rgba
        assert frame_photo(rgba).doubts == ()


def test_masks_made_by_hand_are_believed(real_data):
    for name in ("car2.png", "chair2.png"):
        framed = frame_photo(read_image(real_data / "photos_masked" / name))
        assert framed.background == "masked" and not framed.doubts


@pytest.mark.parametrize(
    ("name", "background"),
    [("alpha_bg140", "cut"), ("alpha_one_px_254", "cut"), ("alpha_glass100", "masked")],
)
def test_odd_files(name, background, real_data):
    folder = real_data / "odd_files" / "photos"
    framed, want = (frame_photo(read_image(folder / f"{stem}.png")) for stem in (name, "ref_rgba"))
    assert framed.background == background
    assert same_square(framed, want)


def test_a_render_is_framed_by_its_own_mask():
    same, is_mask = own_mask(picture(0))
    assert is_mask
    np.testing.assert_array_equal(same, picture(0))
