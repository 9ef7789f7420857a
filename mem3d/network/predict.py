"""Several looks at one photo, averaged: small changes that leave the shape what it is.

Likewise the looks of several networks, see predict.py. Logits are averaged, not occupancies: a
mean of those is blurred wherever looks disagree, and grows beyond the shape at a threshold of .3.

The first is the photo itself, the second its mirror image, whose shape is mirrored in z; the others
are moved, scaled and lit a little otherwise, every second one mirrored as well.
"""


# B = batch, S = pixels per side

from collections.abc import Sequence
from typing import NamedTuple

# B = batch, S = pixels per side, R = voxels per side
import numpy as np
from torch import Tensor
from torch.nn import functional

from mem3d.data.images.augment import MEAN, STD
from mem3d.memory.interface import ReadableMemory
from mem3d.memory.projection_cache import ProjectionCache
from mem3d.network.model import Mem3D, Output


class EnsembleMember(NamedTuple):
    """A network with what it recalls from.

    Attributes:
        model: in evaluation mode.
        memory: where it recalls.
        projections: of both, see `projections.ProjectionCache`; None without.
    """

    model: Mem3D
    memory: ReadableMemory
    projections: ProjectionCache | None = None


def check_alike(first: Mem3D, others: Sequence[EnsembleMember]) -> None:
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


SHIFT = 0.03  # most, of the picture's side
SCALE = 0.06  # most, up or down
LIGHT = 0.15  # most, up or down


def predict(
    model: Mem3D,
    images: Tensor,
    memory: ReadableMemory,
    *,
    tta: int = 0,
    projections: ProjectionCache | None = None,
    others: Sequence[EnsembleMember] = (),
) -> tuple[Tensor, Output]:
    """Occupancies of a batch, from logits averaged over variants of each photo.

    That is "test-time augmentation"; with other networks besides, an "ensemble": all looks of all
    networks have the same weight.

    Args:
        model: in evaluation mode.
        images: (B, 3, S, S) normalized, of the network's size; those that take another size get
            them scaled, so let the one with the largest pictures be the first.
        memory: where it recalls.
        tta: variants besides the photo itself, >= 0; each takes as long as the photo.
        projections: of this network and memory, see `projections.ProjectionCache`.
        others: further networks and where they recall.

    Returns:
        (B, R, R, R) occupancy in [0, 1], and the first network's forward pass of the photos as they
        are.

    Raises:
        ValueError: tta is negative, or the networks make grids of different sizes.
    """
    if tta < 0:
        raise ValueError(f"tta: got {tta}, want >= 0")
    check_alike(model, others)
    first = EnsembleMember(model, memory, projections)
    output: Output = model(images, memory, projections=projections)
    total = output.logits.float()
    for number in range(tta + 1):
        seen = variant(images, number)
        for one in (first, *others):
            if one is first and number == 0:
                continue  # asked already
            own = sized_for(one.model, seen)
            found = one.model(own, one.memory, projections=one.projections).logits.float()
            total = total + (found.flip(-1) if is_mirrored(number) else found)
    return (total / ((tta + 1) * (1 + len(others)))).sigmoid(), output


def is_mirrored(number: int) -> bool:
    """Whether a variant shows the mirror image."""
    return number % 2 == 1


def variant(images: Tensor, number: int) -> Tensor:
    """One variant of photos; the same for the same number.

    Args:
        images: (B, 3, S, S) normalized.
        number: 0 is the photo itself, 1 its mirror image; others are drawn.

    Returns:
        (B, 3, S, S); what comes in at the edges continues them.
    """
    if number > 1:
        x, y, size, light = np.random.default_rng(number).uniform(-1, 1, 4)
        zoom = 1 / (1 + SCALE * size)
        to_source = [[zoom, 0, 2 * SHIFT * x], [0, zoom, 2 * SHIFT * y]]  # sides are 2 long
        places = functional.affine_grid(
            images.new_tensor(to_source).expand(len(images), 2, 3),
            list(images.shape),
            align_corners=False,
        )
        images = functional.grid_sample(images, places, padding_mode="border", align_corners=False)
        mean, std = (images.new_tensor(one)[:, None, None] for one in (MEAN, STD))
        images = (((images * std + mean) * (1 + LIGHT * light)).clamp(0, 1) - mean) / std
    return images.flip(-1) if is_mirrored(number) else images
