"""Writing procedural shapes as a data set in the R2N2 layout."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from mem3d.data.parallel import results
from mem3d.data.procedural.shape import CATEGORIES, make_shape
from mem3d.data.readers.r2n2_writer import (
    check_limits,
    claim,
    draw_cameras,
    drop_partial,
    rendering_folder,
    write_shape,
)
from mem3d.data.rendering.renderer import SIZE, Scene
from mem3d.data.taxonomy import SYNSETS
from memstore.files import Progress, write_atomic

VERSION = 2  # raise it when a seed starts to give other shapes or pictures
MANIFEST = "synthetic.json"
MAX_MODELS = 1_000_000  # per category; a shape's name is seed * MAX_MODELS + number

_SYNSET_OF = {name: synset for synset, name in SYNSETS.items()}


@dataclass(frozen=True)
class _Task:
    """One shape to make."""

    root: Path
    category: str
    seed: int  # of the shape; the shape's name
    views: int
    size: int

    @property
    def shape_id(self) -> str:
        """ "synset/name"."""
        return f"{_SYNSET_OF[self.category]}/{_name(self.seed)}"


def synthesize(
    root: str | Path,
    models_per_category: int = 40,
    seed: int = 0,
    views: int = 24,
    categories: Collection[str] | None = None,
    processes: int = 1,
    progress: Progress | None = None,
    size: int = SIZE,
) -> int:
    """Make a data set of procedural shapes; an interrupted run is taken up where it stopped.

    The folder depends on the settings alone, not on `processes`. A shape called 3000007 is
    make_shape(category, 3000007). Split: 70 % train, 10 % val, 20 % test of each category.

    Args:
        root: folder to make, or one that was begun with the same settings.
        models_per_category: 1..MAX_MODELS.
        seed: >= 0; data sets of different seeds share no shape.
        views: per shape, 1..100; cameras are drawn as in R2N2.
        categories: names from CATEGORIES; None takes all 13.
        processes: more than 1 starts others (by "spawn": guard a script's main part).
        progress: called with (shapes finished, shapes in all).
        size: pixels per side of a view.

    Returns:
        How many shapes were made now.

    Raises:
        ValueError: a setting is out of range, or the folder holds something else.
    """
    root = Path(root)
    names = sorted(CATEGORIES if categories is None else set(categories))
    _check_settings(models_per_category, seed, views, names, processes, size)
    claim(root, MANIFEST, {
        "version": VERSION, "seed": seed, "models_per_category": models_per_category,
        "views": views, "size": size, "categories": names,
    })  # fmt: skip
    first = seed * MAX_MODELS
    tasks = [
        _Task(root, category, first + number, views, size)
        for number in range(models_per_category)
        for category in names
    ]
    waiting = [task for task in tasks if not rendering_folder(root, task.shape_id).is_dir()]
    before = len(tasks) - len(waiting)
    with results(_make, waiting, processes) as shapes:
        for count, _ in enumerate(shapes, before + 1):
            if progress is not None:
                progress(count, len(tasks))
    drop_partial(root)
    split = [_split(category, models_per_category, seed) for category in names]
    write_atomic(root / "split.json", json.dumps(split, indent=1).encode())
    return len(waiting)


def _name(seed: int) -> str:
    return f"{seed:07d}"


def _check_settings(
    shapes: int, seed: int, views: int, categories: list[str], processes: int, size: int
) -> None:
    """ValueError naming the setting that is out of range."""
    if unknown := sorted(set(categories) - set(CATEGORIES)):
        raise ValueError(f"categories: got {unknown}, want some of {sorted(CATEGORIES)}")
    if not categories:
        raise ValueError("categories: got none, want at least one")
    check_limits({
        "models_per_category": (shapes, 1, MAX_MODELS),
        "seed": (seed, 0, 10**9),
        "views": (views, 1, 100),
        "processes": (processes, 1, 256),
        "size": (size, 8, 1024),
    })  # fmt: skip


def _make(task: _Task) -> None:
    """Make one shape."""
    shape = make_shape(task.category, task.seed)
    rng = np.random.default_rng([task.seed, crc32(task.category.encode()), 1])
    cameras = draw_cameras(task.views, rng)
    write_shape(task.root, task.shape_id, shape.grid(), Scene(shape.mesh()), cameras, task.size)


def _split(category: str, shapes: int, seed: int) -> dict[str, Any]:
    """An entry of split.json."""
    rng = np.random.default_rng([seed, crc32(category.encode()), 2])
    names = [_name(seed * MAX_MODELS + int(number)) for number in rng.permutation(shapes)]
    val, test = round(0.1 * shapes), round(0.2 * shapes)
    return {
        "taxonomy_id": _SYNSET_OF[category],
        "taxonomy_name": category,
        "train": sorted(names[val + test :]),
        "val": sorted(names[:val]),
        "test": sorted(names[val : val + test]),
    }
