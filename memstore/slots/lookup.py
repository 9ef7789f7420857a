"""Looking up in a state: priors of queries, and slots by how similar their values are.

Nothing here changes a state, but that a recall counts as a read.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from memstore.config import ValueSimilarity
from memstore.search.index import NO_SLOT
from memstore.slots.state import State
from memstore.voxels.grids import (
    block_voxels,
    similarity_bounds,
    unpack,
    value_similarities,
    value_similarity,
)

NEAR = 8  # slots whose values are compared first; mostly both kinds are among them
AT_ONCE = 16  # queries compared with all slots together; bounds the similarities held in RAM
BLOCK = 2**22  # bytes of values copied at a time


class Priors(NamedTuple):
    """Values recalled for B queries, most similar key first.

    Attributes:
        slots: (B, k) int64; -1 past the last prior.
        cosines: (B, k) float32; -inf past the last prior.
        values: (B, k, R, R, R) bool; False past the last prior.
        counts: (B,) int64 in [0, k], priors there are.
    """

    slots: NDArray[np.int64]
    cosines: NDArray[np.float32]
    values: NDArray[np.bool_]
    counts: NDArray[np.int64]


class Contrast(NamedTuple):
    """Per query: slots of the nearest keys by kind of value; equal cosines by lowest slot.

    Attributes:
        positive: (B,) int64, nearest slot with value similarity >= delta; -1 if there is none.
        negative: (B,) int64, nearest slot with value similarity < delta; -1 if there is none.
    """

    positive: NDArray[np.int64]
    negative: NDArray[np.int64]


def read(
    state: State,
    queries: NDArray[np.float32],
    k: int,
    beta: float,
    excluded: NDArray[np.bytes_] | None,
) -> Priors:
    """Recall at most k values per query, those whose keys have a cosine above beta.

    Args:
        state: of the memory.
        queries: (B, C) unit features.
        k: >= 1.
        beta: compared as float32, like the cosines.
        excluded: (B,) source whose slots are passed over.

    Source: Mem3D sec. 3.1, memory reader; k and the exclusion are ours.
    """
    allowed = state.used_rows
    if excluded is not None:
        allowed = np.repeat(allowed[None], len(excluded), axis=0)
        for mask, source in zip(allowed, excluded.tolist(), strict=True):
            mask[state.slots_from(source)] = False
    slots, cosines = state.index.search(queries, k, allowed, above=float(np.float32(beta)))
    is_prior = slots != NO_SLOT
    state.count_reads(slots[is_prior])
    packed = state.values[slots]  # past the last prior: the last slot's, blanked next
    if not is_prior.all():
        packed[~is_prior] = 0
    values = unpack(packed, state.config.resolution)
    return Priors(slots, cosines, values, is_prior.sum(axis=1))


def contrast(state: State, queries: NDArray[np.float32], grids: NDArray[np.uint8]) -> Contrast:
    """Find the nearest positive and negative slot of each pair.

    Args:
        state: of the memory.
        queries: (B, C) unit features.
        grids: (B, R, R, ceil(R / 8)) packed values.

    Source: Mem3D eq. 9; Kaiser et al. 2017 for the nearest of each kind.
    """
    nearest = Contrast(*np.full((2, len(queries)), NO_SLOT))
    used = state.used_rows
    hits = state.index.search(queries, NEAR, used)
    for b, row in enumerate(hits.slots):
        near = row[row != NO_SLOT]
        alike = _alike(state, near, grids[b : b + 1])[0]
        for slots, of_kind in ((nearest.positive, alike), (nearest.negative, ~alike)):
            if of_kind.any():
                slots[b] = near[of_kind.argmax()]
    if np.count_nonzero(used) > NEAR:  # else these were all the slots
        for slots in nearest:
            missing = np.flatnonzero(slots == NO_SLOT)
            for start in range(0, len(missing), AT_ONCE):
                batch = missing[start : start + AT_ONCE]
                alike = _alike_among_all(state, grids[batch])
                allowed = used & (alike if slots is nearest.positive else ~alike)
                slots[batch] = state.index.search(queries[batch], 1, allowed).slots[:, 0]
    return nearest


def similarities(
    state: State, slots: NDArray[np.int64], grid: NDArray[np.uint8], kind: ValueSimilarity
) -> NDArray[np.float64]:
    """(n,) value similarity of used slots (n,) to a packed grid (R, R, ceil(R / 8))."""
    similar = np.empty(len(slots))
    step = max(1, BLOCK // grid.size)
    for start in range(0, len(slots), step):
        block = slots[start : start + step]
        similar[start : start + step] = value_similarity(
            state.values[block], grid, state.config.resolution, kind, state.full[block]
        )
    return similar


def _alike_among_all(state: State, grids: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(B, rows) which slots' values are similar to packed grids, of all that have a row.

    Full voxels per block rule most of them out before any is compared bit by bit.
    """
    config, blocks, rows = state.config, state.blocks, len(state.blocks)
    kind, delta = config.value_similarity, config.delta
    alike = np.zeros((len(grids), rows), np.bool_)
    many = []
    for b, voxels in enumerate(block_voxels(grids)):
        bounds = similarity_bounds(blocks, voxels, config.resolution, kind, state.full[:rows])
        slots = np.flatnonzero(bounds >= delta)
        if len(slots) > rows // 2:
            many.append(b)  # a copy of so many values costs more than it spares
        else:
            alike[b, slots] = similarities(state, slots, grids[b], kind) >= delta
    if many:
        alike[many] = _alike(state, slice(rows), grids[many])
    return alike


def _alike(
    state: State, slots: NDArray[np.int64] | slice, grids: NDArray[np.uint8]
) -> NDArray[np.bool_]:
    """(B, n) which slots' values are similar to packed grids."""
    config, values, full = state.config, state.values[slots], state.full[slots]
    similar = value_similarities(values, grids, config.resolution, config.value_similarity, full)
    return np.asarray(similar >= config.delta)
