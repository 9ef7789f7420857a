"""A data set whose pictures are partly hidden: to measure what hiding costs."""

import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mem3d.data.occlusion import occlude
from mem3d.data.shapes import Shapes


class Hidden:
    """The models of another data set, with one opaque occluder before each picture.

    The occluder depends on the seed, the shape's name and the view only: a picture is hidden the
    same way in every run, and in every selection of the models.
    """

    def __init__(self, data: Shapes, share: float, seed: int) -> None:
        """Choose.

        Args:
            data: whose models; it must keep the protocol `Shapes`.
            share: of the object's pixels to hide in each picture, in [0, 1]; 0 leaves it as it is.
            seed: of shape, place and colour of the occluders, >= 0.

        Raises:
            ValueError: the share or the seed is out of range.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"share: got {share}, want 0 to 1")
        if seed < 0:
            raise ValueError(f"seed: got {seed}, want >= 0")
        self.data, self.share, self.seed = data, share, seed
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

    def image(self, i: int, view: int) -> NDArray[np.uint8]:
        """View of model i behind its occluder, which belongs to the mask; see `occlude`."""
        name = zlib.crc32(self.source(i).encode())
        rng = np.random.default_rng([self.seed, name, view])
        return occlude(self.data.image(i, view), self.share, rng)

    def camera(self, i: int, view: int) -> NDArray[np.float64] | None:
        """Camera of a view of model i."""
        return self.data.camera(i, view)

    def projection(self, i: int, view: int, grid: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Silhouette of any grid from the camera of a view of model i, not hidden."""
        return self.data.projection(i, view, grid)

    def check(
        self, views: int | None = None, progress: Callable[[int, int], None] | None = None
    ) -> "Hidden":
        """Read every file once; models with a broken one move to `skipped`."""
        return Hidden(self.data.check(views, progress), self.share, self.seed)
