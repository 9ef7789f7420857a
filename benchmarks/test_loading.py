"""Training pictures: one view, and batches of two workers, against PIL a step at a time.

Run with OMP_NUM_THREADS=1, for the workers' sake, and --benchmark-only.
"""

from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from torch.utils.data import DataLoader, Dataset

from mem3d.data.images.augment import Draws
from mem3d.data.images.preprocess import CROP, train_pixels
from mem3d.data.loader import BatchSampler, TrainingViews, loader
from mem3d.data.open import open_dataset
from mem3d.data.readers.r2n2 import R2N2
from mem3d.data.zarr_pack.writer import pack
from memstore.voxels.binvox import read_binvox
from tests.helpers.r2n2_folder import blob, make_r2n2, picture

SIZE, VIEWS, BATCH, WORKERS = 128, 20, 16, 2
ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


def stepwise_input(rgba, grid, size, rng):
    """The draws of `train_pixels` from the same generator; rounded and clipped after every step."""
    draws, shortest = Draws.of(rng), min(rgba.shape[:2])
    side = CROP * shortest * (0.85 + 0.25 * draws.scale)
    shift = (draws.shift * 2 - 1) * 0.04 * shortest
    background = tuple(int(c) for c in np.floor(225 + 31 * np.array(draws.ground)))
    x, y = (rgba.shape[1] - side) / 2 + shift[0], (rgba.shape[0] - side) / 2 + shift[1]
    box = tuple(round(v) for v in (x, y, x + side, y + side))
    cut = Image.fromarray(rgba).crop(box).resize((size, size), Image.Resampling.BILINEAR)
    canvas = Image.new("RGBA", cut.size, (*background, 255))
    image = Image.alpha_composite(canvas, cut).convert("RGB")
    if draws.flip < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        grid = grid[:, :, ::-1]
    for which in draws.order:
        image = ENHANCERS[which](image).enhance(0.6 + 0.8 * draws.factors[which])
    if draws.permute < 0.5:
        bands = image.split()
        image = Image.merge("RGB", [bands[which] for which in draws.channels])
    pixels = np.asarray(image)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)), np.ascontiguousarray(grid)


@pytest.fixture(scope="module")
def views():
    """A frame of 137 pixels as the renders have, and a grid."""
    return [(picture(seed), blob(seed)) for seed in range(VIEWS)]


def augment(way, views):
    return [way(*view, SIZE, np.random.default_rng(i)) for i, view in enumerate(views)]


def test_training_views(benchmark, views):
    benchmark.extra_info["views"] = VIEWS
    fast = benchmark(augment, train_pixels, views)
    for (image, grid), (want, mirrored) in zip(fast, augment(stepwise_input, views), strict=True):
        np.testing.assert_array_equal(grid, mirrored)
        # Alike but for what a step's clipping changes; unlike pictures differ by about a deviation.
        assert np.abs(image.astype(int) - want).mean() < 0.25 * 255 * 0.225


def test_training_views_stepwise(benchmark, views):
    benchmark.extra_info["views"] = VIEWS
    benchmark(augment, stepwise_input, views)


class PlainFiles(Dataset):
    """The baseline: a file per view, PIL a step at a time."""

    def __init__(self, data):
        self.shapes = data.shapes

    def __len__(self):
        return len(self.shapes)

    def __getitem__(self, i):
        rng = np.random.default_rng()
        files = sorted(self.shapes[i].rendering.glob("*.png"))
        rgba = np.asarray(Image.open(files[rng.integers(len(files))]).convert("RGBA"))
        pixels, grid = stepwise_input(rgba, read_binvox(self.shapes[i].binvox), SIZE, rng)
        return torch.from_numpy(pixels), torch.from_numpy(grid), i


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The same models as files and as a pack."""
    root = tmp_path_factory.mktemp("loading")
    files = make_r2n2(root / "files", train=BATCH, val=1, test=1, views=4)
    pack(R2N2.open(files), root / "data.zarr")
    return {"files": files, "pack": root / "data.zarr"}


def batches(root, workers=WORKERS):
    """Batches of our loader, more than anybody takes."""
    data = open_dataset(root, "train")
    views = TrainingViews(data, SIZE, seed=0, augment=True)
    return iter(loader(views, BatchSampler(len(data), BATCH, 10_000, seed=0), workers))


@pytest.mark.parametrize("source", ["pack", "files"])
def test_batches(benchmark, folders, source):
    """A batch, once the workers run."""
    stream = batches(folders[source])
    benchmark.pedantic(next, (stream,), rounds=120, warmup_rounds=2 * WORKERS + 2)


def test_batches_of_plain_files(benchmark, folders):
    plain = PlainFiles(R2N2.open(folders["files"], "train"))
    options = {"batch_size": BATCH, "shuffle": True, "num_workers": WORKERS}
    stream = (batch for _ in range(100) for batch in DataLoader(plain, **options))
    benchmark.pedantic(next, (stream,), rounds=120, warmup_rounds=2 * WORKERS + 2)


def test_a_pack_gives_what_its_files_give(folders):
    """A fast wrong picture must not be timed."""
    pairs = zip(*(islice(batches(folders[way], 0), 3) for way in ("files", "pack")), strict=True)
    assert all(torch.equal(a.images, b.images) and torch.equal(a.grids, b.grids) for a, b in pairs)
