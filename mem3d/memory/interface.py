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

from memstore import Contrast, Priors, WriteReport

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

    def contrast(self, features: Features, grids: Grids) -> Contrast:
        """As `memstore.Memory.contrast`."""
        ...

    def keys(self, slots: NDArray[np.int64]) -> Features:
        """As `memstore.Memory.keys`."""
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
    """One that recalls tensors by itself, as `resident.DeviceMemory` does."""

    def recall(
        self, features: Tensor, k: int, exclude: Sequence[str | None] | None = None
    ) -> Recalled:
        """As the function `recall`."""
        ...


def to_numpy(features: Tensor) -> Features:
    """Features as the memory takes them: a detached copy, float32, on the CPU."""
    return features.detach().float().cpu().numpy().copy()


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
