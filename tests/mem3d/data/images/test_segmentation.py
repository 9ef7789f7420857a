"""Objects are found by a network, and by their colors."""

import numpy as np
import pytest

from mem3d.data.images import u2netp
from mem3d.data.images.io import read_image
from mem3d.data.images.masks import BORDER, LACKING, UNSURE
from mem3d.data.images.segmentation import _cut_by_color, cut_out
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


def test_by_color_holes_are_filled_and_specks_dropped():
    photo, mask = on_ground(picture(0), (250, 250, 250))
    y, x = np.argwhere(mask).mean(0).astype(int)
    photo[y - 3 : y + 3, x - 3 : x + 3] = 250
    photo[12:16, 12:16] = (200, 0, 0)
    mask = _cut_by_color(photo, None).mask
    assert mask[y, x]
    assert not mask[14, 14]


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


def likely(values):
    """A network that says so of any photo of that size."""
    return lambda rgb: values[: rgb.shape[0], : rgb.shape[1]].astype(np.float32)


@pytest.fixture
def disc():
    """A red disc before gray, and its mask."""
    y, x = np.mgrid[:120, :120]
    mask = (y - 60) ** 2 + (x - 60) ** 2 < 30**2
    rgba = np.dstack([np.full((120, 120, 3), (200, 30, 30), np.uint8), mask.astype(np.uint8) * 255])
    return on_ground(rgba, (190, 190, 190))


def test_what_the_network_is_sure_of_is_taken(disc, monkeypatch):
    photo, _ = disc
    left = np.zeros((120, 120))
    left[20:100, 10:50] = 1
    monkeypatch.setattr(u2netp, "saliency", likely(left))
    cutout = cut_out(photo)
    np.testing.assert_array_equal(cutout.mask, left > 0.5)
    assert cutout.doubts == ()


@pytest.mark.parametrize("value", [0.0, 0.6], ids=["finds nothing", "is unsure"])
def test_where_the_network_does_not_know_colors_tell(value, disc, monkeypatch):
    photo, mask = disc
    guess = np.zeros((120, 120))
    guess[20:100, 10:50] = value
    monkeypatch.setattr(u2netp, "saliency", likely(guess))
    cutout = cut_out(photo)
    assert overlap(cutout.mask, mask) > 0.95
    assert cutout.doubts == ()


def test_where_colors_are_doubtful_too_the_doubt_is_told(disc, monkeypatch):
    photo, _ = disc
    photo[:, :40] = (200, 30, 30)  # reaches the border
    guess = np.zeros((120, 120))
    guess[20:100, 10:50] = 0.6
    assert BORDER in _cut_by_color(photo, None).doubts
    monkeypatch.setattr(u2netp, "saliency", likely(guess))
    cutout = cut_out(photo)
    np.testing.assert_array_equal(cutout.mask, guess > 0.5)
    assert cutout.doubts == (UNSURE,)


@pytest.mark.parametrize(
    ("value", "column", "box", "is_doubted"),
    [
        (0.3, 60, None, True),
        (0.2, 60, None, False),  # the network rules it out
        (0.3, 50, None, False),  # it is the object's rim
        (0.3, 60, (5, 10, 52, 110), False),  # it lies outside the box
        (0.3, 60, (5, 10, 80, 110), True),
    ],
)
def test_what_is_faintly_taken_for_the_object_is_told(
    value, column, box, is_doubted, disc, monkeypatch
):
    """And the mask is as it would be without."""
    guess = np.zeros((120, 120))
    guess[20:100, 10:50] = 1
    guess[20:100, column : column + 2] = value
    monkeypatch.setattr(u2netp, "saliency", likely(guess))
    if box is not None:  # the network sees a tenth more than the box
        room = round(0.1 * 100)
        y, x = max(0, box[1] - room), max(0, box[0] - room)
        monkeypatch.setattr(u2netp, "saliency", lambda rgb: likely(guess[y:, x:])(rgb))
    cutout = cut_out(disc[0], box)
    np.testing.assert_array_equal(cutout.mask, guess > 0.5)
    assert cutout.doubts == ((LACKING,) if is_doubted else ())


def test_a_loudspeaker_of_which_only_the_front_is_cut_out_is_doubted(real_data):
    photo = read_image(real_data / "photos_imagenet" / "n03691459_loudspeaker.JPEG")
    assert cut_out(photo[..., :3]).doubts == (LACKING,)


def test_of_a_box_the_network_sees_little_more(disc, monkeypatch):
    photo, _ = disc
    sizes = []

    def saliency(rgb):
        sizes.append(rgb.shape[:2])
        return np.ones(rgb.shape[:2], np.float32)

    monkeypatch.setattr(u2netp, "saliency", saliency)
    cutout = cut_out(photo, (30, 40, 80, 60))  # 50 wide: 5 pixels around it
    assert sizes == [(30, 60)]
    assert cutout.mask[40:60, 30:80].all() and cutout.mask.sum() == 50 * 20


def test_a_real_photo(real_data):
    car = read_image(real_data / "photos_masked" / "car.png")
    mask = read_image(real_data / "photos_masked" / "car2.png")[..., 3] > 127  # made by hand
    cutout = cut_out(car[..., :3])
    assert overlap(cutout.mask, mask) > 0.95
    assert cutout.doubts == ()


def test_a_chair_of_many_spindles_is_doubted(real_data):
    photo = read_image(real_data / "photos_imagenet" / "n04099969_rocking_chair.JPEG")
    assert UNSURE in cut_out(photo[..., :3]).doubts
