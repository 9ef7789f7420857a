"""Any photo to the square the network is shown."""

import numpy as np
import pytest
from PIL import Image

from mem3d.data.images.framing import LONGEST, OBJECT_SHARE, frame_object, frame_photo, shrunk
from mem3d.data.images.preprocess import CROP
from tests.helpers.r2n2_folder import picture


def opaque(rgba, ground=(250, 250, 250)):
    alpha = rgba[..., 3:] / 255
    laid = rgba[..., :3] * alpha + np.array(ground) * (1 - alpha)
    return np.dstack([laid.astype(np.uint8), np.full(rgba.shape[:2], 255, np.uint8)])


def share_wide(framed):
    columns = np.flatnonzero((framed.rgba[..., 3] > 127).any(0))
    rows = np.flatnonzero((framed.rgba[..., 3] > 127).any(1))
    longest = max(np.ptp(columns), np.ptp(rows)) + 1
    return longest / (framed.rgba.shape[0] * CROP)


@pytest.mark.parametrize("shape", [(1500, 1100), (LONGEST + 1, 3)])
@pytest.mark.parametrize("alpha", [(255, 256), (0, 256)], ids=["opaque", "transparent"])
def test_a_large_photo_is_shrunk_as_pil_does(shape, alpha):
    """An opaque one on a way of its own, whatever its strides."""
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (*shape, 4), np.uint8)
    photo[..., 3] = rng.integers(*alpha, shape, np.uint16)
    size = max(1, round(shape[1] * LONGEST / shape[0])), LONGEST
    for pixels in (photo, np.asfortranarray(photo), photo[::-1]):
        want = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))
        np.testing.assert_array_equal(shrunk(pixels)[0], want)


def test_a_photos_own_mask_is_used():
    framed = frame_photo(picture(0))
    assert framed.background == "masked"
    np.testing.assert_array_equal(framed.rgba, frame_object(picture(0)))


@pytest.mark.parametrize("form", ["gray", "rgba", "transparent"])
def test_a_mask_picture_is_a_mask(form):
    rgba = picture(0)
    light = rgba[..., 3]
    mask = {
        "gray": light,
        "rgba": np.dstack([light, light, light, np.full_like(light, 255)]),
        "transparent": np.dstack([np.full((137, 137, 3), 255, np.uint8), light]),
    }[form]
    framed = frame_photo(opaque(rgba), mask=mask)
    assert framed.background == "masked"
    inside = framed.rgba[..., 3] > 127
    np.testing.assert_array_equal(inside, frame_object(rgba)[..., 3] > 127)
    np.testing.assert_array_equal(framed.rgba[inside], frame_object(rgba)[inside])


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(ValueError, match="mask: got 5x9 pixels, want the photo's 137x137"):
        frame_photo(opaque(picture(0)), mask=np.full((9, 5), 255, np.uint8))


def test_a_white_mask_says_that_all_is_object():
    photo = opaque(picture(0))
    framed = frame_photo(photo, mask=np.full((137, 137), 255, np.uint8))
    assert framed.background == "masked"
    np.testing.assert_array_equal(framed.rgba, frame_object(photo))


def test_a_black_mask_is_refused():
    with pytest.raises(ValueError, match="mask: got no light pixel"):
        frame_photo(picture(0), mask=np.zeros((137, 137), np.uint8))


def test_an_object_that_stands_out_is_cut():
    framed = frame_photo(opaque(picture(0)))
    assert framed.background == "cut"
    assert share_wide(framed) == pytest.approx(OBJECT_SHARE, abs=0.03)


def test_the_background_can_be_kept():
    framed = frame_photo(opaque(picture(0)), background="keep")
    assert framed.background == "kept"
    np.testing.assert_array_equal(framed.rgba, opaque(picture(0)))


def test_without_an_object_the_background_is_kept_unless_it_was_to_be_cut():
    plain = np.full((40, 40, 4), 255, np.uint8)
    assert frame_photo(plain).background == "kept"
    with pytest.raises(ValueError, match="no object that stands out"):
        frame_photo(plain, background="cut")


def test_a_box_is_framed_as_renders_are():
    photo = np.full((200, 300, 4), 255, np.uint8)
    photo[80:120, 100:180] = (200, 0, 0, 255)  # 80 wide
    framed = frame_photo(photo, box=(100, 80, 180, 120), background="keep").rgba
    assert framed.shape[0] == framed.shape[1]
    red = np.flatnonzero((framed[..., 1] == 0).any(0) & (framed[..., 3] > 0).any(0))
    assert framed.shape[1] * OBJECT_SHARE * CROP == pytest.approx(80, abs=2)
    assert len(red) == 80


def test_a_box_chooses_of_what_a_mask_shows():
    both = np.concatenate([picture(1), picture(2)], axis=1)
    framed = frame_photo(both, box=(137, 0, 274, 137))
    np.testing.assert_array_equal(framed.rgba, frame_object(picture(2)))


def test_a_small_box_of_a_huge_photo_keeps_its_pixels():
    photo = np.full((3000, 4000, 4), 255, np.uint8)
    photo[1000:1100, 2000:2100] = (0, 90, 0, 255)
    framed = frame_photo(photo, box=(2000, 1000, 2100, 1100), background="keep").rgba
    assert (framed[..., 0] == 0).sum() == 100 * 100


@pytest.mark.parametrize("box", [(200, 0, 300, 50), (-9, -9, 0, 5), (5, 5, 5, 9), (9, 9, 5, 5)])
def test_a_box_outside_the_photo_is_refused(box):
    with pytest.raises(ValueError, match="box: got"):
        frame_photo(picture(0), box=box)


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (2, 2)])
@pytest.mark.parametrize("background", [None, "keep"])
def test_tiny_photos_are_framed(shape, background):
    framed = frame_photo(np.full((*shape, 4), 255, np.uint8), background=background)
    assert framed.background == "kept"
    assert framed.rgba.size


def test_a_fully_transparent_photo_is_an_error():
    with pytest.raises(ValueError, match="empty mask"):
        frame_photo(np.zeros((20, 20, 4), np.uint8))


def test_the_mask_is_told_in_the_photos_place():
    """By hand: around a box of 40 x 50 at 150, 150 the part is from 100, 100 to 240, 250."""
    rgba = picture(0)
    where = rgba[..., 3] > 127
    np.testing.assert_array_equal(frame_photo(rgba).mask, where)
    assert frame_photo(opaque(rgba), background="keep").mask is None
    large = np.zeros((300, 300, 4), np.uint8)
    large[100:237, 100:237] = rgba
    framed = frame_photo(large, box=(100, 100, 157, 237))
    assert framed.corner == (0, 0)
    framed = frame_photo(large, box=(150, 150, 190, 200))
    assert framed.corner == (100, 100)
    whole = np.zeros((300, 300), np.bool_)
    whole[100:250, 100:240] = framed.mask
    np.testing.assert_array_equal(whole[150:200, 150:190], where[50:100, 50:90])
    assert whole.sum() == where[50:100, 50:90].sum()
