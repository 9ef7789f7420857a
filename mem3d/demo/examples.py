"""Example photos for the demo page: from a run's validation data, or those of the package."""

import re
from pathlib import Path

import numpy as np

from mem3d.bundled import example_files
from mem3d.data.dataset import ShapeDataset
from mem3d.data.images.io import read_image
from mem3d.data.images.preprocess import Rgba
from mem3d.data.open import open_dataset
from mem3d.runs.folder import run_data
from memstore.voxels.contact_sheet import save_png


def example_photos(run: str | Path, folder: Path, count: int = 6) -> list[Path]:
    """Write a few pictures to try a network with.

    Args:
        run: whose validation models are taken, as many categories as can be; where it has none
            that can be read, the bundled photos.
        folder: exists.
        count: pictures.

    Returns:
        the files, at most `count`, each named after its category, bundled ones as they are.
    """
    pictures = _validation(run, count) or _bundled(count)
    files = []
    for number, (category, rgba) in enumerate(pictures, start=1):
        name = re.sub(r"[^\w-]+", "-", category)[:40] or "shape"
        files.append(folder / f"{name}-{number}.png")
        save_png(files[-1], rgba)
    return files


def _validation(run: str | Path, count: int) -> list[tuple[str, Rgba]]:
    """Category and view 00 of validation models; [] where there are none to be read."""
    try:
        root, split = run_data(run)
        data = open_dataset(root, "val", split)
        return [(data.category(i), data.image(i, 0)) for i in _varied(data, count)]
    except (ValueError, OSError):  # moved, damaged, or a run without a description
        return []


def _varied(data: ShapeDataset, count: int) -> list[int]:
    """Models of different categories first, then any others, evenly over the set."""
    first = list({data.category(i): i for i in reversed(range(len(data)))}.values())
    varied = [first[place] for place in _evenly(len(first), count)]
    return list(dict.fromkeys([*varied, *_evenly(len(data), count)]))[:count]


def _evenly(length: int, count: int) -> list[int]:
    """`count` places out of `length`, from the first to the last."""
    places: list[int] = np.linspace(0, length - 1, min(count, length)).astype(int).tolist()
    return places


def _bundled(count: int) -> list[tuple[str, Rgba]]:
    """Name and picture of photos that come with the package."""
    return [(path.stem, read_image(path)) for path in example_files()[:count]]
