"""Merging of what shards answer: exact, as cosines and then slots order all answers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from memstore.config import MemoryConfig
from memstore.search.index import NO_SLOT
from memstore.sharded.deal import Deal
from memstore.sharded.messages import Near, Proposal, Values
from memstore.sharded.workers import Ask, each, some
from memstore.slots.policy import HITS, is_known
from memstore.slots.state import SOURCE_BYTES, column_types
from memstore.voxels.grids import packed_shape


def merge_hits(parts: Sequence[Near], k: int) -> Near:
    """The k best of what shards found, (B, n) each: highest cosine first, equal ones by slot."""
    slots = np.concatenate([part.slots for part in parts], axis=1)
    cosines = np.concatenate([part.cosines for part in parts], axis=1)
    order = np.lexsort((slots, -cosines), axis=1)[:, :k]
    best = Near(
        np.full((len(slots), k), NO_SLOT, np.int64), np.full((len(slots), k), -np.inf, np.float32)
    )
    best.slots[:, : order.shape[1]] = np.take_along_axis(slots, order, axis=1)
    best.cosines[:, : order.shape[1]] = np.take_along_axis(cosines, order, axis=1)
    return best


def place_values(
    config: MemoryConfig, places: Sequence[NDArray[np.int64]], parts: Sequence[Values]
) -> Values:
    """Values of n slots from several shards, and one more that is blank: as past the last prior.

    Args:
        config: of the memory.
        places: of each part (n_s,), where its rows stand in the whole.
        parts: of shards.
    """
    n = sum(map(len, places))
    whole = Values(
        np.zeros((n + 1, *packed_shape(config.resolution)), np.uint8),
        np.zeros(n + 1, f"S{SOURCE_BYTES}"),
        {name: np.zeros(n + 1, dtype) for name, dtype in column_types(config).items()},
    )
    for column in whole.columns.values():
        if column.dtype.kind == "f":
            column[-1] = np.nan
    for where, part in zip(places, parts, strict=True):
        whole.values[where], whole.sources[where] = part.values, part.sources
        for name, column in whole.columns.items():
            column[where] = part.columns[name]
    return whole


class Proposals:
    """Neighbors of the pairs of a batch, as all shards together have them: see `Neighbors`."""

    def __init__(
        self,
        queries: NDArray[np.float32],
        parts: Sequence[Proposal],
        deal: Deal,
        config: MemoryConfig,
        ask: Ask,
    ) -> None:
        """Merge what shards propose.

        Args:
            queries: (B, C) unit vectors.
            parts: of all shards, in order.
            deal: of slots to them.
            config: of the memory.
            ask: the shards, for what a plan needs besides.
        """
        self._queries, self._deal, self._ask = queries, deal, ask
        self._held: dict[int, tuple[NDArray[np.float32], NDArray[np.uint8]]] = {}
        self.slots, self.cosines = merge_hits([part.hits for part in parts], HITS)
        first = self.slots[:, 0]
        similar = np.stack([part.similarities for part in parts])
        similar = similar[first % deal.shards, np.arange(len(queries))]
        self.similarities: list[float] = similar.tolist()
        merges = [is_known(similarity, config) for similarity in self.similarities]
        self._likely = first[(first != NO_SLOT) & merges]  # to be asked for
        empty, oldest, touched = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("empty", "oldest", "touched")
        )
        self.empty: list[int] = np.sort(empty)[: len(queries)].tolist()
        self.oldest: list[int] = oldest[np.lexsort((oldest, touched))][: len(queries)].tolist()

    def key(self, slot: int) -> NDArray[np.float32]:
        """As Neighbors."""
        return self._of(slot)[0]

    def value(self, slot: int) -> NDArray[np.uint8]:
        """As Neighbors."""
        return self._of(slot)[1]

    def nearest_besides(self, b: int, slots: Sequence[int]) -> tuple[int, float]:
        """As Neighbors: one more round, of one query."""
        besides = np.array(slots, np.int64)
        args = self._queries[b : b + 1], besides
        best = merge_hits(self._ask(each(self._deal.shards, "nearest_besides", *args)), 1)
        return best.slots.item(), best.cosines.item()

    def _of(self, slot: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Key and value of a used slot; asked for with those that are likely to be wanted."""
        if slot not in self._held:
            slots = np.unique(np.append(self._likely, slot))
            self._likely = self._likely[:0]
            split = list(self._deal.split(slots))
            parts = self._ask(some("held", {shard: (slots[where],) for shard, where in split}))
            for (_, where), (keys, values) in zip(split, parts, strict=True):
                rows = zip(keys, values, strict=True)
                self._held |= dict(zip(slots[where].tolist(), rows, strict=True))
        return self._held[slot]
