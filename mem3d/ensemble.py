"""Several trained networks that answer together, each from its own memory.

Networks that began from other weights, or learnt from other pictures, err in other places; the mean
of their logits is nearer to the truth than those of one, as a rule (results.md tells by how much).
Each costs what the first costs.

Not in the paper. Source: Lakshminarayanan et al., Simple and scalable predictive uncertainty
estimation using deep ensembles (NeurIPS 2017).
"""

from collections.abc import Sequence
from typing import NamedTuple

from mem3d.model import Mem3D
from mem3d.projections import SlotProjections
from mem3d.recall import ReadableMemory


class Member(NamedTuple):
    """A network with what it recalls from.

    Attributes:
        model: in evaluation mode.
        memory: where it recalls.
        projections: of both, see `projections.SlotProjections`; None without.
    """

    model: Mem3D
    memory: ReadableMemory
    projections: SlotProjections | None = None


def check_alike(first: Mem3D, others: Sequence[Member]) -> None:
    """Raise ValueError unless all networks take the same pictures and make grids of one size."""
    want = first.config.image_size, first.config.resolution
    for one in others:
        got = one.model.config.image_size, one.model.config.resolution
        if got != want:
            raise ValueError(
                f"ensemble (image_size, resolution): got {got} beside {want}, want the same for all"
            )
