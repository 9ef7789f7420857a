"""Allowed: which slots a search may find, told of all slots or of a few candidates alike."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Slots = NDArray[np.int64] | slice
Test = Callable[[Slots], NDArray[np.bool_]]  # (n,) which of slots (n,) pass


class Allowed:
    """Slots that pass a test, less, per query, those that it passes over.

    A scan asks of all slots at once, an approximate search of its candidates alone, so that a test
    costs what is asked of it.
    """

    def __init__(self, rows: int, test: Test, passed_over: Sequence[Test | None] | None = None):
        """Tests take slots below `rows`; passed_over has one per query, or None."""
        self.rows = rows
        self._test, self._passed_over = test, passed_over
        self._mask: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, allowed: "NDArray[np.bool_] | Allowed") -> "Allowed":
        """The same as a mask (rows,), or one per query (B, rows)."""
        if isinstance(allowed, Allowed):
            return allowed
        if allowed.ndim == 1:
            masked = cls(len(allowed), allowed.__getitem__)
            masked._mask = allowed
            return masked
        others = ~allowed
        any_query: NDArray[np.bool_] = np.logical_or.reduce(allowed)
        return cls(allowed.shape[1], any_query.__getitem__, [mask.__getitem__ for mask in others])

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(rows,) slots that pass the test."""
        if self._mask is None:
            self._mask = self._test(slice(0, self.rows))
        return self._mask

    def without(self, b: int) -> NDArray[np.int64] | None:
        """(n,) slots that query b passes over, ascending; None if it passes over none."""
        test = self._passed_over[b] if self._passed_over else None
        return None if test is None else np.flatnonzero(test(slice(0, self.rows)))

    def among(self, b: int, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of slots (n,), which pass the test, that query b does not pass over."""
        test = self._passed_over[b] if self._passed_over else None
        return slots if test is None else slots[~test(slots)]

    def passes(self, slots: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(B, n) which candidates (B, n) each query may find; slots outside [0, rows) are none."""
        inside = (slots >= 0) & (slots < self.rows)
        passes = np.zeros(slots.shape, np.bool_)
        passes[inside] = self._test(slots[inside])
        for b, test in enumerate(self._passed_over or ()):
            if test is not None:
                passing = np.flatnonzero(passes[b])
                passes[b, passing] = ~test(slots[b, passing])
        return passes

    def at(self, slots: NDArray[np.int64]) -> "Allowed":
        """The same of places [0, n), at which slots (n,) lie; negative ones are none."""

        def moved(test: Test) -> Test:
            return lambda places: test(slots[places].clip(0))

        test, others = moved(self._test), self._passed_over
        return Allowed(
            len(slots),
            lambda places: (slots[places] >= 0) & test(places),
            others and [None if other is None else moved(other) for other in others],
        )

    def part(self, queries: slice | NDArray[np.int64]) -> "Allowed":
        """The same of some of the queries."""
        if not self._passed_over:
            return self
        numbers = np.arange(len(self._passed_over))[queries].tolist()
        part = Allowed(self.rows, self._test, [self._passed_over[b] for b in numbers])
        part._mask = self._mask
        return part
