"""What a network has to beat before its numbers mean anything, and the best a look-up could do."""

# B = batch, C = channels of a feature, N = stored shapes, R = voxels per side, V = R**3

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mem3d.data.dataset import ShapeDataset
from mem3d.data.images.preprocess import test_pixels
from mem3d.data.loader import Batch
from mem3d.memory.interface import Grids, Recalled, to_numpy
from mem3d.network.encoder import Encoder, normalize
from mem3d.network.model import Mem3D, Output
from memstore import Memory
from memstore.files import Progress
from memstore.voxels.grids import pack, unpack

STEM, ORACLE = "nearest by stem", "oracle nearest"
CATEGORY_ORACLE = "oracle of category"

Baseline = Callable[[Batch, list[str], Output], Tensor]
"""From a batch, its true categories and the forward pass, (B, R, R, R) occupancy in [0, 1]."""

AT_ONCE = 256  # grids unpacked at a time: 32 MB as float32 at 32^3
CELLS = 4  # per side, to which a stem's maps are averaged: what is where, roughly


def category_means(data: ShapeDataset) -> dict[str, NDArray[np.float32]]:
    """Mean grid of each category's training models: (R, R, R) occupancy in [0, 1]."""
    sums: dict[str, NDArray[np.float32]] = {}
    counts: dict[str, int] = {}
    for i in range(len(data)):
        category = data.category(i)
        grid = data.grid(i).astype(np.float32)
        sums[category] = sums.get(category, np.float32(0)) + grid
        counts[category] = counts.get(category, 0) + 1
    return {category: (total / np.float32(counts[category])) for category, total in sums.items()}


def nearest_recalled(memory: Memory, features: Tensor, resolution: int) -> Tensor:
    """The value under the most similar key of each feature, whatever its cosine.

    Args:
        memory: where to look.
        features: (B, C).
        resolution: R.

    Returns:
        (B, R, R, R) occupancy, 0 or 1; zeros for an all-zero feature or an empty memory.
    """
    queries = to_numpy(features)
    rows = np.flatnonzero(queries.any(axis=1))
    grids = np.zeros((len(queries),) + (resolution,) * 3, np.float32)
    if rows.size:
        hits = memory.read(queries[rows], 1, beta=-1.0)  # features are >= 0: always a hit
        grids[rows] = hits.values[:, 0]
    return torch.from_numpy(grids)


def mean_of_recalled(recalled: Recalled) -> Tensor:
    """Mean of what the network recalled for each image, all with the same weight.

    Returns:
        (B, R, R, R) occupancy in [0, 1]; zeros where nothing was recalled.
    """
    total = recalled.priors.float().sum(dim=1).cpu()  # padding is 0
    return total / recalled.counts.clamp(min=1).cpu()[:, None, None, None]


@dataclass(frozen=True)
class Library:
    """Shapes to choose from.

    Attributes:
        packed: (N, V / 8) uint8.
        categories: (N,) of each, "" if unknown.
        resolution: R.
    """

    packed: NDArray[np.uint8]
    categories: NDArray[np.str_]
    resolution: int

    @staticmethod
    def of_memory(memory: Memory) -> "Library":
        """All values of a memory; some are mirrored, as training saw them."""
        slots, resolution = memory.slots, memory.config.resolution
        parts = [
            _packed(memory.values(slots[at : at + AT_ONCE]))
            for at in range(0, max(1, len(slots)), AT_ONCE)
        ]
        return Library(np.concatenate(parts), np.full(len(slots), ""), resolution)

    @staticmethod
    def of_data(data: ShapeDataset, resolution: int) -> "Library":
        """All grids of a data set, as they are; a missing or broken one is a ValueError."""
        none = np.zeros((0, *(resolution,) * 3), np.bool_)
        rows = [_packed(none), *(_packed(data.grid(i)[None]) for i in range(len(data)))]
        names = np.array([data.category(i) for i in range(len(data))], np.str_)
        return Library(np.concatenate(rows), names, resolution)

    def grids(self, positions: NDArray[np.int64]) -> Grids:
        """(n, R, R, R) grids; empty ones for -1."""
        voxels = np.zeros((len(positions), self.resolution**3), np.bool_)
        real = positions >= 0
        voxels[real] = unpack(self.packed[positions[real]], self.resolution**3)
        return voxels.reshape(-1, *(self.resolution,) * 3)


def _packed(grids: Grids) -> NDArray[np.uint8]:
    """(n, V / 8) of (n, R, R, R)."""
    return pack(grids.reshape(len(grids), grids.shape[1] ** 3))


def best_of(
    library: Library, true: Tensor, categories: list[str] | None = None
) -> NDArray[np.int64]:
    """Which shape of a library has the highest IoU with each true one: what no look-up can beat.

    Args:
        library: to choose from.
        true: (B, R, R, R) bool.
        categories: (B,) of the true shapes; with them, only shapes of the same one are chosen.

    Returns:
        (B,) positions, the lowest among equals; -1 where there is none to choose.
    """
    target = true.flatten(1).float().cpu()
    best = np.full(len(true), -1, np.int64)
    best_iou = np.full(len(true), -1.0)
    for start in range(0, len(library.packed), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        stored = torch.from_numpy(unpack(library.packed[rows], library.resolution**3)).float()
        both = (target @ stored.T).numpy()  # whole numbers below 2^24: exact
        either = target.sum(1).numpy()[:, None] + stored.sum(1).numpy() - both
        ious = np.where(either == 0, 1.0, both / np.maximum(either, 1))
        if categories is not None:
            ious[np.array(categories)[:, None] != library.categories[rows]] = -1.0
        rank = ious.argmax(1)
        highest = ious[np.arange(len(true)), rank]
        better = highest > best_iou
        best[better], best_iou[better] = rank[better] + start, highest[better]
    return best


@dataclass(frozen=True)
class StemFeatures:
    """Training pictures as the stem sees them: the nearest one's shape is a baseline.

    Attributes:
        features: (M, F) unit vectors, float32.
        models: (M,) int64, positions in the training set.
        library: its shapes.
    """

    features: Tensor
    models: NDArray[np.int64]
    library: Library

    @staticmethod
    @torch.inference_mode()
    def of(
        encoder: Encoder,
        data: ShapeDataset,
        resolution: int,
        *,
        views: int = 4,
        batch: int = 32,
        progress: Progress | None = None,
    ) -> "StemFeatures":
        """Look at a training set.

        Args:
            encoder: whose stem is used, as it is.
            data: the training set.
            resolution: R.
            views: of each model at most, evenly over those it has.
            batch: pictures at a time.
            progress: called with pictures done and in all.
        """
        pairs = [
            (i, int(view))
            for i in range(len(data))
            for view in np.unique(np.linspace(0, data.views(i), views, endpoint=False).astype(int))
        ]
        device = next(encoder.parameters()).device
        parts = []
        for start in range(0, len(pairs), batch):
            part = pairs[start : start + batch]
            inputs = [test_pixels(data.image(i, view), encoder.image_size) for i, view in part]
            parts.append(stem_features(encoder, torch.from_numpy(np.stack(inputs)).to(device)))
            if progress:
                progress(start + len(part), len(pairs))
        models = np.array([i for i, _ in pairs], np.int64)
        return StemFeatures(torch.cat(parts), models, Library.of_data(data, resolution))

    def nearest(self, encoder: Encoder, images: Tensor) -> Tensor:
        """(B, R, R, R) shape of the training picture most like each image (B, 3, S, S)."""
        closest = (stem_features(encoder, images) @ self.features.T).argmax(1).numpy()
        return _occupancy(self.library, self.models[closest])


def stem_features(encoder: Encoder, images: Tensor) -> Tensor:
    """(B, 512 * CELLS**2) unit vectors of images: the stem's maps, averaged in CELLS^2 places."""
    maps = functional.adaptive_avg_pool2d(encoder.stem(normalize(images)), CELLS)
    return functional.normalize(maps.flatten(1).float().cpu())


def costly_baselines(
    model: Mem3D, memory: Memory, learned: ShapeDataset | None, progress: Progress | None = None
) -> dict[str, Baseline]:
    """The baselines that take time, by name, for `score`.

    "oracle nearest" is the best value in the whole memory. With training data, "nearest by stem" is
    the shape of the training picture whose stem maps are most alike (4 views a model), and "oracle
    of category" the best training shape of the true category. The oracles choose by the true shape:
    they show what a perfect look-up would score.

    Args:
        model: whose stem is used.
        memory: to choose from.
        learned: the training set; None leaves out what needs it.
        progress: called with training pictures looked at, and in all.
    """
    stored = Library.of_memory(memory)
    baselines: dict[str, Baseline] = {}
    if learned is not None and len(learned):
        stem = StemFeatures.of(model.encoder, learned, stored.resolution, progress=progress)
        device = next(model.parameters()).device
        baselines[STEM] = lambda samples, names, output: stem.nearest(
            model.encoder, samples.images.to(device)
        )
        baselines[CATEGORY_ORACLE] = lambda samples, names, output: _occupancy(
            stem.library, best_of(stem.library, samples.grids, names)
        )
    baselines[ORACLE] = lambda samples, names, output: _occupancy(
        stored, best_of(stored, samples.grids)
    )
    return baselines


def _occupancy(library: Library, positions: NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(library.grids(positions).astype(np.float32))
