"""The one door to a memory: what a network and its training ask of it, in tensors.

`HostMemory` (host.py) answers from a `memstore.Memory` on the CPU, `DeviceMemory` (device.py) from
a working copy on a GPU.
"""

# B = batch, K = priors per image (padded), C = channels of a feature, R = voxels per side

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memstore import WriteReport

Features = NDArray[np.float32]
Grids = NDArray[np.bool_]


@dataclass(frozen=True)
class Recalled:
    """Priors of one batch as tensors.

    Attributes:
        priors: (B, K, R, R, R) float, 0 or 1; padding is 0. K is the most any image got, >= 1.
        counts: (B,) int64, priors that each image really has.
        slots: (B, K) int64, -1 = padding.
        cosines: (B, K) float32, best first, or as the second look orders them.
    """

    priors: Tensor
    counts: Tensor
    slots: NDArray[np.int64]
    cosines: NDArray[np.float32]


class TrainingMemory(Protocol):
    """Features are (B, C), grids (B, R, R, R) bool, both on the device that trains.

    Of several processes `write` is given what all of them gathered, on the CPU.
    """

    def recall(
        self,
        features: Tensor,
        k: int,
        exclude: Sequence[str | None] | None = None,
        guess: Tensor | None = None,
    ) -> Recalled:
        """Read up to k priors per image.

        Args:
            features: (B, C); a row of zeros recalls nothing.
            k: most priors per image.
            exclude: per image, a source whose slots are passed over.
            guess: (B, N, N, N) occupancies: of the SHORTLIST nearest, the k that fit best are
                given, the best first; see `second_look`.

        Raises:
            memstore.FeatureError: a feature is not finite (the network diverged).
        """
        ...

    def contrast_keys(self, features: Tensor, grids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Keys of each image's nearest positive and negative slot, for the voxel triplet loss.

        Args:
            features: (B, C).
            grids: (B, R, R, R) bool, the true shapes.

        Returns:
            positive keys (B, C), negative keys (B, C), and valid (B,) bool: images that have both.
            Rows that are not valid hold zeros. Keys carry no gradient.
        """
        ...

    def write(self, features: Tensor, grids: Tensor, sources: Sequence[str]) -> WriteReport:
        """Write true shapes under their images' features; an all-zero feature is not written."""
        ...

    def flush(self) -> None:
        """Bring what was written to the `memstore.Memory` behind, if it is not there yet."""
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


def full_grid(features: Tensor, resolution: int) -> Recalled:
    """A full grid for each image, as if one had been recalled: rescaled, it is a box.

    It is of no slot: `slots` are -1, though it counts.
    """
    return replace(
        nothing_recalled(features, resolution),
        priors=features.new_ones((len(features), 1) + (resolution,) * 3),
        counts=torch.ones(len(features), dtype=torch.int64, device=features.device),
        cosines=np.ones((len(features), 1), np.float32),
    )
