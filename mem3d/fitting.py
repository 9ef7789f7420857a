"""Recalled shapes stretched to the extents that the image tells.

Shapes of a kind differ most in their proportions: a grid is laid out with its longest side from
end to end, so a table that is a little taller shares hardly a voxel with one that is not. How long,
high and wide an object is can be read from its image more surely than its parts. So the extents are
guessed, and each recalled grid is stretched, axis by axis, until it has them, before it is laid
over the answer.

Not in the paper, whose priors are used as they were written.
"""

# B = batch, K = priors per image (padded), C = channels of a feature, R = voxels per side

import torch
from torch import Tensor, nn
from torch.nn import functional

from mem3d.pose_trunk import guess_layers

_NOISE = 0.1  # deviation of a training extent's logarithm from the true one
_LEAST = 1 / 32  # of a side: no extent is guessed smaller


class ExtentHead(nn.Module):
    """Two layers from one vector per image, as the camera's, to the extents along x, y and z."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = guess_layers(features, 3)

    def forward(self, features: Tensor) -> Tensor:
        """(B, 3) in [1/32, 1], shares of the grid's side along x, y, z; the largest is 1."""
        raw = self.layers(features).float()
        logs = raw - raw.amax(1, keepdim=True)
        return logs.exp().clamp(min=_LEAST)  # type: ignore[no-any-return]


def extents(grids: Tensor) -> tuple[Tensor, Tensor]:
    """Where the filled voxels begin and end along x, y, z.

    Args:
        grids: (..., R, R, R), filled where above 0, none below.

    Returns:
        (..., 3) first filled index and (..., 3) one behind the last, float; 0 and R where empty.
    """
    side = grids.shape[-1]
    planes_yz, planes_xz = grids.float().sum(-1), grids.float().sum(-2)  # sums are fast, any is not
    along = [planes_yz.sum(-1), planes_yz.sum(-2), planes_xz.sum(-2)]
    is_in = torch.stack(along, dim=-2) > 0  # (..., 3, R)
    at = torch.arange(side, device=grids.device, dtype=torch.float32)
    first = torch.where(is_in, at, float(side)).amin(-1)
    last = torch.where(is_in, at + 1, 0.0).amax(-1)
    empty = last == 0
    return first.masked_fill(empty, 0.0), last.masked_fill(empty, float(side))


def stretched(priors: Tensor, wanted: Tensor) -> Tensor:
    """Grids with the extents that are wanted, centred.

    Along each axis a new voxel is the mean of the old one's piece that it covers, so that what was
    full stays full and the ends of a side of no whole number of voxels are filled in part.

    Args:
        priors: (B, K, R, R, R) in [0, 1].
        wanted: (B, 3) in (0, 1], shares of the side along x, y, z.

    Returns:
        (B, K, R, R, R) in [0, 1]; an empty grid stays empty.
    """
    batch, count, side = priors.shape[:3]
    low, high = extents(priors)
    x, y, z = _maps(low, high, wanted[:, None] * side, side).to(priors).unbind(2)
    flat = (batch * count,)
    out = x.reshape(*flat, side, side) @ priors.reshape(*flat, side, side * side)
    out = y.reshape(*flat, 1, side, side) @ out.view(*flat, side, side, side)
    out = out @ z.reshape(*flat, 1, side, side).transpose(-1, -2)
    return out.view_as(priors)


def _maps(low: Tensor, high: Tensor, lengths: Tensor, side: int) -> Tensor:
    """(B, K, 3, R, R) matrices from old voxels (columns) to new ones (rows)."""
    at = torch.arange(side + 1, device=low.device, dtype=torch.float32)
    start = (side - lengths)[..., None] / 2
    scale = (high - low)[..., None] / lengths[..., None]  # old voxels per new one
    edges = (at.clamp(min=start).minimum(start + lengths[..., None]) - start) * scale
    edges = low[..., None] + edges  # (B, K, 3, R + 1), of new voxels among the old
    begins, ends = edges[..., :-1, None], edges[..., 1:, None]
    shared = ends.minimum(at[1:]) - begins.maximum(at[:-1])
    return shared.clamp(min=0) / scale[..., None]


def wanted_in_training(guessed: Tensor, grids: Tensor) -> Tensor:
    """Extents to train with: true ones, slightly off, for half of the images, guessed elsewhere.

    Args:
        guessed: (B, 3).
        grids: (B, R, R, R) true shapes.
    """
    off = (torch.randn_like(guessed) * _NOISE).exp()
    take_true = torch.rand(len(guessed), 1, device=guessed.device) < 0.5
    true = (true_extents(grids) * off).clamp(_LEAST, 1)
    return torch.where(take_true, true, guessed)


def true_extents(grids: Tensor) -> Tensor:
    """(B, 3) shares of the side that grids (B, R, R, R) span along x, y, z; the largest is 1."""
    low, high = extents(grids)
    spans = high - low
    return spans / spans.amax(1, keepdim=True)


def extent_loss(guessed: Tensor, grids: Tensor) -> Tensor:
    """How far guessed extents are off: mean smooth L1 of their logarithms, quadratic below .1.

    Args:
        guessed: (B, 3) from `ExtentHead`.
        grids: (B, R, R, R) true shapes.

    Returns:
        Scalar >= 0.
    """
    return functional.smooth_l1_loss(guessed.log(), true_extents(grids).log(), beta=0.1)
