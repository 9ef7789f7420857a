"""plan_writes: what each pair of a batch does to a memory. Decides, changes nothing."""

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from memstore.config import MemoryConfig
from memstore.cosine import cosines, merge, scores, shortlist
from memstore.grids import value_similarity

Scalar = TypeVar("Scalar", np.float32, np.uint8)


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
    slot_scores: NDArray[np.float64],
    keys: NDArray[np.float32],
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
        slot_scores: (B, rows) `cosine.scores` of the present keys; -inf at empty slots.
        keys: (rows, C) present keys; slots from `rows` on are empty.
        values: (capacity, R, R, ceil(R / 8)) present packed values.
        touched: (capacity,) clock value of each slot's last write; -1 if empty.
        config: of the memory.

    Source: Mem3D sec. 3.1, memory writer, eq. 4-8. Ours: ties go to the lowest slot; empty slots
    are no neighbours and are filled first; one tick of age per pair.
    """
    batch = len(queries)
    newest = int(touched.max(initial=0))  # a local clock: only its order counts here
    batch_slots, kinds = np.empty(batch, np.int64), np.empty(batch, "<U6")
    similarities, new = np.full(batch, np.nan), np.empty_like(queries)
    empty = np.flatnonzero(touched < 0)[:batch].tolist()
    touched = touched.copy()
    # Changes made by earlier pairs lie over the arrays: the pair that last set a slot's key or
    # value, -1 if none did.
    width = max([len(keys), *(slot + 1 for slot in empty)])
    key_from, value_from = np.full(width, -1), np.full(width, -1)
    now = np.pad(slot_scores, ((0, 0), (0, width - len(keys))), constant_values=-np.inf)

    for b in range(batch):
        near = shortlist(now[b], 1)
        if len(near):
            near_keys = _overlaid(keys, new, key_from[near], near)
            best = int(cosines(queries[b], near_keys).argmax())  # lowest slot among equals
            slot = int(near[best])
            value = _overlaid(values, grids, value_from[slot : slot + 1], near[best : best + 1])
            similarities[b] = _similarity(value, grids[b], config)
        if similarities[b] >= config.delta:  # False for nan: nothing is known to an empty memory
            kinds[b], new[b] = "merge", merge(queries[b], near_keys[best])
        else:
            kinds[b], new[b] = ("insert" if empty else "evict"), queries[b]
            slot = empty.pop(0) if empty else int(touched.argmin())  # lowest slot among equals
            value_from[slot] = b
        batch_slots[b] = slot
        key_from[slot] = b
        touched[slot] = newest + b + 1
        now[b + 1 :, slot] = scores(queries[b + 1 :], new[b : b + 1])[:, 0]
    return Plan(batch_slots, kinds, similarities, new)


def _similarity(value: NDArray[np.uint8], grid: NDArray[np.uint8], config: MemoryConfig) -> float:
    """Value similarity of one packed value, (1, R, R, W), and one packed grid."""
    return float(value_similarity(value, grid, config.resolution, config.value_similarity)[0])


def _overlaid(
    stored: NDArray[Scalar],
    batch: NDArray[Scalar],
    pairs: NDArray[np.int64],
    slots: NDArray[np.int64],
) -> NDArray[Scalar]:
    """Rows of `stored` at the slots, or of `batch` where a pair (>= 0) has changed the slot."""
    rows = np.empty((len(slots), *stored.shape[1:]), stored.dtype)
    kept = pairs < 0
    rows[kept] = stored[slots[kept]]
    rows[~kept] = batch[pairs[~kept]]
    return rows
