"""What is in a data set, and what is wrong with it.

Every question is asked through the protocol `ShapeDataset`, so any kind of data can be checked.
"""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from mem3d.data.curation.axes import FRAMES, AxisTest, frame_ious, judge
from mem3d.data.dataset import ShapeDataset, Skipped
from mem3d.data.open import open_dataset
from mem3d.data.splits import SplitName, spread
from memstore.voxels.grids import pack

WHOLE = "all"  # the one subset of a set without a split
SAMPLE = 32  # shapes of the axis test: about half a second each

NotedProgress = Callable[[int, int, str], object]


@dataclass(frozen=True, kw_only=True)
class ShapeFacts:
    """One shape, once its files were read."""

    shape_id: str
    category: str
    subset: str
    views: int
    occupancy: float  # share of full voxels
    enclosed: float  # empty voxels that the shape encloses, over those and the full ones
    spans: bool  # its longest side reaches from the first voxel to the last
    grid: str  # hash; equal for equal grids
    sizes: Mapping[tuple[int, int], int]  # how many of the pictures read have a width and height
    opaque: int  # pictures whose alpha is 255 everywhere
    blank: int  # pictures whose alpha marks nothing


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """What `examine` found.

    Attributes:
        root: the data.
        shapes: the shapes that can be used.
        skipped: those that cannot, with reasons.
        sampled: shapes drawn for the axis test.
        axes: axis test of the whole set.
        categories: axis test of each category.
        copies: shapes of different subsets with equal grids, in groups.
    """

    root: Path
    shapes: tuple[ShapeFacts, ...]
    skipped: tuple[Skipped, ...]
    sampled: int
    axes: AxisTest
    categories: Mapping[str, AxisTest]
    copies: tuple[tuple[ShapeFacts, ...], ...]


def open_subsets(root: str | Path, split: str | Path | None = None) -> dict[str, ShapeDataset]:
    """The subsets of a data set, or, if it has no split, all of it as one."""
    whole = open_dataset(root, None, split)
    try:
        sets = {name: open_dataset(root, name, split) for name in get_args(SplitName)}
    except ValueError:
        if split is not None:
            raise
        return {WHOLE: whole}
    return {name: data for name, data in sets.items() if len(data) or data.skipped} or {
        WHOLE: whole
    }


def examine(
    sets: Mapping[str, ShapeDataset],
    *,
    views: int | None = None,
    sample: int = SAMPLE,
    seed: int = 0,
    progress: NotedProgress | None = None,
) -> DataReport:
    """Read a data set and look for what usually goes wrong.

    Args:
        sets: its subsets, as from `open_subsets`; at least one.
        views: look at only so many views of each shape.
        sample: shapes of the axis test, spread over the categories; 0 leaves it out.
        seed: chooses the views of the axis test.
        progress: called with (done, total, what is being done).
    """
    show = progress or (lambda count, total, note: None)
    shapes: list[ShapeFacts] = []
    usable: list[tuple[ShapeDataset, int]] = []
    skipped: dict[str, Skipped] = {}
    for subset, asked in sets.items():
        data = asked.check(views, partial(_note, show, f"{subset}: reading"))
        skipped |= {skip.shape_id: skip for skip in data.skipped}
        for i, facts in enumerate(_all_facts(data, subset, views)):
            if isinstance(facts, Skipped):
                skipped[facts.shape_id] = facts
            else:
                shapes.append(facts)
                usable.append((data, i))
            show(i + 1, len(data), f"{subset}: looking")
    names = [facts.category for facts in shapes]
    places = spread(names, sample)
    ious = np.empty((len(places), len(FRAMES)))
    for row, place in enumerate(places):
        data, i = usable[place]
        ious[row] = frame_ious(data, i, seed + row)
        show(row + 1, len(places), "axes")
    rows_of = {name: [names[place] == name for place in places] for name in sorted(set(names))}
    return DataReport(
        root=next(iter(sets.values())).root,
        shapes=tuple(shapes),
        skipped=tuple(skipped.values()),
        sampled=len(places),
        axes=judge(ious),
        categories={name: judge(ious[rows]) for name, rows in rows_of.items()},
        copies=_copies(shapes),
    )


def _all_facts(
    data: ShapeDataset, subset: str, views: int | None
) -> Iterator[ShapeFacts | Skipped]:
    """Look at every shape, in several threads: most of the time goes into decoding pictures."""
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        yield from pool.map(lambda i: _facts(data, i, subset, views), range(len(data)))


def _facts(data: ShapeDataset, i: int, subset: str, views: int | None) -> ShapeFacts | Skipped:
    """Look at one shape."""
    count = data.views(i) if views is None else min(views, data.views(i))
    try:
        grid = data.grid(i)
        pictures = [_picture(data.image(i, view)) for view in range(count)]
    except ValueError as error:  # a file that broke since `check`
        return Skipped(data.shape_id(i), str(error))
    longest = max((np.ptp(where) + 1 for where in np.nonzero(grid) if len(where)), default=0)
    return ShapeFacts(
        shape_id=data.shape_id(i),
        category=data.category(i),
        subset=subset,
        views=data.views(i),
        occupancy=float(grid.mean()),
        enclosed=enclosed_share(grid),
        spans=int(longest) == len(grid),
        grid=hashlib.blake2b(pack(grid).tobytes(), digest_size=16).hexdigest(),
        sizes=Counter(size for size, _, _ in pictures),
        opaque=sum(opaque for _, opaque, _ in pictures),
        blank=sum(blank for _, _, blank in pictures),
    )


def _picture(image: NDArray[np.uint8]) -> tuple[tuple[int, int], bool, bool]:
    """Width and height, whether alpha is 255 everywhere, whether it marks nothing."""
    mask = image[:, :, 3] > 127
    return (image.shape[1], image.shape[0]), bool((image[:, :, 3] == 255).all()), not mask.any()


def enclosed_share(grid: NDArray[np.bool_]) -> float:
    """Empty voxels that cannot be reached from outside, over those and the full ones.

    A closed shell that was not filled gives about a half; a solid shape gives 0, or little.
    """
    from scipy import ndimage  # imported late: it is slow

    labels, _ = ndimage.label(~np.pad(grid, 1))
    inside = int((labels > 1).sum())  # the padding, which is outside, is met first: label 1
    return inside / max(inside + int(grid.sum()), 1)


def _copies(shapes: Sequence[ShapeFacts]) -> tuple[tuple[ShapeFacts, ...], ...]:
    """Groups of shapes with equal grids that lie in more than one subset."""
    same: dict[str, list[ShapeFacts]] = defaultdict(list)
    for facts in shapes:
        if facts.occupancy:
            same[facts.grid].append(facts)
    return tuple(
        tuple(group) for group in same.values() if len({facts.subset for facts in group}) > 1
    )


def _note(show: NotedProgress, note: str, count: int, total: int) -> None:
    show(count, total, note)
