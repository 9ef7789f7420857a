"""Deal: which shard holds a slot, and in which row.

Slot g lies in shard g mod S, row g div S, so that within a shard the lowest row is the lowest slot.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from memstore.search.index import NO_SLOT


class Deal(NamedTuple):
    """How the slots of a memory are dealt to shards."""

    shards: int  # S
    capacity: int  # slots in all

    def rows_of(self, shard: int) -> int:
        """Slots that a shard holds."""
        return -(-(self.capacity - shard) // self.shards)

    def split(self, slots: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Each shard that holds any of slots (n,), and where in `slots` they are, ascending."""
        owners = slots % self.shards
        for shard in range(self.shards):
            places = np.flatnonzero(owners == shard)
            if len(places):
                yield shard, places


class Place(NamedTuple):
    """Where one shard stands among all."""

    shard: int
    shards: int

    def rows(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of those of slots (n,) that are here, in their order."""
        rows: NDArray[np.int64] = slots[slots % self.shards == self.shard] // self.shards
        return rows

    def slots(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Slots of rows, of any shape; NO_SLOT stays."""
        return np.where(rows == NO_SLOT, NO_SLOT, rows * self.shards + self.shard)
