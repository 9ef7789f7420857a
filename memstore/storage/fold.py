"""The log's place, and how its rows come to the base a few chunks a commit (docs/format.md).

A *fold* goes once over the base, from the first slot to the last, a few chunks a commit, and is
about the rows that the log held when it began. When it has come to the end, the base holds those,
and the log begins behind them. Until then the log's rows count for all slots, so a reader need not
know of it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ROWS_A_CHUNK = 32  # of the log that are added while a chunk is folded, at least
ABSENT, OLD, NEW = 0, 1, 2  # marks of a slot: not in the log; in it; since the fold began
AT_ONCE = 2**26  # bytes of chunks that a commit may fold at once: no fold is spread below


class Window(NamedTuple):
    """The rows of the log that count, and how far the fold under way has come.

    Rows of the log are numbered from 0 on; row n lies at n modulo the length of the log's array.

    Attributes:
        first: number of the first row that counts.
        rows: how many count.
        folding: of these, how many the fold under way is about, the first ones; 0 if there is none.
        folded: chunks of the base that end at this slot or before have these rows, or later ones.
    """

    first: int = 0
    rows: int = 0
    folding: int = 0
    folded: int = 0

    @property
    def end(self) -> int:
        """Number of the row to come."""
        return self.first + self.rows

    @property
    def has_moved(self) -> bool:
        """Whether more is to be said of it than how many rows count."""
        return self.first > 0 or self.folding > 0

    def mark(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Marks of slots whose last rows in the log have these numbers."""
        is_new = (self.folding > 0) & (numbers >= self.first + self.folding)
        return np.where(is_new, NEW, OLD).astype(np.uint8)

    def carried(self, before: "Window", marks: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """Marks (capacity,) as far as they are due to rows that an earlier snapshot had.

        Args:
            before: of that snapshot, of the same log.
            marks: (capacity,) of that snapshot.

        Returns:
            None if that cannot be told.
        """
        if not before.rows or not self.first <= before.end <= self.end:
            return None
        if self.first == before.first and not before.folding:
            carries = marks > ABSENT
        elif before.folding and self.first == before.first + before.folding:
            carries = marks == NEW
        else:
            return None
        if self.folding and self.first + self.folding < before.end:
            return None
        return np.where(carries, OLD, ABSENT).astype(np.uint8)


NOTHING = Window()  # of an empty log


class Step(NamedTuple):
    """What a commit folds.

    Attributes:
        log: the window after it.
        start: slot that the fold had come to.
        stop: slot that it comes to; the capacity if it ends.
    """

    log: Window
    start: int = 0
    stop: int = 0

    def ranges(self, marks: NDArray[np.uint8], chunk: int) -> list[tuple[int, int]]:
        """Rows of an array that this commit writes: chunks whose end the fold passes.

        Args:
            marks: (capacity,) of the slots, before the commit.
            chunk: rows of a chunk of the array.
        """
        chunks = _stale(marks, chunk) if self.start < self.stop else np.empty(0, np.int64)
        behind = -(-self.stop // chunk) if self.stop == len(marks) else self.stop // chunk
        chunks = chunks[(chunks >= self.start // chunk) & (chunks < behind)]
        runs = np.split(chunks, np.flatnonzero(np.diff(chunks) > 1) + 1)
        return [(int(run[0]) * chunk, (int(run[-1]) + 1) * chunk) for run in runs if len(run)]


def plan(
    log: Window, marks: NDArray[np.uint8], added: int, most: int, chunk: int, chunk_bytes: int
) -> Step:
    """Decide what a commit folds: such a part of what is left as it takes of the room that is left.

    So all has come to the base when the log is full. A fold begins as late as one chunk for each
    `ROWS_A_CHUNK` allows, or when the log is half full.

    Args:
        log: before the commit.
        marks: (capacity,) of the slots, before it.
        added: rows that it logs.
        most: rows that the log may have.
        chunk: rows of a chunk of the base.
        chunk_bytes: of it.
    """
    room = max(0, most - log.rows - added)
    grown = log._replace(rows=log.rows + added)
    chunks = _stale(marks, chunk)
    chunks = chunks[chunks >= log.folded // chunk]
    if not log.folding:
        is_early = room > min(most // 2, len(chunks) * ROWS_A_CHUNK)
        if is_early or len(chunks) * chunk_bytes <= AT_ONCE:
            return Step(grown)
        grown = grown._replace(folding=log.rows)
    count = -(-len(chunks) * added // (room + added))
    if count < len(chunks):
        stop = int(chunks[count]) * chunk
        return Step(grown._replace(folded=stop), log.folded, stop)
    ended = Window(grown.first + grown.folding, grown.rows - grown.folding)
    return Step(ended, log.folded, len(marks))


def _stale(marks: NDArray[np.uint8], chunk: int) -> NDArray[np.int64]:
    """Numbers of the chunks that have a slot marked OLD, ascending."""
    starts = np.arange(0, len(marks), chunk)
    return np.flatnonzero(np.logical_or.reduceat(marks == OLD, starts))
