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

    The first pass is a matrix product over FAISS's own rows: its error has a proven bound, which an
    exact answer needs.
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
        """(rows, C) FAISS's own memory, to read; stale after the next `grow`."""
        keys = self.fill()
        keys.flags.writeable = False
        return keys

    def fill(self) -> NDArray[np.float32]:
        """(rows, C) as `keys`, to be written before the first search; later, see `put`."""
        if not self.rows:
            return np.empty((0, self._key_dim), np.float32)
        flat: NDArray[np.float32]
        flat = faiss.rev_swig_ptr(self._faiss.get_xb(), self.rows * self._key_dim)
        return flat.reshape(self.rows, self._key_dim)

    def grow(self, rows: int) -> None:
        """Make sure that slots [0, rows) have a row; new ones are zeros."""
        if rows > self.rows:
            self._faiss.add(np.zeros((rows - self.rows, self._key_dim), np.float32))

    def put(self, slots: NDArray[np.int64], keys: NDArray[np.float32]) -> None:
        """Set the keys (n, C), unit vectors or zeros, of distinct slots (n,)."""
        self.grow(int(slots.max(initial=-1)) + 1)
        self.fill()[slots] = keys

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
        allowed = np.broadcast_to(allowed, (len(queries), self.rows))
        keys = self.keys
        for start in range(0, len(queries), BATCH):
            batch = slice(start, start + BATCH)
            for b, near in enumerate(self._near(queries[batch], k, allowed[batch], above), start):
                found, found_cosines = cosine.best(queries[b], keys, near, k, above)
                slots[b, : len(found)], cosines[b, : len(found)] = found, found_cosines
        past = cosines <= above
        slots[past], cosines[past] = NO_SLOT, -np.inf
        return Hits(slots, cosines)

    def _near(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_], above: float
    ) -> list[NDArray[np.int64]]:
        """Per query slots, ascending, among which the k best allowed ones surely are."""
        scores = cosine.scores(queries, self.keys)
        scores[~allowed] = -np.inf
        error = cosine.error_bound(self._key_dim)
        return [cosine.shortlist(row, k, error, above) for row in scores]


def hamming(packed: NDArray[np.uint8], rows: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Bits that differ: (B, n) of packed bits (B, bytes) and (n, bytes), all contiguous.

    Five to ten times faster than np.bitwise_count where the bytes are whole 64-bit words.
    """
    if packed.shape[1] % 8:
        apart = [np.bitwise_count(row ^ rows).sum(axis=1, dtype=np.int32) for row in packed]
        return np.array(apart, np.int32).reshape(len(packed), len(rows))
    distances = np.empty((len(packed), len(rows)), np.int32)
    if distances.size:
        pointers = [faiss.swig_ptr(array) for array in (packed, rows, distances)]
        sizes = (len(packed), len(rows), packed.shape[1])
        faiss.hammings(*pointers[:2], *sizes, pointers[2])  # type: ignore[attr-defined]
    return distances
