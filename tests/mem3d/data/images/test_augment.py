"""The fast colors equal one step after another; settings survive JSON and refuse nonsense."""

import json
from dataclasses import asdict, replace
from math import floor

import numpy as np
import pytest
from PIL import Image

from mem3d.data.images.augment import DEFAULT, NONE, PIX2VOX, Augmentation, Draws
from mem3d.data.images.backgrounds import Backgrounds
from mem3d.data.images.preprocess import CROP, train_pixels
from mem3d.data.images.preprocess import test_pixels as to_pixels
from mem3d.settings import from_plain
from tests.helpers.r2n2_folder import blob, picture

SIZE = 64


def scaled(plane, height, width):
    return np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BILINEAR))


def naive_object(rgba, corner, zoom, size):
    """What is not transparent, scaled and pasted at its place: (size, size, 4) in [0, 1]."""
    rows, columns, _ = np.nonzero(rgba)
    y0, x0 = max(0, rows.min() - 2), max(0, columns.min() - 2)
    cut = rgba[y0 : rows.max() + 3, x0 : columns.max() + 3].astype(np.float32) / 255
    cut[..., :3] *= cut[..., 3:]
    height, width = (max(1, round(side * zoom)) for side in cut.shape[:2])
    small = np.stack([scaled(cut[..., c].copy(), height, width) for c in range(4)], 2)
    top, left = (floor((at - edge) * zoom + 0.5) for at, edge in ((y0, corner[1]), (x0, corner[0])))
    canvas = np.zeros((size, size, 4), np.float32)
    for y in range(height):
        for x in range(width):
            if 0 <= y + top < size and 0 <= x + left < size:
                canvas[y + top, x + left] = small[y, x]
    return canvas


def naive_input(rgba, grid, size, rng, how, backgrounds=None):
    """The recipe in floats, a step at a time: crop, mirror, lay over, colors, clip, normalize."""
    drawn = Draws.of(rng)
    shortest = min(rgba.shape[:2])
    side = CROP * shortest * (how.scale[0] + (how.scale[1] - how.scale[0]) * drawn.scale)
    shift = (drawn.shift - 0.5) * 2 * how.shift * shortest
    corner = [rgba.shape[1] / 2 + shift[0] - side / 2, rgba.shape[0] / 2 + shift[1] - side / 2]
    image = naive_object(rgba, corner, size / side, size)
    if drawn.flip < how.flip:
        image, grid = image[:, ::-1], grid[:, :, ::-1]
    low, high = how.background
    behind = np.floor(low + (high + 1 - low) * np.array(drawn.ground)) / 255
    if backgrounds is not None and drawn.photo < how.photos:
        photo = backgrounds.draw(rng).astype(np.float32) / 255
        behind = np.stack([scaled(photo[..., c].copy(), size, size) for c in range(3)], 2)
    image = image[..., :3] + (1 - image[..., 3:]) * behind

    for which in drawn.order:
        factor = 1 - how.jitter + 2 * how.jitter * drawn.factors[which]
        gray = image @ [0.299, 0.587, 0.114]
        if which == 0:
            image = image * factor
        elif which == 1:
            image = gray.mean() + factor * (image - gray.mean())
        else:
            image = gray[..., None] + factor * (image - gray[..., None])
    if how.pca_noise:
        r, g, b = rng.normal(0, how.pca_noise, 3) * (0.2175, 0.0188, 0.0045)
        image = image + r * np.array([-0.5675, -0.5808, -0.5836])
        image = image + g * np.array([0.7192, -0.0045, -0.6948])
        image = image + b * np.array([0.4009, -0.8140, 0.4203])
    if drawn.permute < how.permute:
        image = image[..., drawn.channels]
    return image.clip(0, 1).transpose(2, 0, 1) * 255, grid


def photos():
    noise = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    large = noise.repeat(16, 1).repeat(16, 2)
    return Backgrounds(large, "0" * 16)


WILD = replace(DEFAULT, pca_noise=2.0, permute=1.0)  # far outside what can be shown


@pytest.mark.parametrize("how", [DEFAULT, PIX2VOX, WILD])
@pytest.mark.parametrize("backgrounds", [None, photos()], ids=["plain", "photos"])
def test_the_fast_path_is_one_step_after_another(how, backgrounds):
    for seed in range(15):
        rgba = picture(seed, side=int(np.random.default_rng(seed).integers(60, 140)))
        rgba[..., 3] //= 1 + seed % 2  # every other one half transparent
        got, grid = train_pixels(
            rgba, blob(seed), SIZE, np.random.default_rng(seed), how, backgrounds
        )
        want, mirrored = naive_input(
            rgba, blob(seed), SIZE, np.random.default_rng(seed), how, backgrounds
        )
        # Bytes are rounded once when premultiplied and twice when scaled; jitter can grow a level
        # by at most 1.4^3; the result is rounded.
        assert np.abs(got - want).max() <= 0.5 + 2 * 1.4**3
        assert np.abs(got - want).mean() <= 1
        np.testing.assert_array_equal(grid, mirrored)


def test_without_augmentation_a_training_view_is_a_test_view():
    rgba = picture(3)
    rng = np.random.default_rng(0)
    image, grid = train_pixels(rgba, blob(3), 128, rng, NONE)
    difference = image.astype(int) - to_pixels(rgba, 128)
    assert np.abs(difference).max() <= 1
    np.testing.assert_array_equal(grid, blob(3))


@pytest.mark.parametrize("how", [DEFAULT, NONE, PIX2VOX, Augmentation(backgrounds="ab" * 8)])
def test_settings_survive_json(how):
    assert from_plain(Augmentation, json.loads(json.dumps(asdict(how)))) == how


@pytest.mark.parametrize(
    "change",
    [
        {"scale": (0.0, 1.0)},
        {"scale": (1.2, 1.0)},
        {"background": (-1, 255)},
        {"flip": 1.5},
        {"max_occlusion": 1.0},
        {"jitter": float("nan")},
        {"backgrounds": "/home/me/photos"},
    ],
)
def test_impossible_settings_are_refused(change):
    with pytest.raises(ValueError, match=f"^{next(iter(change))}: got"):
        replace(DEFAULT, **change)


@pytest.mark.parametrize("damage", [{"flip": "0"}, {"scale": [1]}, {"scale": 1}, {"other": 1}])
def test_damaged_settings_are_refused(damage):
    with pytest.raises(ValueError, match=rf"^{next(iter(damage))}\b.*: got"):
        from_plain(Augmentation, asdict(DEFAULT) | damage)
