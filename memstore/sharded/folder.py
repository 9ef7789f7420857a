"""Making the folder of a memory in shards, and one in one piece from it."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memstore.config import MemoryConfig
from memstore.files import Durability, made_beside
from memstore.sharded.deal import Deal, Place
from memstore.sharded.manifest import Manifest, Manifests, shard_config, shard_folder
from memstore.slots.state import COUNTS, Rows, State
from memstore.storage import repository

ROWS = 1024  # rows that travel at a time


def make_empty(path: Path, config: MemoryConfig, shards: int, durability: Durability) -> str:
    """Make a folder of empty shards, beside the path, then renamed; id of its commit."""
    deal = Deal(shards, config.capacity)
    states = (State.empty(shard_config(config, deal, shard)) for shard in range(shards))
    counts = dict.fromkeys(COUNTS, 0)
    return _make(path, config, states, 0, counts, "create", durability)


def make_dealt(path: Path, whole: State, shards: int) -> str:
    """As `make_empty`, with the rows, the clock and the counts of a memory in one piece."""
    deal = Deal(shards, whole.config.capacity)
    states = (_dealt(whole, deal, shard) for shard in range(shards))
    return _make(path, whole.config, states, whole.clock, whole.counts, "deal", "full")


def make_whole(
    path: Path,
    config: MemoryConfig,
    slots: NDArray[np.int64],
    rows_of: Callable[[NDArray[np.int64]], Rows],
    clock: int,
    counts: dict[str, int],
) -> None:
    """Make the folder of a memory in one piece.

    Args:
        path: where nothing is yet.
        config: of the memory.
        slots: (n,) used ones.
        rows_of: gives their rows, some at a time.
        clock: pairs written since creation.
        counts: of writes and removals since creation.
    """
    state = State.empty(config)
    for part in np.array_split(slots, len(slots) // ROWS + 1):
        state.put(rows_of(part))
    state.clock, state.counts = clock, counts
    repository.create(path, state, "copy")


def _dealt(whole: State, deal: Deal, shard: int) -> State:
    """What a shard gets of a memory in one piece."""
    place, used = Place(shard, deal.shards), whole.used
    slots = used[used % deal.shards == shard]
    state = State.empty(shard_config(whole.config, deal, shard))
    state.put(whole.rows(slots)._replace(slots=place.rows(slots)))
    state.clock, state.counts = whole.clock, dict(whole.counts)
    return state


def _make(
    path: Path,
    config: MemoryConfig,
    states: Iterable[State],
    clock: int,
    counts: dict[str, int],
    message: str,
    durability: Durability,
) -> str:
    """As make_empty."""
    with made_beside(path, durability) as beside:
        for folder in ("commits", "tags"):
            (beside / folder).mkdir(parents=True)
        snapshots = tuple(
            repository.create(shard_folder(beside, shard), state, message, durability)
            for shard, state in enumerate(states)
        )
        now = int(time.time() * 1e6)
        manifest = Manifest(None, message, now, config, clock, counts, snapshots)
        return Manifests(beside, is_new=True).write(manifest)
