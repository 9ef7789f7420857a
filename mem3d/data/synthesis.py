"""Writing procedural shapes as a data set in the R2N2 layout."""

import json
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mem3d.data.procedural import CATEGORIES, make_shape
from mem3d.data.r2n2 import view_name
from mem3d.data.rendering import SIZE, Scene
from mem3d.data.splits import SYNSETS
from memstore.binvox import write_binvox
from memstore.files import write_atomic

VERSION = 2  # raise it when a seed starts to give other shapes or pictures
MANIFEST = "synthetic.json"
MAX_MODELS = 1_000_000  # per category; a model's name is seed * MAX_MODELS + number

_SYNSET_OF = {name: synset for synset, name in SYNSETS.items()}
_PARTIAL = ".partial"


@dataclass(frozen=True)
class _Task:
    """One model to make."""

    root: Path
    category: str
    seed: int  # of the shape; the model's name
    views: int
    size: int

    @property
    def rendering(self) -> Path:
        """Folder of the views; a model is finished when it is there."""
        synset = _SYNSET_OF[self.category]
        return self.root / "ShapeNetRendering" / synset / _name(self.seed) / "rendering"

    @property
    def binvox(self) -> Path:
        """File of the grid."""
        synset = _SYNSET_OF[self.category]
        return self.root / "ShapeNetVox32" / synset / _name(self.seed) / "model.binvox"


def synthesise(
    root: str | Path,
    models_per_category: int = 40,
    seed: int = 0,
    views: int = 24,
    categories: Collection[str] | None = None,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
    size: int = SIZE,
) -> int:
    """Make a data set of procedural shapes; an interrupted run is taken up where it stopped.

    The folder depends on the settings alone, not on `processes`. A model called 3000007 is
    make_shape(category, 3000007). Split: 70 % train, 10 % val, 20 % test of each category.

    Args:
        root: folder to make, or one that was begun with the same settings.
        models_per_category: 1..MAX_MODELS.
        seed: >= 0; data sets of different seeds share no model.
        views: per model, 1..100; cameras are drawn as in R2N2.
        categories: names from CATEGORIES; None takes all 13.
        processes: more than 1 starts others (by "spawn": guard a script's main part).
        progress: called with (models finished, models in all).
        size: pixels per side of a view.

    Returns:
        How many models were made now.

    Raises:
        ValueError: a setting is out of range, or the folder holds something else.
    """
    root = Path(root)
    names = sorted(CATEGORIES if categories is None else set(categories))
    _check_settings(models_per_category, seed, views, names, processes, size)
    _claim(root, {
        "version": VERSION, "seed": seed, "models_per_category": models_per_category,
        "views": views, "size": size, "categories": names,
    })  # fmt: skip
    first = seed * MAX_MODELS
    tasks = [
        _Task(root, category, first + number, views, size)
        for number in range(models_per_category)
        for category in names
    ]
    waiting = [task for task in tasks if not task.rendering.is_dir()]
    done = len(tasks) - len(waiting)
    with _results(waiting, processes) as results:
        for _ in results:
            done += 1
            if progress is not None:
                progress(done, len(tasks))
    shutil.rmtree(root / _PARTIAL, ignore_errors=True)
    split = [_split(category, models_per_category, seed) for category in names]
    write_atomic(root / "split.json", json.dumps(split, indent=1).encode())
    return len(waiting)


def draw_cameras(views: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw cameras over the ranges of R2N2: (views, 5) rows as in rendering_metadata.txt."""
    rows = np.zeros((views, 5))
    rows[:, 0] = rng.uniform(0, 360, views)
    rows[:, 1] = rng.uniform(25, 30, views)
    rows[:, 3] = rng.uniform(0.65, 0.95, views)
    rows[:, 4] = 25
    return rows


def _name(seed: int) -> str:
    return f"{seed:07d}"


def _check_settings(
    models: int, seed: int, views: int, categories: list[str], processes: int, size: int
) -> None:
    """ValueError naming the setting that is out of range."""
    if unknown := sorted(set(categories) - set(CATEGORIES)):
        raise ValueError(f"categories: got {unknown}, want some of {sorted(CATEGORIES)}")
    if not categories:
        raise ValueError("categories: got none, want at least one")
    limits = {
        "models_per_category": (models, 1, MAX_MODELS),
        "seed": (seed, 0, 10**9),
        "views": (views, 1, 100),
        "processes": (processes, 1, 256),
        "size": (size, 8, 1024),
    }
    for name, (value, low, high) in limits.items():
        if not low <= value <= high:
            raise ValueError(f"{name}: got {value}, want {low}..{high}")


def _claim(root: Path, settings: dict[str, Any]) -> None:
    """Write the settings into a new folder, or compare them with those of one begun before."""
    path = root / MANIFEST
    if path.exists():
        try:
            found = json.loads(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path}: got no readable JSON ({error})") from error
        if found != settings:
            raise ValueError(
                f"{root}: got a folder made with {found}, want {settings}; choose another folder"
            )
        return
    if root.exists() and any(root.iterdir()):
        raise ValueError(f"{root}: got a folder with other files, want a new or empty one")
    root.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(settings, indent=1).encode())


@contextmanager
def _results(tasks: list[_Task], processes: int) -> Iterator[Iterator[None]]:
    """One item for each finished task, in any order."""
    if processes == 1 or len(tasks) < 2:
        yield map(_make, tasks)
        return
    # Not "fork": a forked child hangs if the parent has used OpenMP threads.
    with get_context("spawn").Pool(min(processes, len(tasks))) as pool:
        yield pool.imap_unordered(_make, tasks, chunksize=2)


def _make(task: _Task) -> None:
    """Make one model: first the grid, then the views beside their place, then rename."""
    shape = make_shape(task.category, task.seed)
    task.binvox.parent.mkdir(parents=True, exist_ok=True)
    write_binvox(task.binvox, shape.grid())
    scene = Scene(shape.mesh())
    rng = np.random.default_rng([task.seed, crc32(task.category.encode()), 1])
    cameras = draw_cameras(task.views, rng)
    beside = task.root / _PARTIAL / f"{task.category}-{_name(task.seed)}"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    for view, (azimuth, elevation, _, ratio, _) in enumerate(cameras):
        image = scene.render(azimuth=azimuth, elevation=elevation, ratio=ratio, size=task.size)
        data = BytesIO()
        Image.fromarray(image).save(data, "PNG", compress_level=3)
        (beside / view_name(view)).write_bytes(data.getvalue())
    lines = (" ".join(f"{value:.12g}" for value in row) for row in cameras)
    (beside / "rendering_metadata.txt").write_text("".join(f"{line}\n" for line in lines))
    listed = "".join(f"{view_name(view)}\n" for view in range(task.views))
    (beside / "renderings.txt").write_text(listed)
    task.rendering.parent.mkdir(parents=True, exist_ok=True)
    beside.replace(task.rendering)


def _split(category: str, models: int, seed: int) -> dict[str, Any]:
    """An entry of split.json."""
    rng = np.random.default_rng([seed, crc32(category.encode()), 2])
    names = [_name(seed * MAX_MODELS + int(number)) for number in rng.permutation(models)]
    val, test = round(0.1 * models), round(0.2 * models)
    return {
        "taxonomy_id": _SYNSET_OF[category],
        "taxonomy_name": category,
        "train": sorted(names[val + test :]),
        "val": sorted(names[:val]),
        "test": sorted(names[val : val + test]),
    }
