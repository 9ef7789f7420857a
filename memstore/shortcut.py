"""Shortcut: rule most slots out by a sketch, where that has paid or is about to."""

from threading import Lock

import numpy as np
from numpy.typing import NDArray

from memstore.cosine import error_bound
from memstore.sketch import Sketch

# All numbers here weigh costs; no answer depends on them.
LEAST = 2**22  # numbers in all keys: a scan of fewer costs no more than a look
SHARE = 8  # a sketch has at most this part of the keys' numbers
WIDEST = 256  # most directions
WIDE = 32  # a sketch of more directions is worth trying by a few of them first
PRICE = 2  # a multiplication in making a sketch costs as much as two in a scan
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
        self._stale: set[int] = set()  # slots set since the sketch followed
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
        if self._sketch is not None:
            self._stale.update(slots.tolist())

    def near(
        self,
        keys: NDArray[np.float32],
        queries: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.bool_] | None,
        above: float,
    ) -> list[NDArray[np.int64] | None]:
        """Find per query slots, ascending, among which the k best allowed ones surely are.

        Args:
            keys: (rows, C) unit vectors.
            queries: (B, C) unit vectors.
            k: >= 1.
            allowed: (rows,) or (B, rows) slots that may be found; None for all.
            above: a slot whose cosine is not above it may be left out.
        Returns:
            One entry per query; None calls for a scan.
        """
        sketch = self._present(keys, len(queries))
        if sketch is None:
            self._spent += keys.size * max(LONE, len(queries))
            return [None] * len(queries)
        closed = None if allowed is None else ~allowed
        found: list[NDArray[np.int64] | None] = [None]
        if len(queries) == 1 and sketch.width > WIDE:
            bounds = sketch.loose_bounds(queries)
            found = _ruled_in(keys, queries, bounds, closed, sketch.slack, k, above)
        if found[0] is None:
            bounds = sketch.bounds(queries)
            found = _ruled_in(keys, queries, bounds, closed, sketch.slack, k, above)
        self._learn(sum(slots is None for slots in found), len(found), keys.size)
        return found

    def _learn(self, misses: int, batch: int, size: int) -> None:
        """Look less often while looks are of little use."""
        self._spent += size * misses
        self._misses = min(self._misses + 1, LONGEST) if 2 * misses > batch else 0
        self._pause = batch * 2**self._misses if self._misses else 0

    def _present(self, keys: NDArray[np.float32], batch: int) -> Sketch | None:
        """The sketch of the present keys, if it is worth a look."""
        if keys.size < LEAST:
            return None
        if self._pause > 0:
            self._pause -= batch
            return None
        width = min(WIDEST, int(keys.size / (SHARE * sum(keys.shape))))
        price = PRICE * width * keys.shape[1] * (len(keys) + 9 * width)
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
            self._sketch.refresh(keys, np.array(sorted(self._stale)))
            self._stale = set()


def _ruled_in(
    keys: NDArray[np.float32],
    queries: NDArray[np.float32],
    bounds: NDArray[np.float32],
    closed: NDArray[np.bool_] | None,
    slack: float,
    k: int,
    above: float,
) -> list[NDArray[np.int64] | None]:
    """Slots, ascending, that the bounds (B, rows) leave of those not closed; None if many."""
    if closed is not None:
        bounds[np.broadcast_to(closed, bounds.shape)] = -np.inf
    rows, error = len(keys), error_bound(keys.shape[1])
    found: list[NDArray[np.int64] | None] = []
    for query, bound in zip(queries, bounds, strict=True):
        kth = -np.inf
        if k <= rows and (highest := np.partition(bound, -k)[-k]) > -np.inf:
            # The k-th best cosine is no lower than the lowest of any k.
            best = (bound >= highest).nonzero()[0][:k]
            kth = float((keys[best] @ query).min()) - error
        near = (bound >= max(kth, above) - slack).nonzero()[0]
        found.append(near if len(near) <= rows // FEW else None)
    return found
