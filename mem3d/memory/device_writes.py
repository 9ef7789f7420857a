"""The memory's write rule from products alone: what a working copy on a GPU does with a batch.

memstore decides with the keys themselves, one pair after the other; here the cosines and value
similarities of a whole batch are there at once, and what the pairs change among them is worked out.
"""

# B = batch, N = rows up to the last used slot

from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

EMPTY = -1  # `touched` of an empty slot


class Plan(NamedTuple):
    """What the pairs of a batch do, as `memstore`'s policy would have it.

    Attributes:
        slots: (B,) slot that each pair goes to.
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


def planned(
    cosines: NDArray[np.float32],
    similarities: NDArray[np.float64],
    own_cosines: NDArray[np.float32],
    own_similarities: NDArray[np.float64],
    alive: NDArray[np.bool_],
    touched: NDArray[np.int64],
    clock: int,
    delta: float,
) -> Plan:
    """Where each pair of a batch goes, as if one by one, from products alone.

    A merged key is a mixture of known ones, so its cosine with any query is one of known cosines.

    Args:
        cosines: (B, N) of pairs and rows, -inf at empty slots.
        similarities: (B, N) value similarities.
        own_cosines: (B, B) among the pairs.
        own_similarities: (B, B).
        alive: (B,) pairs that are written at all.
        touched: (capacity,) clock of each slot's last write, -1 if empty; changed as planned.
        clock: pairs written so far.
        delta: as `memstore.MemoryConfig`.

    Source: as `memstore.slots.policy.plan_writes`.
    """
    pairs = np.flatnonzero(alive)
    columns = min(len(touched), cosines.shape[1] + len(pairs))
    near = np.full((len(alive), columns), -np.inf)
    near[:, : cosines.shape[1]] = cosines
    alike = np.zeros((len(alive), columns))
    alike[:, : cosines.shape[1]] = similarities
    slots, kinds, found = [], [], []
    mixtures: dict[int, NDArray[np.float64]] = {}
    values: dict[int, int] = {}
    for written, pair in enumerate(pairs.tolist(), 1):
        slot = int(near[pair].argmax())
        cosine = near[pair, slot]
        similarity = alike[pair, slot] if cosine > -np.inf else np.nan
        if similarity >= delta:
            kind, old = "merge", mixtures.get(slot)
            if old is None:
                old = np.zeros(1 + len(alive))
                old[0] = 1
            norm = sqrt(max(0.0, 2 + 2 * cosine))
            if norm > 1e-6:
                mixtures[slot] = old / norm
                mixtures[slot][1 + pair] += 1 / norm
                near[:, slot] = (near[:, slot] + own_cosines[:, pair]) / norm
            else:  # the sum is zero: the query itself
                mixtures[slot] = _alone(pair, len(alive))
                near[:, slot] = own_cosines[:, pair]
        else:
            slot = int(touched.argmin())  # empty ones are -1; the lowest slot among equals
            kind = "insert" if touched[slot] == EMPTY else "evict"
            mixtures[slot], values[slot] = _alone(pair, len(alive)), pair
            near[:, slot], alike[:, slot] = own_cosines[:, pair], own_similarities[:, pair]
        touched[slot] = clock + written
        slots.append(slot)
        kinds.append(kind)
        found.append(similarity)
    return Plan(
        np.array(slots, np.int64), np.array(kinds, "<U6"), np.array(found), mixtures, values
    )


def _alone(pair: int, pairs: int) -> NDArray[np.float64]:
    """(1 + B,) weights of a key that is one of the batch's."""
    weights = np.zeros(1 + pairs)
    weights[1 + pair] = 1
    return weights
