"""Binary voxel grids as packed bits, and how similar two of them are."""

import math

import numpy as np
from numpy.typing import NDArray

from memstore.config import ValueSimilarity


def packed_shape(resolution: int) -> tuple[int, int, int]:
    """Shape of one packed grid: eight voxels of the last axis per byte, the last byte padded."""
    return resolution, resolution, -(-resolution // 8)


def pack(grids: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Pack the last axis, first voxel in the highest bit; padding bits are 0.

    Args:
        grids: (..., R, R, R).
    Returns:
        (..., R, R, ceil(R / 8)).
    """
    return np.packbits(grids, axis=-1)


def unpack(packed: NDArray[np.uint8], resolution: int) -> NDArray[np.bool_]:
    """Undo pack.

    Args:
        packed: (..., R, R, ceil(R / 8)).
        resolution: R.
    Returns:
        (..., R, R, R), a new array.
    """
    return np.unpackbits(packed, axis=-1, count=resolution).view(np.bool_)


def value_similarity(
    values: NDArray[np.uint8], grid: NDArray[np.uint8], resolution: int, kind: ValueSimilarity
) -> NDArray[np.float64]:
    """Compare packed grids with one packed grid, counting bits.

    Args:
        values: (n, R, R, ceil(R / 8)).
        grid: (R, R, ceil(R / 8)).
        resolution: R.
        kind: "mse": voxels that agree / R^3, which for binary grids is the paper's
            1 - mean squared difference; "iou": common / joint voxels, 1 if both are empty.
    Returns:
        (n,) in [0, 1]: each one float64 division of two integers.

    Source: Mem3D sec. 3.1, S_v ("mse"); "iou" is ours.
    """
    ours, theirs = _words(values, len(values)), _words(grid, 1)
    if kind == "mse":
        voxels = resolution**3
        similar: NDArray[np.float64] = (voxels - _count(ours ^ theirs)) / voxels
        return similar
    common, joint = _count(ours & theirs), _count(ours | theirs)
    similar = np.where(joint == 0, 1.0, common / np.maximum(joint, 1))
    return similar


def _words(packed: NDArray[np.uint8], n: int) -> NDArray[np.uint64] | NDArray[np.uint8]:
    """(n, words) view: 64 bits per word where the grid's bytes allow it, for speed."""
    flat = np.ascontiguousarray(packed).reshape(n, math.prod(packed.shape[-3:]))  # n may be 0
    return flat.view(np.uint64) if flat.shape[1] % 8 == 0 else flat


def _count(words: NDArray[np.uint64] | NDArray[np.uint8]) -> NDArray[np.int64]:
    """(n,) set bits per row."""
    counts: NDArray[np.int64] = np.bitwise_count(words).sum(axis=1, dtype=np.int64)
    return counts
