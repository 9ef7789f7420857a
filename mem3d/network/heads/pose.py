"""Camera and extents predicted from an image, and recalled grids rescaled to those extents.

The image feature is a key, and a good key is the same for all views of a shape. Where the camera
stood and how long, high and wide the object is are just what such a key leaves out. So the two
heads may look at the stem's maps, through four convolutions of their own (`PoseTrunk`).
"""

# B = batch, A = azimuth bins, K = priors per image (padded), R = voxels per side, F = channels

from math import pi

import torch
from torch import Tensor, nn
from torch.nn import functional

BINS = 36
_SHARPNESS = 48.0  # of the true azimuth's bump over the bins: a deviation of about 8 degrees
# What elevation, log distance, right and down are centered on and scaled by.
_MEAN = (0.48, 0.60, 0.0, 0.0)
_SCALE = (0.10, 0.30, 0.05, 0.05)
_NOISE = 0.1  # deviation of a training extent's logarithm from the true one
_LEAST = 1 / 32  # of a side: no extent is predicted smaller


class ViewpointHead(nn.Module):
    """Two layers from one vector per image to azimuth bins and four numbers."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = head_layers(features, BINS + 4)

    def forward(self, features: Tensor) -> Tensor:
        """(B, A + 4): scores of the azimuth's bins, then elevation and the rest, scaled."""
        return self.layers(features).float()  # type: ignore[no-any-return]


def decode(logits: Tensor) -> Tensor:
    """(B, 5) viewpoints from (B, A + 4): the best bin, refined by its two neighbors."""
    share = logits[:, :BINS].softmax(1)
    best = (share + share.roll(1, 1) + share.roll(-1, 1)).argmax(1)
    steps = torch.tensor([-1, 0, 1], device=logits.device)
    near = share.gather(1, (best[:, None] + steps) % BINS)
    offset = (near * steps).sum(1) / near.sum(1)
    azimuth = (best + 0.5 + offset) * (2 * pi / BINS)
    rest = logits.new_tensor(_MEAN) + logits[:, BINS:] * logits.new_tensor(_SCALE)
    return torch.cat([azimuth[:, None], rest], dim=1)


def viewpoint_loss(logits: Tensor, true: Tensor) -> Tensor:
    """How wrong predicted cameras are.

    Args:
        logits: (B, A + 4) from `ViewpointHead`.
        true: (B, 5) viewpoints; rows with nan are not known and do not count.

    Returns:
        Scalar >= 0, mean over the known ones; 0 if none is.
    """
    is_known = true.isfinite().all(1)
    true = torch.where(is_known[:, None], true, 0.0)
    middles = (torch.arange(BINS, device=logits.device) + 0.5) * (2 * pi / BINS)
    bump = (_SHARPNESS * ((true[:, :1] - middles).cos() - 1)).softmax(1)
    wrong_side = -(bump * logits[:, :BINS].log_softmax(1)).sum(1)
    rest = (true[:, 1:] - logits.new_tensor(_MEAN)) / logits.new_tensor(_SCALE)
    off = functional.smooth_l1_loss(logits[:, BINS:], rest, reduction="none").mean(1)
    return ((wrong_side + 0.5 * off) * is_known).sum() / is_known.sum().clamp(min=1)


def azimuth_error(viewpoints: Tensor, true: Tensor) -> Tensor:
    """(B,) angle between azimuths in radians, 0 to pi; nan where it is not known."""
    return ((viewpoints[:, 0] - true[:, 0] + pi) % (2 * pi) - pi).abs()


class ExtentHead(nn.Module):
    """Two layers from one vector per image, as the camera's, to the extents along x, y and z."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = head_layers(features, 3)

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


def rescale_to_extents(priors: Tensor, shares: Tensor) -> Tensor:
    """Grids with other extents, centered.

    Along each axis a new voxel is the mean of the old one's piece that it covers, so that what was
    full stays full and the ends of a side of no whole number of voxels are filled in part.

    Args:
        priors: (B, K, R, R, R) in [0, 1].
        shares: (B, 3) in (0, 1], extents as shares of the side along x, y, z.

    Returns:
        (B, K, R, R, R) in [0, 1]; an empty grid stays empty.
    """
    batch, count, side = priors.shape[:3]
    low, high = extents(priors)
    x, y, z = _maps(low, high, shares[:, None] * side, side).to(priors).unbind(2)
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


def training_extents(predicted: Tensor, grids: Tensor) -> Tensor:
    """Extents to train with: true ones, slightly off, for half of the images, else predicted.

    Args:
        predicted: (B, 3).
        grids: (B, R, R, R) true shapes.
    """
    off = (torch.randn_like(predicted) * _NOISE).exp()
    take_true = torch.rand(len(predicted), 1, device=predicted.device) < 0.5
    true = (true_extents(grids) * off).clamp(_LEAST, 1)
    return torch.where(take_true, true, predicted)


def true_extents(grids: Tensor) -> Tensor:
    """(B, 3) shares of the side that grids (B, R, R, R) span along x, y, z; the largest is 1."""
    low, high = extents(grids)
    spans = high - low
    return spans / spans.amax(1, keepdim=True)


def extent_loss(predicted: Tensor, grids: Tensor) -> Tensor:
    """How far predicted extents are off: mean smooth L1 of their logarithms, quadratic below .1.

    Args:
        predicted: (B, 3) from `ExtentHead`.
        grids: (B, R, R, R) true shapes.

    Returns:
        Scalar >= 0.
    """
    return functional.smooth_l1_loss(predicted.log(), true_extents(grids).log(), beta=0.1)


class PoseTrunk(nn.Module):
    """(B, 512, S/8, S/8) of the stem to (B, F), F = `width(S/8, channels)`."""

    def __init__(self, inputs: int, channels: int) -> None:
        wide = channels * 4 // 3
        super().__init__()
        self.layers = nn.Sequential(
            *_conv(inputs, channels, 1),
            *_conv(channels, channels, 3),
            *_conv(channels, wide, 3, 2),
            *_conv(wide, wide, 3, 2),
            nn.Flatten(1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Encode the stem's maps."""
        return self.layers(maps)  # type: ignore[no-any-return]


def width(side: int, channels: int) -> int:
    """Length of a trunk's output for stem maps of so many pixels a side."""
    for _ in range(2):
        side = (side + 1) // 2
    return channels * 4 // 3 * side**2


def head_layers(
    inputs: int, outputs: int, hidden: int = 256, dropout: float = 0.2
) -> nn.Sequential:
    """What both heads are: two layers, normalized by image since a batch may be a single one."""
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.LayerNorm(hidden),
        nn.ReLU(True),
        nn.Dropout(dropout),
        nn.Linear(hidden, outputs),
    )


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(True),
    ]
