"""A data set whose pictures stand before photos: to measure what a background costs."""

import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mem3d.data.backgrounds import Backgrounds
from mem3d.data.shapes import Shapes

Rgba = NDArray[np.uint8]


class Backed:
    """The models of another data set, with a piece of a photo behind each picture.

    The piece depends on the seed, the shape's name and the view only: a picture gets the same one
    in every run, in every selection of the models, and whatever is put before the object.
    """

    def __init__(self, data: Shapes, backgrounds: Backgrounds, seed: int) -> None:
        """Choose.

        Args:
            data: whose models; it must keep the protocol `Shapes`.
            backgrounds: photos to take pieces of.
            seed: of the pieces, >= 0.

        Raises:
            ValueError: the seed is out of range.
        """
        if seed < 0:
            raise ValueError(f"seed: got {seed}, want >= 0")
        self.data, self.backgrounds, self.seed = data, backgrounds, seed
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
        """Voxels of model i."""
        return self.data.grid(i)

    def image(self, i: int, view: int) -> Rgba:
        """View of model i before its piece of a photo, opaque all over: the mask is lost."""
        rgba = self.data.image(i, view)
        name = zlib.crc32(self.source(i).encode())
        piece = self.backgrounds.draw(np.random.default_rng([self.seed, name, view]))
        height, width = rgba.shape[:2]
        behind = Image.fromarray(piece).resize((width, height), Image.Resampling.BICUBIC)
        mixed = laid_over(rgba, np.asarray(behind)).round().astype(np.uint8)
        return np.dstack([mixed, np.full((height, width), 255, np.uint8)])

    def camera(self, i: int, view: int) -> NDArray[np.float64] | None:
        """Camera of a view of model i."""
        return self.data.camera(i, view)

    def projection(self, i: int, view: int, grid: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Silhouette of any grid from the camera of a view of model i."""
        return self.data.projection(i, view, grid)

    def check(
        self, views: int | None = None, progress: Callable[[int, int], None] | None = None
    ) -> "Backed":
        """Read every file once; models with a broken one move to `skipped`."""
        return Backed(self.data.check(views, progress), self.backgrounds, self.seed)


def laid_over(rgba: Rgba, behind: NDArray[np.uint8]) -> NDArray[np.float64]:
    """A picture (H, W, 4) over another (H, W, 3), mixed by its alpha: (H, W, 3) in [0, 255]."""
    alpha = rgba[..., 3:] / 255
    return rgba[..., :3] * alpha + behind * (1 - alpha)
