"""Crop, background, mirror: what the network gets to see."""

import numpy as np
import pytest

from mem3d.data.images.framing import OBJECT_SHARE, frame_object
from mem3d.data.images.preprocess import (
    BACKGROUND,
    CROP,
    train_pixels,
)
from mem3d.data.images.preprocess import test_pixels as to_pixels
from tests.helpers.r2n2_folder import blob, picture


def square(side, low, high, color=(10, 20, 30)):
    """Opaque square on transparent ground, (side, side, 4)."""
    rgba = np.zeros((side, side, 4), np.uint8)
    rgba[low:high, low:high] = (*color, 255)
    return rgba


def test_transparent_ground_becomes_gray():
    image = to_pixels(square(137, 60, 70), 128)
    assert (image.shape, image.dtype) == ((3, 128, 128), np.uint8)
    assert (image[:, 0, 0] == BACKGROUND).all()


def test_the_crop_keeps_128_of_137_pixels():
    rgba = square(137, 0, 137)
    rgba[:4] = rgba[-4:] = (255, 0, 0, 255)  # a border of 4 is cut away: (137 - 128) / 2 = 4.5
    seen = to_pixels(rgba, 128).transpose(1, 2, 0)
    assert (np.abs(seen[2:-2].astype(int) - (10, 20, 30)) <= 1).all()


def test_one_generator_state_gives_one_sample():
    samples = [train_pixels(picture(0), blob(0), 64, np.random.default_rng(7)) for _ in range(2)]
    np.testing.assert_array_equal(samples[0][0], samples[1][0])
    np.testing.assert_array_equal(samples[0][1], samples[1][1])


def test_a_mirrored_picture_comes_with_a_mirrored_grid():
    """The object lies in the left half; the grid in the low half of the mirror axis."""
    rgba = np.zeros((137, 137, 4), np.uint8)
    rgba[60:80, 20:50] = (30, 60, 20, 255)
    grid = np.zeros((32, 32, 32), bool)
    grid[:, :, :8] = True
    mirrored = 0
    for seed in range(20):
        image, shape = train_pixels(rgba, grid, 64, np.random.default_rng(seed))
        object_columns = np.abs(image.astype(int) - image[:, :1, :1]).sum((0, 1))
        is_right = object_columns[32:].sum() > object_columns[:32].sum()
        assert is_right == shape[:, :, -1].all()
        mirrored += is_right
    assert 3 <= mirrored <= 17  # about half


def test_grids_are_never_permuted():
    for seed in range(10):
        _, shape = train_pixels(picture(0), blob(3), 64, np.random.default_rng(seed))
        np.testing.assert_array_equal(shape, blob(3))  # a blob is its own mirror image


@pytest.mark.parametrize("offset", [0, 40])
def test_an_object_is_framed_as_renders_are(offset):
    rgba = np.zeros((300, 400, 4), np.uint8)
    rgba[offset : offset + 60, offset + 5 : offset + 105] = 255  # 60 high, 100 wide
    framed = frame_object(rgba)
    columns = np.flatnonzero((framed[..., 3] > 127).any(0))
    assert framed.shape[0] == framed.shape[1]
    assert len(columns) / (framed.shape[1] * CROP) == pytest.approx(OBJECT_SHARE, abs=0.01)
    assert abs((columns[0] + columns[-1] + 1) / 2 - framed.shape[1] / 2) <= 1


def test_an_opaque_photo_is_cut_to_its_middle_square():
    rgba = np.full((30, 50, 4), 255, np.uint8)
    rgba[:, :10] = rgba[:, 40:] = (0, 0, 0, 255)
    assert (frame_object(rgba) == 255).all()
    assert frame_object(rgba).shape == (30, 30, 4)


@pytest.mark.parametrize("shape", [(6000, 9000), (10, 20_000)])
def test_a_huge_photo_is_shrunk_before_it_is_cut(shape):
    rgba = np.zeros((*shape, 4), np.uint8)
    rgba[:, shape[1] // 50 :] = (9, 9, 9, 255)
    framed = frame_object(rgba)
    assert max(framed.shape) < 2 * 1024
    assert (framed[..., 3] > 127).any()


def test_an_empty_mask_is_an_error():
    with pytest.raises(ValueError, match="mask"):
        frame_object(np.zeros((8, 8, 4), np.uint8))
