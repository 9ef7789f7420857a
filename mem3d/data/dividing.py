"""Dividing a data set into training, validation and test, with near-duplicates on one side."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from mem3d.data.groups import mirror_images, near_groups, packed_grids, plan_split
from mem3d.data.opening import open_shapes
from mem3d.data.pix3d import Pix3D
from mem3d.data.splits import Subset, check_new, write_split


@dataclass(frozen=True, kw_only=True)
class Division:
    """What is told of a new split."""

    path: str
    models: int
    skipped: int
    groups: int
    near_duplicates: int  # models in a group of more than one
    largest: list[str]
    counts: dict[str, dict[str, int]]  # category: subset: models


def divide(
    data: str | Path,
    out: str | Path,
    shares: tuple[float, float, float],
    *,
    iou: float = 0.85,
    mirrored: bool = False,
    seed: int = 0,
    replace: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
) -> Division:
    """Write a split file; the same data, shares and seed give the same one.

    Args:
        data: any data set but Pix3D.
        out: file to write, in Pix2Vox's schema.
        shares: of train, val and test.
        iou: models with a higher voxel IoU, directly or through others, stay on one side.
        mirrored: also compare with mirror images.
        seed: another one, another split.
        replace: also where the file is there.
        progress: called with what is done, what there is, and what is going on.

    Raises:
        ValueError: the file is there, the data cannot be opened, or they are Pix3D.
    """
    if not replace:
        check_new(Path(out))
    shapes = open_shapes(data)
    if isinstance(shapes, Pix3D):
        raise ValueError(
            f"{data}: got Pix3D, want models in folders of their own; its photos are divided by "
            'split files of its own: pix3d_s1 or pix3d_s2, or {"train": ["img/chair/0001.png"], '
            '"val": [...], "test": [...]} (docs/pix3d.md)'
        )
    show = progress or (lambda done, total, what: None)
    shapes = shapes.check(1, lambda done, total: show(done, total, "reading"))
    groups = near_groups(
        packed_grids(shapes),
        iou,
        also=mirror_images(shapes) if mirrored else None,
        progress=lambda done, total: show(done, total, "comparing"),
    )
    sources = [shapes.source(i) for i in range(len(shapes))]
    categories = [shapes.category(i) for i in range(len(shapes))]
    subsets = plan_split(groups, categories, shares, seed)
    write_split(Path(out), sources, categories, subsets, replace=replace)
    sizes = np.bincount(groups) if len(groups) else np.zeros(1, np.int64)
    counts = Counter(zip(categories, subsets, strict=True))
    return Division(
        path=str(out),
        models=len(shapes),
        skipped=len(shapes.skipped),
        groups=int(np.count_nonzero(sizes)),
        near_duplicates=int(sizes[sizes > 1].sum()),
        largest=[sources[i] for i in np.flatnonzero(groups == sizes.argmax())],
        counts={
            name: {part: counts[name, part] for part in get_args(Subset)}
            for name in sorted(set(categories))
        },
    )
