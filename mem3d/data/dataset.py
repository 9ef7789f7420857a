"""What training, evaluation and pictures ask of a data set, whatever its files look like."""

import zlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Skipped:
    """A shape that was asked for and cannot be used."""

    shape_id: str
    reason: str


class ShapeDataset(Protocol):
    """Shapes in a fixed order, each with a category, a grid and one or more views.

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
        """Shapes that were asked for and cannot be used, with reasons."""

    def __len__(self) -> int:
        """Number of shapes."""

    def shape_id(self, i: int) -> str:
        """Name of shape i's shape; what a memory writes down beside its grid.

        At most 128 bytes. Entries that show the same shape in different photos share its name, so
        that leaving a shape out leaves out all of them.
        """

    def category(self, i: int) -> str:
        """Category of shape i, by name."""

    def views(self, i: int) -> int:
        """Number of views of shape i, at least 1."""

    def grid(self, i: int) -> NDArray[np.bool_]:
        """Voxels of shape i, (R, R, R) indexed [x, y, z]: y up, front +x."""

    def image(self, i: int, view: int) -> NDArray[np.uint8]:
        """View of shape i, (S, S, 4) RGBA framed as R2N2's renders are; alpha is the mask."""

    def camera(self, i: int, view: int) -> NDArray[np.float64] | None:
        """Camera of a view, (5,) as in R2N2.cameras; None if that is unknown."""

    def projection(self, i: int, view: int, grid: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Silhouette (S, S) of any grid from the camera of a view; None if that is unknown."""

    def check(
        self, views: int | None = None, progress: Callable[[int, int], None] | None = None
    ) -> "ShapeDataset":
        """Read every file once; shapes with a broken one move to `skipped`.

        Args:
            views: read only so many views of each shape.
            progress: called with (shapes read, shapes in all).
        """


class Subset:
    """The shapes at some positions of another data set, in the order given."""

    def __init__(
        self,
        data: ShapeDataset,
        positions: Sequence[int],
        skipped: tuple[Skipped, ...] | None = None,
    ) -> None:
        """Choose.

        Args:
            data: whose shapes.
            positions: in data.
            skipped: None takes those of the whole.
        """
        self.data = data
        self.positions = tuple(positions)
        self.root, self.split = data.root, data.split
        self.skipped = data.skipped if skipped is None else skipped

    def __len__(self) -> int:
        return len(self.positions)

    def shape_id(self, i: int) -> str:
        """Name of the shape of chosen shape i."""
        return self.data.shape_id(self.positions[i])

    def category(self, i: int) -> str:
        """Category of chosen shape i."""
        return self.data.category(self.positions[i])

    def views(self, i: int) -> int:
        """Number of views of chosen shape i."""
        return self.data.views(self.positions[i])

    def grid(self, i: int) -> NDArray[np.bool_]:
        """Voxels of chosen shape i."""
        return self.data.grid(self.positions[i])

    def image(self, i: int, view: int) -> NDArray[np.uint8]:
        """View of chosen shape i."""
        return self.data.image(self.positions[i], view)

    def camera(self, i: int, view: int) -> NDArray[np.float64] | None:
        """Camera of a view of chosen shape i."""
        return self.data.camera(self.positions[i], view)

    def projection(self, i: int, view: int, grid: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Silhouette of any grid from the camera of a view of chosen shape i."""
        return self.data.projection(self.positions[i], view, grid)

    def check(
        self, views: int | None = None, progress: Callable[[int, int], None] | None = None
    ) -> "Subset":
        """Read every file once; shapes with a broken one are no longer chosen."""
        good, broken = [], []
        for done, i in enumerate(self.positions, start=1):
            try:
                self.data.grid(i)
                known = self.data.views(i)
                for view in range(known if views is None else min(views, known)):
                    self.data.image(i, view)
                good.append(i)
            except ValueError as error:
                broken.append(Skipped(self.data.shape_id(i), str(error)))
            if progress is not None:
                progress(done, len(self))
        return Subset(self.data, good, (*self.skipped, *broken))


class ConcatDataset:
    """The shapes of several data sets, one set after the other."""

    def __init__(self, sets: Sequence[ShapeDataset]) -> None:
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

    def _of(self, i: int) -> tuple[ShapeDataset, int]:
        """The set that shape i is in, and its position there."""
        if not 0 <= i < len(self):
            raise IndexError(f"shape: got {i}, want 0..{len(self) - 1}")
        number = bisect_right(self._ends, i)
        return self.sets[number], i - (self._ends[number - 1] if number else 0)

    def shape_id(self, i: int) -> str:
        """Name of the shape of shape i."""
        data, at = self._of(i)
        return data.shape_id(at)

    def category(self, i: int) -> str:
        """Category of shape i."""
        data, at = self._of(i)
        return data.category(at)

    def views(self, i: int) -> int:
        """Number of views of shape i."""
        data, at = self._of(i)
        return data.views(at)

    def grid(self, i: int) -> NDArray[np.bool_]:
        """Voxels of shape i."""
        data, at = self._of(i)
        return data.grid(at)

    def image(self, i: int, view: int) -> NDArray[np.uint8]:
        """View of shape i."""
        data, at = self._of(i)
        return data.image(at, view)

    def camera(self, i: int, view: int) -> NDArray[np.float64] | None:
        """Camera of a view of shape i."""
        data, at = self._of(i)
        return data.camera(at, view)

    def projection(self, i: int, view: int, grid: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Silhouette of any grid in a view of shape i."""
        data, at = self._of(i)
        return data.projection(at, view, grid)

    def check(
        self, views: int | None = None, progress: Callable[[int, int], None] | None = None
    ) -> "ConcatDataset":
        """As Shapes.check, one set after the other."""
        checked: list[ShapeDataset] = []
        for one in self.sets:
            before = sum(len(each) for each in self.sets[: len(checked)])
            told = None
            if progress is not None:
                told = _shifted(progress, before, len(self))
            checked.append(one.check(views, told))
        return ConcatDataset(checked)


def _shifted(
    progress: Callable[[int, int], None], before: int, total: int
) -> Callable[[int, int], None]:
    return lambda done, _: progress(before + done, total)


def roots(data: ShapeDataset) -> list[tuple[Path, Path | None]]:
    """Root and split file of each set that a data set was joined from."""
    sets = data.sets if isinstance(data, ConcatDataset) else (data,)
    return [(one.root, one.split) for one in sets]


Rgba = NDArray[np.uint8]
Paint = Callable[[Rgba, np.random.Generator], Rgba]


class TransformDataset:
    """The shapes of another data set, with each picture changed at random.

    What chance says of a picture depends on the seed, the shape's name and the view only: it is
    changed the same way in every run, in every selection of the shapes, and whatever else is done
    to it.
    """

    def __init__(self, data: ShapeDataset, paint: Paint, seed: int) -> None:
        """Use `behind_occluders` or `before_photos`.

        Args:
            data: whose shapes; it must keep the protocol `ShapeDataset`.
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

    def shape_id(self, i: int) -> str:
        """Name of the shape of shape i."""
        return self.data.shape_id(i)

    def category(self, i: int) -> str:
        """Category of shape i."""
        return self.data.category(i)

    def views(self, i: int) -> int:
        """Number of views of shape i."""
        return self.data.views(i)

    def grid(self, i: int) -> NDArray[np.bool_]:
        """Voxels of shape i, whole."""
        return self.data.grid(i)

    def image(self, i: int, view: int) -> Rgba:
        """View of shape i, changed."""
        name = zlib.crc32(self.shape_id(i).encode())
        return self.paint(self.data.image(i, view), np.random.default_rng([self.seed, name, view]))

    def camera(self, i: int, view: int) -> NDArray[np.float64] | None:
        """Camera of a view of shape i."""
        return self.data.camera(i, view)

    def projection(self, i: int, view: int, grid: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Silhouette of any grid from the camera of a view of shape i, not hidden."""
        return self.data.projection(i, view, grid)

    def check(
        self, views: int | None = None, progress: Callable[[int, int], None] | None = None
    ) -> "TransformDataset":
        """Read every file once; shapes with a broken one move to `skipped`."""
        return TransformDataset(self.data.check(views, progress), self.paint, self.seed)
