"""Unit vectors and cosines, defined to the last bit.

Two numbers per query and key. The *score* comes from fast float32 matrix products and may be off
by up to half of MARGIN. The *cosine* is what users see and what ranks slots: a function of the two
vectors alone, never of where they lie or what else is in the batch. Scores only choose which
cosines need computing, generously enough that no slot can be missed.
"""

import numpy as np
from numpy.typing import NDArray

BLOCK = 256  # channels per float32 product: a longer sum is hardly faster, and needs a wider margin
# A float32 dot product of 256 products errs by at most 256 * 2^-24 * |q| |k| = 1.53e-5, in whatever
# order it is summed; the blocks are added in float64. Two slots can err in opposite directions.
MARGIN = 3.5e-5
_ROWS = 64  # keys per step in `cosines`, so that a long shortlist stays small in memory


def unit(features: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scale rows to length one: norm and division in float64, rounded once to float32.

    Args:
        features: (B, C) finite, no row all zeros; any norm, 1e-300 and 1e300 included.
    Returns:
        (B, C).
    """
    rows = np.ascontiguousarray(features, np.float64)
    # A power of two is an exact factor: squares can neither overflow nor vanish, no bit changes.
    exponents = np.frexp(np.abs(rows).max(axis=1, keepdims=True))[1]
    rows = np.ldexp(rows, -exponents)
    norms = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    units: NDArray[np.float32] = (rows / norms).astype(np.float32)
    return units


def merge(query: NDArray[np.float32], key: NDArray[np.float32]) -> NDArray[np.float32]:
    """Direction of the sum of two unit vectors (C,); the query itself if the sum is zero.

    Source: Mem3D eq. 4; the zero sum is ours.
    """
    total = query.astype(np.float64) + key
    return unit(total[None])[0] if total.any() else query.copy()


def cosines(query: NDArray[np.float32], keys: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosines of unit vectors.

    Products in float64 (exact), summed in float64 along each row by numpy's pairwise sum, rounded
    to float32, clipped.

    Args:
        query: (C,) unit vector.
        keys: (n, C) unit vectors.
    Returns:
        (n,) in [-1, 1].
    """
    wide = query.astype(np.float64)
    sums = np.empty(len(keys))
    for start in range(0, len(keys), _ROWS):
        rows = slice(start, start + _ROWS)
        products = np.multiply(keys[rows], wide, dtype=np.float64, order="C")
        sums[rows] = products.sum(axis=1)
    return np.clip(sums.astype(np.float32), -1, 1)


def scores(queries: NDArray[np.float32], keys: NDArray[np.float32]) -> NDArray[np.float64]:
    """Fast cosines of unit vectors: (B, C) and (n, C) to (B, n), each off by < MARGIN / 2."""
    total = np.zeros((len(queries), len(keys)))
    for start in range(0, queries.shape[1], BLOCK):
        channels = slice(start, start + BLOCK)
        total += queries[:, channels] @ keys[:, channels].T
    return total


def shortlist(scores: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Slots, ascending, among which the k best by cosine surely are.

    Args:
        scores: (n,) one query's scores; -inf where a slot must not be found.
        k: >= 1.
    """
    kth = np.partition(scores, -k)[-k] if k < len(scores) else -np.inf
    return np.flatnonzero(scores >= max(kth - MARGIN, -2.0))  # -2 < any score > -inf
