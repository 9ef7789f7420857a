"""The compiled loops, as far as there are any: without them numpy gives the same answers.

A function here returns None, or an outcome IN_DOUBT, where numpy is to answer: where nothing was
compiled (no C compiler at installation, or MEMSTORE_COMPILED=0), where an array does not lie in one
piece, and where the last bit of a cosine hangs on the order of its sum.
"""

import os
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

INTERFACE = 1  # of the C file that this one belongs to
AT_ONCE = 64  # numbers whose products with others are summed apart from each other, and
AFTER = 32  # terms, at most, of the sum of these sums and of what is left over
IN_DOUBT = -1  # outcome of a query that numpy is to answer


def _load() -> Any:
    """The compiled module; None if there is none, or one of another release."""
    if os.environ.get("MEMSTORE_COMPILED") == "0":
        return None
    try:
        loops = import_module("memstore.kernels._kernels")
    except ImportError:  # built without
        return None
    return loops if getattr(loops, "INTERFACE", None) == INTERFACE else None


_loops = _load()


def _runs_on(*arrays: NDArray[Any]) -> bool:
    """Whether there are compiled loops for the arrays: they lie in one piece, and are not empty."""
    if _loops is None:
        return False
    return all(array.flags.c_contiguous and array.size for array in arrays)


class Ranked(NamedTuple):
    """The best slots of B queries, best first; among equal cosines the lowest slot first.

    Attributes:
        slots: (B, k), -1 past the last; any number where the outcome is none.
        cosines: (B, k), -inf past the last.
        outcomes: (B,) slots that had to be ranked; an answer only if they are few and not IN_DOUBT.
    """

    slots: NDArray[np.int64]
    cosines: NDArray[np.float32]
    outcomes: NDArray[np.int64]


class Rounded(NamedTuple):
    """The integers that bounds came from, and what queries lost when they were rounded.

    The bounds allow for lost * span of a key, the norms of two vectors, the product of which is
    mostly far less.

    Attributes:
        integers: (rows, C) of keys.
        scales: (rows,) of these.
        norms: (rows, 3), of which the last is the span, the norm of integers times scale.
        remainders: (B, C) of queries.
        lost: (B,) no less than their norms.
        loose: by how much a remainder's product with a span of 1 may be off.
    """

    integers: NDArray[np.int8]
    scales: NDArray[np.float32]
    norms: NDArray[np.float32]
    remainders: NDArray[np.float32]
    lost: NDArray[np.float32]
    loose: float


_NOTHING = (None, None, None, None, None, 0.0)


def is_there() -> bool:
    """Whether there are compiled loops."""
    return _loops is not None


def units(
    vectors: NDArray[np.float32], low: float, high: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None] | None:
    """(B, C) vectors over their norms, the squares of which are to be above `low`, below `high`.

    Returns:
        The quotients; and (B,) which of them are sure to the last bit, None if all are.
    """
    if not _runs_on(vectors):
        return None
    quotients, are_sure = np.empty_like(vectors), np.empty(len(vectors), np.bool_)
    all_sure = _loops.units(vectors, *vectors.shape, low, high, quotients, are_sure)
    return quotients, None if all_sure else are_sure


def count_slots(counts: NDArray[np.int64], slots: NDArray[np.int64]) -> bool:
    """Add one to the count of each slot as often as it is named; whether that was done.

    No other thread of Python's runs meanwhile.
    """
    if not _runs_on(counts, slots):
        return False
    _loops.count_slots(counts, slots)
    return True


def products(
    matrix: NDArray[np.float32], vector: NDArray[np.float32], are_wide: bool = False
) -> NDArray[np.float32] | None:
    """(n,) products of (n, C) and (C,), in float32 or, rounded once, in float64."""
    if not _runs_on(matrix, vector):
        return None
    sums = np.empty(len(matrix), np.float32)
    _loops.products(matrix, vector, *matrix.shape, are_wide, sums)
    return sums


def half_products(
    matrix: NDArray[np.float16], vector: NDArray[np.float32]
) -> NDArray[np.float32] | None:
    """(n,) products of (n, C) and (C,) in float32; None as well if the processor is slow at it."""
    if not _runs_on(matrix, vector):
        return None
    sums = np.empty(len(matrix), np.float32)
    return sums if _loops.half_products(matrix, vector, *matrix.shape, sums) else None


def turn_bounds(
    products: NDArray[np.int32],
    key_scales: NDArray[np.float32],
    query_scales: NDArray[np.float32],
    sums: NDArray[np.float32],
    start: int,
    bounds: NDArray[np.float32],
) -> bool:
    """Set bounds (B, all rows) from a row on to products (n, B) times both scales (n,) and (B,),
    plus sums (n, B); whether that was done."""
    if not _runs_on(products, key_scales, query_scales, sums, bounds):
        return False
    sizes = (*sums.shape, start, bounds.shape[1])
    _loops.turn_bounds(products, key_scales, query_scales, sums, *sizes, bounds)
    return True


def search_one(
    query: NDArray[np.float32],
    keys: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    k: int,
    error: float,
    above: float,
) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
    """The k best slots (1, k) and cosines (1, k) of one query, by a scan of all keys.

    Args:
        query: (C,) unit vector.
        keys: (rows, C) unit vectors.
        mask: (rows,) which may be found; None for all.
        k: >= 1.
        error: of float32 scores, see cosine.error_bound.
        above: slots whose cosine is not above it are not found.
    """
    if not (_runs_on(query, keys) and (mask is None or mask.flags.c_contiguous)):
        return None
    slots, cosines = np.empty((1, k), np.int64), np.empty((1, k), np.float32)
    rows, channels = keys.shape
    is_told = _loops.search_few(query, keys, mask, rows, channels, k, error, above, slots, cosines)
    return (slots, cosines) if is_told else None


def rank_scores(
    queries: NDArray[np.float32],
    keys: NDArray[np.float32],
    scores: NDArray[np.float32],
    k: int,
    error: float,
    above: float,
) -> Ranked | None:
    """The k best slots of each query (B, C), from scores (rows, B), each at most `error` off.

    Args as of `search_one`; a score of -inf is of a slot that must not be found.
    """
    return _rank(queries, keys, scores, True, len(keys), k, error, above)


def rank_bounds(
    queries: NDArray[np.float32],
    keys: NDArray[np.float32],
    bounds: NDArray[np.float32],
    few: int,
    k: int,
    above: float,
    rounded: Rounded | None = None,
) -> Ranked | None:
    """As `rank_scores`, from bounds (B, rows) that no cosine is above, unless more than `few`
    slots would have to be ranked; with what bounds came from, fewer are."""
    return _rank(queries, keys, bounds, False, few, k, 0.0, above, rounded)


def _rank(
    queries: NDArray[np.float32],
    keys: NDArray[np.float32],
    numbers: NDArray[np.float32],
    are_scores: bool,
    few: int,
    k: int,
    error: float,
    above: float,
    rounded: Rounded | None = None,
) -> Ranked | None:
    """As the two above."""
    closer: tuple[Any, ...] = rounded or _NOTHING
    if not _runs_on(queries, keys, numbers) or (rounded and not _runs_on(*closer[:-1])):
        return None
    batch = len(queries)
    ranked = Ranked(
        np.empty((batch, k), np.int64), np.empty((batch, k), np.float32), np.empty(batch, np.int64)
    )
    rows, channels = keys.shape
    _loops.rank_bounds(
        *(queries, keys, numbers, are_scores, batch, rows, channels, k, few, error, above),
        *ranked,
        closer,
    )
    return ranked


def unpack_rows(
    packed: NDArray[np.uint8], slots: NDArray[np.int64], resolution: int
) -> NDArray[np.bool_] | None:
    """Grids (..., R, R, R) of slots (...), of packed ones (rows, R, R, R / 8); empty where < 0."""
    if not _runs_on(packed) or not slots.flags.c_contiguous or resolution % 8:
        return None
    bits = np.empty((*slots.shape, resolution, resolution, resolution), np.bool_)
    _loops.unpack_rows(packed, slots, resolution**3 // 8, bits)
    return bits


def pack_bits(bits: NDArray[np.bool_]) -> NDArray[np.uint8] | None:
    """(..., n / 8) packed bits of (..., n), n a multiple of 8, the first in a byte's highest."""
    if not _runs_on(bits) or bits.shape[-1] % 8:
        return None
    packed = np.empty((*bits.shape[:-1], bits.shape[-1] // 8), np.uint8)
    return packed if _loops.pack_bytes(bits, packed) else None
