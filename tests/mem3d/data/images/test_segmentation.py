"""Objects are found by their colors."""

import numpy as np
import pytest

from mem3d.data.images.segmentation import cut_out
from tests.helpers.r2n2_folder import picture


def on_ground(rgba, ground):
    """Picture laid over colors (H, W, 3) or (3,), with a little noise, and its mask."""
    alpha = rgba[..., 3:] / 255
    noise = np.random.default_rng(0).normal(0, 2, (*rgba.shape[:2], 3))
    laid = rgba[..., :3] * alpha + np.asarray(ground) * (1 - alpha) + noise
    return laid.clip(0, 255).astype(np.uint8), rgba[..., 3] > 127


def overlap(one, two):
    return (one & two).sum() / (one | two).sum()


@pytest.mark.parametrize("seed", range(4))
def test_an_object_on_a_plain_ground(seed):
    photo, mask = on_ground(picture(seed, side=120), (240, 238, 230))
    assert overlap(cut_out(photo).mask, mask) > 0.95


def test_an_object_on_a_ground_that_darkens():
    ground = np.linspace(255, 170, 137)[:, None, None].repeat(137, 1).repeat(3, 2)
    photo, mask = on_ground(picture(1), ground)
    assert overlap(cut_out(photo).mask, mask) > 0.9


def test_a_box_tells_which_of_two_objects():
    both = np.concatenate([picture(1), picture(2)], axis=1)
    photo, mask = on_ground(both, (250, 250, 250))
    for left in (0, 137):
        box = (left + 10, 10, left + 127, 127)
        alone = np.zeros_like(mask)
        alone[:, left : left + 137] = mask[:, left : left + 137]
        assert overlap(cut_out(photo, box).mask, alone) > 0.95


def test_holes_are_filled_and_specks_dropped():
    photo, mask = on_ground(picture(0), (250, 250, 250))
    y, x = np.argwhere(mask).mean(0).astype(int)
    photo[y - 3 : y + 3, x - 3 : x + 3] = 250
    photo[12:16, 12:16] = (200, 0, 0)
    found = cut_out(photo).mask
    assert found[y, x]
    assert not found[14, 14]


def test_the_same_photo_gives_the_same_mask():
    photo, _ = on_ground(picture(5), (200, 220, 240))
    np.testing.assert_array_equal(cut_out(photo).mask, cut_out(photo).mask)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (7, 7), (3000, 4)])
def test_tiny_pictures_hold_no_object(shape):
    assert cut_out(np.zeros((*shape, 3), np.uint8)) is None


def test_one_color_holds_no_object():
    assert cut_out(np.full((60, 60, 3), 128, np.uint8)) is None


def test_noise_is_no_crash():
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    cutout = cut_out(noise, (1, 1, 69, 49))
    assert cutout is None or cutout.mask.shape == (50, 70)


def test_real_photo_on_a_plain_ground(real_data):
    from mem3d.data.images.io import read_image

    car = read_image(real_data / "photos_masked" / "car.png")
    mask = read_image(real_data / "photos_masked" / "car2.png")[..., 3] > 127  # made by hand
    assert overlap(cut_out(car[..., :3]).mask, mask) > 0.8
