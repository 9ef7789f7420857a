"""Shortcut: rule most slots out by a sketch, where that has paid or is about to."""

from threading import Lock

import numpy as np
from numpy.typing import NDArray

from memstore.cosine import error_bound, scores
from memstore.sketch import Sketch

# All numbers here weigh costs; no answer depends on them.
LEAST = 2**22  # numbers in all keys: a scan of fewer costs no more than a look
SHARE = 8  # a sketch has at most this part of the keys' numbers
WIDEST = 256  # most directions
FEW = 8  # part of the rows that is cheaper to rank than a scan
LONE = 6  # a scan for one query costs as much as one for six: it waits for the keys' bytes
LONGEST = 10  # doublings of the pause after useless looks


class Shortcut:
    """A sketch of keys that change, made once the scans so far have cost as much as making it.

    Searches in several threads never wait: while one makes a sketch, the others scan.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self.drop()

    def drop(self) -> None:
        """Forget the sketch: keys change without a `mark`."""
        self._sketch: Sketch | None = None
        self._stale: list[NDArray[np.int64]] = []  # slots set since the sketch followed
        self._changed = 0  # keys set since the directions were chosen
        self._spent = 0  # multiplications in scans since then
        self._misses = 0  # looks in a row of little use
        self._pause = 0  # queries to go before the next look

    @property
    def nbytes(self) -> int:
        """Bytes of RAM."""
        return self._sketch.nbytes if self._sketch else 0

    def mark(self, slots: NDArray[np.int64]) -> None:
        """Take note that the keys of slots (n,) have changed."""
        self._changed += len(slots)
        self._stale.append(slots)

    def near(
        self,
        keys: NDArray[np.float32],
        queries: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.bool_],
        above: float,
    ) -> list[NDArray[np.int64] | None]:
        """Find per query slots, ascending, among which the k best allowed ones surely are.

        Args:
            keys: (rows, C) unit vectors.
            queries: (B, C) unit vectors.
            k: >= 1.
            allowed: (rows,) or (B, rows) slots that may be found.
            above: a slot whose cosine is not above it may be left out.
        Returns:
            One entry per query; None calls for a scan.
        """
        sketch = self._present(keys, len(queries))
        if sketch is None:
            self._spent += keys.size * max(LONE, len(queries))
            return [None] * len(queries)
        bounds = sketch.bounds(queries)
        if not allowed.all():
            bounds[np.broadcast_to(~allowed, bounds.shape)] = -np.inf
        found = [
            _ruled_in(keys, query, row, sketch.slack, k, above)
            for query, row in zip(queries, bounds, strict=True)
        ]
        misses = sum(slots is None for slots in found)
        self._spent += keys.size * misses
        self._misses = min(self._misses + 1, LONGEST) if 2 * misses > len(found) else 0
        self._pause = len(found) * 2**self._misses if self._misses else 0
        return found

    def _present(self, keys: NDArray[np.float32], batch: int) -> Sketch | None:
        """The sketch of the present keys, if it is worth a look."""
        if keys.size < LEAST:
            return None
        if self._pause > 0:
            self._pause -= batch
            return None
        width = min(WIDEST, keys.size // (SHARE * sum(keys.shape)))
        price = 2 * width * keys.shape[1] * (len(keys) + 9 * width)
        outdated = self._sketch is None or 2 * self._changed > len(keys)
        make = outdated and self._spent >= price and width > 0
        if not make and (self._sketch is None or not self._stale):
            return self._sketch
        if not self._lock.acquire(blocking=False):
            return None
        try:
            self._catch_up(keys, width if make else 0)
        finally:
            self._lock.release()
        return self._sketch

    def _catch_up(self, keys: NDArray[np.float32], width: int) -> None:
        """Make a new sketch if the width is not 0; else follow the changes since the last look."""
        if width:
            sketch = Sketch(keys, width)
            self.drop()
            self._sketch = sketch
        elif self._sketch is not None and self._stale:
            self._sketch.refresh(keys, np.unique(np.concatenate(self._stale)))
            self._stale = []


def _ruled_in(
    keys: NDArray[np.float32],
    query: NDArray[np.float32],
    bounds: NDArray[np.float32],
    slack: float,
    k: int,
    above: float,
) -> NDArray[np.int64] | None:
    """Slots, ascending, that the bounds (rows,) of one query leave; None if they are many."""
    rows = len(bounds)
    best = np.argpartition(bounds, -k)[-k:] if k < rows else np.arange(rows)
    kth = -np.inf
    if k <= rows and bounds[best].min() > -np.inf:
        # The k-th best cosine is no lower than the lowest of any k.
        kth = float(scores(query[None], keys[best]).min()) - error_bound(len(query))
    near = np.flatnonzero(bounds >= max(kth, above) - slack)
    return near if len(near) <= rows // FEW else None
