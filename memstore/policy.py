"""plan_writes: what each pair of a batch does to a memory. Decides, changes nothing."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from memstore.config import MemoryConfig
from memstore.cosine import cosines, error_bound, merge, scores, shortlist
from memstore.grids import value_similarity
from memstore.index import NO_SLOT, KeyIndex

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
    are no neighbours and are filled first; one tick of age per pair.
    """
    batch = len(queries)
    newest = int(touched.max(initial=0))  # a local clock: only its order counts here
    batch_slots, kinds = np.empty(batch, np.int64), np.empty(batch, "<U6")
    similarities = np.full(batch, np.nan)
    empty = np.flatnonzero(touched < 0)[:batch].tolist()
    neighbours = _Neighbours(queries, index, touched[: index.rows] >= 0)
    touched = touched.copy()
    value_from: dict[int, int] = {}  # pair that last set a slot's value

    for b in range(batch):
        slot = neighbours.nearest(b)
        if slot != NO_SLOT:
            value = grids[value_from[slot]] if slot in value_from else values[slot]
            similarities[b] = value_similarity(
                value[None], grids[b], config.resolution, config.value_similarity
            )[0]
        if similarities[b] >= config.delta:  # False for nan: nothing is known to an empty memory
            kinds[b] = "merge"
            neighbours.put(b, slot, merge(queries[b], neighbours.key(slot)))
        else:
            kinds[b] = "insert" if empty else "evict"
            slot = empty.pop(0) if empty else int(touched.argmin())  # lowest slot among equals
            neighbours.put(b, slot, queries[b])
            value_from[slot] = b
        batch_slots[b], touched[slot] = slot, newest + b + 1
    return Plan(batch_slots, kinds, similarities, neighbours.new)


class _Neighbours:
    """Nearest slots while a batch is planned: the index as it is, under the keys set since.

    One search answers for all slots that no pair has changed; only the changed ones, as many as
    there were pairs, are compared anew with each query.
    """

    def __init__(
        self, queries: NDArray[np.float32], index: KeyIndex, used: NDArray[np.bool_]
    ) -> None:
        self._queries, self._index, self._used = queries, index, used
        self._hits = index.search(queries, HITS, used)
        self._pair_of: dict[int, int] = {}  # pair that last set a slot's key
        self._slot_of = np.full(len(queries), NO_SLOT)  # inverse; NO_SLOT once it is set again
        self._scores = scores(queries, queries)  # of queries (rows) and of `new` (columns)
        self._error = error_bound(queries.shape[1])
        self.new = queries.copy()  # key that each pair sets

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
        """(C,) present key of a slot."""
        pair = self._pair_of.get(slot)
        key: NDArray[np.float32] = self._index.keys[slot] if pair is None else self.new[pair]
        return key

    def put(self, b: int, slot: int, key: NDArray[np.float32]) -> None:
        """Set the key (C,) of a slot, as pair b does."""
        if slot in self._pair_of:
            self._slot_of[self._pair_of[slot]] = NO_SLOT
        self._pair_of[slot], self._slot_of[b], self.new[b] = b, slot, key
        if key is not self._queries[b]:
            self._scores[:, b] = self._queries @ key

    def _nearest_unchanged(self, b: int) -> tuple[int, float]:
        """As `nearest`, and the cosine, but among the slots that no pair has changed."""
        for slot, cosine in zip(self._hits.slots[b].tolist(), self._hits.cosines[b], strict=True):
            if slot not in self._pair_of:
                return slot, float(cosine)
        unchanged = self._used.copy()
        unchanged[[slot for slot in self._pair_of if slot < len(unchanged)]] = False
        hits = self._index.search(self._queries[b : b + 1], 1, unchanged)
        return hits.slots.item(), hits.cosines.item()
