"""R2N2 models as the samples that training and evaluation draw."""

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

from mem3d.data.augmentation import DEFAULT, MEAN, STD, Augmentation
from mem3d.data.backgrounds import Backgrounds
from mem3d.data.shapes import Shapes
from mem3d.data.transforms import test_pixels, train_pixels


@dataclass(frozen=True)
class Batch:
    """B samples.

    Attributes:
        images: (B, 3, S, S) float32; or, from a stem cache, the stem's maps of them.
        grids: (B, R, R, R) bool, the true shapes.
        models: positions in the data set.
        is_stem_maps: which of the two `images` holds.
    """

    images: Tensor
    grids: Tensor
    models: list[int]
    is_stem_maps: bool = False


Sample = tuple[Tensor, Tensor, int]  # (3, S, S) uint8, (R, R, R) bool, model


class TrainingViews(Dataset[Sample]):
    """One random, augmented view of a model; the sample depends on (seed, epoch, model) only."""

    def __init__(
        self,
        data: Shapes,
        image_size: int,
        *,
        seed: int,
        augment: bool,
        augmentation: Augmentation = DEFAULT,
        backgrounds: Backgrounds | None = None,
    ) -> None:
        self.data = data
        self.image_size = image_size
        self.seed = seed
        self.augment = augment
        self.augmentation = augmentation
        self.backgrounds = backgrounds

    def __getitem__(self, index: tuple[int, int]) -> Sample:
        """Sample of (epoch, model); ValueError if none of its views, or its grid, can be read."""
        epoch, model = index
        rng = np.random.default_rng([self.seed, 1, epoch, model])
        rgba = self._view(model, int(rng.integers(self.data.views(model))))
        grid = self.data.grid(model)
        if self.augment:
            image, grid = train_pixels(
                rgba, grid, self.image_size, rng, self.augmentation, self.backgrounds
            )
        else:
            image = test_pixels(rgba, self.image_size)
        return torch.from_numpy(image), torch.from_numpy(grid), model

    def _view(self, model: int, drawn: int) -> NDArray[np.uint8]:
        """The view drawn; where it is broken, the next of the model's that can be read."""
        views = self.data.views(model)
        try:
            return self.data.image(model, drawn)
        except ValueError:
            for step in range(1, views):
                with suppress(ValueError):
                    return self.data.image(model, (drawn + step) % views)
            raise


class TestViews(Dataset[Sample]):
    """View 00 of every model, as the field tests (Pix2Vox)."""

    __test__ = False  # no test class, whatever pytest thinks of the name

    def __init__(self, data: Shapes, image_size: int) -> None:
        self.data = data
        self.image_size = image_size

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, model: int) -> Sample:
        """Sample of a model."""
        image = test_pixels(self.data.image(model, 0), self.image_size)
        return torch.from_numpy(image), torch.from_numpy(self.data.grid(model)), model


class Schedule:
    """Which models make up each batch of a run, from any step on.

    Each epoch shows every model once, in an order that depends on (seed, epoch) only.
    """

    def __init__(
        self,
        models: int,
        batch: int,
        epochs: int,
        *,
        seed: int,
        start: int = 0,
        shuffle: bool = True,
    ) -> None:
        self.models = models
        self.batch = batch
        self.epochs = epochs
        self.seed = seed
        self.start = start
        self.shuffle = shuffle
        self.steps_per_epoch = -(-models // batch)
        self.steps = self.steps_per_epoch * epochs

    def __len__(self) -> int:
        return self.steps - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """Lists of (epoch, model), one list per step."""
        order = np.arange(self.models)
        for step in range(self.start, self.steps):
            epoch, within = divmod(step, self.steps_per_epoch)
            if self.shuffle and (within == 0 or step == self.start):
                order = np.random.default_rng([self.seed, 0, epoch]).permutation(self.models)
            chosen = order[within * self.batch : (within + 1) * self.batch]
            yield [(epoch, int(model)) for model in chosen]


def loader(dataset: Dataset[Sample], batches: Iterable[list[Any]], workers: int) -> Iterator[Batch]:
    """Load `batches` of indices; more processes than the machine has cores are not started.

    A sample depends on its index alone, so the number of processes changes nothing but the speed.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parcels: DataLoader[Any] = DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=min(workers, cores or 1),
        collate_fn=Parcel.of,
        generator=torch.Generator(),  # else it draws from torch's own, which a resumed run restores
    )
    for parcel in parcels:
        yield parcel.opened()


@dataclass(frozen=True)
class Parcel:
    """A batch on its way from a worker: one tensor of bytes, since what is shared costs by piece.

    Attributes:
        rows: (B, 3 * S * S + R**3 / 8) uint8, pixels and packed voxels of each sample.
        size: S.
        resolution: R.
        models: positions in the data set.
    """

    rows: Tensor
    size: int
    resolution: int
    models: list[int]

    @staticmethod
    def of(samples: list[Sample]) -> "Parcel":
        """Stack samples; in a worker at once into memory that it shares with the main process."""
        rows = [
            torch.cat([pixels.flatten(), torch.from_numpy(np.packbits(grid.numpy()))])
            for pixels, grid, _ in samples
        ]
        pixels, grid, _ = samples[0]
        models = [model for _, _, model in samples]
        return Parcel(default_collate(rows), pixels.shape[-1], len(grid), models)

    def opened(self) -> Batch:
        """What the network takes."""
        pixels, bits = self.rows.tensor_split([3 * self.size**2], dim=1)
        shape = (self.resolution,) * 3
        unpacked = np.unpackbits(bits.numpy(), axis=1, count=self.resolution**3)
        return Batch(
            images=normalise(pixels.reshape(-1, 3, self.size, self.size)),
            grids=torch.from_numpy(unpacked.view(np.bool_)).reshape(-1, *shape),
            models=self.models,
        )


def normalise(pixels: Tensor) -> Tensor:
    """`transforms.normalise` of (B, 3, S, S), equal to the last bit."""
    mean, std = (torch.from_numpy(one)[:, None, None] for one in (MEAN, STD))
    return pixels.float().div_(255).sub_(mean).div_(std)
