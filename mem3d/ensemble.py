"""Several trained networks that answer together, each from its own memory.

Networks that began from other weights, or learnt from other pictures, err in other places; the mean
of their logits is nearer to the truth than those of one, as a rule (results.md tells by how much).
Each costs what it costs alone. They may take pictures of different sizes.

Not in the paper. Source: Lakshminarayanan et al., Simple and scalable predictive uncertainty
estimation using deep ensembles (NeurIPS 2017).
"""

# B = batch, S = pixels per side

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

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
    """Raise ValueError unless all networks make grids of one size."""
    want = first.config.resolution
    for one in others:
        got = one.model.config.resolution
        if got != want:
            raise ValueError(
                f"ensemble (resolution): got grids of {got} voxels a side beside {want}, want the "
                "same for all"
            )


def sized_for(model: Mem3D, images: Tensor) -> Tensor:
    """Pictures (B, 3, S, S) at the size that a network takes: as they are, or scaled.

    From 128 pixels to 96 they serve as well as its own, made from the photo (docs/robustness.md);
    scaled up, they are blurred.
    """
    size = model.config.image_size
    if images.shape[-1] == size:
        return images
    return functional.interpolate(
        images, size=(size, size), mode="bilinear", antialias=True, align_corners=False
    )
