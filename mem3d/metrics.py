"""How good a predicted grid is."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memstore.voxels.mesh import smooth


def iou(occupancy: Tensor, target: Tensor, *, threshold: float) -> Tensor:
    """Intersection over union of each predicted grid with its own target.

    Args:
        occupancy: (B, R, R, R) float, probability in [0, 1].
        target: (B, R, R, R) bool.
        threshold: predicted full where occupancy > threshold.

    Returns:
        (B,) float32 in [0, 1]; 1 where both grids are empty.

    Raises:
        ValueError: the shapes differ (broadcasting would pair every grid with every target).

    Source: Mem3D sec. 4.1.
    """
    if occupancy.shape != target.shape:
        raise ValueError(f"occupancy: got {tuple(occupancy.shape)}, want {tuple(target.shape)}")
    full = occupancy > threshold
    both = (full & target).flatten(1).sum(1)
    either = (full | target).flatten(1).sum(1)
    return (both / either.clamp(min=1)).masked_fill(either == 0, 1.0)


def f_score(
    occupancy: NDArray[np.float32],
    target: NDArray[np.bool_],
    *,
    threshold: float,
    distance: float = 0.01,
    points: int = 8192,
    seed: int = 0,
) -> float:
    """F-score of surface points: harmonic mean of precision and recall within a distance.

    Both grids become surfaces by marching cubes (the prediction at `threshold`, the target at .5),
    from which points are drawn evenly by area.

    Args:
        occupancy: (R, R, R) in [0, 1].
        target: (R, R, R).
        threshold: level of the predicted surface.
        distance: how far a point may be off, as a share of the grid's side.
        points: drawn from each surface.
        seed: of the drawing.

    Returns:
        In [0, 1]; 1 where neither grid has a surface, 0 where only one has.

    Source: Mem3D sec. 4.1 (F-Score@1%); Tatarchenko et al. 2019. Sampling details are ours.
    """
    from scipy.spatial import cKDTree  # takes as long as a photo's reconstruction, which needs none

    empty = (not (occupancy > threshold).any(), not target.any())
    if any(empty):
        return 1.0 if all(empty) else 0.0
    predicted = _surface_points(occupancy, threshold, points, seed)
    true = _surface_points(target.astype(np.float32), 0.5, points, seed + 1)
    precision = float((cKDTree(true).query(predicted)[0] <= distance).mean())
    recall = float((cKDTree(predicted).query(true)[0] <= distance).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _surface_points(
    occupancy: NDArray[np.float32], level: float, points: int, seed: int
) -> NDArray[np.float64]:
    """(points, 3) in units of the grid's side, drawn evenly by area."""
    mesh = smooth(occupancy, level)
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.linalg.norm(np.cross(first, second), axis=1)
    rng = np.random.default_rng(seed)
    face = rng.choice(len(area), points, p=area / area.sum())
    u, v = rng.random((2, points, 1))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    return np.asarray(corners[face, 0] + u * first[face] + v * second[face])


def threshold_sweep(occupancy: Tensor, target: Tensor, thresholds: tuple[float, ...]) -> Tensor:
    """(B, T) IoU of each grid at each threshold; see `iou`."""
    return torch.stack([iou(occupancy, target, threshold=t) for t in thresholds], dim=1)


FIXED_THRESHOLD = 0.3
