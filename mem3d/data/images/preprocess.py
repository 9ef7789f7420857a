"""RGBA pictures to network input, and the augmentation used in training.

The network sees RGB on a plain light background, as bytes: its encoder normalizes them. All
randomness comes from the generator that is passed in: a sample depends on its seed only.

Source: Pix2Vox (crop, background, color jitter, channel permutation); here a mirrored image comes
with a mirrored grid.
"""

from math import floor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mem3d.data.images.augment import DEFAULT, Augmentation, Draws, color_map
from mem3d.data.images.backgrounds import Backgrounds
from mem3d.data.images.occluders import occlude

Rgba = NDArray[np.uint8]
Pixels = NDArray[np.uint8]  # (3, S, S) RGB
Grid = NDArray[np.bool_]
Box = tuple[int, int, int, int]  # left, top, right, bottom

CROP = 128 / 137  # share of a render's side that the network sees
BACKGROUND = 240  # gray behind the object outside training


def test_pixels(rgba: Rgba, size: int) -> Pixels:
    """Center crop on a gray background.

    Args:
        rgba: (H, W, 4); alpha is the object's mask.
        size: S, pixels per side of the result.

    Returns:
        (3, S, S) RGB.
    """
    side = CROP * min(rgba.shape[:2])
    picture = _crop(rgba, side, (0.0, 0.0), size, (BACKGROUND,) * 3)
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))


class Window(NamedTuple):
    """What part of a picture is shown: a square, perhaps mirrored.

    Lengths are in units of the picture's shorter side.
    """

    side: float  # of the square
    x: float  # its center, from the picture's, to the right
    y: float  # and down
    is_mirrored: bool


TEST_WINDOW = Window(CROP, 0.0, 0.0, is_mirrored=False)


class View(NamedTuple):
    """A picture as the network sees it."""

    pixels: Pixels
    grid: Grid
    window: Window


def train_pixels(
    rgba: Rgba,
    grid: Grid,
    size: int,
    rng: np.random.Generator,
    how: Augmentation = DEFAULT,
    backgrounds: Backgrounds | None = None,
) -> tuple[Pixels, Grid]:
    """Pixels and grid of `train_view`."""
    view = train_view(rgba, grid, size, rng, how, backgrounds)
    return view.pixels, view.grid


def train_view(
    rgba: Rgba,
    grid: Grid,
    size: int,
    rng: np.random.Generator,
    how: Augmentation = DEFAULT,
    backgrounds: Backgrounds | None = None,
) -> View:
    """Random occluder, crop, mirror, background, colors; the grid is mirrored with the image.

    Args:
        rgba: (H, W, 4).
        grid: (R, R, R) indexed [x, y, z]; z is the mirror axis.
        size: S, pixels per side of the result.
        rng: the only source of randomness.
        how: settings.
        backgrounds: photos to lay a share of the views over; None for plain colors alone.

    Returns:
        (3, S, S) RGB, (R, R, R), and what was shown.
    """
    if how.max_occlusion and rng.random() < how.occlusion_probability:
        rgba = occlude(rgba, rng.uniform(0, how.max_occlusion), rng)
    drawn = Draws.of(rng)
    shortest = min(rgba.shape[:2])
    low, high = how.scale
    side = CROP * shortest * (low + (high - low) * drawn.scale)
    shift = (2 * drawn.shift - 1) * how.shift * shortest
    behind = None
    if backgrounds is not None and drawn.photo < how.photos:
        behind = backgrounds.draw(rng)
    corner = np.array(rgba.shape[1::-1]) / 2 + shift - side / 2
    cut, rows, columns = _object(rgba, corner, size / side, size)
    is_mirrored = drawn.flip < how.flip
    if is_mirrored:
        cut, grid = cut[:, :, ::-1], grid[:, :, ::-1]
        columns = slice(size - columns.stop, size - columns.start)
    planes = cut.reshape(4, -1).astype(np.float32)
    if behind is not None:
        photo = _scaled(behind.transpose(2, 0, 1), (size, size))
        planes, rows, columns = _laid_over(planes, photo, rows, columns), slice(size), slice(size)
    colors = color_map(planes.sum(1) / size**2, how, drawn, rng)
    colors[:, 4] += 0.5  # rounds
    levels = colors[:, :4] @ planes
    levels += colors[:, 4:]
    image = np.empty((3, size, size), np.uint8)
    image[:] = colors[:, 4, None, None].clip(0, 255)  # ground alone
    place = image[:, rows, columns]
    place[:] = levels.clip(0, 255, out=levels).reshape(place.shape)
    x, y = (shift / shortest).tolist()
    window = Window(side / shortest, x, y, is_mirrored)
    return View(image, np.ascontiguousarray(grid), window)


def _object(
    rgba: Rgba, corner: NDArray[np.float64], zoom: float, size: int
) -> tuple[Rgba, slice, slice]:
    """What is not transparent, scaled: in a render, about a third of the crop.

    Args:
        rgba: (H, W, 4).
        corner: (x, y) of the crop in the picture.
        zoom: pixels of the crop's scaled side over those of the picture.
        size: of the scaled crop.

    Returns:
        (4, h, w), premultiplied by alpha, and its rows and columns in the scaled crop; size and
        place are rounded to whole pixels of that crop.
    """
    words = np.ascontiguousarray(rgba).view(np.uint32)[..., 0]  # any of the four channels counts
    spans = [_span(np.bitwise_or.reduce(words, axis)) for axis in (1, 0)]
    cut = rgba[spans[0], spans[1]].transpose(2, 0, 1).astype(np.uint16, order="C")
    cut[:3] = (cut[:3] * cut[3] + 127) // 255
    height, width = (max(1, round(side * zoom)) for side in cut.shape[1:])
    scaled = _scaled(cut, (height, width))
    places = []
    for span, edge, length in zip(spans, corner[::-1].tolist(), (height, width), strict=True):
        start = floor((span.start - edge) * zoom + 0.5)
        first = min(max(start, 0), size)
        places.append((first, max(first, min(start + length, size)), start))
    (top, bottom, y), (left, right, x) = places
    part = scaled[:, top - y : bottom - y, left - x : right - x]
    return part, slice(top, bottom), slice(left, right)


def _span(filled: NDArray[np.uint32]) -> slice:
    """From the first to the last that is filled, with room for edges to fade; never empty."""
    where = np.flatnonzero(filled)
    if not len(where):
        return slice(0, 1)
    return slice(max(0, int(where[0]) - 2), int(where[-1]) + 3)


def _laid_over(
    planes: NDArray[np.float32], photo: Rgba, rows: slice, columns: slice
) -> NDArray[np.float32]:
    """An object's planes (4, N), at their place over a photo (3, S, S): (4, S * S)."""
    whole = np.full((4, *photo.shape[1:]), 255, np.float32)
    whole[:3] = photo
    behind = whole[:3, rows, columns]
    behind[:] = (planes[:3] + (1 - planes[3] / 255) * behind.reshape(3, -1)).reshape(behind.shape)
    return whole.reshape(4, -1)


def _scaled(planes: NDArray[np.integer], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """(channels, H, W) at another height and width.

    torch's antialiased scaling of bytes equals PIL's to within a level, in a third of the time.
    """
    import torch

    batch = torch.from_numpy(np.array(planes, np.uint8, order="C"))[None]
    scaled = torch.nn.functional.interpolate(batch, shape, mode="bilinear", antialias=True)
    result: NDArray[np.uint8] = scaled[0].numpy()
    return result


def _crop(
    rgba: Rgba, side: float, shift: tuple[float, float], size: int, background: tuple[int, ...]
) -> Image.Image:
    """Square of `side` around the shifted center, scaled to `size`, laid over `background`."""
    picture = Image.fromarray(rgba).crop(_box(rgba, side, shift))
    picture = picture.resize((size, size), Image.Resampling.BILINEAR)  # premultiplies alpha itself
    canvas = Image.new("RGBA", picture.size, (*background, 255))
    return Image.alpha_composite(canvas, picture).convert("RGB")


def _box(rgba: Rgba, side: float, shift: tuple[float, float]) -> Box:
    """Square of `side` around the shifted center, in whole pixels."""
    height, width = rgba.shape[:2]
    left = (width - side) / 2 + shift[0]
    top = (height - side) / 2 + shift[1]
    return round(left), round(top), round(left + side), round(top + side)
