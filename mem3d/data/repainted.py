"""Data sets whose pictures are changed: to measure what occluders and backgrounds cost."""

import zlib
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mem3d.data.backgrounds import Backgrounds
from mem3d.data.occlusion import occlude
from mem3d.data.shapes import Shapes

Rgba = NDArray[np.uint8]
Paint = Callable[[Rgba, np.random.Generator], Rgba]


class Repainted:
    """The models of another data set, with each picture changed at random.

    What chance says of a picture depends on the seed, the shape's name and the view only: it is
    changed the same way in every run, in every selection of the models, and whatever else is done
    to it.
    """

    def __init__(self, data: Shapes, paint: Paint, seed: int) -> None:
        """Use `behind_occluders` or `before_photos`.

        Args:
            data: whose models; it must keep the protocol `Shapes`.
            paint: takes a picture (H, W, 4) and the source of randomness.
            seed: >= 0.

        Raises:
            ValueError: the seed is out of range.
        """
        if seed < 0:
            raise ValueError(f"seed: got {seed}, want >= 0")
        self.data, self.paint, self.seed = data, paint, seed
        self.root, self.split, self.skipped = data.root, data.split, data.skipped

    def __len__(self) -> int:
        return len(self.data)

    def source(self, i: int) -> str:
        """Name of the shape of model i."""
        return self.data.source(i)

    def category(self, i: int) -> str:
        """Category of model i."""
        return self.data.category(i)

    def views(self, i: int) -> int:
        """Number of views of model i."""
        return self.data.views(i)

    def grid(self, i: int) -> NDArray[np.bool_]:
        """Voxels of model i, whole."""
        return self.data.grid(i)

    def image(self, i: int, view: int) -> Rgba:
        """View of model i, changed."""
        name = zlib.crc32(self.source(i).encode())
        return self.paint(self.data.image(i, view), np.random.default_rng([self.seed, name, view]))

    def camera(self, i: int, view: int) -> NDArray[np.float64] | None:
        """Camera of a view of model i."""
        return self.data.camera(i, view)

    def projection(self, i: int, view: int, grid: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Silhouette of any grid from the camera of a view of model i, not hidden."""
        return self.data.projection(i, view, grid)

    def check(
        self, views: int | None = None, progress: Callable[[int, int], None] | None = None
    ) -> "Repainted":
        """Read every file once; models with a broken one move to `skipped`."""
        return Repainted(self.data.check(views, progress), self.paint, self.seed)


def behind_occluders(data: Shapes, share: float, seed: int) -> Repainted:
    """One opaque occluder before each picture, which belongs to the mask; see `occlude`.

    Args:
        data: whose models.
        share: of the object's pixels to hide in each picture, in [0, 1]; 0 leaves it as it is.
        seed: of shape, place and colour of the occluders, >= 0.

    Raises:
        ValueError: the share or the seed is out of range.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share: got {share}, want 0 to 1")
    return Repainted(data, partial(_occluded, share=share), seed)


def before_photos(data: Shapes, backgrounds: Backgrounds, seed: int) -> Repainted:
    """A piece of a photo behind each picture, opaque all over: the mask is lost.

    Args:
        data: whose models.
        backgrounds: photos to take pieces of.
        seed: of the pieces, >= 0.

    Raises:
        ValueError: the seed is out of range.
    """
    return Repainted(data, partial(_over_a_photo, backgrounds=backgrounds), seed)


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
