"""The nearest slot with a similar value, and the nearest without: what a triplet loss needs."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from memstore.grids import value_similarity
from memstore.index import NO_SLOT
from memstore.state import State

NEAR = 8  # slots whose values are compared first; mostly both kinds are among them


class Contrast(NamedTuple):
    """Per query: slots of the nearest keys by kind of value; equal cosines by lowest slot.

    Attributes:
        positive: (B,) int64, nearest slot with value similarity >= delta; -1 if there is none.
        negative: (B,) int64, nearest slot with value similarity < delta; -1 if there is none.
    """

    positive: NDArray[np.int64]
    negative: NDArray[np.int64]


def contrast(state: State, queries: NDArray[np.float32], grids: NDArray[np.uint8]) -> Contrast:
    """Find the nearest positive and negative slot of each pair; changes nothing.

    Args:
        state: of the memory.
        queries: (B, C) unit features.
        grids: (B, R, R, ceil(R / 8)) packed values.

    Source: Mem3D eq. 9; Kaiser et al. 2017 for the nearest of each kind.
    """
    found = Contrast(*np.full((2, len(queries)), NO_SLOT))
    used = state.used_rows
    hits = state.index.search(queries, NEAR, used)
    for b, row in enumerate(hits.slots):
        near = row[row != NO_SLOT]
        alike = _alike(state, near, grids[b])
        for kind, of_kind in ((found.positive, alike), (found.negative, ~alike)):
            if of_kind.any():
                kind[b] = near[of_kind.argmax()]
            elif len(near) == NEAR:  # else these were all the slots
                all_alike = _alike(state, slice(len(used)), grids[b])
                allowed = used & (all_alike if kind is found.positive else ~all_alike)
                kind[b] = state.index.search(queries[b : b + 1], 1, allowed).slots.item()
    return found


def _alike(
    state: State, slots: NDArray[np.int64] | slice, grid: NDArray[np.uint8]
) -> NDArray[np.bool_]:
    """(n,) which slots' values are similar to a packed grid."""
    config, values, full = state.config, state.values[slots], state.full[slots]
    similarity = value_similarity(values, grid, config.resolution, config.value_similarity, full)
    alike: NDArray[np.bool_] = similarity >= config.delta
    return alike
