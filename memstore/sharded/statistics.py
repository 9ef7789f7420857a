"""Statistics of a memory in shards: those of `slots/stats.py`, over what the shards tell."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memstore.files import disk_bytes
from memstore.search.index import KeyIndex
from memstore.sharded.driver import Driver
from memstore.sharded.messages import ShardFacts
from memstore.slots.state import SOURCE_BYTES, State, column_types
from memstore.slots.stats import SlotFacts, Stats, stats
from memstore.voxels.grids import packed_shape

Sources = Callable[[NDArray[np.int64]], Sequence[str]]


def gathered_stats(driver: Driver, sources_of: Sources) -> Stats:
    """The statistics, and RAM and disk of all shards together.

    Args:
        driver: of the shards.
        sources_of: some slots, to be named.
    """
    parts: list[ShardFacts] = driver.ask_all("facts")
    facts = stats(_state(driver, parts), driver.snapshot)
    listed = [*facts.most_read, *facts.least_read]
    slots = [fact.slot for fact in (*listed, *([facts.oldest] if facts.oldest else []))]
    sources = dict(zip(slots, sources_of(np.array(slots, np.int64)), strict=True))

    def named(fact: SlotFacts) -> SlotFacts:
        return replace(fact, source=sources[fact.slot])

    return replace(
        facts,
        oldest=None if facts.oldest is None else named(facts.oldest),
        most_read=tuple(map(named, facts.most_read)),
        least_read=tuple(map(named, facts.least_read)),
        key_bytes=sum(part.key_bytes for part in parts),
        value_bytes=sum(part.value_bytes for part in parts),
        bookkeeping_bytes=sum(part.bookkeeping_bytes for part in parts) + driver.touched.nbytes,
        disk_bytes=disk_bytes(Path(driver.manifests.path)),
    )


def _state(driver: Driver, parts: Sequence[ShardFacts]) -> State:
    """A state that has what statistics look at; neither keys nor values nor sources."""
    config, capacity = driver.config, driver.config.capacity
    reads, full = np.zeros(capacity, np.int64), np.zeros(capacity, np.int32)
    columns = {name: np.zeros(capacity, dtype) for name, dtype in column_types(config).items()}
    for part in parts:
        reads[part.slots], full[part.slots] = part.reads, part.full
        for name, column in columns.items():
            column[part.slots] = part.columns[name]
    values = np.zeros((0, *packed_shape(config.resolution)), np.uint8)
    sources = np.zeros(capacity, f"S{SOURCE_BYTES}")
    state = State(
        config, KeyIndex(config.key_dim), values, driver.touched, sources, reads, full, columns
    )
    state.clock, state.counts = driver.clock, driver.counts
    return state
