"""Watch: what an approximate search finds of what there is to be found, and how hard it has to try.

Some queries are answered both ways. Which ones is told by counting alone, so that the same calls
have the same answers.
"""

from collections import deque
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

TARGET = 0.99  # of the nearest slots; less is tried harder for
FIRST = 64  # queries that are answered both ways at first, and after each change of effort
ROWS = 500  # slots scanned per query on average, from then on
EVERY = 64  # queries, at least, of which one is answered both ways
WINDOW = 128  # watched queries that count
FEWEST = 4  # of them that tell anything
SURE = 2  # standard deviations of misses that are more than chance, before FIRST queries
CONFIDENCE = 1.96  # standard deviations: 95 %
STRANGE = 3.0  # times as far below the median of nearest cosines as their lowest tenth is


@dataclass(frozen=True)
class Recall:
    """What was found of the nearest slots, by the last watched queries.

    Attributes:
        value: part of the slots, in [0, 1].
        low: end of its 95 % interval (Wilson's, slots taken as independent), as the next.
        high: of it.
        queries: watched, at most WINDOW.
        lists: of keys.
        probed: of them, per query; 0 if that would be so many that all queries are scanned for,
            which finds all.
    """

    value: float
    low: float
    high: float
    queries: int
    lists: int
    probed: int


class Watch:
    """Counts queries, and keeps what the last watched ones have found."""

    def __init__(self) -> None:
        self._asked = 0  # queries since the last change of effort
        # Of each watched query, how many slots were found, and how many there are to be found.
        self._counts: deque[tuple[int, int]] = deque(maxlen=WINDOW)
        # Of those of which all were found, the nearest slot's cosine.
        self._nearest: deque[float] = deque(maxlen=WINDOW)
        self._familiar = -np.inf

    @property
    def familiar(self) -> float:
        """Queries whose nearest cosine is below this are unlike all that are known to be found."""
        return self._familiar

    def due(self, batch: int, rows: int) -> NDArray[np.bool_]:
        """(B,) which of the next queries are to be answered both ways."""
        number = self._asked + np.arange(batch)
        self._asked += batch
        return np.asarray((number < FIRST) | (number % max(EVERY, rows // ROWS) == 0))

    def note(
        self, hits: NDArray[np.int64], truth: NDArray[np.int64], cosines: NDArray[np.float32]
    ) -> bool:
        """Compare answers (B, k) with exact ones; whether more effort is needed from now on.

        While few queries were watched, it takes more misses than chance has.
        """
        for some, every, nearest in zip(hits, truth, cosines[:, 0].tolist(), strict=True):
            if count := int(np.count_nonzero(every >= 0)):
                matches = int(np.isin(every[:count], some).sum())
                self._counts.append((matches, count))
                if matches == count:
                    self._nearest.append(nearest)
        if len(self._nearest) >= FEWEST:
            low, middle = np.quantile(self._nearest, (0.1, 0.5))
            self._familiar = float(middle - STRANGE * (middle - low))
        matches, total = self._sums()
        expected = (1 - TARGET) * total  # misses; so few of them that chance has its say
        chance = SURE * sqrt(expected) + 0.5 if len(self._counts) < FIRST else 0
        return bool(len(self._counts) >= FEWEST and total - matches > expected + chance)

    def reset(self) -> None:
        """Begin anew: effort or keys are others."""
        self._asked = 0
        self._counts.clear()
        self._nearest.clear()
        self._familiar = -np.inf

    def recall(self, lists: int, probed: int) -> Recall | None:
        """What is known; None before any query was watched."""
        if not self._counts:
            return None
        return Recall(*self._interval(), len(self._counts), lists, probed)

    def _sums(self) -> tuple[int, int]:
        """Slots found by the watched queries, and slots to be found."""
        return sum(hits for hits, _ in self._counts), sum(total for _, total in self._counts)

    def _interval(self) -> tuple[float, float, float]:
        """Recall, and the ends of Wilson's interval."""
        hits, total = self._sums()
        part, square = hits / total, CONFIDENCE**2
        middle = (part + square / (2 * total)) / (1 + square / total)
        half = CONFIDENCE * sqrt(part * (1 - part) / total + square / (4 * total**2))
        half /= 1 + square / total
        return part, max(0.0, middle - half), min(1.0, middle + half)
