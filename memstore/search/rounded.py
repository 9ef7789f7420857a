"""RoundedKeys: keys in few numbers, and what these leave out: two bounds on every cosine.

A vector x is a V + x': coordinates a along a few directions V, and x', what is across them; and x'
is s i + r: integers i with one scale s, and what is left, r. For a query q and a key k

    q.k = a_q.a_k + q'.k'  and  q'.k' = s_q s_k i_q.i_k + q'.r_k + r_q.(s_k i_k),

where the last two terms are no more than products of norms, as is q'.k' itself. So coordinates
alone bound a cosine, the better the more of all keys lies along V; integers, of which there are as
many as channels, bound what is left.
"""

from typing import Any, NamedTuple

import numkong
import numpy as np
from numpy.typing import NDArray

from memstore.kernels import compiled
from memstore.kernels.compiled import Rounded
from memstore.search.cosine import rounding, scores

WIDEST = 2**17  # channels of which a product of integers, 127^2 each, fits 32 bits
DIRECTIONS = 256  # at most, and
PER_DIRECTION = 16  # channels: coordinates take a quarter of what the integers do
FIRST = 32  # directions, what is along which integers leave out: with more a batch costs more
FEWEST = 16  # directions, where more would not pay: for a mean, above all
SAMPLE = 4  # keys looked at per direction, to choose them
ROUNDS = 3  # of subspace iteration: more make it no better
TRIED = 1024  # keys, and
ASKING = 32  # of them, that show how many directions pay
RANKED = 0.7  # times as long as a key's product takes its ranking, and
MANY = 16  # part of the rows from which on keys are not ranked but bounded by integers
UNTOLD = 32  # queries that coordinates did not answer, and
SHARE = 16  # part of all queries: from there on integers are made
PIECE = 2**18  # numbers rounded at a time: they stay in cache
ROWS = 4096  # keys compared with a batch at a time
BLOCK = 512  # channels per product of coordinates
HALF = 1.02 * 2**-11 + 1e-6  # by which coordinates in float16 are off, of a unit vector
_UNKNOWN = 9.0  # slack of a row whose numbers may be those of another key


class _Integers(NamedTuple):
    """What is across the directions, of n unit vectors or zeros."""

    integers: NDArray[np.int8]  # (n, C) i
    scales: NDArray[np.float32]  # (n,) s
    norms: NDArray[np.float32]  # (n, 3) no less than |x'|, |r|, |s i|

    def put(self, rows: NDArray[np.int64] | slice, new: "_Integers") -> None:
        """Set some of them."""
        self.integers[rows], self.scales[rows], self.norms[rows] = new


class _Halves(NamedTuple):
    """Coordinates once more, in half as many bytes, which is what one query has to wait for."""

    numbers: NDArray[np.float16]  # (n, D)
    edges: NDArray[np.float32]  # (n, 2) slack, and no less than |x'|

    def put(self, rows: NDArray[np.int64], along: NDArray[np.float32], edges: Any) -> None:
        """Set some of them."""
        self.numbers[rows], self.edges[rows] = along, edges


class RoundedKeys:
    """The keys in slots [0, rows), in a tenth of their bytes at most by coordinates; in a
    quarter more by integers, once they are needed. Each direction takes as much as a key.
    """

    def __init__(self, keys: NDArray[np.float32]) -> None:
        """Choose the directions for keys (rows, C), C <= WIDEST, and take them all apart."""
        directions = _directions(keys)
        count, self.is_telling = _paying(keys, directions)
        self._directions = directions = directions[:count]
        self._first = min(count, FIRST)
        channels = keys.shape[1]
        gram = directions.astype(np.float64) @ directions.T.astype(np.float64)
        # V V^T is off the identity by `skew`, coordinates are sums of BLOCK terms in float32: by
        # `off` they miss V x, and V x' misses 0 by as much and the skew. What else a bound has to
        # allow for: its own sums, and a cosine's (see cosine.error_bound).
        skew = float(np.linalg.norm(gram - np.eye(count)))
        off = count**0.5 * rounding(BLOCK + 1)
        self._slack = 1.01 * (2 * off + 3 * skew) + 4 * rounding(count + 6) + 1.2e-5
        # |x'|^2 = |x|^2 - |a|^2 - 2 a.(V x - a) + a.(V V^T - 1) a, and |x| is 1 to 1e-5.
        self._excess = 1.01 * (2 * off + skew) + 2 * rounding(count) + 3e-5
        # Norms are sums of C squares, of numbers that are off by this much together.
        self._most = 1 + rounding(channels)
        self._blur = 1.1 * count**0.5 * rounding(count + 4)
        self._halves: _Halves | None = None
        if compiled.is_there() and self.is_telling:
            self._half_directions = directions.astype(np.float16)
            # A query's coordinates are off by what the directions lost, and by sums of no more
            # terms than these; a key's by what they lost themselves.
            lost = self._half_directions.astype(np.float64) - directions
            terms = channels // compiled.AT_ONCE + compiled.AFTER
            half_off = np.linalg.norm(lost @ lost.T) ** 0.5 + count**0.5 * rounding(terms)
            self._half_slack = self._slack + 1.01 * float(half_off - off + HALF)
            self._half_excess = self._excess + 2.02 * float(half_off)
            self._halves = _Halves(np.empty((0, count), np.float16), np.empty((0, 2), np.float32))
        self.made_of = len(keys)
        self.changes = 0  # keys set since
        self._rows = 0
        self._terms = np.empty((0, count + 2), np.float32)  # a, slack, |x'|
        self._integers: _Integers | None = None
        self._asked = self._untold = 0  # queries, and those that coordinates did not answer
        self._grow(len(keys))
        self.put(np.arange(len(keys)), keys)

    @property
    def nbytes(self) -> int:
        """Bytes of RAM."""
        per_row: list[NDArray[Any]] = [
            *(self._terms, *(self._integers or ()), *(self._halves or ()))
        ]
        directions = self._directions.nbytes * (1.5 if self._halves else 1)
        return sum(array[: self._rows].nbytes for array in per_row) + int(directions)

    def forget(self, slots: NDArray[np.int64]) -> None:
        """Take note that keys of slots (n,), new ones among them, are about to change."""
        self._grow(int(slots.max(initial=-1)) + 1)
        self.changes += len(slots)
        self._terms[slots, len(self._directions)] = _UNKNOWN
        if self._halves:
            self._halves.edges[slots, 0] = _UNKNOWN

    def put(self, slots: NDArray[np.int64], keys: NDArray[np.float32]) -> None:
        """Follow a change of the keys (n, C) of slots (n,), all of which have a row."""
        step = max(1, PIECE // keys.shape[1])
        for start in range(0, len(slots), step):
            part, some = slots[start : start + step], keys[start : start + step]
            along = self.coordinates(some)
            if self._integers:
                self._integers.put(part, self._rounded(some, along)[0])
            slack, across = np.full(len(part), self._slack), self._across(along)
            if self._halves:
                edges = [np.full(len(part), self._half_slack), across + np.float32(HALF)]
                self._halves.put(part, along, np.column_stack(edges))
            self._terms[part] = np.column_stack([along, slack, across])

    def note(self, asked: int, untold: int) -> None:
        """Take note of queries, and of those among them that coordinates did not answer."""
        self._asked, self._untold = self._asked + asked, self._untold + untold

    @property
    def wants_integers(self) -> bool:
        """Whether coordinates leave so much open that integers are worth their RAM."""
        many = self._untold >= UNTOLD and self._untold * SHARE > self._asked
        return self._integers is not None or not self.is_telling or many

    def make_integers(self, keys: NDArray[np.float32]) -> None:
        """Round all keys (rows, C), unless that is done."""
        if self._integers:
            return
        room = len(self._terms)
        integers = _Integers(
            np.zeros((room, keys.shape[1]), np.int8),
            np.zeros(room, np.float32),
            np.zeros((room, 3), np.float32),
        )
        step = max(1, PIECE // keys.shape[1])
        for start in range(0, len(keys), step):
            rows = slice(start, min(start + step, len(keys)))
            along = self._terms[rows, : len(self._directions)]
            integers.put(rows, self._rounded(keys[rows], along)[0])
        self._integers = integers  # at the end: another thread may be searching

    def coordinates(self, vectors: NDArray[np.float32], first: bool = False) -> NDArray[np.float32]:
        """(n, D) coordinates of unit vectors, or zeros, (n, C); or only the first, for `bounds`."""
        directions = self._directions[: self._first] if first else self._directions
        if len(vectors) == 1:
            along = compiled.products(directions, vectors[0], are_wide=True)
            if along is not None:
                return along[None]
        wide = np.zeros((len(directions), len(vectors)))  # OpenBLAS is quicker that way
        for start in range(0, vectors.shape[1], BLOCK):
            channels = slice(start, start + BLOCK)
            wide += directions[:, channels] @ vectors[:, channels].T
        return wide.T.astype(np.float32, order="C")

    def bounds_in_halves(self, query: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """As `coarse_bounds`, (1, rows), of one query (C,); None if that is not quicker."""
        if self._halves is None:
            return None
        along = compiled.half_products(self._half_directions, query)
        if along is None:
            return None
        numbers, edges = self._halves.numbers[: self._rows], self._halves.edges[: self._rows]
        bounds = compiled.half_products(numbers, along)
        assert bounds is not None
        across = self._across(along[None], self._half_excess).item()
        bounds += edges @ np.array([1, across], np.float32)
        return bounds[None]

    def coarse_bounds(self, along: NDArray[np.float32]) -> NDArray[np.float32]:
        """As `bounds`, from the queries' coordinates (B, D) alone."""
        across = self._across(along)
        terms = np.column_stack([along, np.ones_like(across), across])
        rows = self._terms[: self._rows]
        if len(terms) > 1:
            return np.asarray(terms @ rows.T)
        bounds = compiled.products(rows, terms[0])
        return np.asarray(rows @ terms[0] if bounds is None else bounds)[None]

    def bounds(
        self, queries: NDArray[np.float32], along: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], Rounded]:
        """(B, rows) that no cosine is above, of unit queries (B, C) with coordinates (B, D), or the
        first of them; and what makes them closer.

        `make_integers` must have been called.
        """
        assert self._integers
        integers, scales, norms = self._integers
        asking, remainders = self._rounded(queries, along)
        first = along[:, : self._first]
        # |r_k| of q'.r_k, and |s i| of r_q.(s_k i_k)
        lost = asking.norms[:, :2]
        bounds = np.empty((len(queries), self._rows), np.float32)
        for start in range(0, self._rows, ROWS):
            rows = slice(start, min(start + ROWS, self._rows))
            sums = self._terms[rows, : self._first] @ first.T
            sums += norms[rows, 1:] @ lost.T
            sums += self._terms[rows, -2, None]  # slack
            products = _products(asking.integers, integers[rows])
            some = products, scales[rows], asking.scales, sums, start, bounds
            if products.dtype == np.int32 and compiled.turn_bounds(*some):
                continue
            part = products.astype(np.float32)
            part *= scales[rows, None]
            part *= asking.scales
            part += sums
            bounds[:, rows] = part.T
        most = slice(0, self._rows)
        # A remainder is off by the blur at most; its product is a float32 sum, once rounded more.
        loose = self._blur + 1.1 * rounding(queries.shape[1] + 2) + 1e-6
        lost_norms = np.ascontiguousarray(lost[:, 1])
        closer = (integers[most], scales[most], norms[most], remainders, lost_norms, loose)
        return bounds, Rounded(*closer)

    def _grow(self, rows: int) -> None:
        """Make sure that slots [0, rows) have a row."""
        if rows > len(self._terms):
            room = max(rows, 2 * len(self._terms))  # takes no RAM before it is used
            if self._integers:
                self._integers = _Integers(*(_enlarged(part, room) for part in self._integers))
            if self._halves:
                self._halves = _Halves(*(_enlarged(part, room) for part in self._halves))
            self._terms = _enlarged(self._terms, room)
        self._rows = max(rows, self._rows)

    def _across(
        self, along: NDArray[np.float32], excess: float | None = None
    ) -> NDArray[np.float32]:
        """(n,) no less than |x'| of unit vectors, or zeros, with coordinates (n, D)."""
        rest = (1 - np.square(along).sum(axis=1)).clip(0)
        rest += np.float32(self._excess if excess is None else excess)
        return np.asarray(np.sqrt(rest))

    def _rounded(
        self, vectors: NDArray[np.float32], along: NDArray[np.float32]
    ) -> tuple[_Integers, NDArray[np.float32]]:
        """Round unit vectors, or zeros, (n, C), the coordinates of which are (n, D); and what is
        lost of them, (n, C)."""
        rest = vectors - along[:, : self._first] @ self._directions[: self._first]
        scales = np.maximum(rest.max(axis=1), -rest.min(axis=1)) / np.float32(127)
        np.maximum(scales, np.float32(1e-30), out=scales)  # of zeros, say
        steps = rest / scales[:, None]
        np.rint(steps, out=steps)
        integers = steps.astype(np.int8)
        across = self._norms(rest)
        steps *= scales[:, None]
        rest -= steps
        lost = self._norms(rest)
        norms = np.column_stack([across, lost, across + lost])
        return _Integers(integers, scales, norms), rest

    def _norms(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) no less than the norms of what vectors (n, C) would be but for rounding."""
        squares = np.einsum("nc,nc->n", vectors, vectors)
        norms: NDArray[np.float32] = np.sqrt(squares, out=squares)
        norms *= np.float32(self._most)
        norms += np.float32(self._blur)
        return norms


def _products(queries: NDArray[np.int8], keys: NDArray[np.int8]) -> NDArray[Any]:
    """(n, B) exact products of integers (B, C) and (n, C), or of one query rounded to float32."""
    if len(queries) == 1:  # from memory twice as fast as the other
        return np.asarray(numkong.cdist(queries, keys, "dot", out_dtype="float32")).T
    return np.asarray(numkong.dots_packed(keys, numkong.dots_pack(queries)))


def _enlarged(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """A copy with as many rows, new ones zeros."""
    larger = np.zeros((rows, *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger


def _directions(keys: NDArray[np.float32]) -> NDArray[np.float32]:
    """(D, C) orthonormal to rounding: about the principal directions of a sample of the keys."""
    rng, most = np.random.default_rng(0), min(DIRECTIONS, keys.shape[1] // PER_DIRECTION)
    size = min(SAMPLE * max(most, FEWEST), len(keys))
    count = min(max(most, 1), size)
    sample = keys[rng.choice(len(keys), size, replace=False)]
    gram = sample @ sample.T
    mixtures = rng.standard_normal((size, count), np.float32)
    for _ in range(ROUNDS):
        mixtures = np.linalg.qr(gram @ mixtures)[0]
    order = np.linalg.eigh(mixtures.T @ (gram @ mixtures))[1][:, ::-1]
    directions: NDArray[np.float32] = np.linalg.qr(sample.T @ (mixtures @ order))[0].T
    return np.ascontiguousarray(directions)


def _paying(keys: NDArray[np.float32], directions: NDArray[np.float32]) -> tuple[int, bool]:
    """With how many of the first directions a search costs least, and if they tell keys apart.

    Tried by some keys as queries among others: the more directions, the fewer keys are left to be
    ranked, or to be bounded by integers.
    """
    rows, channels = keys.shape
    size = min(TRIED, rows)
    sample = keys[np.random.default_rng(1).choice(rows, size, replace=False)]
    cosines = scores(sample[:ASKING], sample).T
    nearest = -min(size, 8 * size // rows + 1)  # of so few as the eighth of all, besides itself
    least = np.partition(cosines, nearest, axis=1)[:, nearest][:, None]
    along = sample @ directions.T
    squares = np.square(sample).sum(axis=1)
    costs = []
    for count in sorted({min(FEWEST << i, len(directions)) for i in range(5)}):
        some = along[:, :count]
        across = np.sqrt((squares - np.square(some).sum(axis=1)).clip(0))
        bounds = some[:ASKING] @ some.T + np.outer(across[:ASKING], across)
        near = np.count_nonzero(bounds >= least, axis=1) * rows / size
        ranked = float(np.where(near <= rows / MANY, RANKED * near, rows).mean())
        is_telling = ranked < 0.75 * rows
        costs.append((count * (channels + rows) + channels * ranked, count, is_telling))
    return min(costs)[1:]
