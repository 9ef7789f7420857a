"""Groups of near-duplicate shapes, and splits that keep each group on one side.

Collections of shapes hold many copies: the same car in another color, a chair saved twice. If one
copy is learned and the other is tested, a memory wins by looking it up.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from mem3d.data.curation.report import NotedProgress
from mem3d.data.dataset import ShapeDataset, Subset
from mem3d.data.open import open_dataset
from mem3d.data.readers.pix3d import Pix3D
from mem3d.data.splits import SplitName, check_new, write_split
from memstore.files import Progress
from memstore.voxels.grids import pack, value_similarity

NEAR = 0.85  # two shapes with a higher IoU are one group
SHARES = (0.7, 0.1, 0.2)  # train, val, test: those of Pix2Vox's split

_CELLS = 64  # parts of a grid whose voxels are counted, to rule out most pairs

Words = NDArray[np.uint64]
Counts = NDArray[np.int32]


def packed_grids(data: ShapeDataset, progress: Progress | None = None) -> NDArray[np.uint8]:
    """All grids of a data set as bits, (n, bytes); ValueError if they differ in size."""
    rows, side = [], 0
    for i in range(len(data)):
        grid = data.grid(i)
        if i and len(grid) != side:
            raise ValueError(f"{data.shape_id(i)}: got {len(grid)} voxels a side, want {side}")
        side = len(grid)
        rows.append(pack(grid.ravel()))
        if progress is not None:
            progress(i + 1, len(data))
    return np.stack(rows) if rows else np.empty((0, 0), np.uint8)


def mirror_images(data: ShapeDataset) -> NDArray[np.uint8]:
    """All grids of a data set with left and right swapped, packed as by `packed_grids`."""
    rows = [pack(data.grid(i)[:, :, ::-1].ravel()) for i in range(len(data))]
    return np.stack(rows) if rows else np.empty((0, 0), np.uint8)


def far_from(data: ShapeDataset, others: ShapeDataset, above: float = NEAR) -> Subset:
    """The shapes of a data set that are near no shape of another, nor its mirror image.

    Args:
        data: shapes to choose from.
        others: shapes to stay away from, of the same resolution.
        above: in [0, 1]; two shapes are near if their IoU is higher.

    Raises:
        ValueError: a grid cannot be read, or has another resolution than the rest.
    """
    if not len(data) or not len(others):
        return Subset(data, range(len(data)))
    resolution = len(data.grid(0))
    grids = packed_grids(data)
    rivals = np.concatenate([packed_grids(others), mirror_images(others)])
    if rivals.shape[1] != grids.shape[1]:
        raise ValueError(
            f"{others.root}: got {len(others.grid(0))} voxels a side, want {resolution}"
        )
    nearest = np.zeros(len(grids))
    for rival in rivals:
        iou = value_similarity(grids, rival, resolution, "iou")
        np.maximum(nearest, iou, out=nearest)
    return Subset(data, np.flatnonzero(nearest <= above).tolist())


def near_duplicate_groups(
    grids: NDArray[np.uint8],
    above: float = NEAR,
    *,
    also: NDArray[np.uint8] | None = None,
    progress: Progress | None = None,
) -> NDArray[np.int64]:
    """Number the groups of shapes that pairs of near-duplicates link, also indirectly.

    Pairs are compared exactly; a pair that differs too much in size, or in how many voxels lie in
    each of 64 parts of the grid, cannot reach the threshold and is not looked at.

    Args:
        grids: (n, bytes) packed as by `packed_grids`.
        above: in [0, 1); two shapes are near if their IoU is higher. Two empty ones are.
        also: (n, bytes) other forms of the same shapes, such as their mirror images; a shape that
            is near another's other form is near it too.
        progress: called with (shapes compared, shapes in all).

    Returns:
        (n,) group of each shape: 0, 1, ... in the order of their first members.
    """
    if not 0 <= above < 1:
        raise ValueError(f"above: got {above}, want an IoU in [0, 1)")
    if also is not None and also.shape != grids.shape:
        raise ValueError(f"also: got {also.shape}, want {grids.shape} as grids")
    count = len(grids)
    words = _words(grids)
    full = np.bitwise_count(words).sum(1, dtype=np.int32)
    order = np.argsort(full, kind="stable")
    words, full = words[order], full[order]
    forms = [words] if also is None else [words, _words(also)[order]]
    cells = [_cells(form) for form in forms]
    group = np.arange(count)
    for i in range(count):
        # IoU <= smaller / larger: the shapes past `end` are too large.
        end = int(np.searchsorted(full, np.ceil(full[i] / above) if above else full[-1], "right"))
        rest = slice(i + 1, end)
        for form, cell in zip(forms, cells, strict=True):
            near = (
                i
                + 1
                + _near(form[i], cell[i], full[i], words[rest], cells[0][rest], full[rest], above)
            )
            linked = np.unique(group[[i, *near]])
            if len(linked) > 1:
                group[np.isin(group, linked)] = linked[0]
        if progress is not None:
            progress(i + 1, count)
    by_place = np.empty(count, np.int64)
    by_place[order] = group
    _, first, inverse = np.unique(by_place, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def plan_split(
    groups: NDArray[np.int64],
    categories: Sequence[str],
    shares: tuple[float, float, float] = SHARES,
    seed: int = 0,
) -> list[SplitName]:
    """Choose a subset for each shape, whole groups at a time.

    Groups come in random order, the large ones first; each goes where its categories lack most.

    Args:
        groups: (n,) group of each shape.
        categories: (n,) category of each shape; each category is shared out on its own.
        shares: of train, val and test, as any numbers >= 0.
        seed: another seed, another split.

    Returns:
        (n,) subsets.
    """
    if len(groups) != len(categories):
        raise ValueError(f"categories: got {len(categories)}, want one per shape: {len(groups)}")
    if min(shares) < 0 or not 0 < sum(shares) < np.inf:
        raise ValueError(f"shares: got {shares}, want three numbers >= 0, not all 0")
    fractions = np.array(shares) / sum(shares)
    lacks = {name: fractions * count for name, count in Counter(categories).items()}
    members: dict[int, list[int]] = defaultdict(list)
    for place, group in enumerate(groups.tolist()):
        members[group].append(place)
    drawn = np.random.default_rng(seed).permutation(sorted(members))
    subsets: list[SplitName] = ["train"] * len(groups)
    for group in sorted(drawn.tolist(), key=lambda group: -len(members[group])):
        lack = sum(lacks[categories[place]] for place in members[group])
        part = int(np.where(fractions > 0, lack, -np.inf).argmax())
        for place in members[group]:
            lacks[categories[place]][part] -= 1
            subsets[place] = get_args(SplitName)[part]
    return subsets


def _near(
    shape: Words,
    cell: Counts,
    full: np.int32,
    words: Words,
    cells: Counts,
    fulls: Counts,
    above: float,
) -> NDArray[np.int64]:
    """Which of the shapes have an IoU over `above` with one shape."""
    # IoU = (a + b - d) / (a + b + d), d voxels apart; and d >= what the cells' counts differ by.
    both = full + fulls
    most = both * ((1 - above) / (1 + above))
    rivals = np.flatnonzero(np.abs(cells - cell).sum(1) <= most)
    common = np.bitwise_count(words[rivals] & shape).sum(1, dtype=np.int64)
    joint = both[rivals] - common
    near: NDArray[np.int64] = rivals[(common > above * joint) | (joint == 0)]
    return near


def _words(grids: NDArray[np.uint8]) -> Words:
    """Rows of bytes as rows of 64-bit words, a multiple of _CELLS of them, padded with zeros."""
    size = -(-grids.shape[1] // (8 * _CELLS)) * 8 * _CELLS
    padded = np.zeros((len(grids), size), np.uint8)
    padded[:, : grids.shape[1]] = grids
    return padded.view(np.uint64)


def _cells(words: Words) -> Counts:
    """(n, _CELLS) full voxels of each part."""
    counts = np.bitwise_count(words).reshape(len(words), _CELLS, words.shape[1] // _CELLS)
    sums: Counts = counts.sum(2, dtype=np.int32)
    return sums


@dataclass(frozen=True, kw_only=True)
class Division:
    """What is told of a new split."""

    path: str
    shapes: int
    skipped: int
    groups: int
    near_duplicates: int  # shapes in a group of more than one
    largest: list[str]
    counts: dict[str, dict[str, int]]  # category: subset: shapes


def split_dataset(
    data: str | Path,
    out: str | Path,
    shares: tuple[float, float, float],
    *,
    iou: float = 0.85,
    mirrored: bool = False,
    seed: int = 0,
    replace: bool = False,
    progress: NotedProgress | None = None,
) -> Division:
    """Write a split file; the same data, shares and seed give the same one.

    Args:
        data: any data set but Pix3D.
        out: file to write, in Pix2Vox's schema.
        shares: of train, val and test.
        iou: shapes with a higher voxel IoU, directly or through others, stay on one side.
        mirrored: also compare with mirror images.
        seed: another one, another split.
        replace: also where the file is there.
        progress: called with what is done, what there is, and what is going on.

    Raises:
        ValueError: the file is there, the data cannot be opened, or they are Pix3D.
    """
    if not replace:
        check_new(Path(out))
    shapes = open_dataset(data)
    if isinstance(shapes, Pix3D):
        raise ValueError(
            f"{data}: got Pix3D, want shapes in folders of their own; its photos are divided by "
            'split files of its own: pix3d_s1 or pix3d_s2, or {"train": ["img/chair/0001.png"], '
            '"val": [...], "test": [...]} (docs/guide/formats.md)'
        )
    show = progress or (lambda count, total, what: None)
    shapes = shapes.check(1, lambda count, total: show(count, total, "reading"))
    groups = near_duplicate_groups(
        packed_grids(shapes),
        iou,
        also=mirror_images(shapes) if mirrored else None,
        progress=lambda count, total: show(count, total, "comparing"),
    )
    shape_ids = [shapes.shape_id(i) for i in range(len(shapes))]
    categories = [shapes.category(i) for i in range(len(shapes))]
    subsets = plan_split(groups, categories, shares, seed)
    write_split(Path(out), shape_ids, categories, subsets, replace=replace)
    sizes = np.bincount(groups) if len(groups) else np.zeros(1, np.int64)
    counts = Counter(zip(categories, subsets, strict=True))
    return Division(
        path=str(out),
        shapes=len(shapes),
        skipped=len(shapes.skipped),
        groups=int(np.count_nonzero(sizes)),
        near_duplicates=int(sizes[sizes > 1].sum()),
        largest=[shape_ids[i] for i in np.flatnonzero(groups == sizes.argmax())],
        counts={
            name: {part: counts[name, part] for part in get_args(SplitName)}
            for name in sorted(set(categories))
        },
    )
