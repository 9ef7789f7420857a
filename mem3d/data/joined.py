"""Several data sets as one, to learn from all of them in one run."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mem3d.data.shapes import Shapes, Skipped


class Joined:
    """The models of several data sets, one set after the other."""

    def __init__(self, sets: Sequence[Shapes]) -> None:
        """Join.

        Args:
            sets: at least one; `root` and `split` are those of the first.

        Raises:
            ValueError: no set.
        """
        if not sets:
            raise ValueError("sets: got none, want at least 1")
        self.sets = tuple(sets)
        self.root, self.split = sets[0].root, sets[0].split
        self.skipped: tuple[Skipped, ...] = tuple(skip for one in sets for skip in one.skipped)
        self._ends = list(accumulate(len(one) for one in sets))

    def __len__(self) -> int:
        return self._ends[-1]

    def _of(self, i: int) -> tuple[Shapes, int]:
        """The set that model i is in, and its position there."""
        if not 0 <= i < len(self):
            raise IndexError(f"model: got {i}, want 0..{len(self) - 1}")
        number = bisect_right(self._ends, i)
        return self.sets[number], i - (self._ends[number - 1] if number else 0)

    def source(self, i: int) -> str:
        """Name of the shape of model i."""
        data, at = self._of(i)
        return data.source(at)

    def category(self, i: int) -> str:
        """Category of model i."""
        data, at = self._of(i)
        return data.category(at)

    def views(self, i: int) -> int:
        """Number of views of model i."""
        data, at = self._of(i)
        return data.views(at)

    def grid(self, i: int) -> NDArray[np.bool_]:
        """Voxels of model i."""
        data, at = self._of(i)
        return data.grid(at)

    def image(self, i: int, view: int) -> NDArray[np.uint8]:
        """View of model i."""
        data, at = self._of(i)
        return data.image(at, view)

    def camera(self, i: int, view: int) -> NDArray[np.float64] | None:
        """Camera of a view of model i."""
        data, at = self._of(i)
        return data.camera(at, view)

    def projection(self, i: int, view: int, grid: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Silhouette of any grid in a view of model i."""
        data, at = self._of(i)
        return data.projection(at, view, grid)

    def check(
        self, views: int | None = None, progress: Callable[[int, int], None] | None = None
    ) -> "Joined":
        """As Shapes.check, one set after the other."""
        checked: list[Shapes] = []
        for one in self.sets:
            before = sum(len(each) for each in self.sets[: len(checked)])
            told = None
            if progress is not None:
                told = _shifted(progress, before, len(self))
            checked.append(one.check(views, told))
        return Joined(checked)


def _shifted(
    progress: Callable[[int, int], None], before: int, total: int
) -> Callable[[int, int], None]:
    return lambda done, _: progress(before + done, total)


def roots(data: Shapes) -> list[tuple[Path, Path | None]]:
    """Root and split file of each set that a data set was joined from."""
    sets = data.sets if isinstance(data, Joined) else (data,)
    return [(one.root, one.split) for one in sets]
