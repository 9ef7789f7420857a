"""RGBA pictures to network input, and the augmentation used in training.

The network sees RGB on a plain light background, normalised with ImageNet's statistics (the stem's
own). All randomness comes from the generator that is passed in: a sample depends on its seed only.

Source: Pix2Vox (crop, background, colour jitter, channel permutation); here a mirrored image comes
with a mirrored grid.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

Rgba = NDArray[np.uint8]
NetworkInput = NDArray[np.float32]
Grid = NDArray[np.bool_]

MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # ImageNet, RGB in [0, 1]
STD = np.array([0.229, 0.224, 0.225], np.float32)
CROP = 128 / 137  # share of a render's side that the network sees
BACKGROUND = 240  # grey behind the object outside training
LONGEST = 1024  # pixels per side of a photo that is framed; the network sees far fewer
OBJECT_SHARE = 0.68  # long side of the object over that of the crop; median of the renders


def test_input(rgba: Rgba, size: int) -> NetworkInput:
    """Centre crop on a grey background.

    Args:
        rgba: (H, W, 4); alpha is the object's mask.
        size: S, pixels per side of the result.

    Returns:
        (3, S, S) RGB, normalised.
    """
    side = CROP * min(rgba.shape[:2])
    return normalise(_crop(rgba, side, (0.0, 0.0), size, (BACKGROUND,) * 3))


def train_input(
    rgba: Rgba, grid: Grid, size: int, rng: np.random.Generator
) -> tuple[NetworkInput, Grid]:
    """Random crop, mirror, background, colours; the grid is mirrored with the image.

    Args:
        rgba: (H, W, 4).
        grid: (R, R, R) indexed [x, y, z]; z is the mirror axis.
        size: S, pixels per side of the result.
        rng: the only source of randomness.

    Returns:
        (3, S, S) RGB, normalised, and (R, R, R).
    """
    shortest = min(rgba.shape[:2])
    side = CROP * shortest * rng.uniform(0.85, 1.1)
    shift = rng.uniform(-0.04, 0.04, 2) * shortest
    background = tuple(int(c) for c in rng.integers(225, 256, 3))
    picture = _crop(rgba, side, (float(shift[0]), float(shift[1])), size, background)
    if rng.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        grid = grid[:, :, ::-1]
    enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    for which in rng.permutation(3):
        picture = enhancers[which](picture).enhance(rng.uniform(0.6, 1.4))
    if rng.random() < 0.5:
        bands = picture.split()
        picture = Image.merge("RGB", [bands[which] for which in rng.permutation(3)])
    return normalise(picture), np.ascontiguousarray(grid)


def normalise(picture: Image.Image) -> NetworkInput:
    """RGB picture to (3, H, W) float32 with ImageNet's mean and deviation taken out."""
    pixels = np.asarray(picture, np.float32) / 255
    return np.ascontiguousarray(((pixels - MEAN) / STD).transpose(2, 0, 1))


def denormalise(image: NetworkInput) -> Rgba:
    """What the network saw, (3, S, S) back to (S, S, 3) uint8."""
    pixels = image.transpose(1, 2, 0) * STD + MEAN
    return (pixels * 255).round().clip(0, 255).astype(np.uint8)


def frame_object(rgba: Rgba) -> Rgba:
    """Square cut around the object, sized as objects are in the renders.

    Args:
        rgba: (H, W, 4); alpha is the object's mask. An opaque picture counts as all object and is
            cut to the centre square.

    Returns:
        (S, S, 4); transparent where the square reaches past the picture.

    Raises:
        ValueError: the mask is empty.
    """
    rgba = _shrunk(rgba)
    mask = rgba[..., 3] > 127
    if not mask.any():
        raise ValueError("photo: got an empty mask (alpha is 0 everywhere), want an object in it")
    if mask.all():
        side = min(rgba.shape[:2])
        top, left = (rgba.shape[0] - side) // 2, (rgba.shape[1] - side) // 2
        return rgba[top : top + side, left : left + side]
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    extent = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    half = extent / (OBJECT_SHARE * CROP) / 2
    middle_y, middle_x = (rows[0] + rows[-1] + 1) / 2, (columns[0] + columns[-1] + 1) / 2
    box = [round(v) for v in (middle_x - half, middle_y - half, middle_x + half, middle_y + half)]
    cut = Image.fromarray(rgba).crop((box[0], box[1], box[2], box[3]))  # outside: transparent
    return np.asarray(cut)


def _shrunk(rgba: Rgba) -> Rgba:
    """The picture with no side over LONGEST, so that the cut around its object stays small."""
    longest = max(rgba.shape[:2])
    if longest <= LONGEST:
        return rgba
    height, width = (max(1, round(side * LONGEST / longest)) for side in rgba.shape[:2])
    return np.asarray(Image.fromarray(rgba).resize((width, height), Image.Resampling.BOX))


def _crop(
    rgba: Rgba, side: float, shift: tuple[float, float], size: int, background: tuple[int, ...]
) -> Image.Image:
    """Square of `side` around the shifted centre, scaled to `size`, laid over `background`."""
    height, width = rgba.shape[:2]
    left = (width - side) / 2 + shift[0]
    top = (height - side) / 2 + shift[1]
    box = [round(v) for v in (left, top, left + side, top + side)]
    picture = Image.fromarray(rgba).crop((box[0], box[1], box[2], box[3]))
    picture = picture.resize((size, size), Image.Resampling.BILINEAR)  # premultiplies alpha itself
    canvas = Image.new("RGBA", picture.size, (*background, 255))
    return Image.alpha_composite(canvas, picture).convert("RGB")
