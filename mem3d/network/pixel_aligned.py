"""Image features at the voxels: each voxel looks up the pixel that shows it.

A network that only sees a flat feature vector has to learn how shapes turn. Here the camera is
estimated from that vector, or from the stem's maps (heads/pose.py), every voxel's
center is projected with it, and the feature maps are read there. What is behind reads the
same pixel as what is before it; the depth, which goes along, and the recalled shapes tell them
apart.

Source: pixel-aligned features as in DISN (Xu et al. 2019) and PIFu (Saito et al. 2019).
"""

# B = batch, P = points, F = channels of a map, N = voxels per side

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from mem3d.data.images.viewpoint import FOCAL_IN_CROP

NEAREST = 0.2  # grid sides; points closer to the camera are taken to be as far as this


@cache
def voxel_centers(side: int, device: torch.device | None = None) -> Tensor:
    """(side**3, 3) voxel centers x, y, z in [-.5, .5], in the order of a flattened grid.

    Cached, since every step needs them; not to be changed.
    """
    along = (torch.arange(side, device=device) + 0.5) / side - 0.5
    return torch.stack(torch.meshgrid(along, along, along, indexing="ij"), dim=-1).reshape(-1, 3)


@cache
def voxel_centers_blocked(side: int, device: torch.device | None = None) -> Tensor:
    """(8 * (side / 2)**3, 3) `voxel_centers`, sorted by the corner of its 2^3 cube a voxel is in.

    So what a convolution of kernel and stride 2 sums over lies side by side.
    """
    half = side // 2
    cubes = voxel_centers(side, device).view(half, 2, half, 2, half, 2, 3)
    return cubes.permute(1, 3, 5, 0, 2, 4, 6).reshape(-1, 3)


def project(viewpoints: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Where a picture shows points.

    Args:
        viewpoints: (B, 5), see `mem3d.data.images.viewpoint.Viewpoint`.
        points: (P, 3) in grid sides from the grid's center.

    Returns:
        (B, P, 2) places right and down, -1 to 1 from edge to edge of what the network sees; and
        (B, P) how much nearer than the grid's center, in grid sides.
    """
    azimuth, elevation, log_distance, right, down = viewpoints.unbind(1)
    cos_a, sin_a, cos_e, sin_e = azimuth.cos(), azimuth.sin(), elevation.cos(), elevation.sin()
    back_B3 = torch.stack([cos_e * cos_a, sin_e, cos_e * sin_a], dim=1)
    right_B3 = torch.stack([sin_a, torch.zeros_like(sin_a), -cos_a], dim=1)
    up_B3 = torch.linalg.cross(back_B3, right_B3)
    axes_B33 = torch.stack([right_B3, up_B3, back_B3], dim=2)
    with torch.autocast(points.device.type, enabled=False):  # else places of 8 bits
        axes_coords = torch.einsum("pc,bck->bpk", points, axes_B33)
    depth = (log_distance.exp()[:, None] - axes_coords[..., 2]).clamp(min=NEAREST)
    x = FOCAL_IN_CROP * axes_coords[..., 0] / depth + right[:, None]
    y = -FOCAL_IN_CROP * axes_coords[..., 1] / depth + down[:, None]
    return torch.stack([2 * x, 2 * y], dim=-1), axes_coords[..., 2]


def unproject(maps: Tensor, places: Tensor, side: int) -> Tensor:
    """Features at voxels.

    Args:
        maps: (B, F, H, W) of the whole picture.
        places: (B, side**3, 2) from `project`; outside the picture reads as 0.
        side: N.

    Returns:
        (B, F, N, N, N).
    """
    return sample_features(maps, places[:, None]).view(*maps.shape[:2], side, side, side)


def sample_features(maps: Tensor, places: Tensor) -> Tensor:
    """(B, F, M, N) features of maps (B, F, H, W) at places (B, M, N, 2); see `unproject`."""
    return functional.grid_sample(maps, places, align_corners=False)
