"""The nearest slot with a similar value, and the nearest without: what a triplet loss needs."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from memstore.cosine import MARGIN
from memstore.grids import value_similarity
from memstore.index import BATCH, NO_SLOT
from memstore.state import State

NEAR = 64  # slots whose values are compared first; mostly both kinds are among them


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
    for start in range(0, len(queries), BATCH):
        scores = state.index.scores(queries[start : start + BATCH], state.used_rows)
        for b, row in enumerate(scores, start):
            found.positive[b], found.negative[b] = _contrast_one(state, queries[b], grids[b], row)
    return found


def _contrast_one(
    state: State, query: NDArray[np.float32], grid: NDArray[np.uint8], scores: NDArray[np.float64]
) -> tuple[int, int]:
    """Nearest positive and negative slot of one pair, given its scores (rows,)."""
    config = state.config
    order = np.argsort(-scores)[: np.count_nonzero(scores > -np.inf)]
    for width in (NEAR, len(order)):
        near = order[:width]
        similarity = value_similarity(
            state.values[near], grid, config.resolution, config.value_similarity
        )
        kinds = near[similarity >= config.delta], near[similarity < config.delta]
        # No slot further down the order can be nearer than one that leads it by MARGIN.
        rest = scores[order[width]] if width < len(order) else -np.inf
        if all(scores[kind].max(initial=-np.inf) - MARGIN > rest for kind in kinds):
            break
    return _nearest(state, query, scores, kinds[0]), _nearest(state, query, scores, kinds[1])


def _nearest(
    state: State,
    query: NDArray[np.float32],
    scores: NDArray[np.float64],
    among: NDArray[np.int64],
) -> int:
    """Slot of the most similar key among some slots; NO_SLOT if there are none."""
    masked = np.full(len(scores), -np.inf)
    masked[among] = scores[among]
    slots, _ = state.index.nearest(query, masked, 1)
    return int(slots[0]) if len(slots) else NO_SLOT
