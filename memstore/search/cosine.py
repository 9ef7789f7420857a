"""Unit vectors and cosines, defined to the last bit.

Two numbers per query and key. The *score* comes from fast float32 products and may be off by up to
`error_bound`. The *cosine* is what users see and what ranks slots: a function of the two vectors
alone, never of where they lie or what else is in the batch. Scores only choose which cosines need
computing, generously enough that no slot can be missed.
"""

from collections.abc import Callable
from functools import cache
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from memstore.kernels import compiled

FEW = 32  # keys copied at a time, so that a long shortlist stays in cache
SPARE = 4  # keys more than asked for that are ranked without a shortlist
_ONE = np.float32(1)
_PLAIN = 1e-200, 1e200  # sums of squares that neither overflowed nor lost what counts


def unit(features: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scale rows to length one: norm and division in float64, rounded once to float32.

    Args:
        features: (B, C) finite, no row all zeros; any norm, 1e-300 and 1e300 included.
    Returns:
        (B, C).
    """
    rows = np.ascontiguousarray(features, np.float64)
    with np.errstate(over="ignore"):
        units = plain_unit(rows)
    if units is None:
        # A power of two is an exact factor: squares can neither overflow nor vanish, and no bit
        # changes.
        exponents = np.frexp(np.abs(rows).max(axis=1, keepdims=True))[1]
        rows = np.ldexp(rows, -exponents)
        units = _divided(rows, _squares(rows))
    return units


def plain_unit(rows: NDArray[np.float64]) -> NDArray[np.float32] | None:
    """As `unit` for rows (B, C) of ordinary norms; None if any is extreme, zero or not finite."""
    squares = _squares(rows)
    for square in squares.tolist():  # mostly few: quicker than calls of numpy
        if not _PLAIN[0] < square < _PLAIN[1]:  # so is nan
            return None
    return _divided(rows, squares)


def quick_unit(rows: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """As `plain_unit` for rows (B, C) in float32; None as well if that is not quicker."""
    if (answer := compiled.units(np.ascontiguousarray(rows), *_PLAIN)) is None:
        return None
    units, are_sure = answer
    if are_sure is not None:
        others = np.flatnonzero(~are_sure)
        if (plain := plain_unit(rows[others].astype(np.float64))) is None:
            return None
        units[others] = plain
    return units


def _squares(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(B,) squared norms."""
    squares: NDArray[np.float64] = np.add.reduce(np.square(rows), axis=1)
    return squares


def _divided(rows: NDArray[np.float64], squares: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rows over their norms."""
    norms = sqrt(squares.item()) if len(squares) == 1 else np.sqrt(squares)[:, None]
    return (rows / norms).astype(np.float32)


def merge(query: NDArray[np.float32], key: NDArray[np.float32]) -> NDArray[np.float32]:
    """Direction of the sum of two unit vectors (C,); the query itself if the sum is zero.

    Source: Mem3D eq. 4; the zero sum is ours.
    """
    total = query.astype(np.float64) + key
    return unit(total[None])[0] if total.any() else query.copy()


def cosines(query: NDArray[np.float32], keys: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosines (n,) in [-1, 1] of a unit vector (C,) and others (n, C): see `paired_cosines`."""
    wide, column = keys.astype(np.float64), query.astype(np.float64)
    with np.errstate(invalid="ignore"):  # see `scores`
        sums = np.dot(wide, column)
    return _rounded(sums, len(column), lambda where: wide[where] * column)


def paired_cosines(queries: NDArray[np.float32], keys: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosines of unit vectors, each query with keys of its own.

    Products in float64 (exact), summed in float64 along each row by numpy's pairwise sum, rounded
    to float32, clipped. BLAS sums in another order: it is asked first, and where its sum is so near
    to the middle between two float32 numbers that the order counts, numpy is.

    Args:
        queries: (B, C).
        keys: (B, n, C).
    Returns:
        (B, n) in [-1, 1].
    """
    wide, rows = keys.astype(np.float64, order="C"), queries.astype(np.float64)
    sums = np.matmul(wide, rows[:, :, None])[:, :, 0]
    return _rounded(sums, rows.shape[1], lambda where: wide[where] * rows[where[0]])


def _rounded(
    sums: NDArray[np.float64],
    channels: int,
    products: Callable[[tuple[NDArray[np.int64], ...]], NDArray[np.float64]],
) -> NDArray[np.float32]:
    """Cosines of BLAS's sums (...), from products (n, C) where these are in doubt."""
    apart = 2.02 * channels * 2**-53  # no two orders' sums are further
    rounded: NDArray[np.float32] = (sums + apart).astype(np.float32)
    others = (sums - apart).astype(np.float32)
    if others.tobytes() != rounded.tobytes():  # bytes: quicker than calls of numpy
        where = (others != rounded).nonzero()
        rounded[where] = products(where).sum(axis=1).astype(np.float32)
    np.minimum(rounded, _ONE, out=rounded)
    np.maximum(rounded, -_ONE, out=rounded)
    return rounded


def rounding(terms: int) -> float:
    """Largest error of a float32 dot product of unit vectors of that many terms.

    It is n u / (1 - n u) with u = 2^-24 for n terms, in whatever order they are summed.
    """
    return 1.01 * terms * 2**-24 / (1 - terms * 2**-24)


@cache
def error_bound(channels: int) -> float:
    """Largest difference of score and cosine, if no more channels than that are summed in float32.

    The second term: keys on disk may have norms up to 1e-5 off, which is clipped from a cosine but
    not from a score.
    """
    return rounding(channels) + 1.1e-5


def scores(queries: NDArray[np.float32], keys: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fast cosines of unit vectors: (B, C) and (n, C) to (n, B), each within error_bound(C).

    Keys first: OpenBLAS is a third faster that way, and nothing is turned. Vectors are finite: a
    flag of "invalid" is one that BLAS has raised beyond the arrays' ends.
    """
    if len(queries) == 1:
        return scores_of(queries[0], keys)[:, None]
    with np.errstate(invalid="ignore"):
        products: NDArray[np.float32] = np.dot(keys, queries.T)
    return products


def scores_of(query: NDArray[np.float32], keys: NDArray[np.float32]) -> NDArray[np.float32]:
    """As `scores`, of one query: (C,) and (n, C) to (n,)."""
    with np.errstate(invalid="ignore"):
        products: NDArray[np.float32] = np.dot(keys, query)
    return products


def shortlist(
    scores: NDArray[np.floating], k: int, error: float, above: float = -2.0
) -> NDArray[np.int64]:
    """Positions, ascending, among which the k best by cosine surely are.

    Args:
        scores: (n,) one query's scores; -inf where a slot must not be found.
        k: >= 1.
        error: of the scores, see error_bound.
        above: a slot whose cosine is not above it may be left out.
    """
    kth = float(np.partition(scores, -k)[-k]) if k < len(scores) else -np.inf
    return np.flatnonzero(scores >= max(kth - 2 * error, above - error))


class Best(NamedTuple):
    """The k best of a few slots per query.

    Attributes:
        slots: (B, k), highest cosine first, equal ones by slot; -1 past the last.
        cosines: (B, k); -inf past the last.
    """

    slots: NDArray[np.int64]
    cosines: NDArray[np.float32]


def best_of_few(
    queries: NDArray[np.float32],
    keys: NDArray[np.float32],
    slots: NDArray[np.int64],
    k: int,
    above: float,
) -> Best:
    """As `best`, of several queries with about as many slots each.

    Args:
        queries: (B, C) unit vectors.
        keys: (rows, C) unit vectors.
        slots: (B, n) ascending, n >= k; -1 past the last.
        k: >= 1.
        above: a slot whose cosine is not above it may be left out.
    """
    near = keys.take(slots, axis=0)
    rows = np.arange(len(slots))[:, None]
    if slots.shape[1] > k + SPARE:
        scores = np.matmul(near, queries[:, :, None])[:, :, 0]
        scores[slots < 0] = -np.inf
        error = error_bound(queries.shape[1])
        kth = np.partition(scores, -k, axis=1)[:, -k][:, None]
        slots = np.where(scores >= np.maximum(kth - 2 * error, above - error), slots, -1)
        if (most := max(k, int(np.count_nonzero(slots >= 0, axis=1).max()))) < slots.shape[1]:
            places = np.sort(np.argsort(slots < 0, axis=1, kind="stable")[:, :most], axis=1)
            slots, near = slots[rows, places], near[rows, places]
    exact = paired_cosines(queries, near)
    exact[slots < 0] = -np.inf
    order = (-exact).argsort(axis=1, kind="stable")[:, :k]
    slots, exact = slots[rows, order], exact[rows, order]
    slots[exact == -np.inf] = -1
    return Best(slots, exact)


def best(
    query: NDArray[np.float32],
    keys: NDArray[np.float32],
    slots: NDArray[np.int64],
    k: int,
    above: float = -2.0,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k slots with the highest cosines among some.

    Args:
        query: (C,) unit vector.
        keys: (rows, C) unit vectors.
        slots: (n,) ascending.
        k: >= 1.
        above: a slot whose cosine is not above it may be left out.
    Returns:
        Slots and cosines, at most k, best first, equal cosines by lowest slot.
    """
    if len(slots) > k + SPARE:
        scores = _in_steps(scores_of, query, keys, slots)
        slots = slots[shortlist(scores, k, error_bound(len(query)), above)]
    exact = _in_steps(cosines, query, keys, slots)
    order = (-exact).argsort(kind="stable")[:k]
    return slots[order], exact[order]


def _in_steps(
    measure: Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]],
    query: NDArray[np.float32],
    keys: NDArray[np.float32],
    slots: NDArray[np.int64],
) -> NDArray[np.float32]:
    """(n,) measure(query, keys[slots]), a few rows at a time: slots may be all there are."""
    if len(slots) <= FEW:
        return measure(query, keys.take(slots, axis=0))
    starts = range(0, len(slots), FEW)
    return np.concatenate([measure(query, keys[slots[s : s + FEW]]) for s in starts])
