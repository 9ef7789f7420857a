"""What a training step asks of a memory, in tensors, and a memory on the CPU that answers it.

On a GPU the answers come from a working copy there (resident.py).
"""

# B = batch, C = channels of a feature, R = voxels per side

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from mem3d.contrastive import Candidates, candidates
from mem3d.recall import (
    Grids,
    Recalled,
    TensorMemory,
    WritableMemory,
    contrast_keys,
    recall,
    remember,
)
from memstore import WriteReport


class StepMemory(TensorMemory, Protocol):
    """Features are (B, C), grids (B, R, R, R) bool, both on the device that trains.

    Of several processes `remember` is given what all of them gathered, on the CPU: these have no
    working copy.
    """

    def contrast_keys(self, features: Tensor, grids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As the function `recall.contrast_keys`."""
        ...

    def candidates(self, features: Tensor, grids: Tensor, sources: Sequence[str]) -> Candidates:
        """As the function `contrastive.candidates`."""
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

    def candidates(self, features: Tensor, grids: Tensor, sources: Sequence[str]) -> Candidates:
        """As `StepMemory.candidates`."""
        return candidates(self._memory, features, _on_host(grids), sources)

    def remember(self, features: Tensor, grids: Tensor, sources: Sequence[str]) -> WriteReport:
        """As `StepMemory.remember`."""
        return remember(self._memory, features, _on_host(grids), sources)


def _on_host(grids: Tensor) -> Grids:
    return grids.cpu().numpy()
