"""KeyIndex: the keys of a memory, held by FAISS, and the exact search over them.

The only file that imports faiss. A FAISS id is always a slot.
"""

from typing import NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from memstore import cosine

NO_SLOT = -1
BATCH = 256  # queries scored at once; bounds the scores held in RAM


class Hits(NamedTuple):
    """Slots found for B queries, best first; among equal cosines the lowest slot first.

    Attributes:
        slots: (B, k) int64; -1 past the last hit.
        cosines: (B, k) float32 in [-1, 1]; -inf past the last hit.
    """

    slots: NDArray[np.int64]
    cosines: NDArray[np.float32]


class KeyIndex:
    """Unit keys in slots [0, rows), held once, inside a FAISS IndexFlatIP.

    The first pass is a matrix product over FAISS's own rows: for one thread it is faster than
    IndexFlatIP.search, and its error has a proven bound, which an exact answer needs.
    """

    def __init__(self, key_dim: int) -> None:
        self._key_dim = key_dim
        self._faiss = faiss.IndexFlatIP(key_dim)

    @property
    def rows(self) -> int:
        """Slots that have a row; an empty slot's row is zeros."""
        return int(self._faiss.ntotal)

    @property
    def keys(self) -> NDArray[np.float32]:
        """(rows, C) FAISS's own memory, to read and to write; stale after the next `grow`."""
        if not self.rows:
            return np.empty((0, self._key_dim), np.float32)
        flat: NDArray[np.float32]
        flat = faiss.rev_swig_ptr(self._faiss.get_xb(), self.rows * self._key_dim)
        return flat.reshape(self.rows, self._key_dim)

    def grow(self, rows: int) -> None:
        """Make sure that slots [0, rows) have a row; new ones are zeros."""
        if rows > self.rows:
            self._faiss.add(np.zeros((rows - self.rows, self._key_dim), np.float32))

    def scores(
        self, queries: NDArray[np.float32], allowed: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Scores (see cosine.py) of unit queries against all rows.

        Args:
            queries: (B, C) unit vectors.
            allowed: (rows,) or (B, rows) slots that may be found.
        Returns:
            (B, rows); -inf where not allowed.
        """
        found = cosine.scores(queries, self.keys)
        found[~np.broadcast_to(allowed, found.shape)] = -np.inf
        return found

    def nearest(
        self, query: NDArray[np.float32], scores: NDArray[np.float64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Slots and cosines of the k best for one query (C,), given its scores (rows,).

        Returns:
            Two arrays of at most k, best first, equal cosines by lowest slot.
        """
        slots = cosine.shortlist(scores, k)
        cosines = cosine.cosines(query, self.keys[slots])
        order = np.argsort(-cosines, kind="stable")[:k]
        return slots[order], cosines[order]

    def search(self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_]) -> Hits:
        """Find the k best allowed slots of each query; arguments as in `scores`."""
        slots = np.full((len(queries), k), NO_SLOT, np.int64)
        cosines = np.full((len(queries), k), -np.inf, np.float32)
        allowed = np.broadcast_to(allowed, (len(queries), self.rows))
        for start in range(0, len(queries), BATCH):
            batch = slice(start, start + BATCH)
            for b, scores in enumerate(self.scores(queries[batch], allowed[batch]), start):
                found, found_cosines = self.nearest(queries[b], scores, k)
                slots[b, : len(found)], cosines[b, : len(found)] = found, found_cosines
        return Hits(slots, cosines)
