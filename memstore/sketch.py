"""Sketch: a few numbers per key that bound its cosine with any query from above.

Keys that form clusters lie close to a plane of few dimensions. With coordinates p on m directions V
(rows, nearly orthonormal) and the residual r = k - p V, Cauchy and Schwarz give

    q.k  <=  p_q.p_k + |r_q| |r_k|

which is one product of m + 1 numbers per key. Whatever the data, the bound holds, to the last bit:
`slack` covers all rounding. Only how many keys it rules out depends on the data.
"""

import math

import numpy as np
from numpy.typing import NDArray

from memstore.cosine import rounding

SAMPLE = 4  # keys looked at per direction, to choose the directions
ENOUGH = 1.05  # drop directions while the residual grows by no more than this factor
_PIECE = 1024  # channels per float32 product
_ROWS = 1024  # keys projected at once


class Sketch:
    """Coordinates and residual norms of the keys in slots [0, rows)."""

    def __init__(self, keys: NDArray[np.float32], width: int) -> None:
        """Choose directions for unit keys (rows, C), at most `width`, and project all keys."""
        self._basis = _directions(keys, width)
        gram = self._basis.astype(np.float64) @ self._basis.T.astype(np.float64)
        # skew: |V V^T - I|. off: |p - V k| of what is computed, a float32 product per direction.
        skew = float(np.linalg.norm(gram - np.eye(len(gram))))
        off = math.sqrt(len(gram)) * rounding(min(_PIECE, keys.shape[1])) + 1e-7
        # |r|^2 = |k|^2 - 2 p.(V k) + p (V V^T) p, where |k| <= 1 + 1e-5, see cosine.error_bound.
        self._most = 1 + 2.2e-5 + 1.01 * (2 * off + skew)
        # q.k - p_q.p_k - r_q.r_k = p_q (V V^T - I) p_k + p_q.(V r_k) + (V r_q).p_k, in which
        # |V r| <= off + skew; then the float32 product of the bounds, and a cosine's own rounding.
        self.slack = 1.01 * (3 * skew + 2 * off + rounding(len(gram) + 1)) + 3e-5
        self._columns = np.empty((len(gram) + 1, 0), np.float32)
        self.refresh(keys, np.empty(0, np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes of RAM."""
        return self._columns.nbytes + self._basis.nbytes

    def refresh(self, keys: NDArray[np.float32], slots: NDArray[np.int64]) -> None:
        """Follow a change of keys (rows, C) at the slots (n,), and in all rows that are new."""
        old = self._columns.shape[1]
        if len(keys) > old:
            grown = np.empty((len(self._columns), len(keys)), np.float32)
            grown[:, :old] = self._columns
            self._columns = grown
        slots = np.concatenate([slots[slots < old], np.arange(old, len(keys))])
        for start in range(0, len(slots), _ROWS):
            part = slots[start : start + _ROWS]
            self._columns[:, part] = self._coordinates(keys[part]).T

    def bounds(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """Unit queries (B, C) to (B, rows): no cosine is above its bound + slack."""
        bounds: NDArray[np.float32] = self._coordinates(queries) @ self._columns
        return bounds

    def _coordinates(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, m + 1): coordinates of unit vectors (B, C) and an upper bound of the residual."""
        total = np.zeros((len(self._basis), len(vectors)))
        for start in range(0, vectors.shape[1], _PIECE):
            channels = slice(start, start + _PIECE)
            total += self._basis[:, channels] @ vectors[:, channels].T
        found = np.empty((len(vectors), len(self._basis) + 1), np.float32)
        found[:, :-1] = total.T
        squares = np.square(total).sum(axis=0)
        found[:, -1] = np.sqrt(np.maximum(self._most - squares, 0))
        return found


def _directions(keys: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """(m, C) orthonormal to rounding: the principal directions of a sample of the keys."""
    order = np.random.default_rng(0).permutation(len(keys))
    sample, others = keys[order[: SAMPLE * width]], keys[order[-width:]]
    width = min(width, *sample.shape)
    _, mixtures = np.linalg.eigh(sample @ sample.T)
    directions: NDArray[np.float32] = np.linalg.qr(sample.T @ mixtures[:, : -width - 1 : -1])[0]
    # What is left of keys that had no say, with 0, 1, ... directions.
    energies = np.square(others @ directions).mean(axis=0)
    rest = np.square(others).sum(axis=1).mean() - np.concatenate([[0], energies.cumsum()])
    enough = int(np.argmax(rest <= ENOUGH * max(rest[-1], ENOUGH - 1)))
    return np.ascontiguousarray(directions[:, : max(enough, 1)].T)
