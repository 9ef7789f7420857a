"""A data set of shapes with views: one base class, and the data sets made from other ones."""

import zlib
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mem3d.data.rendering.renderer import project
from memstore.files import Progress

Rgba = NDArray[np.uint8]
Paint = Callable[[Rgba, np.random.Generator], Rgba]


@dataclass(frozen=True)
class Skipped:
    """A shape that was asked for and cannot be used."""

    shape_id: str
    reason: str


class ShapeDataset(ABC):
    """Shapes in a fixed order, each with a category, a grid and one or more views.

    A broken file is a ValueError that names it; `check` finds them all beforehand.

    Attributes:
        root: folder or file the data came from.
        split: the split file that was used, if any.
        skipped: shapes that were asked for and cannot be used, with reasons.
    """

    root: Path
    split: Path | None
    skipped: tuple[Skipped, ...]

    @abstractmethod
    def __len__(self) -> int:
        """Number of shapes."""

    @abstractmethod
    def shape_id(self, i: int) -> str:
        """Name of shape i; what a memory writes down beside its grid.

        At most 128 bytes. Entries that show the same shape in different photos share its name, so
        that leaving a shape out leaves out all of them.
        """

    @abstractmethod
    def category(self, i: int) -> str:
        """Category of shape i, by name."""

    @abstractmethod
    def views(self, i: int) -> int:
        """Number of views of shape i, at least 1."""

    @abstractmethod
    def grid(self, i: int) -> NDArray[np.bool_]:
        """Voxels of shape i, (R, R, R) indexed [x, y, z]: y up, front +x."""

    @abstractmethod
    def image(self, i: int, view: int) -> NDArray[np.uint8]:
        """View of shape i, (S, S, 4) RGBA framed as R2N2's renders are; alpha is the mask."""

    def cameras(self, i: int) -> NDArray[np.float64] | None:
        """Cameras of shape i; None if the data have none of R2N2's kind.

        Returns:
            (views, 5): azimuth and elevation in degrees, in-plane rotation (0), distance as a
            fraction of the largest, field of view in degrees (25); NaN where they are not known.
        """
        return None

    def camera(self, i: int, view: int) -> NDArray[np.float64] | None:
        """Camera of a view, (5,) as in `cameras`; None if that is unknown or cannot be read."""
        try:
            return self._camera(i, view)
        except ValueError:
            return None

    def projection(self, i: int, view: int, grid: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Silhouette (S, S) of any grid from the camera of a view; None if that is unknown."""
        camera = self._camera(i, view)
        return None if camera is None else project(grid, camera, len(self.image(i, view)))

    def check(self, views: int | None = None, progress: Progress | None = None) -> "ShapeDataset":
        """Read every file once.

        Args:
            views: read only so many views of each shape.
            progress: called with (shapes read, shapes in all).

        Returns:
            The same data without the shapes that have a broken file; those join `skipped`.
        """
        good, broken = [], []
        for i, fault in enumerate(self._faults(views)):
            if fault is None:
                good.append(i)
            else:
                broken.append(Skipped(self._name(i), fault))
            if progress is not None:
                progress(i + 1, len(self))
        return self._select(good, (*self.skipped, *broken))

    def _camera(self, i: int, view: int) -> NDArray[np.float64] | None:
        cameras = self.cameras(i)
        if cameras is None or not np.isfinite(cameras[view]).all():
            return None
        row: NDArray[np.float64] = cameras[view]
        return row

    def _faults(self, views: int | None) -> Iterator[str | None]:
        """What is wrong with each shape, in order; None for one that can be read."""
        return (self._fault(i, views) for i in range(len(self)))

    def _fault(self, i: int, views: int | None) -> str | None:
        try:
            self.grid(i)
            self.cameras(i)
            count = self.views(i)
            for view in range(count if views is None else min(views, count)):
                self.image(i, view)
        except ValueError as error:
            return str(error)
        return None

    def _name(self, i: int) -> str:
        """What `skipped` calls shape i."""
        return self.shape_id(i)

    def _select(self, positions: Sequence[int], skipped: tuple[Skipped, ...]) -> "ShapeDataset":
        """The same data with these shapes alone."""
        return Subset(self, positions, skipped)


class _Derived(ShapeDataset):
    """Shapes that are those of other data sets: every question goes on to one of them."""

    @abstractmethod
    def _place(self, i: int) -> tuple[ShapeDataset, int]:
        """The data set that shape i is in, and its position there."""

    def shape_id(self, i: int) -> str:
        data, at = self._place(i)
        return data.shape_id(at)

    def category(self, i: int) -> str:
        data, at = self._place(i)
        return data.category(at)

    def views(self, i: int) -> int:
        data, at = self._place(i)
        return data.views(at)

    def grid(self, i: int) -> NDArray[np.bool_]:
        data, at = self._place(i)
        return data.grid(at)

    def image(self, i: int, view: int) -> NDArray[np.uint8]:
        data, at = self._place(i)
        return data.image(at, view)

    def cameras(self, i: int) -> NDArray[np.float64] | None:
        data, at = self._place(i)
        return data.cameras(at)

    def projection(self, i: int, view: int, grid: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        data, at = self._place(i)
        return data.projection(at, view, grid)


class Subset(_Derived):
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

    def _place(self, i: int) -> tuple[ShapeDataset, int]:
        return self.data, self.positions[i]

    def _select(self, positions: Sequence[int], skipped: tuple[Skipped, ...]) -> "Subset":
        return Subset(self.data, [self.positions[i] for i in positions], skipped)


class ConcatDataset(_Derived):
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
        self.skipped = tuple(skip for data in sets for skip in data.skipped)
        self._ends = list(accumulate(len(data) for data in sets))

    def __len__(self) -> int:
        return self._ends[-1]

    def _place(self, i: int) -> tuple[ShapeDataset, int]:
        if not 0 <= i < len(self):
            raise IndexError(f"shape: got {i}, want 0..{len(self) - 1}")
        number = bisect_right(self._ends, i)
        return self.sets[number], i - (self._ends[number - 1] if number else 0)

    def check(self, views: int | None = None, progress: Progress | None = None) -> "ConcatDataset":
        """As ShapeDataset.check, one set after the other."""
        sets = []
        for data, end in zip(self.sets, self._ends, strict=True):
            sets.append(data.check(views, progress and _shifted(progress, end - len(data), self)))
        return ConcatDataset(sets)


def _shifted(progress: Progress, before: int, data: ShapeDataset) -> Progress:
    return lambda count, _: progress(before + count, len(data))


def roots(data: ShapeDataset) -> list[tuple[Path, Path | None]]:
    """Root and split file of each set that a data set was joined from."""
    sets = data.sets if isinstance(data, ConcatDataset) else (data,)
    return [(part.root, part.split) for part in sets]


class TransformDataset(_Derived):
    """The shapes of another data set, with each picture changed at random.

    What chance says of a picture depends on the seed, the shape's name and the view only: it is
    changed the same way in every run, in every selection of the shapes, and whatever else is done
    to it.
    """

    def __init__(self, data: ShapeDataset, paint: Paint, seed: int) -> None:
        """Use `behind_occluders` or `before_photos`.

        Args:
            data: whose shapes.
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

    def _place(self, i: int) -> tuple[ShapeDataset, int]:
        return self.data, i

    def image(self, i: int, view: int) -> Rgba:
        """View of shape i, changed; its grid and its projection are whole."""
        name = zlib.crc32(self.shape_id(i).encode())
        return self.paint(self.data.image(i, view), np.random.default_rng([self.seed, name, view]))

    def check(
        self, views: int | None = None, progress: Progress | None = None
    ) -> "TransformDataset":
        """As ShapeDataset.check, of the pictures as they were."""
        return TransformDataset(self.data.check(views, progress), self.paint, self.seed)
