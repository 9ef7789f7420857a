"""How fast training pictures come: python -m benchmarks.loading DATA [--json] [--rounds N].

DATA is a folder in the R2N2 layout. A pack of it is read by our loader, the same files by our
loader, and by a loader as one would write it without us: Pix2Vox's steps in PIL and torchvision,
a file per view. Each has two workers; the ways take turns, medians are compared. Beside it stands
what one training step of the small preset takes in, from pictures and from cached stem maps.
Set OMP_NUM_THREADS=1 for the workers' sake, except where the steps are to use all cores.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from mem3d.data.loader import BatchSampler, TrainingViews, loader
from mem3d.data.open import open_dataset
from mem3d.data.readers.r2n2 import R2N2
from mem3d.data.zarr_pack.writer import pack
from mem3d.network import encoder  # noqa: F401
from mem3d.network.presets import SMALL
from mem3d.training.state import TrainingState
from mem3d.training.stem_cache import StemCache
from mem3d.training.trainer import train_step
from memstore.voxels.binvox import read_binvox

# isort: split
from torchvision import transforms  # after torchvision_ops

from mem3d.network.model import Mem3D
from memstore import Memory

SIZE, BATCH, WORKERS = SMALL.model.image_size, SMALL.train.batch, 2
WARM_UP = 2 * WORKERS + 2  # batches: what the workers have ready when the clock starts
STEPS = 120  # batches per round


class PlainFiles(Dataset):
    """The baseline: a file per view, PIL and torchvision, one step after the other."""

    def __init__(self, data: R2N2):
        self.views = [sorted(model.rendering.glob("*.png")) for model in data.shapes]
        self.grids = [model.binvox for model in data.shapes]
        self.jitter = transforms.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4)
        self.to_tensor = transforms.Compose([
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ])  # fmt: skip

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        rng = np.random.default_rng()
        picture = Image.open(self.views[i][rng.integers(len(self.views[i]))]).convert("RGBA")
        side = 128 * rng.uniform(0.85, 1.1)
        left, top = (137 - side) / 2 + rng.uniform(-5, 5, 2)
        box = (round(left), round(top), round(left + side), round(top + side))
        picture = picture.crop(box).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        canvas = Image.new("RGBA", (SIZE, SIZE), (*map(int, rng.integers(225, 256, 3)), 255))
        picture = Image.alpha_composite(canvas, picture).convert("RGB")
        picture = self.jitter(picture)
        grid = torch.from_numpy(read_binvox(self.grids[i]))
        if rng.random() < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            grid = grid.flip(2)
        image = self.to_tensor(picture)
        if rng.random() < 0.5:
            image = image[torch.randperm(3)]
        return image, grid, i


def plain(data: R2N2) -> Iterator[object]:
    """Batches of the baseline, without an end."""
    while True:
        yield from DataLoader(
            PlainFiles(data), BATCH, shuffle=True, num_workers=WORKERS, drop_last=True
        )


def ours(root: Path) -> Iterator[object]:
    """Batches of our loader."""
    data = open_dataset(root, "train")
    views = TrainingViews(data, SIZE, seed=0, augment=True)
    return iter(loader(views, BatchSampler(len(data), BATCH, 10_000, seed=0), WORKERS))


def loaded(batches: Callable[[], Iterator[object]]) -> float:
    """Images per second of a fresh loader, once it runs."""
    running = batches()
    for _ in islice(running, WARM_UP):
        pass
    start = perf_counter()
    for _ in islice(running, STEPS):
        pass
    return STEPS * BATCH / (perf_counter() - start)


def steps(root: Path) -> dict[str, Callable[[], float]]:
    """Images per second that training takes in, with a full memory, loading not counted."""
    data = open_dataset(root, "train")
    model = Mem3D(SMALL.model)
    model.encoder.freeze_stem()
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    run = TrainingState(model, torch.optim.AdamW(learning, 1e-3, fused=True), Memory(SMALL.memory))
    views = TrainingViews(data, SIZE, seed=0, augment=True)
    order = BatchSampler(len(data), BATCH, 10_000, seed=0)
    pictures = list(islice(loader(views, order, 0), 16))
    cache = StemCache.build(model.encoder, views, 1, batch=BATCH, workers=0)
    maps = list(islice(cache.batches(order), 16))
    for batch in [*maps, *maps]:
        train_step(run, batch, data, SMALL.train, "cpu")

    def rate(batches: list) -> float:
        start = perf_counter()
        for batch in batches:
            train_step(run, batch, data, SMALL.train, "cpu")
        return sum(len(batch.shapes) for batch in batches) / (perf_counter() - start)

    return {
        "training step, pictures": lambda: rate(pictures[:6]),
        "training step, stem maps": lambda: rate(maps),
    }


def check(files: Path, packed: Path) -> None:
    """A fast wrong picture must not be timed."""
    pairs = zip(islice(ours(files), 3), islice(ours(packed), 3), strict=True)
    assert all(torch.equal(a.images, b.images) and torch.equal(a.grids, b.grids) for a, b in pairs)


def main() -> None:
    """Print one table, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        packed = Path(folder) / "data.zarr"
        pack(R2N2.open(given.data), packed)
        check(given.data, packed)
        files = R2N2.open(given.data, "train")
        ways = {
            "pack, our loader": lambda: loaded(lambda: ours(packed)),
            "files, our loader": lambda: loaded(lambda: ours(given.data)),
            "files, PIL and torchvision": lambda: loaded(lambda: plain(files)),
            **steps(packed),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(given.rounds):
            for name, way in ways.items():
                rates[name].append(way())
    medians = {name: median(values) for name, values in rates.items()}
    if given.json:
        print(json.dumps(medians))
        return
    fastest = medians["pack, our loader"]
    print(f"{'what':30}{'images/s':>10}{'pack is x times':>18}")
    for name, value in medians.items():
        print(f"{name:30}{value:10.0f}{fastest / value:18.2f}")


if __name__ == "__main__":
    main()
