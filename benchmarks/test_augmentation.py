"""One augmented training view: colors as one matrix, against PIL a step at a time."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from mem3d.data.images.augment import Draws
from mem3d.data.images.preprocess import CROP, train_pixels
from tests.helpers.r2n2_folder import blob, picture

SIZE, VIEWS = 128, 20
ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


@pytest.fixture(scope="module")
def views():
    """A frame of 137 pixels as the renders have, and a grid."""
    return [(picture(seed), blob(seed)) for seed in range(VIEWS)]


def stepwise_input(rgba, grid, size, rng):
    """The same draws from the same generator; colors rounded and clipped after every step."""
    drawn, shortest = Draws.of(rng), min(rgba.shape[:2])
    side = CROP * shortest * (0.85 + 0.25 * drawn.scale)
    shift = (drawn.shift * 2 - 1) * 0.04 * shortest
    background = tuple(int(c) for c in np.floor(225 + 31 * np.array(drawn.ground)))
    left, top = (rgba.shape[1] - side) / 2 + shift[0], (rgba.shape[0] - side) / 2 + shift[1]
    box = tuple(round(v) for v in (left, top, left + side, top + side))
    cut = Image.fromarray(rgba).crop(box).resize((size, size), Image.Resampling.BILINEAR)
    canvas = Image.new("RGBA", cut.size, (*background, 255))
    image = Image.alpha_composite(canvas, cut).convert("RGB")
    if drawn.flip < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        grid = grid[:, :, ::-1]
    for which in drawn.order:
        image = ENHANCERS[which](image).enhance(0.6 + 0.8 * drawn.factors[which])
    if drawn.permute < 0.5:
        bands = image.split()
        image = Image.merge("RGB", [bands[which] for which in drawn.channels])
    pixels = np.asarray(image)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)), np.ascontiguousarray(grid)


def augment(view, views):
    return [view(*one, SIZE, np.random.default_rng(i)) for i, one in enumerate(views)]


def test_training_views(benchmark, views):
    benchmark.extra_info["views"] = VIEWS
    fast = benchmark(augment, train_pixels, views)
    for (image, grid), (want, mirrored) in zip(fast, augment(stepwise_input, views), strict=True):
        np.testing.assert_array_equal(grid, mirrored)
        # Alike but for what a step's clipping changes; unlike pictures differ by about a deviation.
        assert np.abs(image.astype(int) - want).mean() < 0.25 * 255 * 0.225


def test_training_views_stepwise(benchmark, views):
    benchmark.extra_info["views"] = VIEWS
    benchmark(augment, stepwise_input, views)
