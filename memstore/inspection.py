"""Stats: how full a memory is, how old its slots are, what it costs."""

from dataclasses import dataclass

import numpy as np

from memstore.grids import unpack
from memstore.state import State

SAMPLE = 256  # grids unpacked at once


@dataclass(frozen=True, kw_only=True)
class Stats:
    """Facts about one memory; `dataclasses.asdict` of it is ready for JSON."""

    capacity: int
    used: int
    fill: float  # used / capacity
    key_dim: int
    resolution: int
    beta: float
    delta: float
    value_similarity: str
    clock: int  # pairs written since creation
    merges: int  # since creation, as the next three
    inserts: int
    evictions: int
    removals: int
    age_min: int | None  # None if no slot is used, as the next three
    age_median: float | None
    age_max: int | None
    mean_occupancy: float | None  # full voxels / voxels, over all used slots
    key_bytes: int  # RAM held by keys
    value_bytes: int  # RAM of the values of slots that have been used
    snapshot: str | None


def stats(state: State, snapshot: str | None) -> Stats:
    """Gather the facts; reads every value once."""
    config, used = state.config, state.used
    ages = state.clock - state.touched[used]
    full = sum(
        int(np.count_nonzero(unpack(state.values[used[i : i + SAMPLE]], config.resolution)))
        for i in range(0, len(used), SAMPLE)
    )
    return Stats(
        capacity=config.capacity,
        used=len(used),
        fill=len(used) / config.capacity,
        key_dim=config.key_dim,
        resolution=config.resolution,
        beta=config.beta,
        delta=config.delta,
        value_similarity=config.value_similarity,
        clock=state.clock,
        merges=state.counts["merge"],
        inserts=state.counts["insert"],
        evictions=state.counts["evict"],
        removals=state.counts["remove"],
        age_min=int(ages.min()) if len(used) else None,
        age_median=float(np.median(ages)) if len(used) else None,
        age_max=int(ages.max()) if len(used) else None,
        mean_occupancy=full / (len(used) * config.resolution**3) if len(used) else None,
        key_bytes=state.index.keys.nbytes,
        value_bytes=state.values[: state.index.rows].nbytes,
        snapshot=snapshot,
    )
