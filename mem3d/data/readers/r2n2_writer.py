"""Writing data sets in the R2N2 layout: a shape at a time, by several processes, taken up again.

A shape is finished when its folder `rendering` is there: its grid is written first, then its
views beside their place, then that folder is renamed.
"""

import json
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mem3d.data.readers.r2n2 import view_name
from mem3d.data.rendering.renderer import Scene
from memstore.files import write_atomic
from memstore.json_text import read_json
from memstore.voxels.binvox import write_binvox

_PARTIAL = ".partial"


def draw_cameras(views: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw cameras over the ranges of R2N2: (views, 5) rows as in rendering_metadata.txt."""
    rows = np.zeros((views, 5))
    rows[:, 0] = rng.uniform(0, 360, views)
    rows[:, 1] = rng.uniform(25, 30, views)
    rows[:, 3] = rng.uniform(0.65, 0.95, views)
    rows[:, 4] = 25
    return rows


def claim(root: Path, manifest: str, settings: dict[str, Any]) -> None:
    """Write the settings into a new folder, or compare them with those of one begun before.

    Args:
        root: folder to make, or to go on with.
        manifest: name of the file with the settings.
        settings: what the folder's content depends on, as JSON holds it.

    Raises:
        ValueError: the folder was begun with other settings, or holds something else.
    """
    path = root / manifest
    if path.exists():
        before = read_json(path)
        if not isinstance(before, dict):
            raise ValueError(f"{path}: got {type(before).__name__}, want a JSON object")
        names = [*settings, *(name for name in before if name not in settings)]
        other = [
            f"{name} {before.get(name)} -> {settings.get(name)}"
            for name in names
            if before.get(name) != settings.get(name)
        ]
        if other:
            raise ValueError(
                f"{root}: got a folder made with other settings ({', '.join(other)}), want the "
                "ones it began with; choose another folder to start anew"
            )
        return
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        kind = "a folder with other files" if root.is_dir() else "a file"
        raise ValueError(f"{root}: got {kind}, want a new or empty folder")
    root.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(settings, indent=1).encode())


def check_limits(limits: dict[str, tuple[int, int, int]]) -> None:
    """ValueError naming the setting whose (value, lowest, highest) is out of range."""
    for name, (value, low, high) in limits.items():
        if not low <= value <= high:
            raise ValueError(f"{name}: got {value}, want {low}..{high}")


def rendering_folder(root: Path, shape_id: str) -> Path:
    """Folder of the views of shape "synset/name"; it is there once the shape is finished."""
    return root / "ShapeNetRendering" / shape_id / "rendering"


def write_shape(
    root: Path,
    shape_id: str,
    grid: NDArray[np.bool_],
    scene: Scene,
    cameras: NDArray[np.float64],
    size: int,
) -> None:
    """Write a shape's grid and views.

    Args:
        root: the data set.
        shape_id: "synset/name".
        grid: (32, 32, 32).
        scene: what is drawn.
        cameras: (views, 5) as `draw_cameras` gives them.
        size: pixels per side of a view.
    """
    binvox = root / "ShapeNetVox32" / shape_id / "model.binvox"
    binvox.parent.mkdir(parents=True, exist_ok=True)
    write_binvox(binvox, grid)
    beside = root / _PARTIAL / shape_id.replace("/", "-")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    for view, (azimuth, elevation, _, ratio, _) in enumerate(cameras):
        image = scene.render(azimuth=azimuth, elevation=elevation, ratio=ratio, size=size)
        data = BytesIO()
        Image.fromarray(image).save(data, "PNG", compress_level=3)
        (beside / view_name(view)).write_bytes(data.getvalue())
    lines = (" ".join(f"{value:.12g}" for value in row) for row in cameras)
    (beside / "rendering_metadata.txt").write_text("".join(f"{line}\n" for line in lines))
    listed = "".join(f"{view_name(view)}\n" for view in range(len(cameras)))
    (beside / "renderings.txt").write_text(listed)
    rendering = rendering_folder(root, shape_id)
    rendering.parent.mkdir(parents=True, exist_ok=True)
    beside.replace(rendering)


def drop_partial(root: Path) -> None:
    """Remove what an interrupted run has left behind."""
    shutil.rmtree(root / _PARTIAL, ignore_errors=True)
