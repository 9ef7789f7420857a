"""IvfIndex: the keys of a large memory in lists, a few of which are looked through per query.

FAISS keeps each key in the list of its nearest center (IVF), as one bit a channel (RaBitQ), and
names candidates; each is ranked by its cosine, as `KeyIndex` does. So whatever is found is right;
what may be amiss is that a slot was not found, and how often that happens is watched (watch.py).
"""

from collections.abc import Iterator, Mapping
from threading import Lock
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from memstore.search import cosine
from memstore.search.allowed import Allowed
from memstore.search.balls import Balls
from memstore.search.index import NO_SLOT, Hits, KeyIndex, drop_lower, no_hits
from memstore.search.watch import Recall, Watch

LEAST_ROWS = 32768  # fewer are scanned as quickly
SCANS = 16  # queries that are scanned for before lists are made
STEP = 4096  # rows put in new lists per call
SAMPLE = 32  # keys per list, of which centers are made
ROUNDS = 4  # of k-means
NUMBERS = 2**20  # in keys ranked at a time: they stay in cache
RECENT = 8192  # slots changed last, which are scanned beside the lists
PROBES = 8  # lists per query, at first; each second step of effort doubles them
CANDIDATES = 64, 32  # per query, at least, and per slot asked for; the other steps double them
MOST_CANDIDATES = 2048
MOST_EFFORT = 60  # steps that any saved lists may ask for
QUERY_BITS = 8  # of a query's channels, when compared with one bit
LARGEST_K = 64  # more are scanned for
PER_HIT = 4  # candidates that pass a filter, per slot that is asked for
SOME = 8  # part of the rows that is looked at in balls for a query alone, instead of a scan, and
SOME_OF_BATCH = 64  # for one of several
UNTOLD = 4  # part of a batch of which balls may leave more, or it counts as a miss
MOST_MISSES = 6  # in a row: each doubles the batches that are scanned for before the next try
OUTDATED = 0.5  # changes, in lists, per key that they were made of: then they are made anew


class Lists:
    """Keys in lists. A slot that has changed is in several; its key of now is what ranks it."""

    def __init__(self, keys: NDArray[np.float32]) -> None:
        """Choose centers for keys (rows, C), some of which are looked at, and hold none yet."""
        rows, channels = keys.shape
        self._begin(max(1, int(rows**0.5)), channels)
        self._faiss.cp.niter, self._faiss.cp.min_points_per_centroid = ROUNDS, 1
        size = min(rows, SAMPLE * self.count)
        self._faiss.train(keys[np.random.default_rng(0).choice(rows, size, replace=False)])
        self.rows = 0  # slots [0, rows) are in lists
        self.made_of = rows
        self.changes = 0  # slots that were put again

    @property
    def nbytes(self) -> int:
        """Bytes of RAM."""
        per_key = self._width + 8
        return int(self._faiss.ntotal * per_key + self.count * self._faiss.d * 4)

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that they are, to be saved."""
        lists, counted = self._faiss.invlists, range(self.count)
        sizes = np.array([lists.list_size(i) for i in counted], np.int64)
        slots, codes = (
            np.empty(sizes.sum(), np.int64),
            np.empty((sizes.sum(), self._width), np.uint8),
        )
        at = 0
        for i, size in zip(counted, sizes.tolist(), strict=True):
            if size:
                slots[at : at + size] = faiss.rev_swig_ptr(lists.get_ids(i), size)
                flat = faiss.rev_swig_ptr(lists.get_codes(i), size * self._width)
                codes[at : at + size] = flat.reshape(size, self._width)
            at += size
        centers = self._faiss.quantizer.reconstruct_n(0, self.count)
        numbers = np.array([self.rows, self.made_of, self.changes], np.int64)
        return {
            **{"centers": centers, "sizes": sizes, "slots": slots},
            **{"codes": codes, "numbers": numbers},
        }

    @property
    def parts(self) -> Iterator[NDArray[np.int64]]:
        """Slots (n,) of each list."""
        for i in range(self.count):
            if size := self._faiss.invlists.list_size(i):
                yield faiss.rev_swig_ptr(self._faiss.invlists.get_ids(i), size).copy()

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], rows: int, channels: int) -> "Lists":
        """Lists of `arrays`, which may be anybody's: whatever is in them, slots are below `rows`.

        Raises:
            ValueError: they are no lists of keys (rows, channels); KeyError too.
        """
        centers, sizes, codes = arrays["centers"], arrays["sizes"], arrays["codes"]
        slots, numbers = arrays["slots"], arrays["numbers"]
        lists = cls.__new__(cls)
        lists._begin(len(sizes), channels)
        shapes = [(len(sizes), channels), (len(slots),), (len(slots), lists._width), (3,)]
        types = [np.float32, np.int64, np.uint8, np.int64, np.int64]
        is_right = [array.shape for array in (centers, slots, codes, numbers)] == shapes
        is_right &= [a.dtype for a in (centers, slots, codes, numbers, sizes)] == types
        if not is_right or not len(sizes) or (sizes < 0).any() or sizes.sum() != len(slots):
            raise ValueError("got other arrays than those of lists")
        lists.rows, lists.made_of, lists.changes = numbers.tolist()
        if ((slots < 0) | (slots >= rows)).any() or not 0 < lists.rows <= rows:
            raise ValueError(f"got slots outside [0, {rows})")
        lists._faiss.quantizer.add(np.ascontiguousarray(centers))
        lists._faiss.is_trained, lists._faiss.ntotal = True, len(slots)
        ends = np.cumsum(sizes).tolist()
        for i, (end, size) in enumerate(zip(ends, sizes.tolist(), strict=True)):
            if size:
                some = slice(end - size, end)
                of_slots, of_codes = (np.ascontiguousarray(a[some]) for a in (slots, codes))
                pointers = faiss.swig_ptr(of_slots), faiss.swig_ptr(of_codes)
                lists._faiss.invlists.add_entries(i, size, *pointers)
        lists.is_saved = True
        return lists

    def _begin(self, count: int, channels: int) -> None:
        """Have so many lists, that have no centers yet."""
        self.count, self.is_saved = count, False
        self._faiss: Any = faiss.IndexIVFRaBitQ(
            faiss.IndexFlatIP(channels), channels, count, faiss.METRIC_INNER_PRODUCT
        )
        self._width = int(self._faiss.code_size)

    def extend(self, keys: NDArray[np.float32], rows: int) -> None:
        """Take in the keys of slots [self.rows, rows)."""
        slots = np.arange(self.rows, rows)
        self._faiss.add_with_ids(keys[slots[0] : rows], slots)
        self.rows = rows

    def follow(self, slots: NDArray[np.int64], keys: NDArray[np.float32]) -> None:
        """Take in new keys (n, C) of slots (n,)."""
        if len(slots):
            self._faiss.add_with_ids(np.ascontiguousarray(keys), slots)
            self.changes += len(slots)

    def candidates(
        self, queries: NDArray[np.float32], n: int, probes: int, mask: NDArray[np.bool_] | None
    ) -> NDArray[np.int64]:
        """(B, n) slots that are likely near, of a mask (rows,) if there is one; -1 past the last.

        A slot may be named twice.
        """
        options = faiss.IVFRaBitQSearchParameters()
        options.nprobe, options.qb = min(probes, self.count), QUERY_BITS
        if mask is not None:
            bitmap: Any = faiss.IDSelectorBitmap  # of Python's, which takes an array
            options.sel = bitmap(np.packbits(mask, bitorder="little"))
        slots: NDArray[np.int64] = self._faiss.search(queries, n, params=options)[1]
        return slots


class Recent:
    """The slots that changed last, and their keys side by side."""

    def __init__(self, key_dim: int) -> None:
        self._index = KeyIndex(key_dim)
        self._slots = np.full(RECENT, NO_SLOT)  # at each place; none where one was put again
        self._next = 0  # place that is given up next
        self._held = np.zeros(0, np.bool_)  # of all slots

    @property
    def nbytes(self) -> int:
        """Bytes of RAM."""
        arrays = self._index.keys, self._slots, self._held
        return sum(array.nbytes for array in arrays) + self._index.derived_bytes

    def put(self, slots: NDArray[np.int64], keys: NDArray[np.float32], rows: int) -> None:
        """Note new keys (n, C) of distinct slots (n,), of slots [0, rows)."""
        slots, keys = slots[-RECENT:], keys[-RECENT:]
        if rows > len(self._held):
            self._held = np.append(self._held, np.zeros(2 * rows - len(self._held), np.bool_))
        again = slots[self._held[slots]]
        self._slots[np.isin(self._slots, again)] = NO_SLOT
        places = (self._next + np.arange(len(slots))) % RECENT
        former = self._slots[places]
        self._held[former[former != NO_SLOT]] = False
        self._slots[places], self._held[slots] = slots, True
        self._index.put(places, keys)
        self._next = int(self._next + len(slots)) % RECENT

    def holds(self, slots: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of any slots (B, n) are among them."""
        return self._held.take(slots, mode="clip") if len(self._held) else slots < NO_SLOT

    def search(
        self, queries: NDArray[np.float32], k: int, allowed: Allowed, above: float
    ) -> cosine.Best:
        """As `KeyIndex.search`, among them; no columns if there are none."""
        if not (rows := self._index.rows):
            return cosine.Best(
                np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
            )
        places = self._slots[:rows]
        hits = self._index.search(queries, k, allowed.at(places), above)
        slots = np.where(hits.slots == NO_SLOT, NO_SLOT, self._slots[hits.slots])
        return cosine.Best(slots, hits.cosines)


class IvfIndex(KeyIndex):
    """Unit keys in slots [0, rows), searched approximately once there are enough of them.

    Lists are made when a few searches have come, a piece at each call, so that no call waits long,
    and the same calls have the same answers; made anew once half of the keys have changed. Until
    they are there, and wherever lists are not trusted, answers are exact.
    """

    def __init__(self, key_dim: int) -> None:
        super().__init__(key_dim)
        self._lists: Lists | None = None
        self._next_lists: Lists | None = None
        self._balls: Balls | None = None  # of the lists; for proven answers
        self._recent = Recent(key_dim)
        self._waiting = 0  # queries while there are no lists
        self._proven = 0  # queries while there are no balls
        self._misses = 0  # batches in a row of which balls left too much
        self._pause = 0  # batches for which they are not tried
        self._effort = 0
        self._watch = Watch()
        self._busy = Lock()  # one thread counts and makes lists; the others need not wait

    @property
    def derived_bytes(self) -> int:
        """Bytes of RAM of what follows from the keys."""
        lists = sum(each.nbytes for each in (self._lists, self._next_lists) if each)
        balls = self._balls.nbytes if self._balls else 0
        return super().derived_bytes + lists + balls + self._recent.nbytes

    @property
    def recall(self) -> Recall | None:
        """What was found lately of what there is; None before anything was watched."""
        if (lists := self._lists) is None:
            return None
        if self._is_too_hard(lists):
            return Recall(1.0, 1.0, 1.0, 0, lists.count, 0)
        return self._watch.recall(lists.count, self._probes)

    def fill(self) -> NDArray[np.float32]:
        """(rows, C) as `keys`, to write many rows at once; do so before the next search."""
        self._lists = self._next_lists = self._balls = None
        self._recent, self._waiting = Recent(self._key_dim), 0
        return super().fill()

    def unsaved_lists(self) -> dict[str, NDArray[Any]] | None:
        """Lists to be saved, and how hard to try; None if they are not there, or are saved.

        They are of the keys of now; those that a later change finds are put again.
        """
        lists = self._lists
        if lists is None or lists.is_saved or self._next_lists or self._is_too_hard(lists):
            return None
        lists.is_saved = True
        return lists.arrays | {"effort": np.array(self._effort)}

    def use_lists(self, arrays: Mapping[str, NDArray[Any]], changed: NDArray[np.int64]) -> None:
        """Search lists that were saved, with as much effort.

        Args:
            arrays: as of `unsaved_lists`, be they anybody's.
            changed: (n,) slots whose keys have changed since, or that were none.

        Raises:
            ValueError: they are no lists of the keys; KeyError too.
        """
        lists, effort = Lists.of(arrays, self.rows, self._key_dim), int(arrays["effort"])
        if not 0 <= effort <= MOST_EFFORT:
            raise ValueError(f"got an effort of {effort}")
        self._lists, self._effort, self._balls = lists, effort, None
        lists.follow(changed, self.keys[changed])
        if len(changed):
            self._recent.put(changed, self.keys[changed], self.rows)

    def put(self, slots: NDArray[np.int64], keys: NDArray[np.float32]) -> None:
        """Set the keys (n, C), unit vectors or zeros, of distinct slots (n,)."""
        if self._balls:
            self._balls.forget(slots)  # first: after an interrupt no key is to be passed over
        super().put(slots, keys)
        if self._lists or self._next_lists:
            self._recent.put(slots, keys, self.rows)
        if self._lists:
            self._lists.follow(slots, keys)
        if self._next_lists:  # the others are yet to come
            early = slots < self._next_lists.rows
            self._next_lists.follow(slots[early], keys[early])

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.bool_] | Allowed,
        above: float = -2.0,
        exact: bool = False,
    ) -> Hits:
        """As `KeyIndex.search`; nearly all of the k best unless answers are to be proven.

        Queries unlike those of which all was found, by their nearest cosine, are scanned for.
        """
        allowed = Allowed.of(allowed)
        if exact or self.rows < LEAST_ROWS or not len(queries):
            return self._search_all(queries, k, allowed, above)
        watched = self._prepare(len(queries))
        lists = self._lists
        if lists is None or k > LARGEST_K or self._is_too_hard(lists):
            return self._search_all(queries, k, allowed, above)
        hits = self._search_lists(lists, queries, k, allowed, above)
        nearest = hits.cosines[:, 0]  # -inf: nothing above what was asked for
        strange = (nearest < self._watch.familiar) & (nearest > -np.inf)
        if (due := (watched | strange) & ~hits.exact).any():
            truth = self._search_all(queries[due], k, allowed.part(np.flatnonzero(due)), above)
            if (noted := watched[due]).any():
                with self._busy:
                    both = hits.slots[due][noted], truth.slots[noted], truth.cosines[noted]
                    if self._watch.note(*both):
                        self._effort += 1
                        self._watch.reset()
            _set(hits, due, truth)
        return hits

    def _search_all(
        self, queries: NDArray[np.float32], k: int, allowed: Allowed, above: float
    ) -> Hits:
        """As `KeyIndex.search`: by what balls leave; of queries of which that is much, a scan."""
        balls = self._ready_balls(len(queries))
        if balls is None:
            return super().search(queries, k, allowed, above)
        hits, rest = no_hits(len(queries), k), []
        few = self.rows // (SOME if len(queries) == 1 else SOME_OF_BATCH)
        answers = balls.search(queries, self.keys, k, allowed, above, few)
        for b, answer in enumerate(answers):
            if answer is None:
                rest.append(b)
            else:
                count = len(answer[0])
                hits.slots[b, :count], hits.cosines[b, :count] = answer
        is_miss = len(rest) * UNTOLD > len(queries)
        self._misses = min(self._misses + 1, MOST_MISSES) if is_miss else 0
        self._pause = 2**self._misses - 1
        if rest:
            which = np.array(rest)
            _set(hits, which, super().search(queries[which], k, allowed.part(which), above))
        drop_lower(hits, above)
        return hits

    def _ready_balls(self, batch: int) -> Balls | None:
        """The balls, made or refilled if need be, unless this batch is to be scanned for."""
        if not (lists := self._lists) or not batch or not self._busy.acquire(blocking=False):
            return self._balls
        try:
            if self._pause:
                self._pause -= 1
                return None
            self._proven += batch
            if self._balls is None and self._proven >= SCANS and not self._is_too_hard(lists):
                self._proven, self._balls = 0, Balls(self.keys, lists.parts)
            elif self._balls and self._balls.wants_more:
                self._balls = self._balls.refilled(self.keys)
            return self._balls
        finally:
            self._busy.release()

    def _search_lists(
        self,
        lists: Lists,
        queries: NDArray[np.float32],
        k: int,
        allowed: Allowed,
        above: float,
    ) -> Hits:
        """As `search`, but for watching; exact where filters leave the lists too little."""
        number = max(CANDIDATES[0], CANDIDATES[1] * k) << (self._effort + 1) // 2
        number = max(PER_HIT * k, min(number, MOST_CANDIDATES))
        slots = lists.candidates(queries, number, self._probes, None)
        slots[~allowed.passes(slots)] = NO_SLOT
        few = np.flatnonzero((slots >= 0).sum(axis=1) < PER_HIT * k)
        if len(few):
            slots[few] = lists.candidates(queries[few], number, self._probes, allowed.mask)
            some = slots[few]
            slots[few] = np.where(allowed.part(few).passes(some), some, NO_SLOT)
        best = _best(queries, self.keys, _distinct(slots, self._recent), k, above)
        # What is no nearer than k others need not be found; what is as near, lower slots, is.
        least = max(above, float(np.nextafter(best.cosines[:, -1].min(), np.float32(-9))))
        hits = _merged(best, self._recent.search(queries, k, allowed, least), k)
        few = few[(slots[few] >= 0).sum(axis=1) < PER_HIT * k]
        if len(few):
            exact = self._search_all(queries[few], k, allowed.part(few), above)
            _set(hits, few, exact)
        drop_lower(hits, above)
        return hits

    @property
    def _probes(self) -> int:
        """Lists that are looked through per query."""
        return PROBES << self._effort // 2

    def _is_too_hard(self, lists: Lists) -> bool:
        """Whether so many lists would have to be looked through that a scan is as quick."""
        return self._effort > 0 and 2 * self._probes > lists.count

    def _prepare(self, batch: int) -> NDArray[np.bool_]:
        """Make lists, or go on with it; (B,) which queries are to be answered exactly besides."""
        if not self._busy.acquire(blocking=False):
            return np.zeros(batch, np.bool_)
        try:
            lists, self._waiting = self._lists, self._waiting + batch
            if self._next_lists:
                self._go_on(self._next_lists)
            elif lists.changes > OUTDATED * lists.made_of if lists else self._waiting >= SCANS:
                self._next_lists = Lists(self.keys)
            return self._watch.due(batch, self.rows)
        finally:
            self._busy.release()

    def _go_on(self, lists: Lists) -> None:
        """Put more keys in lists that are being made; use them once all are in."""
        lists.extend(self.keys, min(lists.rows + STEP, self.rows))
        if lists.rows == self.rows:
            self._lists, self._next_lists, self._balls, self._effort = lists, None, None, 0
            self._watch.reset()


def _set(hits: Hits, which: NDArray[Any], others: Hits) -> None:
    """Replace the hits of some queries."""
    hits.slots[which], hits.cosines[which] = others.slots, others.cosines
    hits.exact[which] = others.exact


def _distinct(slots: NDArray[np.int64], recent: Recent) -> NDArray[np.int64]:
    """Slots (B, n) ascending, each once and none that is recent; -1 past the last."""
    slots = np.sort(slots, axis=1)
    drop = recent.holds(slots)
    drop[:, 1:] |= slots[:, 1:] == slots[:, :-1]
    drop |= slots < 0
    slots[drop] = np.iinfo(np.int64).max
    slots.sort(axis=1)
    slots[slots == np.iinfo(np.int64).max] = NO_SLOT
    return slots


def _best(
    queries: NDArray[np.float32],
    keys: NDArray[np.float32],
    slots: NDArray[np.int64],
    k: int,
    above: float,
) -> cosine.Best:
    """The k best of a few slots (B, n) per query, in steps that stay in cache."""
    step = max(1, NUMBERS // (slots.shape[1] * keys.shape[1]))
    parts = [
        cosine.best_of_few(
            queries[start : start + step], keys, slots[start : start + step], k, above
        )
        for start in range(0, len(queries), step)
    ]
    return cosine.Best(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _merged(
    first: cosine.Best,
    second: cosine.Best,
    k: int,
) -> Hits:
    """The k best of two answers that share no slot; proven is none."""
    slots = np.concatenate([first.slots, second.slots], axis=1)
    cosines = np.concatenate([first.cosines, second.cosines], axis=1)
    order = np.lexsort((slots, -cosines))[:, :k]
    best = np.take_along_axis(slots, order, axis=1), np.take_along_axis(cosines, order, axis=1)
    return Hits(*best, np.zeros(len(slots), np.bool_))
