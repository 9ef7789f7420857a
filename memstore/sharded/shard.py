"""Shard: the part of a memory that one worker holds, an ordinary Memory in a folder of its own.

It answers what a driver asks, one call at a time. Its clock may fall behind: it is that of the last
batch of which it got a pair. Ages are the driver's business.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memstore.errors import FormatError, LockedError
from memstore.memory import Memory
from memstore.search.cosine import paired_cosines
from memstore.search.index import NO_SLOT
from memstore.sharded.messages import (
    Near,
    Nearest,
    Opening,
    Proposal,
    Query,
    ShardFacts,
    Values,
)
from memstore.slots.filters import Where, as_where
from memstore.slots.lookup import allowed_slots, contrast
from memstore.slots.state import Pairs, Rows, State
from memstore.slots.stats import stats
from memstore.storage.verify import Verification, verify_folder

PATIENCE = 20  # times that a folder is tried which the process before, killed, has not let go yet
PAUSE = 0.1  # seconds between


class Shard:
    """One shard; `open` first. What it returns are copies or fresh arrays."""

    def __init__(self) -> None:
        self._memory: Memory | None = None
        self._opening: Opening
        self._has_reads = False  # counted since the last commit

    def open(self, opening: Opening) -> NDArray[np.int64]:
        """Hold a snapshot, dropping what was held; `touched` (rows,) of all rows."""
        self.close()
        memory = _opened(opening)
        memory.mute()  # the whole tells of what is lost
        if memory.config != opening.config:
            memory.close()
            raise FormatError(
                f"{opening.path}: got the config of another memory, want that of the shard"
            )
        self._memory, self._opening, self._has_reads = memory, opening, False
        with memory.frozen() as state:
            return state.touched.copy()

    def close(self) -> None:
        """Drop what is held and was not committed, and let the next writer in."""
        if self._memory is not None:
            self._memory.close(discard=True)
            self._memory = None

    def search(self, query: Query) -> Near:
        """Nearest slots here: (B, n), n <= k, but no fewer columns than any query has hits."""
        rows = self._opening.place.rows
        among = None if query.among is None else rows(query.among)
        with self._held.frozen() as state:
            conditions = as_where(query.where, state.config)
            allowed = allowed_slots(state, query.excluded, among, conditions)
            hits = state.index.search(query.queries, query.k, allowed, query.above)
        width = int(np.count_nonzero(hits.slots != NO_SLOT, axis=1).max(initial=0))
        return self._named(hits.slots[:, :width], hits.cosines[:, :width])

    def nearest_besides(self, query: NDArray[np.float32], slots: NDArray[np.int64]) -> Near:
        """Slot here nearest to one query (1, C), if slots (n,) are passed over: (1, 1)."""
        rows = self._opening.place.rows(slots)
        with self._held.frozen() as state:
            others = state.used_rows.copy()
            others[rows[rows < len(others)]] = False  # empty ones may have no row yet
            hits = state.index.search(query, 1, others)
        return self._named(hits.slots, hits.cosines)

    def recall(self, slots: NDArray[np.int64], times: NDArray[np.int64]) -> Values:
        """Values of used slots (n,) here, each counted as read some times (n,)."""
        rows = self._opening.place.rows(slots)
        with self._held.frozen() as state:
            state.count_reads(np.repeat(rows, times))
            columns = {name: column[rows] for name, column in state.columns.items()}
            recalled = Values(state.values[rows], state.sources[rows], columns)
        self._has_reads |= len(rows) > 0
        return recalled

    def contrast(self, queries: NDArray[np.float32], grids: NDArray[np.uint8]) -> Nearest:
        """Nearest slots here by kind of value."""
        with self._held.frozen() as state:
            pairs = contrast(state, queries, grids)
            return Nearest(
                *(self._named(rows[:, None], _measured(state, queries, rows)) for rows in pairs)
            )

    def propose(
        self, queries: NDArray[np.float32], grids: NDArray[np.uint8], evicts: bool
    ) -> Proposal:
        """Neighbors here of pairs (B,) that are to be written; the oldest slots if some may go."""
        named = self._opening.place.slots
        with self._held.frozen() as state:
            before = state.before(queries, grids)
            oldest = np.array(before.oldest if evicts else [], np.int64)
            touched = state.touched[oldest]
        return Proposal(
            self._named(before.slots, before.cosines),
            np.array(before.similarities),
            named(np.array(before.empty, np.int64)),
            named(oldest),
            touched,
        )

    def held(self, slots: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Keys (n, C) and packed values of used slots (n,) here."""
        rows = self._opening.place.rows(slots)
        with self._held.frozen() as state:
            return state.index.keys[rows], state.values[rows]

    def rows(self, slots: NDArray[np.int64]) -> Rows:
        """All that used slots (n,) here hold."""
        rows = self._opening.place.rows(slots)
        with self._held.frozen() as state:
            state.check_stored(rows)
            return state.rows(rows)._replace(slots=slots)

    def find(self, source: str | None, where: Where | None) -> NDArray[np.int64]:
        """(n,) used slots here, ascending, of a source, if one is named, that meet conditions."""
        return self._opening.place.slots(self._held.find(source, where=where))

    def apply(self, pairs: Pairs) -> None:
        """Write pairs whose slots are here."""
        rows = self._opening.place.rows(pairs.plan.slots)
        with self._held.changing() as state:
            state.apply(pairs._replace(plan=pairs.plan._replace(slots=rows)))

    def remove(self, slots: NDArray[np.int64], counts: Mapping[str, int]) -> None:
        """Empty slots (n,) here; then so many were written and removed in the whole memory."""
        with self._held.changing() as state:
            state.remove(self._opening.place.rows(slots))
            state.counts = dict(counts)

    def replace_keys(self, slots: NDArray[np.int64], keys: NDArray[np.float32]) -> None:
        """Set the keys (n, C), unit vectors, of distinct used slots (n,) here."""
        with self._held.changing() as state:
            state.replace_keys(self._opening.place.rows(slots), keys)

    def update(
        self,
        slots: NDArray[np.int64],
        values: NDArray[np.uint8] | None,
        sources: NDArray[np.bytes_] | None,
        columns: Mapping[str, NDArray[Any]],
    ) -> None:
        """Set what is given of distinct used slots (n,) here, values packed."""
        with self._held.changing() as state:
            state.update(self._opening.place.rows(slots), values, sources, columns)

    def commit(self, message: str) -> str:
        """Save what has changed; id of the snapshot, the present one if nothing has.

        Reads alone are no change of a memory, but are saved with one, which may be elsewhere.
        """
        memory = self._held
        if self._has_reads:
            with memory.changing() as state:
                if not state.dirty:
                    state.keep(state.used[:1])
                    state.dirty.update(state.used[:1].tolist())  # a row as it is
        snapshot = memory.commit(message)
        self._has_reads = False
        return snapshot

    def facts(self) -> ShardFacts:
        """What it adds to the statistics."""
        with self._held.frozen() as state:
            used = state.used
            own = stats(state, None)
            return ShardFacts(
                self._opening.place.slots(used),
                state.reads[used],
                state.full[used],
                {name: column[used] for name, column in state.columns.items()},
                own.key_bytes,
                own.value_bytes,
                own.bookkeeping_bytes,
            )

    def verify(self, others: Sequence[str], touched: NDArray[np.int64]) -> Verification:
        """Check what is held, on disk and in RAM, and other snapshots of the same folder.

        Args:
            others: ids.
            touched: (rows,) what the driver takes the clock values of the last writes to be.
        """
        memory = self._held
        reports = [memory.verify()]
        reports += [verify_folder(self._opening.path, every=False, at=at) for at in others]
        problems = [problem for report in reports for problem in report.problems]
        with memory.frozen() as state:
            rows = np.flatnonzero(state.touched != touched)
        problems += [
            f"slot {slot}: the driver and the shard disagree on its last write"
            for slot in self._opening.place.slots(rows).tolist()
        ]
        snapshots, slots = (sum(counts) for counts in zip(*(r[:2] for r in reports), strict=True))
        return Verification(snapshots, slots, tuple(problems))

    @property
    def _held(self) -> Memory:
        """The memory."""
        assert self._memory is not None, "a shard is opened first"
        return self._memory

    def _named(self, rows: NDArray[np.int64], cosines: NDArray[np.float32]) -> Near:
        """Rows (B, n), NO_SLOT for none, as slots, with their cosines."""
        return Near(self._opening.place.slots(rows), cosines)


def _opened(opening: Opening) -> Memory:
    """The memory, once a process that was killed has let its folder go."""
    options: dict[str, Any] = {"at": opening.snapshot, "durability": opening.durability}
    for _ in range(PATIENCE):
        try:
            return Memory.open(opening.path, opening.mode, **options)  # type: ignore[arg-type]
        except LockedError:
            time.sleep(PAUSE)
    return Memory.open(opening.path, opening.mode, **options)  # type: ignore[arg-type]


def _measured(
    state: State, queries: NDArray[np.float32], rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """(B, 1) cosines of queries (B, C) and the keys of rows (B,); -inf for NO_SLOT."""
    cosines = np.full((len(rows), 1), -np.inf, np.float32)
    has = np.flatnonzero(rows != NO_SLOT)
    cosines[has] = paired_cosines(queries[has], state.index.keys[rows[has], None])
    return cosines
