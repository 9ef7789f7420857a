"""KeyIndex: the keys of a memory, held by FAISS, and the exact search over them.

A FAISS id is always a slot.
"""

from typing import NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from memstore.search import cosine
from memstore.search.rounded import WIDEST, RoundedKeys

NO_SLOT = -1
BATCH = 256  # queries at a time, and
CELLS = 2**24  # bounds at a time, of all queries and slots: 64 MB
FIRST = 16  # slots ranked beyond the k best, of those with the highest bounds
RANKED = 2**18  # numbers of keys ranked at a time: they stay in cache

# The numbers from here on weigh costs; no answer depends on them.
SCANS = 32  # queries before keys are rounded: a few scans cost less
FEW = 8  # part of the rows that is cheaper to rank than to scan


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

    A search bounds all cosines from above, by keys rounded to 8 bits (rounded.py) or by a matrix
    product over FAISS's own rows, and ranks the slots whose bound reaches the k-th best cosine of
    the first few. Searches may run in several threads, but not while keys change.
    """

    def __init__(self, key_dim: int) -> None:
        self._key_dim = key_dim
        self._faiss = faiss.IndexFlatIP(key_dim)
        self._keys: NDArray[np.float32] | None = None
        self._rounded: RoundedKeys | None = None
        self._scans = 0  # queries since the keys were to be rounded, all of them

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
        return self._rounded.nbytes if self._rounded else 0

    def fill(self) -> NDArray[np.float32]:
        """(rows, C) as `keys`, to write many rows at once; do so before the next search."""
        self._rounded = None
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
        if self._rounded is None:
            self._faiss_rows()[slots] = keys
            return
        self._rounded.forget(slots)  # first: after an interrupt no bound is to be too low
        self._faiss_rows()[slots] = keys
        self._rounded.put(slots, keys)

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
        hits = Hits(slots, cosines)
        step = max(1, min(BATCH, CELLS // max(self.rows, 1)))
        # Keys are finite: a flag of "invalid" is one that BLAS has raised beyond arrays' ends.
        with np.errstate(invalid="ignore"):
            for start in range(0, len(queries) if self.rows else 0, step):
                part = slice(start, start + step)
                masks = allowed if allowed.ndim == 1 else allowed[part]
                self._search(queries[part], k, masks, above, Hits(slots[part], cosines[part]))
        if (past := cosines <= above).any():
            slots[past], cosines[past] = NO_SLOT, -np.inf
        return hits

    def _search(
        self,
        queries: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.bool_],
        above: float,
        hits: Hits,
    ) -> None:
        """As `search`, of queries whose bounds fit in RAM; sets hits, which are none before."""
        rows, everywhere = self.rows, np.count_nonzero(allowed) == allowed.size
        masks = np.broadcast_to(allowed, (len(queries), rows))
        if not everywhere and np.count_nonzero(masks, axis=1).max() <= rows // FEW:
            for b, mask in enumerate(masks):
                self._rank_all(b, queries, np.flatnonzero(mask), k, above, hits)
            return
        rounded = self._present(len(queries))
        bounds = rounded.bounds(queries) if rounded else self._scan(queries)
        if not everywhere:
            bounds[~masks] = -np.inf
        least = self._rank_first(queries, bounds, k, above, hits)
        rest = np.flatnonzero(least > -np.inf)
        counts = np.count_nonzero(bounds[rest] >= least[rest, None], axis=1)
        if rounded and len(many := rest[counts > rows // FEW]):
            bounds[many] = self._scan(queries[many])
            if not everywhere:
                bounds[many] = np.where(masks[many], bounds[many], -np.inf)
        for b in rest.tolist():
            near = np.flatnonzero(bounds[b] >= least[b])
            self._rank_all(b, queries, near, k, above, hits)

    def _rank_first(
        self,
        queries: NDArray[np.float32],
        bounds: NDArray[np.float32],
        k: int,
        above: float,
        hits: Hits,
    ) -> NDArray[np.float32]:
        """Rank those of the highest bounds, and set hits of queries whose k best are among them.

        Returns:
            (B,) for the other queries a bound that all of the k best reach; -inf for these.
        """
        rows = bounds.shape[1]
        count = min(k + FIRST, rows)
        first = np.argpartition(bounds, rows - count, axis=1)[:, rows - count :]
        first.sort(axis=1)
        highest = np.take_along_axis(bounds, first, axis=1)
        least = np.full(len(queries), -np.inf, np.float32)
        step = max(1, RANKED // (count * self._key_dim))
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            order, cosines, kth = cosine.rank(
                queries[part], self.keys, first[part], highest[part] > -np.inf, min(k, count), above
            )
            best = np.take_along_axis(first[part], order[:, :k], axis=1)
            hits.slots[part, : best.shape[1]] = np.where(cosines[:, :k] > -np.inf, best, NO_SLOT)
            hits.cosines[part, : best.shape[1]] = cosines[:, :k]
            least[part] = np.maximum(kth, above)
        if count < rows:
            least[highest.min(axis=1) < least] = -np.inf
        else:
            least[:] = -np.inf
        return least

    def _rank_all(
        self,
        b: int,
        queries: NDArray[np.float32],
        slots: NDArray[np.int64],
        k: int,
        above: float,
        hits: Hits,
    ) -> None:
        """Set hits of query b to the k best of slots (n,), ascending."""
        best, cosines = cosine.best(queries[b], self.keys, slots, k, above)
        hits.slots[b, : len(best)], hits.cosines[b, : len(best)] = best, cosines

    def _scan(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, rows) that no cosine is above, and not far below: from a product over all keys."""
        scores = cosine.scores(queries, self.keys)
        scores += np.float32(cosine.error_bound(self._key_dim))
        return scores

    def _present(self, batch: int) -> RoundedKeys | None:
        """The keys rounded, once there have been queries enough."""
        self._scans += batch
        outdated = self._rounded is None or self._rounded.changes > self.rows
        if outdated and self._scans >= SCANS and self._key_dim <= WIDEST:
            self._scans = 0  # first: other threads need not do the same
            self._rounded = RoundedKeys(self.keys)
        return self._rounded


def _read_only(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """The array, of which only other views can be written."""
    array.flags.writeable = False
    return array
