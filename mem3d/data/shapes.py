"""What training, evaluation and pictures ask of a data set, whatever its files look like."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Skipped:
    """A model that was asked for and cannot be used."""

    source: str
    reason: str


class Shapes(Protocol):
    """Models in a fixed order, each with a category, a grid and one or more views.

    A broken file is a ValueError that names it; `check` finds them all beforehand.
    """

    @property
    def root(self) -> Path:
        """Folder or file the data came from."""

    @property
    def split(self) -> Path | None:
        """The split file that was used, if any."""

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Models that were asked for and cannot be used, with reasons."""

    def __len__(self) -> int:
        """Number of models."""

    def source(self, i: int) -> str:
        """Name of model i's shape; what a memory writes down beside its grid.

        At most 128 bytes. Entries that show the same shape in different photos share its name, so
        that leaving a shape out leaves out all of them.
        """

    def category(self, i: int) -> str:
        """Category of model i, by name."""

    def views(self, i: int) -> int:
        """Number of views of model i, at least 1."""

    def grid(self, i: int) -> NDArray[np.bool_]:
        """Voxels of model i, (R, R, R) indexed [x, y, z]: y up, front +x."""

    def image(self, i: int, view: int) -> NDArray[np.uint8]:
        """View of model i, (S, S, 4) RGBA framed as R2N2's renders are; alpha is the mask."""

    def camera(self, i: int, view: int) -> NDArray[np.float64] | None:
        """Camera of a view, (5,) as in R2N2.cameras; None if that is unknown."""

    def projection(self, i: int, view: int, grid: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Silhouette (S, S) of any grid from the camera of a view; None if that is unknown."""

    def check(
        self, views: int | None = None, progress: Callable[[int, int], None] | None = None
    ) -> "Shapes":
        """Read every file once; models with a broken one move to `skipped`.

        Args:
            views: read only so many views of each model.
            progress: called with (models read, models in all).
        """
