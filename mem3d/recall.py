"""The bridge between tensors and memstore: what is recalled, contrasted and remembered.

Over 250 lines, a third of them what a memory must have to be read and written.
"""

# B = batch, K = priors per image (padded), C = channels of a feature, R = voxels per side

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mem3d.fitting import stretched
from memstore import Contrast, Hits, MemoryConfig, Priors, WriteReport

Features = NDArray[np.float32]
Grids = NDArray[np.bool_]


class ReadableMemory(Protocol):
    """What the network needs of a memory; `memstore.Memory` has it, and so can a fake."""

    def read(
        self,
        features: Features,
        k: int,
        beta: float | None = None,
        exclude: Sequence[str | None] | None = None,
    ) -> Priors:
        """As `memstore.Memory.read`."""
        ...


class WritableMemory(ReadableMemory, Protocol):
    """What training needs besides."""

    @property
    def config(self) -> MemoryConfig:
        """As `memstore.Memory.config`."""
        ...

    @property
    def slots(self) -> NDArray[np.int64]:
        """As `memstore.Memory.slots`."""
        ...

    @property
    def sources(self) -> list[str]:
        """As `memstore.Memory.sources`."""
        ...

    def search(self, features: Features, k: int) -> Hits:
        """As `memstore.Memory.search`."""
        ...

    def contrast(self, features: Features, grids: Grids) -> Contrast:
        """As `memstore.Memory.contrast`."""
        ...

    def keys(self, slots: NDArray[np.int64]) -> Features:
        """As `memstore.Memory.keys`."""
        ...

    def value_similarities(
        self, grid: Grids, slots: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """As `memstore.Memory.value_similarities`."""
        ...

    def write(
        self, features: Features, grids: Grids, sources: Sequence[str] | None = None
    ) -> WriteReport:
        """As `memstore.Memory.write`."""
        ...


@dataclass(frozen=True)
class Recalled:
    """Priors of one batch as tensors.

    Attributes:
        priors: (B, K, R, R, R) float, 0 or 1; padding is 0. K is the most any image got, >= 1.
        counts: (B,) int64, priors that each image really has.
        slots: (B, K) int64, -1 = padding.
        cosines: (B, K) float32, best first.
    """

    priors: Tensor
    counts: Tensor
    slots: NDArray[np.int64]
    cosines: NDArray[np.float32]


@runtime_checkable
class TensorMemory(Protocol):
    """One that recalls tensors by itself, as `resident.ResidentMemory` does."""

    def recall(
        self, features: Tensor, k: int, exclude: Sequence[str | None] | None = None
    ) -> Recalled:
        """As the function `recall`."""
        ...


def to_numpy(features: Tensor) -> Features:
    """Features as the memory takes them: a detached copy, float32, on the CPU."""
    return features.detach().float().cpu().numpy().copy()


def _alive(features: Features) -> NDArray[np.bool_]:
    """(B,) features that point somewhere; a dead ReLU layer gives an all-zero one."""
    return np.asarray(features.any(axis=1))


def recall(
    memory: ReadableMemory | TensorMemory,
    features: Tensor,
    k: int,
    exclude: Sequence[str | None] | None = None,
) -> Recalled:
    """Read up to k priors per image.

    Args:
        memory: where to read.
        features: (B, C); a row of zeros recalls nothing.
        k: most priors per image.
        exclude: per image, a source whose slots are passed over.

    Raises:
        memstore.FeatureError: a feature is not finite (the network diverged).
    """
    if isinstance(memory, TensorMemory):
        return memory.recall(features, k, exclude)
    queries = to_numpy(features)
    alive = _alive(queries)
    rows = np.flatnonzero(alive)
    named = None if exclude is None else [exclude[row] for row in rows.tolist()]
    found = memory.read(queries[rows], k, exclude=named)
    if len(rows) < len(queries):
        found = _spread(found, rows, len(queries))
    width = max(1, int(found.counts.max(initial=0)))
    return Recalled(
        priors=torch.from_numpy(found.values[:, :width]).to(features.device).to(features.dtype),
        counts=torch.from_numpy(found.counts).to(features.device),
        slots=found.slots[:, :width],
        cosines=found.cosines[:, :width],
    )


def _spread(found: Priors, rows: NDArray[np.int64], batch: int) -> Priors:
    """Priors of some rows (n,) of a batch; the others have none."""
    (k, *sides) = found.values.shape[1:]
    spread = Priors(
        np.full((batch, k), -1, np.int64),
        np.full((batch, k), -np.inf, np.float32),
        np.zeros((batch, k, *sides), np.bool_),
        np.zeros(batch, np.int64),
    )
    spread.slots[rows], spread.cosines[rows] = found.slots, found.cosines
    spread.values[rows], spread.counts[rows] = found.values, found.counts
    return spread


def nothing_recalled(features: Tensor, resolution: int) -> Recalled:
    """What `recall` gives where no slot is near, for networks that read no memory."""
    batch = len(features)
    return Recalled(
        priors=features.new_zeros((batch, 1) + (resolution,) * 3),
        counts=torch.zeros(batch, dtype=torch.int64, device=features.device),
        slots=np.full((batch, 1), -1, np.int64),
        cosines=np.full((batch, 1), -np.inf, np.float32),
    )


def whole_block(features: Tensor, resolution: int) -> Recalled:
    """A full grid for each image, as if one had been recalled: stretched, it is a box.

    It is of no slot: `slots` are -1, though it counts.
    """
    return replace(
        nothing_recalled(features, resolution),
        priors=features.new_ones((len(features), 1) + (resolution,) * 3),
        counts=torch.ones(len(features), dtype=torch.int64, device=features.device),
        cosines=np.ones((len(features), 1), np.float32),
    )


def recall_again(
    memory: ReadableMemory | TensorMemory,
    features: Tensor,
    answers: Tensor,
    k: int,
    pool: int,
    exclude: Sequence[str | None] | None = None,
    extents: Tensor | None = None,
) -> Recalled:
    """Read the priors that fit a first answer, not the image's key alone.

    Of the `pool` slots nearest by key, those are taken whose cosine times soft IoU with the answer
    is highest. A key tells the kind of object; the answer tells its parts and proportions.

    Args:
        memory: where to read.
        features: (B, C).
        answers: (B, R, R, R) occupancy in [0, 1], what was reconstructed so far.
        k: most priors per image.
        pool: slots to choose from, >= k.
        exclude: as `recall`.
        extents: (B, 3) those that priors are stretched to before they are laid over the answer, and
            so before they are compared with it; None where they are laid there as they were read.

    Returns:
        The priors, as they were read, in the order of that product; `cosines` are of the keys, as
        ever.
    """
    found = recall(memory, features, max(k, pool), exclude)
    rows = torch.arange(len(features), device=features.device)[:, None]
    laid = found.priors if extents is None else stretched(found.priors, extents)
    fit = soft_iou(answers.float(), laid.float())  # stretched in short floats under autocast
    cosines = torch.from_numpy(found.cosines).to(fit)
    real = torch.arange(fit.shape[1], device=fit.device) < found.counts[:, None]
    scores = torch.where(real, fit * cosines, -torch.inf)
    order = scores.argsort(dim=1, descending=True, stable=True)[:, :k]
    chosen = order.cpu().numpy()
    return Recalled(
        priors=found.priors[rows, order],
        counts=found.counts.clamp(max=k),
        slots=np.take_along_axis(found.slots, chosen, axis=1),
        cosines=np.take_along_axis(found.cosines, chosen, axis=1),
    )


def soft_iou(answers: Tensor, priors: Tensor) -> Tensor:
    """(B, K) sum(p v) / sum(p + v - p v) of answers (B, R, R, R) and priors (B, K, R, R, R).

    Both in [0, 1], float32: it is computed so even under autocast. 0 where both are empty.
    """
    p_BV, v_BKV = answers.flatten(1), priors.flatten(2)
    with torch.autocast(answers.device.type, enabled=False):
        shared_BK = torch.einsum("bv,bkv->bk", p_BV, v_BKV)
    either_BK = p_BV.sum(1, keepdim=True) + v_BKV.sum(2) - shared_BK
    return shared_BK / either_BK.clamp(min=1e-6)


def contrast_keys(
    memory: WritableMemory, features: Tensor, grids: Grids
) -> tuple[Tensor, Tensor, Tensor]:
    """Keys of the nearest positive and negative slot of each image, for the voxel triplet loss.

    Args:
        memory: where to look.
        features: (B, C).
        grids: (B, R, R, R) bool, the true shapes.

    Returns:
        positive keys (B, C), negative keys (B, C), and valid (B,) bool: images that have both.
        Rows that are not valid hold zeros. Keys carry no gradient.
    """
    queries = to_numpy(features)
    valid = _alive(queries)
    positive, negative = np.zeros_like(queries), np.zeros_like(queries)
    rows = np.flatnonzero(valid)
    if rows.size:
        found = memory.contrast(queries[rows], grids[rows])
        both = (found.positive >= 0) & (found.negative >= 0)
        valid[rows] = both
        positive[valid] = memory.keys(found.positive[both])
        negative[valid] = memory.keys(found.negative[both])
    as_tensor = [torch.from_numpy(a).to(features.device) for a in (positive, negative, valid)]
    return as_tensor[0], as_tensor[1], as_tensor[2]


def remember(
    memory: WritableMemory, features: Tensor, grids: Grids, sources: Sequence[str]
) -> WriteReport:
    """Write true shapes under their images' features; an all-zero feature is not written."""
    queries = to_numpy(features)
    rows = np.flatnonzero(_alive(queries))
    return memory.write(queries[rows], grids[rows], [sources[row] for row in rows.tolist()])
