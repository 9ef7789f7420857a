"""KeyIndex: the keys of a memory, held by FAISS, and the exact search over them.

A FAISS id is always a slot.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from memstore.kernels import compiled
from memstore.search import cosine
from memstore.search.allowed import Allowed
from memstore.search.rounded import WIDEST, RoundedKeys
from memstore.search.watch import Recall

NO_SLOT = -1
BATCH = 256  # queries at a time, and
CELLS = 2**24  # bounds at a time, of all queries and slots: 64 MB
NUMBERS = 2**16  # in keys ranked at a time: they, and copies in float64, stay in cache
LOWEST = -9.0  # below any cosine and its bounds

# The numbers from here on weigh costs; no answer depends on them.
SCANS = 32  # queries before keys are rounded: a few scans cost less
LEAST = 2**20  # numbers in all keys: one query is scanned for as quickly
NARROW = 512  # channels: a batch is scanned for as quickly, unless keys have
LARGE = 2**25  # numbers in all, and more channels than
NARROWEST = 256
FEW = 4  # part of the rows that is cheaper to rank than to scan, or bound, for one query
# The same for each query of a batch, instead of a scan: numpy copies keys to rank them.
FEWER = 8 if compiled.is_there() else 32
FEWEST = 32  # the same, instead of a bound by integers
RESTS = 15  # batches that are scanned for after one in which integers left more than FEWER
UNTOLD = 4  # part of a batch beyond which coarse bounds cost more than they spare
OPEN = 8  # part of the rows that is ranked at once if no others may be found
MANY = 64  # slots that are always cheaper to rank
ALONE = 2**15  # numbers in the keys to be ranked for a query, beyond which that is done by itself
GROWTH = 2  # times as many keys changed as it was made of: directions are chosen anew
GROUP = 16  # slots of which only the highest counts in a guess, where there are
WIDE = 8  # times as many groups as are asked for


class Hits(NamedTuple):
    """Nearest slots of B queries, best first; among equal cosines the lowest slot first.

    Attributes:
        slots: (B, k) int64; -1 past the last hit.
        cosines: (B, k) float32 in [-1, 1]; -inf past the last hit.
        exact: (B,) answers that are proven to be those of a scan of all slots.
    """

    slots: NDArray[np.int64]
    cosines: NDArray[np.float32]
    exact: NDArray[np.bool_]


def no_hits(batch: int, k: int) -> Hits:
    """Hits of queries (B,) that have found nothing yet."""
    slots, cosines = np.empty((batch, k), np.int64), np.empty((batch, k), np.float32)
    slots[...], cosines[...] = NO_SLOT, -np.inf
    return Hits(slots, cosines, np.ones(batch, np.bool_))


class _FaissRows:
    """The rows of a FAISS index as an array, which keeps the index alive.

    A reader whose thread is interrupted may go on filling rows that nobody else holds any more.
    """

    def __init__(self, index: Any, rows: int, key_dim: int) -> None:
        self._index = index
        flat = faiss.rev_swig_ptr(index.get_xb(), rows * key_dim)
        self.__array_interface__ = flat.reshape(rows, key_dim).__array_interface__


class KeyIndex:
    """Unit keys in slots [0, rows), held once, inside a FAISS IndexFlatIP.

    A search bounds all cosines from above, by what is known of the keys in fewer numbers
    (rounded.py) or by a matrix product over FAISS's own rows, and ranks the slots whose bound
    reaches the k-th best cosine of the first few. Searches may run in several threads, but not
    while keys change.
    """

    def __init__(self, key_dim: int) -> None:
        self._key_dim = key_dim
        self._faiss = faiss.IndexFlatIP(key_dim)
        self.rows = 0  # slots that have one; an empty slot's is zeros
        self._keys: NDArray[np.float32] | None = None
        self._mapped: NDArray[np.float32] | None = None  # in FAISS's place, see `use`
        self._rounded: RoundedKeys | None = None
        self._scans = 0  # queries since the keys were to be rounded, all of them
        self._rests = 0  # batches for which bounds by integers are not tried
        self._coarse_rests = 0  # batches for which they are tried alone

    @property
    def is_mapped(self) -> bool:
        """Whether keys lie in an array of the caller's."""
        return self._mapped is not None

    def use(self, keys: NDArray[np.float32], rows: int) -> None:
        """Hold the keys, the same as now or the first ones, in an array of the caller's.

        Args:
            keys: (capacity, C), of a file that is mapped, say.
            rows: how many of them there are; the array's others are zeros.
        """
        self._mapped, self.rows, self._keys = keys, rows, None
        self._faiss.reset()

    @property
    def keys(self) -> NDArray[np.float32]:
        """(rows, C) FAISS's own memory, or what is in its place, to read; stale after `grow`."""
        if (keys := self._keys) is None:
            keys = self._keys = _read_only(self._faiss_rows())
        return keys

    @property
    def derived_bytes(self) -> int:
        """Bytes of RAM of what follows from the keys."""
        return self._rounded.nbytes if self._rounded else 0

    @property
    def recall(self) -> Recall | None:
        """Of a search that may miss slots; None here."""
        return None

    def fill(self) -> NDArray[np.float32]:
        """(rows, C) as `keys`, to write many rows at once; do so before the next search."""
        self._rounded = None
        return self._faiss_rows()

    def _faiss_rows(self) -> NDArray[np.float32]:
        """(rows, C) FAISS's own memory, or what is in its place."""
        if self._mapped is not None:
            return self._mapped[: self.rows]
        if not (rows := self.rows):
            return np.empty((0, self._key_dim), np.float32)
        return np.asarray(_FaissRows(self._faiss, rows, self._key_dim))

    def grow(self, rows: int) -> None:
        """Make sure that slots [0, rows) have a row; new ones are zeros."""
        if rows > self.rows:
            self._keys = None  # first: after an interrupt nobody is to read what FAISS has freed
            # At once, so that FAISS reserves no more than that; the zeros take no RAM. After an
            # interrupt it may have some already.
            if self._mapped is None and (missing := rows - int(self._faiss.ntotal)) > 0:
                self._faiss.add(np.zeros((missing, self._key_dim), np.float32))
            self.rows = rows

    def keep(self, slots: NDArray[np.int64]) -> None:
        """Have keys of slots (n,) that are mapped lie in this process's RAM, as they are."""
        rows = self._faiss_rows()
        rows[slots] = rows[slots]

    def put(self, slots: NDArray[np.int64], keys: NDArray[np.float32]) -> None:
        """Set the keys (n, C), unit vectors or zeros, of distinct slots (n,)."""
        self.grow(int(slots.max(initial=-1)) + 1)
        if self._rounded is None:
            self._faiss_rows()[slots] = keys
            return
        self._rounded.forget(slots)  # first: after an interrupt no bound is to be too low
        self._faiss_rows()[slots] = keys
        self._rounded.put(slots, keys)

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.bool_] | Allowed,
        above: float = -2.0,
        exact: bool = True,
    ) -> Hits:
        """Find the k best allowed slots of each query.

        Args:
            queries: (B, C) unit vectors.
            k: >= 1.
            allowed: slots that may be found, or a mask of them, (rows,) or (B, rows).
            above: slots whose cosine is not above it are not found.
            exact: all answers are to be proven; here they are in any case.
        """
        allowed = Allowed.of(allowed)
        if len(queries) == 1 and 0 < self.rows * self._key_dim < LEAST:
            return self._search_few_numbers(queries[0], k, allowed, above)
        hits = no_hits(len(queries), k)
        step = max(1, min(BATCH, CELLS // max(self.rows, 1)))
        # Keys are finite: a flag of "invalid" is one that BLAS has raised beyond arrays' ends.
        with np.errstate(invalid="ignore"):
            for start in range(0, len(queries) if self.rows else 0, step):
                part = slice(start, start + step)
                some = Hits(hits.slots[part], hits.cosines[part], hits.exact[part])
                self._search(queries[part], k, allowed.part(part), above, some)
        drop_lower(hits, above)
        return hits

    def _search_few_numbers(
        self, query: NDArray[np.float32], k: int, allowed: Allowed, above: float
    ) -> Hits:
        """As `search`, of one query (C,) in a memory so small that calls are what it costs."""
        mask, error = allowed.mask, cosine.error_bound(self._key_dim)
        if (passed_over := allowed.without(0)) is None:
            best = compiled.search_one(query, self.keys, mask, k, error, above)
            if best is not None:
                return Hits(*best, np.array([True]))
        scores = cosine.scores_of(query, self.keys)
        if np.count_nonzero(mask) < self.rows:
            scores[~mask] = -np.inf
        if passed_over is not None:
            scores[passed_over] = -np.inf
        least = max(_kth_highest(scores, k).item() - 2 * error, max(above, LOWEST) - error)
        slots, cosines = cosine.best(query, self.keys, (scores >= least).nonzero()[0], k, above)
        if len(slots) == k and cosines[-1].item() > above:
            return Hits(slots[None], cosines[None], np.array([True]))
        hits, count = no_hits(1, k), np.count_nonzero(cosines > above)
        hits.slots[0, :count], hits.cosines[0, :count] = slots[:count], cosines[:count]
        return hits

    def _search(
        self,
        queries: NDArray[np.float32],
        k: int,
        allowed: Allowed,
        above: float,
        hits: Hits,
    ) -> None:
        """As `search`, of queries whose bounds fit in RAM; sets hits, which are none before."""
        count = np.count_nonzero(allowed.mask)
        if count <= self.rows // OPEN and count < self.rows:
            slots = np.flatnonzero(allowed.mask)
            for b, query in enumerate(queries):
                self._rank(b, query, allowed.among(b, slots), k, above, hits)
            return
        closed = None if count == self.rows else ~allowed.mask
        without = [allowed.without(b) for b in range(len(queries))]
        rest = np.arange(len(queries))
        if (rounded := self._present(len(queries))) is not None:
            rest = self._search_rounded(rounded, queries, k, closed, without, above, hits)
        if len(rest):
            scores = cosine.scores(_some(queries, rest), self.keys)
            _close(scores.T, closed, [without[b] for b in rest.tolist()])
            self._rank_by_scores(rest, queries, scores, k, above, hits)

    def _rank_by_scores(
        self,
        which: NDArray[np.int64],
        queries: NDArray[np.float32],
        scores: NDArray[np.float32],
        k: int,
        above: float,
        hits: Hits,
    ) -> None:
        """Set hits of some queries (n,) of (B, C), from scores (rows, n); -inf is not found."""
        error = cosine.error_bound(self._key_dim)
        ranked = compiled.rank_scores(_some(queries, which), self.keys, scores, k, error, above)
        if ranked is not None:
            others = _take_over(ranked, which, self.rows, hits)
            if not len(others):
                return
            which, scores = which[others], scores[:, others]
        least = np.maximum(_kth_highest(scores, k) - 2 * error, max(above, LOWEST) - error)
        slot, query = np.divmod(np.flatnonzero(scores >= least), len(which))
        order = query.argsort(kind="stable")
        self._rank_near(which, queries, query[order], slot[order], k, above, hits)

    def _search_rounded(
        self,
        rounded: RoundedKeys,
        queries: NDArray[np.float32],
        k: int,
        closed: NDArray[np.bool_] | None,
        without: Sequence[NDArray[np.int64] | None],
        above: float,
        hits: Hits,
    ) -> NDArray[np.int64]:
        """As `_search`, by coarse bounds, then by integers; returns queries that are not answered.

        Args:
            closed: (rows,) slots that no query may find; None if there are none.
            without: per query slots (n,) that it passes over, or None.
        """
        rest, is_one = np.arange(len(queries)), len(queries) == 1
        by_integers = is_one or not self._is_scanned()
        if not (rounded.is_telling or by_integers):
            return rest
        if rounded.is_telling and (is_one or not self._coarse_rests or not by_integers):
            bounds = rounded.bounds_in_halves(queries[0]) if is_one else None
            if bounds is None:
                bounds = rounded.coarse_bounds(rounded.coordinates(queries))
            _close(bounds, closed, without)
            few = max(MANY, self.rows // (FEW if is_one else FEWEST))
            rest, _ = self._rank_by_bounds(rest, queries, bounds, few, k, above, hits)
            if not is_one and len(rest) * UNTOLD > len(queries):
                self._coarse_rests = RESTS
        elif not is_one:
            self._coarse_rests = max(0, self._coarse_rests - 1)
        if by_integers:
            rounded.note(len(queries), len(rest))
        if len(rest) and by_integers and rounded.wants_integers:
            rounded.make_integers(self.keys)
            some = _some(queries, rest)
            bounds, closer = rounded.bounds(some, rounded.coordinates(some, first=True))
            _close(bounds, closed, [without[b] for b in rest.tolist()])
            few, asked = max(MANY, self.rows // FEW), len(rest)
            rest, near = self._rank_by_bounds(rest, queries, bounds, few, k, above, hits, closer)
            if not is_one and near > asked * (self.rows // FEWER):
                self._rests = RESTS
        return rest

    def _rank_by_bounds(
        self,
        which: NDArray[np.int64],
        queries: NDArray[np.float32],
        bounds: NDArray[np.float32],
        few: int,
        k: int,
        above: float,
        hits: Hits,
        closer: compiled.Rounded | None = None,
    ) -> tuple[NDArray[np.int64], int]:
        """Set hits of queries of which few slots' bounds reach what k slots have.

        Args:
            which: (n,) queries, ascending.
            queries: (B, C) unit vectors.
            bounds: (n, rows) that no cosine is above; -inf where a slot must not be found.
            few: slots of a query that are ranked.
            k: >= 1.
            above: a slot whose cosine is not above it may be left out.
            hits: of the queries (B,).
            closer: what bounds by integers came from, of the n queries.
        Returns:
            Queries, ascending, of which more slots would have to be ranked, so that none were; and
            slots of all queries that had to be.
        """
        if k > few:
            return which, k * len(which)
        some = _some(queries, which)
        ranked = compiled.rank_bounds(some, self.keys, bounds, few, k, above, closer)
        if ranked is None:
            return self._rank_in_numpy(which, queries, bounds, few, k, above, hits)
        rest, near = _take_over(ranked, which, few, hits), int(ranked.outcomes.clip(0).sum())
        is_in_doubt = ranked.outcomes[rest] == compiled.IN_DOUBT
        if not is_in_doubt.any():
            return which[rest], near
        doubtful = rest[is_in_doubt]
        others, more = self._rank_in_numpy(
            which[doubtful], queries, bounds[doubtful], few, k, above, hits
        )
        return np.union1d(which[rest[~is_in_doubt]], others), near + more

    def _rank_in_numpy(
        self,
        which: NDArray[np.int64],
        queries: NDArray[np.float32],
        bounds: NDArray[np.float32],
        few: int,
        k: int,
        above: float,
        hits: Hits,
    ) -> tuple[NDArray[np.int64], int]:
        """As `_rank_by_bounds`, k <= few."""
        top, most = _with_highest(bounds, k), max(above, LOWEST)
        if len(which) == 1 or k * self._key_dim >= ALONE:  # each by itself, while its keys are near
            counts = np.zeros(len(which), np.int64)
            for i, b in enumerate(which.tolist()):
                least = max(self._least(queries[b], bounds[i], top[i]), most)
                slots = (bounds[i] >= least).nonzero()[0]
                counts[i] = len(slots)
                if len(slots) <= few:
                    self._rank(b, queries[b], slots, k, above, hits)
            return which[counts > few], int(counts.sum())
        lows = [self._least(queries[b], bounds[i], top[i]) for i, b in enumerate(which)]
        near = bounds >= np.array(lows, np.float32).clip(most)[:, None]
        counts = np.count_nonzero(near, axis=1)
        is_few = counts <= few
        query, slot = np.divmod(np.flatnonzero(near[is_few]), self.rows)
        self._rank_near(which[is_few], queries, query, slot, k, above, hits)
        return which[~is_few], int(counts.sum())

    def _least(
        self, query: NDArray[np.float32], bounds: NDArray[np.float32], slots: NDArray[np.int64]
    ) -> float:
        """A number that no cosine of the k best is below, from k slots (k,) with high bounds."""
        if (bounds[slots] == -np.inf).any():  # not to be found
            return -np.inf
        scores = cosine.scores_of(query, self.keys[slots])
        return float(scores.min()) - cosine.error_bound(self._key_dim)

    def _rank_near(
        self,
        which: NDArray[np.int64],
        queries: NDArray[np.float32],
        query: NDArray[np.int64],
        slot: NDArray[np.int64],
        k: int,
        above: float,
        hits: Hits,
    ) -> None:
        """Set hits of some queries (n,) to the best of few slots each.

        Args:
            which: (n,) queries, ascending.
            queries: (B, C) unit vectors.
            query: (m,) positions in `which`, ascending, one for each slot of each query.
            slot: (m,) these slots, ascending for each query.
            k: >= 1.
            above: a slot whose cosine is not above it may be left out.
            hits: of the queries (B,).
        """
        counts = np.bincount(query, minlength=len(which))
        if (many := counts > ALONE // self._key_dim).any():
            ends = counts.cumsum().tolist()
            for i in many.nonzero()[0].tolist():
                b, slots = int(which[i]), slot[ends[i] - counts[i] : ends[i]]
                self._rank(b, queries[b], slots, k, above, hits)
            which, counts, slot = which[~many], counts[~many], slot[~many[query]]
        if not len(which):
            return
        slots = np.full((len(which), max(int(counts.max()), k)), NO_SLOT)
        slots[np.arange(slots.shape[1]) < counts[:, None]] = slot
        step = max(1, NUMBERS // (slots.shape[1] * self._key_dim))
        for start in range(0, len(which), step):
            part = slice(start, start + step)
            few = slots[part, : max(int(counts[part].max()), k)]
            best = cosine.best_of_few(queries[which[part]], self.keys, few, k, above)
            hits.slots[which[part]], hits.cosines[which[part]] = best

    def _rank(
        self,
        b: int,
        query: NDArray[np.float32],
        slots: NDArray[np.int64],
        k: int,
        above: float,
        hits: Hits,
    ) -> None:
        """Set hits b, of a query (C,), to the k best of slots (n,), ascending."""
        best, cosines = cosine.best(query, self.keys, slots, k, above)
        hits.slots[b, : len(best)], hits.cosines[b, : len(best)] = best, cosines
        hits.slots[b, len(best) :], hits.cosines[b, len(best) :] = NO_SLOT, -np.inf

    def _present(self, batch: int) -> RoundedKeys | None:
        """The keys rounded, once there have been queries enough."""
        self._scans += batch
        if self.rows * self._key_dim < LEAST and (batch == 1 or self._is_narrow):
            return None
        if (rounded := self._rounded) is None:
            is_outdated = True
        else:
            is_outdated = rounded.changes > min(self.rows, GROWTH * rounded.made_of)
        if is_outdated and self._scans >= SCANS and self._key_dim <= WIDEST:
            self._scans = 0  # first: other threads need not do the same
            self._rounded = RoundedKeys(self.keys)
        return self._rounded

    @property
    def _is_narrow(self) -> bool:
        """Whether a product of all keys is as quick as one of their integers, in a batch."""
        numbers = self.rows * self._key_dim
        return self._key_dim < (NARROW if numbers < LARGE else NARROWEST)

    def _is_scanned(self) -> bool:
        """Whether the next batch is to be scanned for where coarse bounds do not answer."""
        if self._rests and not self._is_narrow:
            self._rests -= 1
            return True
        return self._is_narrow


def _some(queries: NDArray[np.float32], which: NDArray[np.int64]) -> NDArray[np.float32]:
    """Some of the queries; mostly all, which are not copied."""
    return queries if len(which) == len(queries) else queries[which]


def _take_over(
    ranked: compiled.Ranked, which: NDArray[np.int64], few: int, hits: Hits
) -> NDArray[np.int64]:
    """Set hits of queries which (n,) to what was ranked; the places in `which` of the others."""
    is_answered = (ranked.outcomes >= 0) & (ranked.outcomes <= few)
    if is_answered.all() and len(which) == len(hits.slots):
        hits.slots[...], hits.cosines[...] = ranked.slots, ranked.cosines
        return which[:0]
    some = which[is_answered]
    hits.slots[some], hits.cosines[some] = ranked.slots[is_answered], ranked.cosines[is_answered]
    return np.flatnonzero(~is_answered)


def drop_lower(hits: Hits, above: float) -> None:
    """Take out what is not above a cosine."""
    if (past := hits.cosines <= above).any():
        hits.slots[past], hits.cosines[past] = NO_SLOT, -np.inf


def _close(
    scores: NDArray[np.float32],
    closed: NDArray[np.bool_] | None,
    without: Sequence[NDArray[np.int64] | None],
) -> None:
    """Let no slot be found that is closed (rows,), nor those that each query passes over."""
    if closed is not None:
        np.copyto(scores, -np.inf, where=closed)
    for b, slots in enumerate(without):
        if slots is not None:
            scores[b, slots] = -np.inf


def _kth_highest(scores: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """(...) about the k-th highest of scores (rows, ...), no more than that."""
    group = min(GROUP, len(scores) // (WIDE * k))  # slots of which only the highest counts
    if group > 1:
        width = len(scores) // group
        groups = scores[: width * group].reshape(group, width, *scores.shape[1:])
        highest: NDArray[np.float32] = np.maximum.reduce(groups, axis=0)
    else:
        highest = scores.copy()
    place = max(len(highest) - k, 0)
    highest.partition(place, axis=0)
    kth: NDArray[np.float32] = highest[place]
    return kth


def _with_highest(bounds: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """(B, k) slots with about the highest of bounds (B, rows); all if there are no more."""
    batch, rows = bounds.shape
    if (width := rows // GROUP) < GROUP * k:
        return np.argpartition(bounds, -min(k, rows), axis=1)[:, -min(k, rows) :]
    groups = bounds[:, : width * GROUP].reshape(batch, GROUP, width)
    best = np.argpartition(groups.max(axis=1), -k, axis=1)[:, -k:]
    place = np.take_along_axis(groups, best[:, None], axis=2).argmax(axis=1)
    slots: NDArray[np.int64] = place * width + best
    return slots


def _read_only(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """The array, of which only other views can be written."""
    array.flags.writeable = False
    return array
