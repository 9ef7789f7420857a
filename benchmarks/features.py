"""Real keys for `benchmarks.ratios`: what a ResNet-50 sees in pictures of procedural shapes.

    python -m benchmarks.features FOLDER

Writes FOLDER/resnet.npy, (n, 8192): layer2 of the bundled model's stem (ImageNet weights, never
trained here), averaged to 4 x 4 cells; and FOLDER/pooled.npy, (n, 512): the same averaged whole.
Of twelve pictures of each of 351 shapes; the last 128 rows are of shapes that no other row shows.
It takes some minutes; shapes that were made stay in FOLDER.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

import mem3d
from mem3d.data.images.preprocess import test_pixels
from mem3d.data.open import open_dataset
from mem3d.data.procedural.writer import synthesize
from mem3d.network.encoder import normalize

MODELS = 27  # shapes of each of 13 categories
PICTURES = 12  # of each shape
SLOTS, ASKING = 4_000, 128  # rows
CELLS = 4  # per side


@torch.inference_mode()
def main(folder: Path) -> None:
    """Make the shapes, look at them, and save."""
    synthesize(folder / "shapes", MODELS, views=PICTURES)
    shapes = open_dataset(folder / "shapes")
    rng = np.random.default_rng(0)
    order = rng.permutation(len(shapes)).tolist()
    asking, stored = order[:11], order[11:]
    with mem3d.load() as reconstructor:
        size, stem = reconstructor.model.config.image_size, reconstructor.model.encoder.stem.eval()
        rows = []
        for shape in [*stored, *asking]:
            pixels = [test_pixels(shapes.image(shape, view), size) for view in range(PICTURES)]
            rows.append(stem(normalize(torch.from_numpy(np.stack(pixels)))))
    few = len(asking) * PICTURES
    maps = torch.cat(rows)
    keep = np.concatenate(
        [rng.permutation(len(maps) - few)[:SLOTS], np.arange(-few, -few + ASKING)]
    )
    maps = maps[keep]
    for name, cells in (("resnet", CELLS), ("pooled", 1)):
        features = functional.adaptive_avg_pool2d(maps, cells).flatten(1).numpy()
        np.save(folder / f"{name}.npy", features)
        print(folder / f"{name}.npy", features.shape)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
