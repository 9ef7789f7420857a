"""A second look at what is near by key: which of it fits a coarse guess of the shape best.

A key is a hundred numbers; the guess is thousands, but can be compared with few shapes only. So the
memory's nearest make a shortlist, of which those are recalled that fit the guess. The key has
learned kinds of objects beside their shapes, so that its cosine still has a say.

And one that is much like the others that fit is more likely right than one that is not: the best of
the shortlist are ranked by the IoU that they are to expect, if each of the others may be the truth
as likely as it fits (minimum Bayes risk, Kumar and Byrne 2004).
"""

# B = batch, L = slots on the shortlist (padded), M = the best of them
# C = N x N x N cubes of the guess, V = R x R x R voxels of a grid

import torch
from torch import Tensor

SHORTLIST = 64  # slots that are looked at
COSINE = 0.5  # weight of a key's cosine beside the fit
ELECTORS = 32  # the best, which are compared with each other
AGREEMENT = 0.5  # weight of the IoU that one is to expect
TEMPERATURE = 0.05  # of scores, when they tell how likely each is the truth


def fits(grids: Tensor, guess: Tensor) -> Tensor:
    """Soft IoU of grids and guesses, both averaged to N voxels a side.

    Args:
        grids: (B, L, R, R, R) bool, or float that is 0 or 1; R is a multiple of N.
        guess: (B, N, N, N) occupancy in [0, 1].

    Returns:
        (B, L) float32 in [0, 1]: sum(g v) / sum(g + v - g v); 0 where both are empty.
    """
    guess_BC = guess.detach().float().flatten(1)
    shares_BLC = _shares(grids, guess.shape[-1]).flatten(2)
    with torch.autocast(grids.device.type, enabled=False):
        shared_BL = torch.einsum("bc,blc->bl", guess_BC, shares_BLC)
    either_BL = guess_BC.sum(1, keepdim=True) + shares_BLC.sum(2) - shared_BL
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
    padding = torch.arange(grids.shape[1], device=grids.device) >= counts[:, None]
    scores_BL = (fits(grids, guess) + COSINE * cosines).masked_fill(padding, -torch.inf)
    scores_BL, places_BL = scores_BL.sort(dim=1, descending=True, stable=True)
    scores_BM, places_BM = (x[:, : max(k, ELECTORS)] for x in (scores_BL, places_BL))
    near = grids[torch.arange(len(grids), device=grids.device)[:, None], places_BM]
    likely_BM = (scores_BM / TEMPERATURE).softmax(1).nan_to_num(0)  # nan: nothing is near
    scores_BM = scores_BM + AGREEMENT * expected_iou(near, likely_BM)
    order = scores_BM.sort(dim=1, descending=True, stable=True).indices
    return places_BM.gather(1, order[:, :k])


def expected_iou(grids: Tensor, likely: Tensor) -> Tensor:
    """IoU of each grid with the others and itself, on average.

    Args:
        grids: (B, M, R, R, R) bool, or float that is 0 or 1.
        likely: (B, M) weights of the average, which add up to 1.

    Returns:
        (B, M) float32 in [0, 1]; two empty grids have an IoU of 0.
    """
    full_BMV = grids.flatten(2).float()
    counts_BM = full_BMV.sum(2)
    with torch.autocast(grids.device.type, enabled=False):
        shared_BMM = full_BMV @ full_BMV.mT
        either_BMM = counts_BM[:, :, None] + counts_BM[:, None] - shared_BMM
        ious_BMM = shared_BMM / either_BMM.clamp(min=1)
        return (ious_BMM @ likely.float()[:, :, None])[:, :, 0]


def _shares(grids: Tensor, side: int) -> Tensor:
    """(B, L, N, N, N) float32, the full share of each cube; sums of bytes are fast."""
    step = grids.shape[-1] // side
    total = grids.view(torch.uint8) if grids.dtype == torch.bool else grids
    for axis in (2, 3, 4):
        before = (slice(None),) * axis
        parts = [total[(*before, slice(first, None, step))] for first in range(step)]
        total = sum(parts[1:], parts[0])
    return total.float() / step**3
