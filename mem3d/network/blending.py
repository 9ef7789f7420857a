"""The answer blended with what was recalled, once training is over.

In training a network meets the same shapes again and again, and learns to trust the picture more
than what it recalls: its weights know those shapes better than its memory may tell (a sample's own
shape is passed over). On shapes that it has not learned, the recalled ones are worth more than it
takes them for. How much more is for validation shapes to say (runs/blend_search.py): two numbers,
which no gradient sees.

Not in the paper, where the priors reach the answer through the decoder alone.
"""

# B = batch, K = priors per image (padded), R = voxels per side

import torch
from torch import Tensor

LEAST = 0.02  # occupancy that the recalled shapes are believed to leave open


def blended(logits: Tensor, priors: Tensor, counts: Tensor, share: float, shift: float) -> Tensor:
    """A product of two experts: the network's answer, and the mean of what was recalled.

    (1 - share) logits + share logit(mean of priors) + shift, the mean kept within [.02, .98].

    Args:
        logits: (B, R, R, R) of the network.
        priors: (B, K, R, R, R) in [0, 1], as they are laid over the answer; padding is 0.
        counts: (B,) priors that each image really has; where there is none, only the shift counts.
        share: in [0, 1].
        shift: added to all logits, so that they may be cut where others are.

    Returns:
        (B, R, R, R) float32.
    """
    logits = logits.float()
    mean = priors.float().sum(1) / counts.clamp(min=1)[:, None, None, None]
    recalled = mean.clamp(LEAST, 1 - LEAST).logit()
    has_some = (counts > 0)[:, None, None, None]
    return torch.where(has_some, torch.lerp(logits, recalled, share), logits) + shift
