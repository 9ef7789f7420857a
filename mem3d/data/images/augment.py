"""How training pictures are varied: the settings, and their colors as one affine map.

Brightness, contrast, saturation, noise, channel order and a plain background are all affine in a
pixel's (red, green, blue, alpha), so that together they are one 3x5 matrix, whatever their order.
Colors are clipped once, after the last of them.

Source: Pix2Vox, `utils/data_transforms.py`, but for what `PIX2VOX` says.
"""

from math import floor
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from mem3d.settings import Share, settings

MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # ImageNet, RGB in [0, 1]
STD = np.array([0.229, 0.224, 0.225], np.float32)
R, G, B = 0.299, 0.587, 0.114  # share in gray: ITU-R 601, as PIL and Pix2Vox
# Principal components of ImageNet's colors, in [0, 1]: Krizhevsky et al. 2012, as Pix2Vox has them
PCA_VALUES = np.array([0.2175, 0.0188, 0.0045])
PCA_VECTORS = np.array(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
)


@settings(occlusion_probability="occluded", max_occlusion="hides")
class Augmentation:
    """What training does to a view, and how often; the defaults are those of the presets.

    Raises:
        ValueError: a field is of another type or out of range.
    """

    scale: tuple[float, float] = (0.85, 1.1)  # side of the crop over that of a test crop
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.04  # most, either way, over the picture's side
    flip: Share = 0.5  # of views mirrored; the grid is mirrored with them
    background: tuple[int, int] = (225, 255)  # range of each channel, both ends included
    jitter: Share = 0.4  # brightness, contrast and saturation by 1 - jitter to 1 + jitter
    pca_noise: Annotated[float, Field(ge=0, le=10)] = 0.0  # deviation, along PCA_VECTORS
    permute: Share = 0.5  # of views whose channels change places
    photos: Share = 0.5  # of views laid over a photo, where there are any
    backgrounds: Annotated[str, Field(pattern=r"^([0-9a-f]{16})?$")] = ""  # the photos' fingerprint
    occlusion_probability: Share = 0.5  # of views with an occluder, where max_occlusion > 0
    max_occlusion: Annotated[float, Field(ge=0, le=0.95)] = 0.0  # share of the object behind it

    @model_validator(mode="after")
    def _check_ranges(self) -> "Augmentation":
        for name, low, high in (("scale", 0.1, 4), ("background", 0, 255)):
            least, most = getattr(self, name)
            if not low <= least <= most <= high:
                raise ValueError(
                    f"{name}: got {(least, most)}, want from low to high in {low} to {high}"
                )
        return self


DEFAULT = Augmentation()
"""Pix2Vox's colors, with a random crop, and channels permuted half of the time."""

NONE = Augmentation(
    scale=(1, 1),
    shift=0,
    flip=0,
    background=(240, 240),
    jitter=0,
    permute=0,
    photos=0,
    occlusion_probability=0,
)
"""A training view as a test view."""

PIX2VOX = Augmentation(scale=(1, 1), shift=0, pca_noise=0.1, permute=1)
"""Pix2Vox's own recipe for renders, except that a mirrored view has a mirrored grid."""


class Draws(NamedTuple):
    """What chance says of one view; all numbers uniform in [0, 1), drawn in one call."""

    scale: float
    shift: NDArray[np.float64]  # (2,): x, y
    ground: list[float]  # red, green, blue
    flip: float
    photo: float
    factors: list[float]  # brightness, contrast, saturation
    order: list[int]  # of these three, as a permutation
    permute: float
    channels: list[int]  # which channel comes first, second, third

    @staticmethod
    def of(rng: np.random.Generator) -> "Draws":
        """Draw them."""
        u = rng.random(18)
        few = u.tolist()
        return Draws(
            scale=few[0],
            shift=u[1:3],
            ground=few[3:6],
            flip=few[6],
            photo=few[7],
            factors=few[8:11],
            order=_ranking(few[11:14]),
            permute=few[14],
            channels=_ranking(few[15:18]),
        )


def _ranking(numbers: list[float]) -> list[int]:
    return sorted(range(len(numbers)), key=numbers.__getitem__)


def color_map(
    mean: NDArray[np.floating], how: Augmentation, drawn: Draws, rng: np.random.Generator
) -> NDArray[np.float32]:
    """One picture's colors.

    Args:
        mean: (4,) of the picture's pixels: red, green, blue (all three times alpha / 255), alpha,
            in [0, 255].
        how: settings.
        drawn: what chance says.
        rng: where noise comes from, if there is to be any.

    Returns:
        (3, 5), what takes (red, green, blue, alpha, 1) to RGB in [0, 255], not clipped.
    """
    low, high = how.background
    rows = []  # plain lists: numpy takes longer to be called than fifteen numbers to be multiplied
    for channel, unit in enumerate(([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0])):
        ground = floor(low + (high + 1 - low) * drawn.ground[channel])
        rows.append([*unit, -ground / 255, ground])  # premultiplied: c + (1 - alpha) ground
    center = [*mean.tolist(), 1.0]
    for which in drawn.order:
        factor = 1 + how.jitter * (2 * drawn.factors[which] - 1)
        red, green, blue = rows
        gray = [
            (1 - factor) * (R * r + G * g + B * b) for r, g, b in zip(red, green, blue, strict=True)
        ]
        rows = [[factor * value for value in row] for row in rows]
        if which == 1:  # contrast: away from, or towards, the mean gray of the whole picture
            level = sum(g * c for g, c in zip(gray, center, strict=True))
            rows = [[*row[:4], row[4] + level] for row in rows]
        elif which == 2:  # saturation: away from, or towards, each pixel's own gray
            rows = [[value + g for value, g in zip(row, gray, strict=True)] for row in rows]
    colors = np.array(rows)
    if how.pca_noise:
        colors[:, 4] += 255 * PCA_VECTORS @ (rng.normal(0, how.pca_noise, 3) * PCA_VALUES)
    if drawn.permute < how.permute:
        colors = colors[drawn.channels]
    return colors.astype(np.float32)
