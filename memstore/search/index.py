"""KeyIndex: the keys of a memory, held by FAISS, and the exact search over them.

A FAISS id is always a slot.
"""

from typing import NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from memstore.search import cosine
from memstore.search.pruning import FEW, PrunedScan

NO_SLOT = -1
BATCH = 256  # queries scored at once; bounds the scores held in RAM


class Hits(NamedTuple):
    """Nearest slots of B queries, best first; among equal cosines the lowest slot first.

    Attributes:
        slots: (B, k) int64; -1 past the last hit.
        cosines: (B, k) float32 in [-1, 1]; -inf past the last hit.
    """

    slots: NDArray[np.int64]
    cosines: NDArray[np.float32]


class KeyIndex:
    """Unit keys in slots [0, rows), held once, inside a FAISS IndexFlatIP.

    A search first chooses slots among which the answer surely is, then ranks them by cosine. It
    chooses by a sketch (pruning.py) where that proves enough slots to be too far, and otherwise by
    a scan: a matrix product over FAISS's own rows, whose error has a proven bound. Both give the
    same answer. Searches may run in several threads, but not while keys change.
    """

    def __init__(self, key_dim: int) -> None:
        self._key_dim = key_dim
        self._faiss = faiss.IndexFlatIP(key_dim)
        self._keys: NDArray[np.float32] | None = None
        self._pruned = PrunedScan()

    @property
    def rows(self) -> int:
        """Slots that have a row; an empty slot's row is zeros."""
        return int(self._faiss.ntotal)

    @property
    def keys(self) -> NDArray[np.float32]:
        """(rows, C) FAISS's own memory, to read; stale after the next `grow`."""
        if (keys := self._keys) is None:
            keys = self._keys = _read_only(self._faiss_rows())
        return keys

    @property
    def derived_bytes(self) -> int:
        """Bytes of RAM of what follows from the keys."""
        return self._pruned.nbytes

    def fill(self) -> NDArray[np.float32]:
        """(rows, C) as `keys`, to write many rows at once; do so before the next search."""
        self._pruned.drop()
        return self._faiss_rows()

    def _faiss_rows(self) -> NDArray[np.float32]:
        """(rows, C) FAISS's own memory."""
        if not (rows := self.rows):
            return np.empty((0, self._key_dim), np.float32)
        flat: NDArray[np.float32]
        flat = faiss.rev_swig_ptr(self._faiss.get_xb(), rows * self._key_dim)
        return flat.reshape(rows, self._key_dim)

    def grow(self, rows: int) -> None:
        """Make sure that slots [0, rows) have a row; new ones are zeros."""
        if rows > self.rows:
            self._keys = None  # first: after an interrupt nobody is to read what FAISS has freed
            # At once, so that FAISS reserves no more than that; the zeros take no RAM.
            self._faiss.add(np.zeros((rows - self.rows, self._key_dim), np.float32))

    def put(self, slots: NDArray[np.int64], keys: NDArray[np.float32]) -> None:
        """Set the keys (n, C), unit vectors or zeros, of distinct slots (n,)."""
        self.grow(int(slots.max(initial=-1)) + 1)
        self._pruned.mark(slots)  # first: after an interrupt no bound is to be too low
        self._faiss_rows()[slots] = keys

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.bool_],
        above: float = -2.0,
    ) -> Hits:
        """Find the k best allowed slots of each query.

        Args:
            queries: (B, C) unit vectors.
            k: >= 1.
            allowed: (rows,) or (B, rows) slots that may be found.
            above: slots whose cosine is not above it are not found.
        """
        slots = np.full((len(queries), k), NO_SLOT, np.int64)
        cosines = np.full((len(queries), k), -np.inf, np.float32)
        keys = self.keys
        for start in range(0, len(queries), BATCH):
            batch = slice(start, start + BATCH)
            part = allowed if allowed.ndim == 1 else allowed[batch]
            for b, near in enumerate(self._near(queries[batch], k, part, above), start):
                best, best_cosines = cosine.best(queries[b], keys, near, k, above)
                slots[b, : len(best)], cosines[b, : len(best)] = best, best_cosines
        if (past := cosines <= above).any():
            slots[past], cosines[past] = NO_SLOT, -np.inf
        return Hits(slots, cosines)

    def _near(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_], above: float
    ) -> list[NDArray[np.int64]]:
        """Per query slots, ascending, among which the k best allowed ones surely are."""
        keys = self.keys
        everywhere = np.count_nonzero(allowed) == allowed.size
        if not everywhere:
            masks = np.broadcast_to(allowed, (len(queries), len(keys)))
            if masks.sum(axis=1).max() <= len(keys) // FEW:
                return [np.flatnonzero(mask) for mask in masks]
        near = self._pruned.near(keys, queries, k, None if everywhere else allowed, above)
        if scans := [b for b, slots in enumerate(near) if slots is None]:
            batch = queries if len(scans) == len(queries) else queries[scans]
            error = cosine.error_bound(self._key_dim)
            for b, row in zip(scans, cosine.scores(batch, keys), strict=True):
                if not everywhere:
                    row[~masks[b]] = -np.inf
                near[b] = cosine.shortlist(row, k, error, above)
        return [slots for slots in near if slots is not None]


def _read_only(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """The array, of which only other views can be written."""
    array.flags.writeable = False
    return array
