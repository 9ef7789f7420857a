"""Data sets whose pictures are changed: to measure what occluders and backgrounds cost."""

from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mem3d.data.dataset import ShapeDataset, TransformDataset
from mem3d.data.images.backgrounds import Backgrounds
from mem3d.data.images.occluders import occlude

Rgba = NDArray[np.uint8]


def behind_occluders(data: ShapeDataset, share: float, seed: int) -> TransformDataset:
    """One opaque occluder before each picture, which belongs to the mask; see `occlude`.

    Args:
        data: whose shapes.
        share: of the object's pixels to hide in each picture, in [0, 1]; 0 leaves it as it is.
        seed: of shape, place and color of the occluders, >= 0.

    Raises:
        ValueError: the share or the seed is out of range.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share: got {share}, want 0 to 1")
    return TransformDataset(data, partial(_occluded, share=share), seed)


def before_photos(data: ShapeDataset, backgrounds: Backgrounds, seed: int) -> TransformDataset:
    """A piece of a photo behind each picture, opaque all over: the mask is lost.

    Args:
        data: whose shapes.
        backgrounds: photos to take pieces of.
        seed: of the pieces, >= 0.

    Raises:
        ValueError: the seed is out of range.
    """
    return TransformDataset(data, partial(_over_a_photo, backgrounds=backgrounds), seed)


def laid_over(rgba: Rgba, behind: NDArray[np.uint8]) -> NDArray[np.float64]:
    """A picture (H, W, 4) over another (H, W, 3), mixed by its alpha: (H, W, 3) in [0, 255]."""
    alpha = rgba[..., 3:] / 255
    return rgba[..., :3] * alpha + behind * (1 - alpha)


def _occluded(rgba: Rgba, rng: np.random.Generator, *, share: float) -> Rgba:
    return occlude(rgba, share, rng)


def _over_a_photo(rgba: Rgba, rng: np.random.Generator, *, backgrounds: Backgrounds) -> Rgba:
    height, width = rgba.shape[:2]
    piece = Image.fromarray(backgrounds.draw(rng))
    behind = piece.resize((width, height), Image.Resampling.BICUBIC)
    mixed = laid_over(rgba, np.asarray(behind)).round().astype(np.uint8)
    return np.dstack([mixed, np.full((height, width), 255, np.uint8)])
