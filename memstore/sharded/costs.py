"""Costs: what one call sends over the wire, told before it is made; arrays alone, no envelopes."""

from dataclasses import dataclass
from math import ceil

import numpy as np

from memstore.config import MemoryConfig
from memstore.slots.policy import HITS
from memstore.slots.state import SOURCE_BYTES, column_types
from memstore.storage.schema import log_dtype
from memstore.voxels.grids import packed_shape

INT = FLOAT = 8  # bytes of an int64 or a float64
COSINE = 4
KIND = 24  # bytes of a kind of write, as numpy keeps it
SNAPSHOT = 27  # bytes of one in a manifest


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Bytes of arrays that pass between the driver and all shards together.

    An upper bound for `search`, `read` (every query has its k hits, no two the same) and `write`;
    what a write asks for besides is not in it: keys and values of slots that pairs are merged into
    (`merge_bytes` each), and a round for a pair whose nearest four slots have all been changed by
    pairs before it.
    """

    rounds_read: int  # of messages, one after the other; each goes to all shards at once
    rounds_write: int
    rounds_commit: int
    search_sent: int
    search_received: int
    read_sent: int
    read_received: int
    write_sent: int
    write_received: int
    merge_bytes: int
    commit_disk: int  # rows in the logs, not packed, and a manifest; folding a log takes more
    driver_bytes: int  # RAM of the driver
    shard_bytes: int  # RAM of a full shard, without what it derives for speed


def costs(config: MemoryConfig, shards: int, batch: int, k: int = 8) -> Costs:
    """What a batch costs.

    Args:
        config: of the whole memory.
        shards: S.
        batch: B, queries of a read, pairs of a write.
        k: most values per query.
    """
    key, value = 4 * config.key_dim, int(np.prod(packed_shape(config.resolution)))
    columns = sum(dtype.itemsize for dtype in column_types(config).values())
    entry = SOURCE_BYTES + columns
    hits = batch * min(k, config.capacity)
    search_sent = shards * batch * key
    search_received = shards * hits * (INT + COSINE)
    proposal = HITS * (INT + COSINE) + FLOAT + 2 * INT  # an old slot, or fewer bytes: an empty one
    pair = key + value + entry + 2 * INT + KIND + FLOAT  # slot, tick, kind, similarity
    return Costs(
        rounds_read=2,
        rounds_write=2,
        rounds_commit=1,
        search_sent=search_sent,
        search_received=search_received,
        read_sent=search_sent + hits * 2 * INT,
        read_received=search_received + hits * (value + entry),
        write_sent=shards * batch * (key + value) + batch * pair,
        write_received=shards * batch * proposal,
        merge_bytes=INT + key + value,
        commit_disk=batch * log_dtype(config).itemsize + shards * SNAPSHOT,
        driver_bytes=INT * config.capacity,
        shard_bytes=ceil(config.capacity / shards) * (key + value + entry + 2 * INT),
    )
