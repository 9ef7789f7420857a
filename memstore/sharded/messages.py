"""What a driver and its shards tell each other. Slots are always those of the whole memory."""

# B = batch, C = channels, R = voxels per side, V = bytes of a packed value

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memstore.config import MemoryConfig
from memstore.files import Durability
from memstore.sharded.deal import Place
from memstore.slots.filters import Where


class Opening(NamedTuple):
    """What a shard is to hold."""

    path: str  # of its own folder
    mode: str
    snapshot: str  # of its own folder
    durability: Durability
    place: Place
    config: MemoryConfig  # of this shard


class Near(NamedTuple):
    """Nearest slots of B queries, as shards tell them: see `Hits`.

    Attributes:
        slots: (B, n); -1 past the last.
        cosines: (B, n) float32; -inf past the last.
    """

    slots: NDArray[np.int64]
    cosines: NDArray[np.float32]


class Query(NamedTuple):
    """What to search for, as KeyIndex and `allowed_slots` take it.

    Attributes:
        queries: (B, C) unit vectors.
        k: >= 1.
        above: slots whose cosine is not above it are not found.
        excluded: (B,) sources to pass over.
        among: (n,) slots, alone among which is searched.
        where: conditions on columns.
    """

    queries: NDArray[np.float32]
    k: int
    above: float = -2.0
    excluded: NDArray[np.bytes_] | None = None
    among: NDArray[np.int64] | None = None
    where: Where | None = None


class Values(NamedTuple):
    """What is recalled of slots (n,).

    Attributes:
        values: (n, R, R, ceil(R / 8)) packed.
        sources: (n,) UTF-8.
        columns: by name (n,) as they are stored.
    """

    values: NDArray[np.uint8]
    sources: NDArray[np.bytes_]
    columns: dict[str, NDArray[Any]]


class Nearest(NamedTuple):
    """The nearest slot of each kind of value, see `Contrast`: (B, 1) each."""

    positive: Near
    negative: Near


class Proposal(NamedTuple):
    """A shard's part of the neighbors of a batch.

    Attributes:
        hits: (B, HITS).
        similarities: (B,) value similarities to the first hit; any number if there is none.
        empty: (n,) lowest empty slots, ascending; B of them, or all.
        oldest: (n,) slots touched the longest ago, in that order; B of them, or all.
        touched: (n,) clock value of their last writes.
    """

    hits: Near
    similarities: NDArray[np.float64]
    empty: NDArray[np.int64]
    oldest: NDArray[np.int64]
    touched: NDArray[np.int64]


class ShardFacts(NamedTuple):
    """What a shard adds to the statistics, over its used rows (n,) where it says so.

    Attributes:
        slots: (n,).
        reads: (n,).
        full: (n,) full voxels.
        columns: (n,) each.
        key_bytes: RAM, as the next two; see Stats.
        value_bytes: of values.
        bookkeeping_bytes: of the rest.
    """

    slots: NDArray[np.int64]
    reads: NDArray[np.int64]
    full: NDArray[np.int32]
    columns: Mapping[str, NDArray[Any]]
    key_bytes: int
    value_bytes: int
    bookkeeping_bytes: int
