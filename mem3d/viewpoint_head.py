"""The camera guessed from an image feature, or from what pose_trunk.py makes of the stem's maps.

The azimuth is chosen among bins, since of a shape that looks alike from several sides no average
of them would do; the rest is regressed.
"""

# B = batch, A = azimuth bins

from math import pi

import torch
from torch import Tensor, nn
from torch.nn import functional

from mem3d.pose_trunk import guess_layers

BINS = 36
_SHARPNESS = 48.0  # of the true azimuth's bump over the bins: a deviation of about 8 degrees
# What elevation, log distance, right and down are centred on and scaled by.
_MEAN = (0.48, 0.60, 0.0, 0.0)
_SCALE = (0.10, 0.30, 0.05, 0.05)


class ViewpointHead(nn.Module):
    """Two layers from one vector per image to azimuth bins and four numbers."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = guess_layers(features, BINS + 4)

    def forward(self, features: Tensor) -> Tensor:
        """(B, A + 4): scores of the azimuth's bins, then elevation and the rest, scaled."""
        return self.layers(features).float()  # type: ignore[no-any-return]


def decode(guess: Tensor) -> Tensor:
    """(B, 5) viewpoints from (B, A + 4): the best bin, refined by its two neighbours."""
    share = guess[:, :BINS].softmax(1)
    best = (share + share.roll(1, 1) + share.roll(-1, 1)).argmax(1)
    steps = torch.tensor([-1, 0, 1], device=guess.device)
    near = share.gather(1, (best[:, None] + steps) % BINS)
    offset = (near * steps).sum(1) / near.sum(1)
    azimuth = (best + 0.5 + offset) * (2 * pi / BINS)
    rest = guess.new_tensor(_MEAN) + guess[:, BINS:] * guess.new_tensor(_SCALE)
    return torch.cat([azimuth[:, None], rest], dim=1)


def viewpoint_loss(guess: Tensor, true: Tensor) -> Tensor:
    """How wrong guesses are.

    Args:
        guess: (B, A + 4) from `ViewpointHead`.
        true: (B, 5) viewpoints; rows with nan are not known and do not count.

    Returns:
        Scalar >= 0, mean over the known ones; 0 if none is.
    """
    known = true.isfinite().all(1)
    true = torch.where(known[:, None], true, 0.0)
    middles = (torch.arange(BINS, device=guess.device) + 0.5) * (2 * pi / BINS)
    wanted = (_SHARPNESS * ((true[:, :1] - middles).cos() - 1)).softmax(1)
    wrong_side = -(wanted * guess[:, :BINS].log_softmax(1)).sum(1)
    rest = (true[:, 1:] - guess.new_tensor(_MEAN)) / guess.new_tensor(_SCALE)
    off = functional.smooth_l1_loss(guess[:, BINS:], rest, reduction="none").mean(1)
    return ((wrong_side + 0.5 * off) * known).sum() / known.sum().clamp(min=1)


def azimuth_error(viewpoints: Tensor, true: Tensor) -> Tensor:
    """(B,) angle between azimuths in radians, 0 to pi; nan where it is not known."""
    return ((viewpoints[:, 0] - true[:, 0] + pi) % (2 * pi) - pi).abs()
