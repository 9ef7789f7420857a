"""What training minimizes."""

import torch
from torch import Tensor
from torch.nn import functional

from mem3d.network.refiner import soft_iou


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


def dice_loss(logits: Tensor, grids: Tensor) -> Tensor:
    """One minus the soft Dice overlap of each grid, averaged over the grids.

    2 sum(p g) / (sum p + sum g): unlike the cross-entropy it weighs a thin shape as much as a solid
    one, and rises with the IoU that is measured in the end.

    Args:
        logits: (B, R, R, R).
        grids: (B, R, R, R) bool.

    Returns:
        Scalar in [0, 1).

    Source: V-Net (Milletari et al. 2016), with one voxel added above and below.
    """
    p, g = logits.sigmoid().flatten(1), grids.to(logits.dtype).flatten(1)
    overlap = (2 * (p * g).sum(1) + 1) / (p.sum(1) + g.sum(1) + 1)
    return (1 - overlap).mean()


def gate_loss(log_weights: Tensor, priors: Tensor, counts: Tensor, grids: Tensor) -> Tensor:
    """Cross-entropy of a gate's weights with how good each prior is.

    The wanted weights are the softmax over the image's priors of their IoU with the truth, divided
    by a temperature of .05: a prior that is .05 better is wanted e times as much.

    Args:
        log_weights: (B, K) logarithms of weights.
        priors: (B, K, R, R, R) in [0, 1], as they are laid over the answer.
        counts: (B,) priors that each image really has.
        grids: (B, R, R, R) bool, the true shapes.

    Returns:
        Scalar >= 0, mean over images that have a prior; 0 if none has.
    """
    good_BK = soft_iou(grids.float(), priors.float())
    real_BK = torch.arange(good_BK.shape[1], device=counts.device) < counts[:, None]
    wanted_BK = (good_BK / 0.05).masked_fill(~real_BK, -1e4).softmax(1)
    per_image = -(wanted_BK * log_weights.float()).masked_fill(~real_BK, 0).sum(1)
    some = counts > 0
    return (per_image * some).sum() / some.sum().clamp(min=1)


def voxel_triplet_loss(
    features: Tensor, positive: Tensor, negative: Tensor, valid: Tensor, *, margin: float
) -> Tensor:
    """Pull each feature to the key of a similar shape, away from that of a different one.

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
