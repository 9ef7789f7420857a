"""What each pair of a batch does to a memory. Decides, changes nothing.

`plan_pairs` compares keys itself, one pair after the other, and asks for neighbors of a memory that
may be in pieces elsewhere; `plan_writes` asks one in RAM. `plan_writes_from_products` has only the
cosines and value similarities of a whole batch, as a working copy on a GPU has them at once, and
works out what the pairs change among them.
"""

# B = batch, N = rows up to the last used slot

import warnings
from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from memstore.config import MemoryConfig
from memstore.errors import EvictionWarning, FullError, MergeWarning
from memstore.search.cosine import cosines, error_bound, merge, scores, scores_of
from memstore.search.index import NO_SLOT, KeyIndex
from memstore.slots.oldest import OldestFirst
from memstore.voxels.grids import paired_similarities

FATES = {
    "merge": "merged (a similar value is there already; theirs were not stored)",
    "insert": "inserted",
    "evict": "inserted in place of the oldest slots, which are gone",
}  # of pairs, by kind of write, in words
HITS = 4  # slots looked up per pair that may need more than the nearest, or where asking again
# takes a message
BLOCK = 256  # pairs compared with all before them at once
AHEAD = 16  # pairs looked up again at once, as those that come next may have to be as well
ZERO_SUM = 2e-3  # norm of two unit vectors' sum that float32 cosines cannot tell from zero


class Plan(NamedTuple):
    """What the pairs of a batch do, in batch order; a slot may occur more than once.

    Attributes:
        slots: (B,) slot that each pair goes to.
        kinds: (B,) "merge" (the slot keeps its value), "insert" or "evict".
        similarities: (B,) value similarity to the nearest slot; nan if there was none.
        keys: (B, C) unit vectors: the slot's key once the pair is written.
    """

    slots: NDArray[np.int64]
    kinds: NDArray[np.str_]
    similarities: NDArray[np.float64]
    keys: NDArray[np.float32]

    def of(self, pairs: NDArray[np.int64]) -> "Plan":
        """That of some pairs (n,), by their positions."""
        return Plan(
            self.slots[pairs], self.kinds[pairs], self.similarities[pairs], self.keys[pairs]
        )


class Neighbors(Protocol):
    """What a plan asks of a memory as it is before the B pairs of a batch."""

    @property
    def slots(self) -> NDArray[np.int64]:
        """(B, n) used slots nearest to each pair, best first; NO_SLOT past the last."""

    @property
    def cosines(self) -> NDArray[np.float32]:
        """(B, n) of these; -inf past the last."""

    @property
    def similarities(self) -> Sequence[float]:
        """B value similarities of each pair and its first hit; any number if it has none."""

    @property
    def empty(self) -> Sequence[int]:
        """The lowest empty slots, ascending: B of them, or all."""

    @property
    def oldest(self) -> Sequence[int]:
        """The slots touched the longest ago, in that order, equals by slot, empty ones first: B
        of them, or all."""

    def key(self, slot: int) -> NDArray[np.float32]:
        """(C,) key of a used slot."""

    def value(self, slot: int) -> NDArray[np.uint8]:
        """(R, R, ceil(R / 8)) packed value of a used slot."""

    def nearest_besides(self, b: int, slots: Sequence[int]) -> tuple[int, float]:
        """Used slot nearest to pair b, and the cosine, if some slots are passed over."""


class Before:
    """Neighbors of pairs in a memory in RAM: see `Neighbors`, and `plan_writes` for arguments."""

    def __init__(
        self,
        queries: NDArray[np.float32],
        grids: NDArray[np.uint8],
        index: KeyIndex,
        values: NDArray[np.uint8],
        touched: NDArray[np.int64],
        config: MemoryConfig,
        used: NDArray[np.bool_] | None = None,
        order: OldestFirst | None = None,
        hits: int = HITS,
    ) -> None:
        self._queries, self._index, self._values = queries, index, values
        self._touched, self._order = touched, order or OldestFirst()
        self._used = touched[: index.rows] >= 0 if used is None else used
        self._next: dict[int, list[tuple[int, float]]] = {}  # by pair, best first, if asked again
        self.slots, self.cosines, _ = index.search(queries, hits, self._used)
        first = self.slots[:, 0]  # where there is none, its row counts for nothing
        self.similarities: list[float] = paired_similarities(
            values.take(first, axis=0), grids, config.resolution, config.value_similarity
        ).tolist()
        self.empty = _lowest_empty(self._used, len(touched), len(queries))

    @property
    def oldest(self) -> list[int]:
        """As Neighbors; looked for when asked."""
        return self._order.first(self._touched, len(self._queries))

    def key(self, slot: int) -> NDArray[np.float32]:
        """As Neighbors."""
        key: NDArray[np.float32] = self._index.keys[slot]
        return key

    def value(self, slot: int) -> NDArray[np.uint8]:
        """As Neighbors."""
        value: NDArray[np.uint8] = self._values[slot]
        return value

    def nearest_besides(self, b: int, slots: Sequence[int]) -> tuple[int, float]:
        """As Neighbors."""
        passed_over = set(slots)  # all that were so before are among them
        for slot, cosine in self._next.get(b, ()):
            if slot not in passed_over:
                return slot, cosine
        others = self._used.copy()
        others[[slot for slot in slots if slot < len(others)]] = False
        hits = self._index.search(self._queries[b : b + AHEAD], HITS, others)
        rows = zip(hits.slots.tolist(), hits.cosines.tolist(), strict=True)
        for pair, row in enumerate(rows, b):
            self._next[pair] = list(zip(*row, strict=True))
        return self._next[b][0]


class ProductPlan(NamedTuple):
    """As `Plan`, for a copy that holds keys and values itself.

    Attributes:
        slots: (B,) slot that each pair goes to; of fewer pairs if some are not written.
        kinds: (B,) "merge", "insert" or "evict".
        similarities: (B,) value similarity to the nearest slot; nan if there was none.
        mixtures: slot -> (1 + B,) weights of its old key and of the batch's in its new one.
        values: slot -> pair whose value it holds in the end, where that changed.
    """

    slots: NDArray[np.int64]
    kinds: NDArray[np.str_]
    similarities: NDArray[np.float64]
    mixtures: dict[int, NDArray[np.float64]]
    values: dict[int, int]


class WriteReport(NamedTuple):
    """What happened to each pair of a batch.

    Attributes:
        slots: (B,) int64 slot that the pair went to; a later pair may have changed it again.
        kinds: (B,) str array: "merge", "insert" or "evict".
        value_similarities: (B,) in [0, 1], to the value at the nearest slot; nan if none was used.
    """

    slots: NDArray[np.int64]
    kinds: NDArray[np.str_]
    value_similarities: NDArray[np.float64]

    @property
    def counts(self) -> dict[str, int]:
        """Pairs by kind: "merge", "insert", "evict"."""
        return {kind: int((self.kinds == kind).sum()) for kind in FATES}

    def __repr__(self) -> str:
        """One line that says what was not stored, and what was given up."""
        fates = [f"{n:,} {FATES[kind]}" for kind, n in self.counts.items() if n]
        return f"WriteReport({len(self.slots):,} pairs: {', '.join(fates) or 'nothing written'})"


def plan_writes(
    queries: NDArray[np.float32],
    grids: NDArray[np.uint8],
    index: KeyIndex,
    values: NDArray[np.uint8],
    touched: NDArray[np.int64],
    config: MemoryConfig,
    used: NDArray[np.bool_] | None = None,
    order: OldestFirst | None = None,
) -> Plan:
    """Plan what a memory in RAM is to write: see `plan_pairs`.

    Args:
        queries: (B, C) unit features.
        grids: (B, R, R, ceil(R / 8)) packed values.
        index: of the present keys; slots from `index.rows` on are empty.
        values: (capacity, R, R, ceil(R / 8)) present packed values.
        touched: (capacity,) clock value of each slot's last write; -1 if empty.
        config: of the memory.
        used: (index.rows,) which rows are used; by default as `touched` tells.
        order: of the same `touched`; by default looked for.
    """
    may_change = config.delta is not None or config.when_full == "evict"
    # Of few hits, an approximate search finds less; of few rows, pairs change those of later ones.
    is_one_enough = not may_change or len(queries) ** 2 <= index.rows
    hits = 1 if config.search == "exact" and is_one_enough else HITS
    before = Before(queries, grids, index, values, touched, config, used, order, hits)
    return plan_pairs(queries, grids, before, config)


def plan_pairs(
    queries: NDArray[np.float32],
    grids: NDArray[np.uint8],
    neighbors: Neighbors,
    config: MemoryConfig,
) -> Plan:
    """Decide where each pair of a batch goes, exactly as if they were written one by one.

    A pair whose value is known (value similarity >= delta to the slot with the most similar key)
    is merged there; any other pair goes to the lowest empty slot, or else, if `when_full` is
    "evict", to the oldest slot.

    Args:
        queries: (B, C) unit features.
        grids: (B, R, R, ceil(R / 8)) packed values.
        neighbors: of these pairs, in the memory as it is before them.
        config: of the memory.

    Raises:
        FullError: a pair finds no empty slot, and the memory is not to evict.

    Source: Mem3D sec. 3.1, memory writer, eq. 4-8. Ours: ties go to the lowest slot; empty slots
    are no neighbors and are filled first; one tick of age per pair; not to evict.
    """
    ahead = _Ahead(queries, grids, neighbors, config)
    slots: list[int] = []
    kinds: list[str] = []
    similarities: list[float] = []
    for b in range(len(queries)):
        slot, similarity = ahead.nearest_and_similarity(b)
        if is_known(similarity, config):
            kind = "merge"
            ahead.put_key(b, slot, merge(queries[b], ahead.key(slot)))
        else:
            slot, kind = ahead.next_slot()
            ahead.put(b, slot)
        slots.append(slot)
        kinds.append(kind)
        similarities.append(similarity)
    return Plan(
        np.array(slots, np.int64), np.array(kinds, "<U6"), np.array(similarities, float), ahead.new
    )


def plan_writes_from_products(
    cosines: NDArray[np.float32],
    similarities: NDArray[np.float64],
    own_cosines: NDArray[np.float32],
    own_similarities: NDArray[np.float64],
    is_written: NDArray[np.bool_],
    touched: NDArray[np.int64],
    config: MemoryConfig,
) -> ProductPlan:
    """Decide where each pair of a batch goes, as if one by one, from products alone.

    A merged key is a mixture of others, so its cosine with any query is one of their cosines.

    Args:
        cosines: (B, N) of pairs and rows, -inf at empty slots.
        similarities: (B, N) value similarities.
        own_cosines: (B, B) among the pairs.
        own_similarities: (B, B).
        is_written: (B,) pairs that are written at all.
        touched: (capacity,) clock value of each slot's last write; -1 if empty.
        config: of the memory.

    Returns:
        That of the written pairs; after it, `touched` of their slots is the clock + 1, 2, ...

    Raises:
        FullError: as `plan_writes`.

    Source: as `plan_writes`, whose rule this is; cosines here are what the caller computes.
    """
    batch, pairs = len(is_written), np.flatnonzero(is_written).tolist()
    rows, touched, newest = cosines.shape[1], touched.copy(), int(touched.max(initial=0))
    columns = min(len(touched), rows + len(pairs))
    near, alike = np.full((batch, columns), -np.inf), np.zeros((batch, columns))
    near[:, :rows], alike[:, :rows] = cosines, similarities
    slots, kinds, nearest_similarities = [], [], []
    mixtures: dict[int, NDArray[np.float64]] = {}
    values: dict[int, int] = {}
    weights = np.eye(1 + batch)  # row 0: of a slot's old key; the others: of a pair's
    for tick, pair in enumerate(pairs, 1):
        slot = int(near[pair].argmax())
        cosine = near[pair, slot]
        similarity = alike[pair, slot] if cosine > -np.inf else np.nan
        if is_known(similarity, config):
            kind, norm = "merge", sqrt(max(0.0, 2 + 2 * cosine))
        else:
            slot = int(touched.argmin())  # empty ones are -1; the lowest slot among equals
            kind, norm = "insert" if touched[slot] < 0 else "evict", 0.0
            if kind == "evict":
                check_eviction(config)
            values[slot], alike[:, slot] = pair, own_similarities[:, pair]
        if norm > ZERO_SUM:
            mixtures[slot] = (mixtures.get(slot, weights[0]) + weights[1 + pair]) / norm
            near[:, slot] = (near[:, slot] + own_cosines[:, pair]) / norm
        else:  # a new key, or a merge whose sum is zero: the query itself, as `merge` has it
            mixtures[slot], near[:, slot] = weights[1 + pair], own_cosines[:, pair]
        touched[slot] = newest + tick
        slots.append(slot)
        kinds.append(kind)
        nearest_similarities.append(similarity)
    return ProductPlan(
        np.array(slots, np.int64),
        np.array(kinds, "<U6"),
        np.array(nearest_similarities),
        mixtures,
        values,
    )


def is_known(similarity: float, config: MemoryConfig) -> bool:
    """Whether a value so similar to that of the nearest slot is merged there."""
    # False for nan: to an empty memory all is new.
    return config.delta is not None and bool(similarity >= config.delta)


def check_eviction(config: MemoryConfig) -> None:
    """Raise FullError unless the memory may evict."""
    if config.when_full != "evict":
        raise FullError(
            f"memory: got more new values than it has empty slots (capacity {config.capacity:,}), "
            "want fewer, or slots removed; memstore copy --capacity N, or copy_to(path, N), makes "
            "a larger one, MemoryConfig(when_full='evict') one that gives up its oldest slots"
        )


_warned: set[type[Warning]] = set()  # of what this process was warned


def warn_of_losses(kinds: NDArray[np.str_]) -> None:
    """Warn at the first merge and the first eviction of the process, before they happen.

    Called by `State.write`, which `Memory.write` calls: it is that one's caller who is warned.
    """
    losses = (
        ("merge", MergeWarning, "merge: a value like the new one is there, and the new one is not"),
        ("evict", EvictionWarning, "eviction: the memory is full, and its oldest slot is not"),
    )
    for kind, category, what in losses:
        if category not in _warned and (kinds == kind).any():
            text = (
                f"memory: the first {what} kept; WriteReport tells each one, "
                f"warnings.simplefilter('ignore', memstore.{category.__name__}) says no more of it"
            )
            warnings.warn(text, category, stacklevel=4)
            _warned.add(category)


class _Ahead:
    """The memory as the pairs planned so far will leave it: their changes, over what there is.

    One search answers for all slots that no pair has changed; only the changed ones, at most as
    many as there are pairs, are compared anew with each query.
    """

    def __init__(
        self,
        queries: NDArray[np.float32],
        grids: NDArray[np.uint8],
        neighbors: Neighbors,
        config: MemoryConfig,
    ) -> None:
        self._queries, self._grids, self._neighbors = queries, grids, neighbors
        self._config = config
        self._hits = [neighbors.slots.tolist(), neighbors.cosines.tolist()]
        self._first: list[int] = [row[0] for row in self._hits[0]]
        self._similarities = neighbors.similarities  # to the first hits
        self._empty = iter(neighbors.empty)
        self._oldest: list[int] | None = None  # until one is evicted
        self._key_from: dict[int, int] = {}  # pair that last set a slot's key
        self._value_from: dict[int, int] = {}  # pair that last set a slot's value
        self._slot_of = np.full(len(queries), NO_SLOT)  # that each pair went to
        self._error = error_bound(queries.shape[1])
        self.new = queries.copy()  # key that each pair sets
        self._is_past = np.zeros(len(queries), np.bool_)  # whose key was set again by a later one
        # Of a block's queries by what earlier pairs have set in `new`; -inf where that is past.
        self._block, self._scores = slice(0), np.empty((0, 0), np.float32)
        self._highest: list[float] = []  # of each query's; once one was set again, looked for

    def _begin_block(self, start: int) -> None:
        """Compare the next queries with what earlier pairs have set, and with each other."""
        self._block = slice(start, min(start + BLOCK, len(self._queries)))
        self._scores = scores(self.new[: self._block.stop], self._queries[self._block])
        self._scores[:, self._is_past[: self._block.stop]] = -np.inf
        self._scores[:, start:][np.tri(len(self._scores), dtype=np.bool_).T] = -np.inf
        self._highest = self._scores.max(axis=1, initial=-np.inf).tolist()

    def nearest(self, b: int) -> int:
        """Used slot with the key most similar to query b, the lowest among equals; or NO_SLOT.

        Pairs are asked for in their order.
        """
        if b == self._block.stop:
            self._begin_block(b)
        slot, cosine = self._nearest_unchanged(b)
        row = b - self._block.start
        highest = self._highest[row] if self._highest else self._scores[row].max().item()
        if highest < cosine - 2 * self._error:
            return slot
        near = self._scores[row, :b] >= max(highest, cosine - self._error) - 2 * self._error
        pairs = near.nonzero()[0]
        for candidate, score in zip(
            self._slot_of[pairs].tolist(), cosines(self._queries[b], self.new[pairs]), strict=True
        ):
            if score > cosine or (score == cosine and candidate < slot):
                slot, cosine = candidate, float(score)
        return slot

    def nearest_and_similarity(self, b: int) -> tuple[int, float]:
        """As `nearest`, and the value similarity to it; nan if there is none."""
        if b == self._block.stop:
            self._begin_block(b)
        slot = self._first[b]
        if self._highest and slot not in self._key_from and slot != NO_SLOT:  # mostly
            cosine: float = self._hits[1][b][0]
            if self._highest[b - self._block.start] < cosine - 2 * self._error:
                return slot, self._similarities[b]
        slot = self.nearest(b)
        return slot, self.similarity(b, slot) if slot != NO_SLOT else np.nan

    def key(self, slot: int) -> NDArray[np.float32]:
        """(C,) key of a slot."""
        pair = self._key_from.get(slot)
        return self._neighbors.key(slot) if pair is None else self.new[pair]

    def similarity(self, b: int, slot: int) -> float:
        """Value similarity of pair b to a slot."""
        pair = self._value_from.get(slot)
        if pair is None and slot == self._first[b]:
            return self._similarities[b]
        value = self._neighbors.value(slot) if pair is None else self._grids[pair]
        config = self._config
        return paired_similarities(
            value[None], self._grids[b][None], config.resolution, config.value_similarity
        ).item()

    def next_slot(self) -> tuple[int, str]:
        """Where a new pair goes, and the kind of write."""
        if (slot := next(self._empty, None)) is not None:
            return slot, "insert"
        check_eviction(self._config)
        if self._oldest is None:
            self._oldest = list(self._neighbors.oldest)
        while self._oldest and self._oldest[0] in self._key_from:
            self._oldest.pop(0)
        if self._oldest:
            return self._oldest[0], "evict"
        return next(iter(self._key_from)), "evict"  # all were changed: it is the longest ago

    def put(self, b: int, slot: int) -> None:
        """Set key and value of a slot to those of pair b."""
        self._value_from[slot] = b
        self._change(b, slot)

    def put_key(self, b: int, slot: int, key: NDArray[np.float32]) -> None:
        """Set the key (C,) of a slot, as pair b does."""
        self.new[b] = key
        later = slice(b + 1, self._block.stop)
        self._scores[b + 1 - self._block.start :, b] = scores_of(key, self._queries[later])
        self._highest = []
        self._change(b, slot)

    def _change(self, b: int, slot: int) -> None:
        """Take note that pair b sets the key of a slot."""
        if (before := self._key_from.pop(slot, None)) is not None:
            self._scores[:, before], self._highest = -np.inf, []
            self._is_past[before] = True
        self._key_from[slot], self._slot_of[b] = b, slot  # last in order: the newest

    def _nearest_unchanged(self, b: int) -> tuple[int, float]:
        """As `nearest`, and the cosine, but among the slots that no pair has changed."""
        slots, cosines = self._hits[0][b], self._hits[1][b]
        for i, slot in enumerate(slots):
            if slot not in self._key_from:
                return slot, cosines[i]
        return self._neighbors.nearest_besides(b, [*self._key_from])


def _lowest_empty(used: NDArray[np.bool_], capacity: int, count: int) -> list[int]:
    """The lowest empty slots, ascending; all, or count."""
    rows = len(used)
    among: list[int] = []
    if np.count_nonzero(used) < rows:
        among = np.flatnonzero(~used)[:count].tolist()
    return [*among, *range(rows, min(capacity, rows + count - len(among)))]
