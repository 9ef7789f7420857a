"""What the shape encoder makes of each stored shape, computed once: most of its work.

Once training has ended, neither the values of a memory nor the weights that they meet change, so
neither does the input projection of a slot. Kept, it takes P floats: 32 KB a slot, 131 MB for the
4,000 slots of the paper preset, where computing it reads 1.07 GB of weights.

A slot's projection is computed when the slot is first recalled, since those of all slots take as
long as some sixty photos; `fill` is for who has more than that to come.
"""

# B = batch, K = priors per image (padded), R = voxels per side, P = numbers in a projection

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mem3d.memory.host import HostMemory
from mem3d.memory.interface import TrainingMemory
from memstore import Memory
from memstore.files import Progress

# Grids per product, padded: with 1 and from 16 on, BLAS was seen to add up in other orders, and
# then an answer would depend on the photos before it.
ROWS = 16
AT_ONCE = 256  # slots between two calls of a progress
PADDING = -1  # its projection is that of an empty grid


class ProjectionCache:
    """Projections of a memory's values by slot, for inference.

    Never stale: each use compares the memory's clock, which every write advances, and the weights'
    places and versions with those at the last use; where one differs, all rows are forgotten.
    """

    def __init__(self, shape_encoder: nn.Module, memory: Memory) -> None:
        """Begin without any row.

        Args:
            shape_encoder: has `project`, (n, R, R, R) to (n, P), and `fold`; see `ShapeEncoder`.
            memory: whose slots.

        Raises:
            ValueError: the encoder projects no grids, so that there is nothing to keep; or its
                weights were made in inference mode, where changes leave no trace.
        """
        if not can_project(shape_encoder):
            raise ValueError(
                f"shape_encoder: got {type(shape_encoder).__name__}, want one that projects grids "
                "and was made outside of torch.inference_mode"
            )
        self.shape_encoder, self.memory = shape_encoder, memory
        self._rows: dict[int, Tensor] = {}
        self._stamp: object = None

    def __len__(self) -> int:
        """Number of slots whose projections are kept."""
        return len(self._rows) - (PADDING in self._rows)

    def check_of(self, shape_encoder: nn.Module, memory: TrainingMemory) -> None:
        """Raise ValueError unless the rows are of this encoder and this memory."""
        is_same = isinstance(memory, HostMemory) and memory.memory is self.memory
        if shape_encoder is not self.shape_encoder or not is_same:
            raise ValueError("projections: got those of another network or memory, want this one's")

    @torch.no_grad()
    def of(self, slots: NDArray[np.int64]) -> Tensor:
        """Projections of slots; those not kept yet are computed first.

        Args:
            slots: (B, K) in use; -1 = padding.

        Returns:
            (B, K, P): `project` of the slots' values, of an empty grid for padding. Each row is the
            same whatever was asked for with it or before; from a product of other than ROWS grids,
            it may differ in the last bits.
        """
        self._compute(self._missing(slots))
        rows = torch.stack([self._rows[slot] for slot in slots.flatten().tolist()])
        return rows.view(*slots.shape, -1)

    @torch.no_grad()
    def fill(self, progress: Progress | None = None) -> None:
        """Compute the projections of all slots in use.

        Args:
            progress: called with slots done and slots to do.
        """
        missing = self._missing(self.memory.slots)
        for start in range(0, len(missing), AT_ONCE):
            part = missing[start : start + AT_ONCE]
            self._compute(part)
            if progress:
                progress(start + len(part), len(missing))

    def _missing(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) distinct slots without a row, after rows that have become stale are forgotten."""
        weights = [(w.data_ptr(), w._version) for w in self.shape_encoder.parameters()]
        stamp = (self.memory.clock, weights)
        if stamp != self._stamp:
            self._rows, self._stamp = {}, stamp
        return np.array([s for s in np.unique(slots).tolist() if s not in self._rows], np.int64)

    def _compute(self, slots: NDArray[np.int64]) -> None:
        """Add rows for distinct slots that have none."""
        side = self.memory.config.resolution
        weight = next(self.shape_encoder.parameters())
        for start in range(0, len(slots), ROWS):
            part = slots[start : start + ROWS]
            is_real = part >= 0
            grids = np.zeros((ROWS, side, side, side), np.bool_)
            grids[: len(part)][is_real] = self.memory.values(part[is_real])
            rows = self.shape_encoder.project(  # type: ignore[operator]  # checked in __init__
                torch.from_numpy(grids).to(weight.device, weight.dtype)
            )
            for slot, row in zip(part.tolist(), rows, strict=False):
                self._rows[slot] = row.clone()  # not a view, which would keep the others


def projections_of(model: nn.Module, memory: Memory) -> ProjectionCache | None:
    """Projections of a network (`Mem3D`) and its memory; None where there is nothing to keep."""
    encoder = model.get_submodule("shape_encoder")
    return ProjectionCache(encoder, memory) if can_project(encoder) else None


def can_project(shape_encoder: nn.Module) -> bool:
    """Whether a shape encoder computes something of each grid alone, which can be kept."""
    if not (hasattr(shape_encoder, "project") and hasattr(shape_encoder, "fold")):
        return False
    if not getattr(shape_encoder, "reads", True):  # it projects to nothing
        return False
    weights = list(shape_encoder.parameters())
    return bool(weights) and not any(weight.is_inference() for weight in weights)
