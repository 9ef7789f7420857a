"""How alike procedural shapes are, beside real ones: python -m benchmarks.variety [DATA]

Per category: mean IoU of random pairs, occupancy, and how many seeds gave a grid that another had
given. DATA is a folder of real shapes, of which the training models are looked at.
"""

import argparse
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from mem3d.data.open import open_dataset
from mem3d.data.procedural.shape import CATEGORIES, make_shape
from mem3d.data.splits import SplitName

ZarrPack = NDArray[np.uint8]  # (N, R**3 / 8)


def pair_iou(packed: ZarrPack, pairs: int) -> float:
    """Mean IoU over random pairs of two different rows; nan for fewer than two."""
    if len(packed) < 2:
        return float("nan")
    rng = np.random.default_rng(0)
    first = rng.integers(len(packed), size=pairs)
    second = (first + rng.integers(1, len(packed), size=pairs)) % len(packed)
    both = np.bitwise_count(packed[first] & packed[second]).sum(1, dtype=np.int64)
    either = np.bitwise_count(packed[first] | packed[second]).sum(1, dtype=np.int64)
    return float((both / np.maximum(either, 1)).mean())


def occupancy(packed: ZarrPack) -> float:
    """Mean share of full voxels."""
    return float(np.bitwise_count(packed).mean() / 8) if len(packed) else float("nan")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", help="folder of real shapes")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=1000)
    options = parser.parse_args()
    real: dict[str, list[ZarrPack]] = {name: [] for name in CATEGORIES}
    if options.data:
        subset: SplitName = "train"
        shapes = open_dataset(options.data, subset)
        for i in range(len(shapes)):
            real.get(shapes.category(i), []).append(np.packbits(shapes.grid(i)))
    print("category | real models | IoU real | ours | occupancy real | ours | alike / seeds")
    rows = []
    for name in CATEGORIES:
        ours = np.stack([np.packbits(make_shape(name, s).grid()) for s in range(options.seeds)])
        theirs = np.stack(real[name]) if real[name] else np.zeros((0, ours.shape[1]), np.uint8)
        row = [
            f(p) for f in (lambda p: pair_iou(p, options.pairs), occupancy) for p in (theirs, ours)
        ]
        alike = len(ours) - len(np.unique(ours, axis=0))
        rows.append([*row, alike])
        print(f"{name} | {len(theirs)} | " + " | ".join(f"{value:.3f}" for value in row), end="")
        print(f" | {alike} / {len(ours)}", flush=True)
    print("mean | | " + " | ".join(f"{v:.3f}" for v in islice(np.nanmean(rows, axis=0), 4)))


if __name__ == "__main__":
    main()
