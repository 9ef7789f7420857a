"""Renewal: a row file made anew, a piece at each commit, so that no commit waits for all of it.

First rows are copied, then what was copied is hashed, and each commit's changes are put again. So
the last commit has little left to do, and the file is that commit's. Until then it is nothing that
anybody would open: a writer that dies has only to begin again.
"""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memstore.slots.state import State
from memstore.storage import rowfile
from memstore.storage.checksums import unfit
from memstore.storage.rowfile import IN_RAM, Block, RowFile
from memstore.storage.schema import Ledger

ROWS = 2048  # copied, and compared with their checks, at a commit, or
PER_CHANGE = 16  # for each row that it has changed, if that is more
BLOCKS = 128  # hashed at a commit: 2 GB; what changes of 32 rows touch is less
TURNS = 16  # commits that may hash so many, before one hashes all


class Renewal:
    """A row file that follows a writer's commits."""

    def __init__(self, folder: Path, state: State) -> None:
        """Begin a file of a memory's folder, as large as a state; OSError if the disk refuses."""
        self._next = self._turns = 0  # slots below are copied; commits that have hashed
        self._known: dict[Block, str] = {}  # checksums of blocks as they are
        self._stack = ExitStack()
        with ExitStack() as stack:
            self.maker = stack.enter_context(rowfile.making(folder, "disk"))
            self._copy = self.maker.begin(state.config, state.index.rows)
            if not (draft := self.maker.draft):
                raise OSError("there is no room for a row file")
            self._draft = draft
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Remove what is half made."""
        self._stack.close()

    def go_on(self, state: State, checks: NDArray[np.uint8], changed: NDArray[np.int64]) -> bool:
        """Take a step; whether the next would be `finish`.

        Args:
            state: as committed.
            checks: (capacity, 16) of its rows.
            changed: (n,) slots that the commit has changed: the more, the larger a step.

        Raises:
            OSError: the disk refuses.
            ValueError: rows do not fit their checks.
        """
        rows = state.index.rows
        self._draft.reserve(rows)
        self._copy.move(self._draft.arrays, rows)
        late = self._late(checks)
        stop = min(rows, self._next + max(ROWS, PER_CHANGE * len(changed)))
        for slots in (late, np.arange(self._next, stop)):
            for start in range(0, len(slots), ROWS):
                self._put(state, checks, slots[start : start + ROWS])
        if self._next < stop:
            self._next = stop
            self._draft.flush()
        if stop < rows:
            return False
        missing = [block for block in self._draft.blocks if block not in self._known]
        if len(missing) <= BLOCKS or self._turns == TURNS:
            return True
        self._turns += 1
        self._hash(missing[:BLOCKS])
        return False

    def finish(self, state: State, ledger: Ledger, snapshot: str, kept: str) -> RowFile:
        """Put the file in its place, and map it.

        Args:
            state: as of the last `go_on`.
            ledger: of it.
            snapshot: of it.
            kept: see `Maker.finish`.

        Raises:
            OSError: the disk refuses.
            ValueError: the folder has rows that the state has not.
        """
        if ledger.checks[state.index.rows :].any():
            raise ValueError("got fewer rows than checks")
        arrays = state.arrays
        for name in IN_RAM:
            if name in arrays:
                self._draft.arrays[name][:] = arrays[name]
        self.maker.fill(ledger)
        blocks = self._draft.blocks
        self._hash([b for b in blocks if b not in self._known or b.name in IN_RAM])
        digests = [self._known[block] for block in blocks]
        path = self.maker.finish(snapshot, ledger, kept, digests)
        return rowfile.checked(path, state.config, digests)

    def _late(self, checks: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Slots (n,) that have changed since they were copied, told by the checks of the copies.

        So none is missed, whatever has interrupted the steps before.
        """
        copies = self._draft.arrays["checks"][: self._next].view(np.uint64)
        differ = copies != np.ascontiguousarray(checks[: self._next]).view(np.uint64)
        return np.flatnonzero(differ[:, 0] | differ[:, 1])

    def _put(self, state: State, checks: NDArray[np.uint8], slots: NDArray[np.int64]) -> None:
        """Copy rows of slots (n,), ascending, and look at the copies."""
        for block in self._draft.blocks_of(slots) if self._known else ():
            self._known.pop(block, None)
        copied = self._draft.arrays["checks"]
        copied[slots] = ~checks[slots]  # first: rows copied in part fit nothing
        for name, rows in state.arrays.items():
            self._draft.arrays[name][slots] = rows[slots]
        if unfit(self._copy.rows(slots), checks[slots]).any():
            raise ValueError("got rows that do not fit their checks")
        copied[slots] = checks[slots]  # last: now they are there

    def _hash(self, blocks: list[Block]) -> None:
        """Have the checksums of blocks as they are now."""
        self._known.update(zip(blocks, self._draft.digests(blocks), strict=True))
