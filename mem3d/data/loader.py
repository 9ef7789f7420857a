"""The shapes of a data set as the samples that training and evaluation draw."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from mem3d.data.dataset import ShapeDataset
from mem3d.data.images.augment import DEFAULT, Augmentation
from mem3d.data.images.backgrounds import Backgrounds
from mem3d.data.images.preprocess import TEST_WINDOW, View, test_pixels, train_view
from mem3d.data.images.viewpoint import UNKNOWN, viewpoint
from memstore.voxels.grids import pack, unpack


@dataclass(frozen=True)
class Batch:
    """B samples.

    Attributes:
        images: (B, 3, S, S) uint8 RGB; S is 0 where a stem cache has only the stem's maps of them.
        grids: (B, R, R, R) bool, the true shapes.
        shapes: positions in the data set.
        viewpoints: (B, 5) float32, see `viewpoints.Viewpoint`; nan where not known
        stem_maps: (B, 512, S/8, S/8) float32 from a stem cache.
    """

    images: Tensor
    grids: Tensor
    shapes: list[int]
    viewpoints: Tensor
    stem_maps: Tensor | None = None


# (3, S, S) uint8, (R, R, R) bool, shape, (5,) float32
Sample = tuple[Tensor, Tensor, int, NDArray[np.float32]]
_VIEWPOINT_BYTES = 4 * len(UNKNOWN)


class TrainingViews(Dataset[Sample]):
    """One random, augmented view of a shape; the sample depends on (seed, epoch, shape) only."""

    def __init__(
        self,
        data: ShapeDataset,
        image_size: int,
        *,
        seed: int,
        augment: bool,
        augmentation: Augmentation = DEFAULT,
        backgrounds: Backgrounds | None = None,
        with_viewpoints: bool = False,
    ) -> None:
        self.data = data
        self.image_size = image_size
        self.seed = seed
        self.augment = augment
        self.augmentation = augmentation
        self.backgrounds = backgrounds
        self.with_viewpoints = with_viewpoints

    def __getitem__(self, index: tuple[int, int]) -> Sample:
        """Sample of (epoch, shape); ValueError if none of its views, or its grid, can be read."""
        epoch, shape = index
        rng = np.random.default_rng([self.seed, 1, epoch, shape])
        rgba, view = self._view(shape, int(rng.integers(self.data.views(shape))))
        grid = self.data.grid(shape)
        if self.augment:
            example = train_view(
                rgba, grid, self.image_size, rng, self.augmentation, self.backgrounds
            )
        else:
            example = View(test_pixels(rgba, self.image_size), grid, TEST_WINDOW)
        where = UNKNOWN
        if self.with_viewpoints:
            where = viewpoint(self.data.camera(shape, view), example.grid, example.window)
        tensors = torch.from_numpy(example.pixels), torch.from_numpy(example.grid)
        return *tensors, shape, np.array(where, np.float32)

    def _view(self, shape: int, drawn: int) -> tuple[NDArray[np.uint8], int]:
        """The view drawn, and its number; where it is broken, the next that can be read."""
        views = self.data.views(shape)
        try:
            return self.data.image(shape, drawn), drawn
        except ValueError:
            for step in range(1, views):
                with suppress(ValueError):
                    other = (drawn + step) % views
                    return self.data.image(shape, other), other
            raise


class TestViews(Dataset[Sample]):
    """One view of every shape: 00, as the field tests (Pix2Vox), or another."""

    __test__ = False  # no test class, whatever pytest thinks of the name

    def __init__(self, data: ShapeDataset, image_size: int, view: int = 0) -> None:
        self.data = data
        self.image_size = image_size
        self.view = view  # of a shape with fewer, counted round

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, shape: int) -> Sample:
        """Sample of a shape."""
        view = self.view % self.data.views(shape)
        image = test_pixels(self.data.image(shape, view), self.image_size)
        grid = torch.from_numpy(self.data.grid(shape))
        return torch.from_numpy(image), grid, shape, np.array(UNKNOWN, np.float32)


class BatchSampler:
    """Which shapes make up each batch of a run, from any step on.

    Each epoch shows every shape once, in an order that depends on (seed, epoch) only.
    """

    def __init__(
        self,
        shapes: int,
        batch: int,
        epochs: int,
        *,
        seed: int,
        start: int = 0,
        shuffle: bool = True,
    ) -> None:
        self.shapes = shapes
        self.batch = batch
        self.epochs = epochs
        self.seed = seed
        self.start = start
        self.shuffle = shuffle
        self.steps_per_epoch = -(-shapes // batch)
        self.steps = self.steps_per_epoch * epochs

    def __len__(self) -> int:
        return self.steps - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """Lists of (epoch, shape), one list per step."""
        order = np.arange(self.shapes)
        for step in range(self.start, self.steps):
            epoch, within = divmod(step, self.steps_per_epoch)
            if self.shuffle and (within == 0 or step == self.start):
                order = np.random.default_rng([self.seed, 0, epoch]).permutation(self.shapes)
            places = order[within * self.batch : (within + 1) * self.batch]
            yield [(epoch, int(shape)) for shape in places]


def loader(
    dataset: Dataset[Sample], batches: Iterable[list[Any]], workers: int, device: str = "cpu"
) -> Iterator[Batch]:
    """Load `batches` of indices; more processes than the machine has cores are not started.

    A sample depends on its index alone, so the number of processes changes nothing but the speed.
    Samples are bytes until they are on the device.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parcels: DataLoader[Any] = DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=min(workers, cores or 1),
        collate_fn=PackedBatch.of,
        generator=torch.Generator(),  # else it draws from torch's own, which a resumed run restores
    )
    for parcel in parcels:
        yield parcel.opened(device)


@dataclass(frozen=True)
class PackedBatch:
    """A batch on its way from a worker: one tensor of bytes, since what is shared costs by piece.

    Attributes:
        rows: (B, 20 + 3 * S * S + R**3 / 8) uint8, viewpoint, pixels and packed voxels of each.
        size: S.
        resolution: R.
        shapes: positions in the data set.
    """

    rows: Tensor
    size: int
    resolution: int
    shapes: list[int]

    @staticmethod
    def of(samples: list[Sample]) -> "PackedBatch":
        """Stack samples; in a worker at once into memory that it shares with the main process."""
        rows = [
            torch.cat(
                [
                    torch.from_numpy(where.view(np.uint8)),
                    pixels.flatten(),
                    torch.from_numpy(pack(grid.numpy().ravel())),
                ]
            )
            for pixels, grid, _, where in samples
        ]
        pixels, grid, *_ = samples[0]
        shapes = [shape for _, _, shape, _ in samples]
        return PackedBatch(default_collate(rows), pixels.shape[-1], len(grid), shapes)

    def opened(self, device: str = "cpu") -> Batch:
        """What the network takes, on a device."""
        ends = [_VIEWPOINT_BYTES, _VIEWPOINT_BYTES + 3 * self.size**2]
        where, pixels, bits = self.rows.to(device).tensor_split(ends, dim=1)
        return Batch(
            images=pixels.reshape(-1, 3, self.size, self.size),
            grids=unpacked(bits, self.resolution),
            shapes=self.shapes,
            viewpoints=where.clone().view(torch.float32),
        )


def unpacked(bits: Tensor, resolution: int) -> Tensor:
    """(B, R, R, R) bool of packed voxels (B, R^3 / 8) uint8, where those are."""
    count = resolution**3
    if bits.device.type == "cpu":
        voxels = torch.from_numpy(unpack(bits.numpy(), count))
    else:
        masks = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8, device=bits.device)
        voxels = (bits[:, :, None] & masks).flatten(1)[:, :count] > 0
    return voxels.reshape(-1, resolution, resolution, resolution)
