"""A data folder in the R2N2 layout: small, quick, a different blob per model."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from memstore.voxels.binvox import write_binvox

CATEGORIES = {"02691156": "aeroplane", "03001627": "chair"}


def box(low, high, resolution=32):
    """Full between two corners, (R, R, R) bool."""
    grid = np.zeros((resolution,) * 3, bool)
    grid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return grid


def blob(seed):
    """A box whose longest side spans the grid, different for each seed."""
    rng = np.random.default_rng(seed)
    half = rng.integers(3, 15, 2)
    return box((0, 16 - half[0], 16 - half[1]), (32, 16 + half[0], 16 + half[1]))


def picture(seed, side=137):
    """A colored disc on transparent ground, (side, side, 4) uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - side / 2
    inside = np.hypot(x / rng.uniform(0.6, 1.4), y) < side / 4
    rgba = np.zeros((side, side, 4), np.uint8)
    rgba[inside] = (*rng.integers(40, 220, 3), 255)
    return rgba


def make_r2n2(root: Path, train=4, val=2, test=2, views=2, source=0):
    """Write the folder; every category gets that many models of each subset.

    Another source has other names and other shapes.
    """
    split = []
    for c, (synset, name) in enumerate(CATEGORIES.items()):
        entry = {"taxonomy_id": synset, "taxonomy_name": name}
        for s, (subset, count) in enumerate({"train": train, "val": val, "test": test}.items()):
            entry[subset] = [f"{subset}{10 * source + i}" for i in range(count)]
            for i, model in enumerate(entry[subset]):
                _write_model(
                    root, synset, model, seed=1000 * c + 100 * s + 10 * source + i, views=views
                )
        split.append(entry)
    (root / "split.json").write_text(json.dumps(split))
    return root


def _write_model(root, synset, model, seed, views):
    rendering = root / "ShapeNetRendering" / synset / model / "rendering"
    rendering.mkdir(parents=True)
    for view in range(views):
        Image.fromarray(picture(seed)).save(rendering / f"{view:02}.png")
    (rendering / "rendering_metadata.txt").write_text("30.0 28.0 0 0.8 25\n" * views)
    (rendering / "renderings.txt").write_text("".join(f"{v:02}.png\n" for v in range(views)))
    folder = root / "ShapeNetVox32" / synset / model
    folder.mkdir(parents=True)
    write_binvox(folder / "model.binvox", blob(seed))
