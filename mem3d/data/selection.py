"""Some of a data set's models, as a data set."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mem3d.data.shapes import Shapes, Skipped


class Selection:
    """The models at some positions of another data set, in the order given."""

    def __init__(
        self, data: Shapes, positions: Sequence[int], skipped: tuple[Skipped, ...] | None = None
    ) -> None:
        """Choose.

        Args:
            data: whose models.
            positions: in data.
            skipped: None takes those of the whole.
        """
        self.data = data
        self.positions = tuple(positions)
        self.root, self.split = data.root, data.split
        self.skipped = data.skipped if skipped is None else skipped

    def __len__(self) -> int:
        return len(self.positions)

    def source(self, i: int) -> str:
        """Name of the shape of chosen model i."""
        return self.data.source(self.positions[i])

    def category(self, i: int) -> str:
        """Category of chosen model i."""
        return self.data.category(self.positions[i])

    def views(self, i: int) -> int:
        """Number of views of chosen model i."""
        return self.data.views(self.positions[i])

    def grid(self, i: int) -> NDArray[np.bool_]:
        """Voxels of chosen model i."""
        return self.data.grid(self.positions[i])

    def image(self, i: int, view: int) -> NDArray[np.uint8]:
        """View of chosen model i."""
        return self.data.image(self.positions[i], view)

    def camera(self, i: int, view: int) -> NDArray[np.float64] | None:
        """Camera of a view of chosen model i."""
        return self.data.camera(self.positions[i], view)

    def projection(self, i: int, view: int, grid: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Silhouette of any grid from the camera of a view of chosen model i."""
        return self.data.projection(self.positions[i], view, grid)

    def check(
        self, views: int | None = None, progress: Callable[[int, int], None] | None = None
    ) -> "Selection":
        """Read every file once; models with a broken one are no longer chosen."""
        good, broken = [], []
        for done, i in enumerate(self.positions, start=1):
            try:
                self.data.grid(i)
                known = self.data.views(i)
                for view in range(known if views is None else min(views, known)):
                    self.data.image(i, view)
                good.append(i)
            except ValueError as error:
                broken.append(Skipped(self.data.source(i), str(error)))
            if progress is not None:
                progress(done, len(self))
        return Selection(self.data, good, (*self.skipped, *broken))
