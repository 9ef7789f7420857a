"""OldestFirst: slots in the order in which they were touched, seldom looking at all of them."""

import numpy as np
from numpy.typing import NDArray

AHEAD = 64  # part of the slots, at least, that is looked for at once


class OldestFirst:
    """A queue of the slots that were touched the longest ago.

    It stays right while clock values of slots grow, or slots are emptied, for then none of the
    others can come before what is left of it; after any other change, `forget`.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Look at all slots next time."""
        self._slots, self._clocks = np.empty((2, 0), np.int64)

    def first(self, touched: NDArray[np.int64], count: int) -> list[int]:
        """The used slots that were touched the longest ago, in that order, equals by slot.

        Args:
            touched: (capacity,) clock value of each slot's last write; negative if empty.
            count: of slots; fewer only if no more are used.
        """
        same = touched[self._slots] == self._clocks
        self._slots, self._clocks = self._slots[same], self._clocks[same]
        if len(self._slots) < count:
            self._fill(touched, max(count, len(touched) // AHEAD))
        oldest: list[int] = self._slots[:count].tolist()
        return oldest

    def _fill(self, touched: NDArray[np.int64], count: int) -> None:
        """Find as many anew, of all slots."""
        used = np.flatnonzero(touched >= 0)
        clocks = touched[used]
        if count < len(used):
            among = np.flatnonzero(clocks <= np.partition(clocks, count)[count])
            used, clocks = used[among], clocks[among]
        order = np.argsort(clocks, kind="stable")
        self._slots, self._clocks = used[order], clocks[order]
