"""read: the values whose keys are near a query."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from memstore.grids import unpack
from memstore.index import NO_SLOT
from memstore.state import State


class Priors(NamedTuple):
    """Values recalled for B queries, most similar key first.

    Attributes:
        slots: (B, k) int64; -1 past the last prior.
        cosines: (B, k) float32; -inf past the last prior.
        values: (B, k, R, R, R) bool; False past the last prior.
        counts: (B,) int64 in [0, k], priors found.
    """

    slots: NDArray[np.int64]
    cosines: NDArray[np.float32]
    values: NDArray[np.bool_]
    counts: NDArray[np.int64]


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
        allowed = allowed & (state.sources[: len(allowed)] != excluded[:, None])
    slots, cosines = state.index.search(queries, k, allowed, above=float(np.float32(beta)))
    found = slots != NO_SLOT
    state.count_reads(slots[found])
    packed = state.values[slots]  # past the last prior: the last slot's, blanked next
    if not found.all():
        packed[~found] = 0
    values = unpack(packed, state.config.resolution)
    return Priors(slots, cosines, values, found.sum(axis=1))
