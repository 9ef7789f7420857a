"""RoundedKeys: keys as 8-bit integers, and what rounding took away: a bound on every cosine.

A vector x is a V + s i + r: coordinates a along a few directions V, integers i with one scale s,
and what is left, r. For a query q and a key k

    q.k = a_q.a_k + s_q s_k i_q.i_k + (q - a_q V).r_k + r_q.(s_k i_k),

where the last two terms are no more than products of norms. V is what the keys have in common, a
mean above all: it would use up most of the 8 bits.
"""

from typing import Any, NamedTuple

import numkong
import numpy as np
from numpy.typing import NDArray

from memstore.search.cosine import error_bound, rounding

WIDEST = 2**17  # channels of which a product of integers, 127^2 each, fits 32 bits
DIRECTIONS = 16  # at most
PER_DIRECTION = 64  # channels: coordinates take a sixteenth of what the integers do
SAMPLE = 16  # keys looked at per direction, to choose them
PIECE = 2**18  # numbers rounded at a time: they stay in cache
ROWS = 4096  # keys compared with a batch at a time
BLOCK = 512  # channels per product of coordinates
USUAL = 1.25  # times the part of the highest bound that is not the cosine's: mostly enough
_UNKNOWN = 9.0  # slack of a row whose integers may be those of another key


class _Parts(NamedTuple):
    """What n unit vectors, or zeros, come apart into."""

    integers: NDArray[np.int8]  # (n, C) i
    scales: NDArray[np.float32]  # (n,) s
    along: NDArray[np.float32]  # (n, D) a
    across: NDArray[np.float32]  # (n,) no less than |x - a V|
    lost: NDArray[np.float32]  # (n,) no less than |r|


class RoundedKeys:
    """The keys in slots [0, rows), rounded: a quarter of their bytes, and few more."""

    def __init__(self, keys: NDArray[np.float32]) -> None:
        """Choose the directions for keys (rows, C), C <= WIDEST, and round them all."""
        self._directions = _directions(keys)
        count, channels = self._directions.shape
        gram = self._directions.astype(np.float64) @ self._directions.T.astype(np.float64)
        # V V^T is off the identity by `skew`, coordinates are sums of BLOCK terms in float32. What
        # else a bound has to allow for: its own sums, and a cosine's (see cosine.error_bound).
        skew = float(np.linalg.norm(gram - np.eye(count)))
        off = count**0.5 * rounding(BLOCK) + skew
        self._slack = 1.01 * (2 * off + skew) + 4 * rounding(count + 6) + 1.2e-5
        # Norms are sums of C squares, of numbers that are off by this much together.
        self._most = 1 + rounding(channels)
        self._blur = 1.1 * count**0.5 * rounding(count + 4)
        self._error = 2 * error_bound(channels)
        self.changes = 0  # keys set since
        self._rows = 0
        self._integers = np.empty((0, channels), np.int8)
        self._scales = np.empty(0, np.float32)
        self._terms = np.empty((0, count + 3), np.float32)  # a, |r|, |s i|, slack
        self._grow(len(keys))
        self.put(np.arange(len(keys)), keys)

    @property
    def nbytes(self) -> int:
        """Bytes of RAM."""
        per_row = (self._integers, self._scales, self._terms)
        return sum(array[: self._rows].nbytes for array in per_row) + self._directions.nbytes

    def forget(self, slots: NDArray[np.int64]) -> None:
        """Take note that keys of slots (n,), new ones among them, are about to change."""
        self._grow(int(slots.max(initial=-1)) + 1)
        self.changes += len(slots)
        self._terms[slots, -1] = _UNKNOWN

    def put(self, slots: NDArray[np.int64], keys: NDArray[np.float32]) -> None:
        """Follow a change of the keys (n, C) of slots (n,), all of which have a row."""
        step = max(1, PIECE // keys.shape[1])
        for start in range(0, len(slots), step):
            part = slots[start : start + step]
            parts = self._parts(keys[start : start + step])
            self._integers[part], self._scales[part] = parts.integers, parts.scales
            norms = parts.lost, parts.across + parts.lost, np.full(len(part), self._slack)
            self._terms[part] = np.column_stack([parts.along, *norms])

    def bounds(
        self, queries: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Bound cosines of unit queries (B, C).

        Returns:
            (B, rows) that no cosine is above; and (B,) more than what these are mostly above it.
        """
        parts = self._parts(queries)
        ones = np.ones(len(queries), np.float32)
        terms = np.column_stack([parts.along, parts.across, parts.lost, ones])
        bounds = np.empty((len(queries), self._rows), np.float32)
        for start in range(0, self._rows, ROWS):
            rows = slice(start, min(start + ROWS, self._rows))
            part, products = bounds[:, rows], _products(parts.integers, self._integers[rows])
            np.multiply(products, self._scales[rows], out=part, casting="unsafe")
            part *= parts.scales[:, None]
            part += terms @ self._terms[rows].T
        norms = terms[:, -3:] * self._terms[bounds.argmax(axis=1), -3:]
        return bounds, np.float32(USUAL) * norms.sum(axis=1) + np.float32(self._error)

    def _grow(self, rows: int) -> None:
        """Make sure that slots [0, rows) have a row."""
        if rows > len(self._scales):
            room = max(rows, 2 * len(self._scales))  # takes no RAM before it is used
            self._integers = _enlarged(self._integers, room)
            self._scales = _enlarged(self._scales, room)
            self._terms = _enlarged(self._terms, room)
        self._rows = max(rows, self._rows)

    def _parts(self, vectors: NDArray[np.float32]) -> _Parts:
        """Take unit vectors, or zeros, (n, C) apart."""
        wide = np.zeros((len(vectors), len(self._directions)))
        for start in range(0, vectors.shape[1], BLOCK):
            channels = slice(start, start + BLOCK)
            wide += vectors[:, channels] @ self._directions[:, channels].T
        along = wide.astype(np.float32)
        rest = vectors - along @ self._directions
        scales = np.maximum(rest.max(axis=1), -rest.min(axis=1)) / np.float32(127)
        np.maximum(scales, np.float32(1e-30), out=scales)  # of zeros, say
        steps = rest / scales[:, None]
        np.rint(steps, out=steps)
        integers = steps.astype(np.int8)
        across = self._norms(rest)
        steps *= scales[:, None]
        rest -= steps
        return _Parts(integers, scales, along, across, self._norms(rest))

    def _norms(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) no less than the norms of what vectors (n, C) would be but for rounding."""
        squares = np.einsum("nc,nc->n", vectors, vectors)
        norms: NDArray[np.float32] = np.sqrt(squares, out=squares)
        norms *= np.float32(self._most)
        norms += np.float32(self._blur)
        return norms


def _products(queries: NDArray[np.int8], keys: NDArray[np.int8]) -> NDArray[Any]:
    """(B, n) exact products of integers (B, C) and (n, C), or of one query rounded to float32."""
    if len(queries) == 1:  # from memory twice as fast as the other
        return np.asarray(numkong.cdist(queries, keys, "dot", out_dtype="float32"))
    return np.asarray(numkong.dots_packed(keys, numkong.dots_pack(queries))).T


def _enlarged(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """A copy with as many rows, new ones zeros."""
    larger = np.zeros((rows, *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger


def _directions(keys: NDArray[np.float32]) -> NDArray[np.float32]:
    """(D, C) orthonormal to rounding: the principal directions of a sample of the keys."""
    count = max(1, min(DIRECTIONS, keys.shape[1] // PER_DIRECTION))
    size = min(SAMPLE * count, len(keys))
    sample = keys[np.random.default_rng(0).choice(len(keys), size, replace=False)]
    mixtures = np.linalg.eigh(sample @ sample.T)[1][:, : -count - 1 : -1]
    directions: NDArray[np.float32] = np.linalg.qr(sample.T @ mixtures)[0].T
    return np.ascontiguousarray(directions)
