"""What a training step asks of a memory, in tensors, and a memory on the CPU that answers it.

On a GPU the answers come from a working copy there (device.py).
"""


# B = batch, C = channels of a feature, R = voxels per side

from collections.abc import Sequence

# B = batch, K = priors per image (padded), C = channels of a feature, R = voxels per side
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mem3d.memory.interface import (
    Features,
    Grids,
    ReadableMemory,
    Recalled,
    TensorMemory,
    WritableMemory,
    to_numpy,
)
from memstore import Priors, WriteReport


class StepMemory(TensorMemory, Protocol):
    """Features are (B, C), grids (B, R, R, R) bool, both on the device that trains.

    Of several processes `remember` is given what all of them gathered, on the CPU: these have no
    working copy.
    """

    def contrast_keys(self, features: Tensor, grids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As the function `recall.contrast_keys`."""
        ...

    def remember(self, features: Tensor, grids: Tensor, sources: Sequence[str]) -> WriteReport:
        """As the function `recall.remember`."""
        ...


class HostMemory:
    """A memory as it is: features and grids are brought to it, what it finds goes back."""

    def __init__(self, memory: WritableMemory) -> None:
        self._memory = memory

    def recall(
        self, features: Tensor, k: int, exclude: Sequence[str | None] | None = None
    ) -> Recalled:
        """As `StepMemory.recall`."""
        return recall(self._memory, features, k, exclude)

    def contrast_keys(self, features: Tensor, grids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `StepMemory.contrast_keys`."""
        return contrast_keys(self._memory, features, _on_host(grids))

    def remember(self, features: Tensor, grids: Tensor, sources: Sequence[str]) -> WriteReport:
        """As `StepMemory.remember`."""
        return remember(self._memory, features, _on_host(grids), sources)


def _on_host(grids: Tensor) -> Grids:
    return grids.cpu().numpy()


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
