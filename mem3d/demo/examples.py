"""Example photos for the demo page, made here: from a run's validation data, or procedural."""

import re
from pathlib import Path

import numpy as np

from mem3d.data.dataset import ShapeDataset
from mem3d.data.images.preprocess import Rgba
from mem3d.data.open import open_dataset
from mem3d.data.procedural.shape import CATEGORIES, make_shape
from mem3d.data.rendering.renderer import Scene
from mem3d.runs.folder import run_data
from memstore.voxels.contact_sheet import save_png

SEED = 99_000_000  # of procedural shapes: those of data sets have lower ones as a rule


def example_photos(run: str | Path, folder: Path, count: int = 6) -> list[Path]:
    """Write a few pictures of models that the network was not trained on.

    Args:
        run: whose validation models are taken, as many categories as can be; where they cannot be
            read, procedural shapes are drawn.
        folder: exists.
        count: pictures.

    Returns:
        the files, at most `count`, each named after its category.
    """
    pictures = _validation(run, count) or _procedural(count)
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


def _procedural(count: int) -> list[tuple[str, Rgba]]:
    """Category and picture of shapes that no data set holds."""
    names = [sorted(CATEGORIES)[i] for i in _evenly(len(CATEGORIES), count)]
    return [
        (name, Scene(make_shape(name, SEED).mesh()).render(azimuth=35, elevation=27, ratio=0.75))
        for name in names
    ]
