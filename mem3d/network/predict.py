"""Forward passes averaged over a photo's mirror image and over several networks.

Logits are averaged, not occupancies: a mean of those is blurred wherever the passes disagree, and
grows beyond the shape at a threshold of .3.
"""

# B = batch, S = pixels per side, R = voxels per side

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

from mem3d.memory.host import HostMemory
from mem3d.memory.projection_cache import ProjectionCache
from mem3d.network.encoder import normalize
from mem3d.network.model import Mem3D, Output
from memstore import Memory


class EnsembleMember(NamedTuple):
    """A network with what it recalls from.

    Attributes:
        model: in evaluation mode.
        memory: where it recalls.
        projections: of both, see `ProjectionCache`; None without.
    """

    model: Mem3D
    memory: Memory
    projections: ProjectionCache | None = None


def check_alike(first: Mem3D, ensemble: Sequence[EnsembleMember]) -> None:
    """Raise ValueError unless all networks make grids of one size."""
    want = first.config.resolution
    for member in ensemble:
        resolution = member.model.config.resolution
        if resolution != want:
            raise ValueError(
                f"ensemble (resolution): got grids of {resolution} voxels a side beside {want}, "
                "want the same for all"
            )


def sized_for(model: Mem3D, images: Tensor) -> Tensor:
    """Images (B, 3, S, S) at the size that a network takes: as they are, or scaled.

    From 128 pixels to 96 they serve as well as its own, made from the photo
    (docs/experiments/2026-11-29-inference.md); scaled up, they are blurred.
    """
    size = model.config.image_size
    if images.shape[-1] == size:
        return images
    return functional.interpolate(
        normalize(images), size=(size, size), mode="bilinear", antialias=True, align_corners=False
    )


def predict(
    model: Mem3D,
    images: Tensor,
    memory: Memory,
    *,
    flip: bool = False,
    projections: ProjectionCache | None = None,
    ensemble: Sequence[EnsembleMember] = (),
) -> tuple[Tensor, Output]:
    """Occupancies of a batch from averaged logits: test-time augmentation, and an ensemble.

    All passes of all networks have the same weight.

    Args:
        model: in evaluation mode.
        images: (B, 3, S, S) uint8 RGB, of the network's size; those that take another size get
            them scaled, so let the one with the largest images be the first.
        memory: where it recalls.
        flip: average with the mirror image, whose shape is mirrored in z; takes twice as long.
        projections: of this network and memory, see `ProjectionCache`.
        ensemble: further networks and where they recall.

    Returns:
        (B, R, R, R) occupancy in [0, 1], and the first network's forward pass of the images as
        they are.

    Raises:
        ValueError: the networks make grids of different sizes.
    """
    check_alike(model, ensemble)
    first = EnsembleMember(model, memory, projections)
    output: Output = model(images, HostMemory(memory), projections=projections)
    total = output.logits.float()
    for member in ensemble:
        total = total + _logits(member, images)
    if flip:
        mirrored = images.flip(-1)
        for member in (first, *ensemble):
            total = total + _logits(member, mirrored).flip(-1)
    passes = (1 + flip) * (1 + len(ensemble))
    return (total / passes).sigmoid(), output


def _logits(member: EnsembleMember, images: Tensor) -> Tensor:
    """(B, R, R, R) float32 of one network."""
    images, memory = sized_for(member.model, images), HostMemory(member.memory)
    output: Output = member.model(images, memory, projections=member.projections)
    return output.logits.float()
