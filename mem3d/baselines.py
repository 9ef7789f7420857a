"""What a network has to beat before its numbers mean anything."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mem3d.data.shapes import Shapes
from mem3d.recall import WritableMemory, to_numpy


def category_means(data: Shapes) -> dict[str, NDArray[np.float32]]:
    """Mean grid of each category's training models: (R, R, R) occupancy in [0, 1]."""
    sums: dict[str, NDArray[np.float32]] = {}
    counts: dict[str, int] = {}
    for i in range(len(data)):
        category = data.category(i)
        grid = data.grid(i).astype(np.float32)
        sums[category] = sums.get(category, np.float32(0)) + grid
        counts[category] = counts.get(category, 0) + 1
    return {category: (total / np.float32(counts[category])) for category, total in sums.items()}


def nearest_recalled(memory: WritableMemory, features: Tensor, resolution: int) -> Tensor:
    """The value under the most similar key of each feature, whatever its cosine.

    Args:
        memory: where to look.
        features: (B, C).
        resolution: R.

    Returns:
        (B, R, R, R) occupancy, 0 or 1; zeros for an all-zero feature or an empty memory.
    """
    queries = to_numpy(features)
    rows = np.flatnonzero(queries.any(axis=1))
    grids = np.zeros((len(queries),) + (resolution,) * 3, np.float32)
    if rows.size:
        found = memory.read(queries[rows], 1, beta=-1.0)  # features are >= 0: always a hit
        grids[rows] = found.values[:, 0]
    return torch.from_numpy(grids)
