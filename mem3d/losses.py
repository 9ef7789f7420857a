"""What training minimises."""

import torch
from torch import Tensor
from torch.nn import functional


def reconstruction_loss(logits: Tensor, grids: Tensor) -> Tensor:
    """Mean binary cross-entropy over all voxels.

    Args:
        logits: (B, R, R, R).
        grids: (B, R, R, R) bool.

    Raises:
        ValueError: the shapes differ.

    Source: Mem3D eq. 13.
    """
    if logits.shape != grids.shape:
        raise ValueError(f"logits: got shape {tuple(logits.shape)}, want {tuple(grids.shape)}")
    return functional.binary_cross_entropy_with_logits(logits, grids.to(logits.dtype))


def voxel_triplet_loss(
    features: Tensor, positive: Tensor, negative: Tensor, valid: Tensor, *, margin: float
) -> Tensor:
    """Pull each feature to the key of a similar shape, to_positive from that of a different one.

    max(cos(F, K_negative) - cos(F, K_positive) + margin, 0), averaged over valid images.

    Args:
        features: (B, C), gradients flow here only.
        positive: (B, C) key of the nearest slot whose value is similar.
        negative: (B, C) key of the nearest slot whose value is not.
        valid: (B,) bool, images that have both.
        margin: alpha.

    Returns:
        Scalar >= 0; 0 with no valid image.

    Source: Mem3D eq. 9-12; keys are constants as in Kaiser et al. 2017.
    """
    unit = functional.normalize(features.float(), dim=1)
    to_negative = (unit * functional.normalize(negative, dim=1)).sum(1)
    to_positive = (unit * functional.normalize(positive, dim=1)).sum(1)
    per_image = torch.relu(to_negative - to_positive + margin) * valid
    return per_image.sum() / valid.sum().clamp(min=1)
