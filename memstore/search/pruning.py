"""PrunedScan: rule most slots out by bounds on their cosines, where that has paid or is about to.

A `KeySketch` knows the keys by their coordinates along a few directions and by what remains, and
bounds every cosine from above. `PrunedScan` decides when to make one and when to look at it.
"""

import math

import numpy as np
from numpy.typing import NDArray

from memstore.errors import BusyError
from memstore.rwlock import ReadWriteLock
from memstore.search.cosine import error_bound, rounding

SAMPLE = 4  # keys looked at per direction, to choose the directions
ENOUGH = 1.05  # drop directions while the residual grows by no more than this factor
LITTLE = 1e-3  # squared residual norm that is not worth another direction
LEAD = 8  # directions in the loose bounds
_STRIDE = 8  # every how manieth channel has a say in which ones
_PIECE = 1024  # channels per float32 product
_ROWS = 1024  # keys projected at once

# The numbers from here on weigh costs; no answer depends on them.
LEAST = 2**22  # numbers in all keys: a scan of fewer costs no more than a look
SHARE = 8  # a sketch has at most this part of the keys' numbers
WIDEST = 256  # most directions
WIDE = 32  # a sketch of more directions is worth trying by a few of them first
PRICE = 2  # a multiplication in making a sketch costs as much as two in a scan
FEW = 8  # part of the rows that is cheaper to rank than a scan
LONE = 6  # a scan for one query costs as much as one for six: it waits for the keys' bytes
LONGEST = 10  # doublings of the pause after useless looks


class KeySketch:
    """Coordinates and residual norms of the keys in slots [0, rows)."""

    def __init__(self, keys: NDArray[np.float32], width: int) -> None:
        """Choose directions for unit keys (rows, C), at most `width`, and project all keys."""
        self._basis = _directions(keys, width)
        gram = self._basis.astype(np.float64) @ self._basis.T.astype(np.float64)
        # skew: |V V^T - I|. off: |p - V k| of what is computed, a float32 product per direction.
        # most: |p|^2 is no more than that.
        skew = float(np.linalg.norm(gram - np.eye(len(gram))))
        off = math.sqrt(len(gram)) * rounding(min(_PIECE, keys.shape[1])) + 1e-7
        most = 1.001 * (1 + skew + off) ** 2
        # |r|^2 = |k|^2 - 2 p.(V k) + p (V V^T) p, where |k| <= 1 + 1e-5 (see cosine.error_bound),
        # and |p|^2 is summed in float32.
        self._whole = 1 + 2.2e-5 + most * (2 * off + skew + rounding(len(gram)))
        # q.k - p_q.p_k - r_q.r_k = p_q (V V^T - I) p_k + p_q.(V r_k) + (V r_q).p_k, in which
        # |V r| <= off + skew |p|; then the float32 product of the bounds, a cosine's own rounding.
        self.slack = most * (3 * skew + 2 * off + 2 * rounding(len(gram) + 1)) + 3e-5
        self._columns = np.empty((len(gram) + 1, 0), np.float32)
        self._few_channels = np.ascontiguousarray(self._basis[:, ::_STRIDE])
        self.refresh(keys, np.empty(0, np.int64))

    @property
    def width(self) -> int:
        """Directions."""
        return len(self._basis)

    @property
    def nbytes(self) -> int:
        """Bytes of RAM."""
        return self._columns.nbytes + self._basis.nbytes + self._few_channels.nbytes

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
            self._columns[:, part] = self._coordinates(keys[part], self._basis).T

    def bounds(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """Unit queries (B, C) to (B, rows): no cosine is above its bound + slack."""
        bounds: NDArray[np.float32] = self._coordinates(queries, self._basis) @ self._columns
        return bounds

    def loose_bounds(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """As `bounds`, but looser, and quicker for a single query (1, C).

        Uses a few of the directions, which a guess from a few channels chooses. That is enough for
        a query that lies near one of the clusters.
        """
        # Not by BLAS: OpenBLAS's AVX-512 kernel tells of invalid values where there are none.
        guess = np.abs(np.einsum("mc,c->m", self._few_channels, queries[0, ::_STRIDE]))
        lead = np.argpartition(guess, -LEAD)[-LEAD:]
        columns = np.empty((LEAD + 1, self._columns.shape[1]), np.float32)
        np.take(self._columns, lead, axis=0, out=columns[:-1])
        columns[-1] = self._residuals(columns[:-1])
        bounds: NDArray[np.float32] = self._coordinates(queries, self._basis[lead]) @ columns
        return bounds

    def _coordinates(
        self, vectors: NDArray[np.float32], basis: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """(B, m + 1): coordinates of unit vectors (B, C) and an upper bound of the residual."""
        coordinates = np.empty((len(vectors), len(basis) + 1), np.float32)
        coordinates[:, :-1] = _product(vectors, basis)
        coordinates[:, -1] = self._residuals(coordinates[:, :-1].T)
        return coordinates

    def _residuals(self, coordinates: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) upper bounds of residual norms, from coordinates (m, n)."""
        squares = np.einsum("mn,mn->n", coordinates, coordinates)
        np.subtract(np.float32(self._whole), squares, out=squares)
        np.maximum(squares, 0, out=squares)
        residuals: NDArray[np.float32] = np.sqrt(squares, out=squares)
        return residuals


def _product(vectors: NDArray[np.float32], basis: NDArray[np.float32]) -> NDArray[np.float64]:
    """(B, m) of (B, C) and (m, C), with no float32 sum longer than _PIECE."""
    if len(basis) <= LEAD and not vectors.shape[1] % _PIECE:  # one query: few calls count
        pieces = basis.shape[1] // _PIECE, _PIECE
        few = vectors.reshape(len(vectors), *pieces), basis.reshape(len(basis), *pieces)
        wide: NDArray[np.float64] = np.einsum("bpc,mpc->bmp", *few).sum(axis=2, dtype=np.float64)
        return wide
    total = np.zeros((len(basis), len(vectors)))
    for start in range(0, vectors.shape[1], _PIECE):
        channels = slice(start, start + _PIECE)
        total += basis[:, channels] @ vectors[:, channels].T
    return total.T


def _directions(keys: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """(m, C) orthonormal to rounding: the principal directions of a sample of the keys."""
    order = np.random.default_rng(0).permutation(len(keys))
    sample, probe = keys[order[: SAMPLE * width]], keys[order[-width:]]
    width = min(width, *sample.shape)
    _, mixtures = np.linalg.eigh(sample @ sample.T)
    directions: NDArray[np.float32] = np.linalg.qr(sample.T @ mixtures[:, : -width - 1 : -1])[0]
    # What remains of keys that had no say, with 0, 1, ... directions.
    energies = np.square(probe @ directions).mean(axis=0)
    rest = np.square(probe).sum(axis=1).mean() - np.concatenate([[0], energies.cumsum()])
    enough = int(np.argmax(rest <= ENOUGH * max(rest[-1], LITTLE)))
    return _towards(sample, directions[:, : max(enough, 1)])


def _towards(sample: NDArray[np.float32], directions: NDArray[np.float32]) -> NDArray[np.float32]:
    """(m, C) rotate directions (C, m) towards keys far from each other, so that clusters have few.

    Gram and Schmidt, each time with the key of which most remains.
    """
    remainder = sample @ directions
    rotation = np.empty((remainder.shape[1], remainder.shape[1]), np.float32)
    for row in rotation:
        row[:] = remainder[np.square(remainder).sum(axis=1).argmax()]
        row /= max(float(np.linalg.norm(row)), 1e-30)
        remainder -= np.outer(remainder @ row, row)
    rotated: NDArray[np.float32] = np.linalg.qr(directions @ rotation.T)[0].T
    return np.ascontiguousarray(rotated)


class PrunedScan:
    """A sketch of keys that change, made once the scans so far have cost as much as making it.

    Searches in several threads never wait: while one makes a sketch, the others scan.
    """

    def __init__(self) -> None:
        self._lock = ReadWriteLock()
        self.drop()

    def drop(self) -> None:
        """Forget the sketch: keys change without a `mark`."""
        self._sketch: KeySketch | None = None
        self._stale: set[int] = set()  # slots set since the sketch followed
        self._changed = 0  # keys set since the directions were chosen
        self._spent = 0  # multiplications in scans since then
        self._misses = 0  # looks in a row of little use
        self._pause = 0  # queries to go before the next look

    @property
    def nbytes(self) -> int:
        """Bytes of RAM."""
        return self._sketch.nbytes if self._sketch else 0

    def mark(self, slots: NDArray[np.int64]) -> None:
        """Take note that the keys of slots (n,) have changed."""
        self._changed += len(slots)
        if self._sketch is not None:
            self._stale.update(slots.tolist())

    def near(
        self,
        keys: NDArray[np.float32],
        queries: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.bool_] | None,
        above: float,
    ) -> list[NDArray[np.int64] | None]:
        """Find per query slots, ascending, among which the k best allowed ones surely are.

        Args:
            keys: (rows, C) unit vectors.
            queries: (B, C) unit vectors.
            k: >= 1.
            allowed: (rows,) or (B, rows) slots that may be hits; None for all.
            above: a slot whose cosine is not above it may be left out.
        Returns:
            One entry per query; None calls for a scan.
        """
        sketch = self._present(keys, len(queries))
        if sketch is None:
            self._spent += keys.size * max(LONE, len(queries))
            return [None] * len(queries)
        closed = None if allowed is None else ~allowed
        near: list[NDArray[np.int64] | None] = [None]
        if len(queries) == 1 and sketch.width > WIDE:
            bounds = sketch.loose_bounds(queries)
            near = _ruled_in(keys, queries, bounds, closed, sketch.slack, k, above)
        if near[0] is None:
            bounds = sketch.bounds(queries)
            near = _ruled_in(keys, queries, bounds, closed, sketch.slack, k, above)
        self._learn(sum(slots is None for slots in near), len(near), keys.size)
        return near

    def _learn(self, misses: int, batch: int, size: int) -> None:
        """Look less often while looks are of little use."""
        self._spent += size * misses
        self._misses = min(self._misses + 1, LONGEST) if 2 * misses > batch else 0
        self._pause = batch * 2**self._misses if self._misses else 0

    def _present(self, keys: NDArray[np.float32], batch: int) -> KeySketch | None:
        """The sketch of the present keys, if it is worth a look."""
        if keys.size < LEAST:
            return None
        if self._pause > 0:
            self._pause -= batch
            return None
        width = min(WIDEST, int(keys.size / (SHARE * sum(keys.shape))))
        price = PRICE * width * keys.shape[1] * (len(keys) + 9 * width)
        outdated = self._sketch is None or 2 * self._changed > len(keys)
        make = outdated and self._spent >= price and width > 0
        if not make and (self._sketch is None or not self._stale):
            return self._sketch
        try:
            with self._lock.writing(wait=False):
                self._catch_up(keys, width if make else 0)
        except BusyError:
            return None
        return self._sketch

    def _catch_up(self, keys: NDArray[np.float32], width: int) -> None:
        """Make a new sketch if the width is not 0; else follow the changes since the last look."""
        if width:
            sketch = KeySketch(keys, width)
            self.drop()
            self._sketch = sketch
        elif self._sketch is not None and self._stale:
            self._sketch.refresh(keys, np.array(sorted(self._stale)))
            self._stale = set()


def _ruled_in(
    keys: NDArray[np.float32],
    queries: NDArray[np.float32],
    bounds: NDArray[np.float32],
    closed: NDArray[np.bool_] | None,
    slack: float,
    k: int,
    above: float,
) -> list[NDArray[np.int64] | None]:
    """Slots, ascending, that the bounds (B, rows) leave of those not closed; None if many."""
    if closed is not None:
        bounds[np.broadcast_to(closed, bounds.shape)] = -np.inf
    rows, error = len(keys), error_bound(keys.shape[1])
    candidates: list[NDArray[np.int64] | None] = []
    for query, bound in zip(queries, bounds, strict=True):
        kth = -np.inf
        if k <= rows and (highest := np.partition(bound, -k)[-k]) > -np.inf:
            # The k-th best cosine is no lower than the lowest of any k.
            best = (bound >= highest).nonzero()[0][:k]
            kth = float((keys[best] @ query).min()) - error
        near = (bound >= max(kth, above) - slack).nonzero()[0]
        candidates.append(near if len(near) <= rows // FEW else None)
    return candidates
