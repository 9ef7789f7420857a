"""A second look at what is near by key: which of it fits a coarse guess of the shape best.

A key is a hundred numbers; the guess is thousands, but can be compared with few shapes only. So the
memory's nearest make a shortlist, of which those are recalled that fit the guess. The key has
learned kinds of objects beside their shapes, so that its cosine still has a say.
"""

# B = batch, L = slots on the shortlist (padded), N = voxels per side of the guess, R = of a grid

import torch
from torch import Tensor

SHORTLIST = 64  # slots that are looked at
COSINE = 0.5  # weight of a key's cosine beside the fit


def fits(grids: Tensor, guess: Tensor) -> Tensor:
    """Soft IoU of grids and guesses, both averaged to N voxels a side.

    Args:
        grids: (B, L, R, R, R) bool, or float that is 0 or 1; R is a multiple of N.
        guess: (B, N, N, N) occupancy in [0, 1].

    Returns:
        (B, L) float32 in [0, 1]: sum(g v) / sum(g + v - g v); 0 where both are empty.
    """
    guess_BV = guess.detach().float().flatten(1)
    shares_BLV = _shares(grids, guess.shape[-1]).flatten(2)
    with torch.autocast(grids.device.type, enabled=False):
        shared_BL = torch.einsum("bv,blv->bl", guess_BV, shares_BLV)
    either_BL = guess_BV.sum(1, keepdim=True) + shares_BLV.sum(2) - shared_BL
    return shared_BL / either_BL.clamp(min=1e-6)


def best_fits(grids: Tensor, cosines: Tensor, counts: Tensor, guess: Tensor, k: int) -> Tensor:
    """The places (B, min(k, L)) on each shortlist of what fits best, the best first.

    Args:
        grids: (B, L, R, R, R), see `fits`.
        cosines: (B, L) of their keys; see `COSINE`.
        counts: (B,) how many of them are real; padding comes last.
        guess: (B, N, N, N) occupancy in [0, 1].
        k: grids wanted.
    """
    places = torch.arange(grids.shape[1], device=grids.device)
    scores = fits(grids, guess) + COSINE * cosines
    scores = scores.masked_fill(places >= counts[:, None], -torch.inf)
    return scores.sort(dim=1, descending=True, stable=True).indices[:, :k]


def _shares(grids: Tensor, side: int) -> Tensor:
    """(B, L, N, N, N) float32, the full share of each cube; sums of bytes are fast."""
    step = grids.shape[-1] // side
    total = grids.view(torch.uint8) if grids.dtype == torch.bool else grids
    for axis in (2, 3, 4):
        before = (slice(None),) * axis
        parts = [total[(*before, slice(first, None, step))] for first in range(step)]
        total = sum(parts[1:], parts[0])
    return total.float() / step**3
