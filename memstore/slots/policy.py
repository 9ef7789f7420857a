"""plan_writes: what each pair of a batch does to a memory. Decides, changes nothing."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from memstore.config import MemoryConfig
from memstore.search.cosine import cosines, error_bound, merge, shortlist
from memstore.search.index import NO_SLOT, KeyIndex
from memstore.voxels.grids import value_similarity

HITS = 4  # slots looked up per pair: were all of them changed by earlier pairs, look again


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


def plan_writes(
    queries: NDArray[np.float32],
    grids: NDArray[np.uint8],
    index: KeyIndex,
    values: NDArray[np.uint8],
    touched: NDArray[np.int64],
    config: MemoryConfig,
) -> Plan:
    """Decide where each pair of a batch goes, exactly as if they were written one by one.

    A pair whose value is known (value similarity >= delta to the slot with the most similar key)
    is merged there; any other pair goes to the lowest empty slot, or else to the oldest slot.

    Args:
        queries: (B, C) unit features.
        grids: (B, R, R, ceil(R / 8)) packed values.
        index: of the present keys; slots from `index.rows` on are empty.
        values: (capacity, R, R, ceil(R / 8)) present packed values.
        touched: (capacity,) clock value of each slot's last write; -1 if empty.
        config: of the memory.

    Source: Mem3D sec. 3.1, memory writer, eq. 4-8. Ours: ties go to the lowest slot; empty slots
    are no neighbors and are filled first; one tick of age per pair.
    """
    ahead = _Ahead(queries, grids, index, values, touched)
    slots, kinds = np.empty(len(queries), np.int64), np.empty(len(queries), "<U6")
    similarities = np.full(len(queries), np.nan)
    for b, query in enumerate(queries):
        slot, key = ahead.nearest(b), query
        if slot != NO_SLOT:
            similarities[b] = _similarity(ahead.value(slot), grids[b], config)
        if similarities[b] >= config.delta:  # False for nan: to an empty memory all is new
            kinds[b], key = "merge", merge(query, ahead.key(slot))
        else:
            slot, kinds[b] = ahead.next_slot()
            ahead.put_value(b, slot)
        ahead.put_key(b, slot, key)
        slots[b] = slot
    return Plan(slots, kinds, similarities, ahead.new)


def _similarity(value: NDArray[np.uint8], grid: NDArray[np.uint8], config: MemoryConfig) -> float:
    """Value similarity of two packed grids."""
    kind = config.value_similarity
    return float(value_similarity(value[None], grid, config.resolution, kind)[0])


class _Ahead:
    """The memory as the pairs planned so far will leave it: their changes, over what there is.

    One search answers for all slots that no pair has changed; only the changed ones, at most as
    many as there are pairs, are compared anew with each query.
    """

    def __init__(
        self,
        queries: NDArray[np.float32],
        grids: NDArray[np.uint8],
        index: KeyIndex,
        values: NDArray[np.uint8],
        touched: NDArray[np.int64],
    ) -> None:
        self._queries, self._grids, self._index, self._values = queries, grids, index, values
        self._used = touched[: index.rows] >= 0
        self._hits = index.search(queries, HITS, self._used)
        self._empty = np.flatnonzero(touched < 0)[: len(queries)].tolist()
        self._touched = touched.copy()
        self._newest = int(touched.max(initial=0)) + 1  # a local clock: only its order counts
        self._key_from: dict[int, int] = {}  # pair that last set a slot's key
        self._value_from: dict[int, int] = {}  # pair that last set a slot's value
        self._slot_of = np.full(len(queries), NO_SLOT)  # of `_key_from`; NO_SLOT if set again
        self._scores = np.empty((len(queries), len(queries)), np.float32)  # queries by `new`
        self._error = error_bound(queries.shape[1])
        self.new = np.empty_like(queries)  # key that each pair sets

    def nearest(self, b: int) -> int:
        """Used slot with the key most similar to query b, the lowest among equals; or NO_SLOT."""
        slot, cosine = self._nearest_unchanged(b)
        pairs = np.flatnonzero(self._slot_of != NO_SLOT)
        scored = self._scores[b, pairs]
        pairs = pairs[shortlist(scored, 1, self._error, cosine - 2 * self._error)]
        for changed, other in zip(
            self._slot_of[pairs].tolist(), cosines(self._queries[b], self.new[pairs]), strict=True
        ):
            if other > cosine or (other == cosine and changed < slot):
                slot, cosine = changed, float(other)
        return slot

    def key(self, slot: int) -> NDArray[np.float32]:
        """(C,) key of a slot."""
        pair = self._key_from.get(slot)
        key: NDArray[np.float32] = self._index.keys[slot] if pair is None else self.new[pair]
        return key

    def value(self, slot: int) -> NDArray[np.uint8]:
        """(R, R, ceil(R / 8)) packed value of a slot."""
        pair = self._value_from.get(slot)
        value: NDArray[np.uint8] = self._values[slot] if pair is None else self._grids[pair]
        return value

    def next_slot(self) -> tuple[int, str]:
        """Where a new pair goes, and the kind of write."""
        if self._empty:
            return self._empty.pop(0), "insert"
        return int(self._touched.argmin()), "evict"  # lowest slot among equals

    def put_key(self, b: int, slot: int, key: NDArray[np.float32]) -> None:
        """Set the key (C,) of a slot, as pair b does."""
        if slot in self._key_from:
            self._slot_of[self._key_from[slot]] = NO_SLOT
        self._key_from[slot], self._slot_of[b], self.new[b] = b, slot, key
        self._touched[slot] = self._newest + b
        self._scores[b + 1 :, b] = self._queries[b + 1 :] @ key

    def put_value(self, b: int, slot: int) -> None:
        """Set the value of a slot to that of pair b."""
        self._value_from[slot] = b

    def _nearest_unchanged(self, b: int) -> tuple[int, float]:
        """As `nearest`, and the cosine, but among the slots that no pair has changed."""
        for slot, cosine in zip(self._hits.slots[b].tolist(), self._hits.cosines[b], strict=True):
            if slot not in self._key_from:
                return slot, float(cosine)
        unchanged = self._used.copy()
        unchanged[[slot for slot in self._key_from if slot < len(unchanged)]] = False
        hits = self._index.search(self._queries[b : b + 1], 1, unchanged)
        return hits.slots.item(), hits.cosines.item()
