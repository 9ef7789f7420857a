"""The Zarr arrays and attributes of a memory on disk (docs/format.md): layout and writing.

Rows live in the *base*: large chunks, quick to open. A commit that changes a few of them appends
these to the *log* instead, so that it writes what changed and no more; when the log has grown to a
part of the memory, commits write them to the base, at once or a few chunks each (fold.py).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memstore.config import MemoryConfig, saved_config
from memstore.slots.state import COLUMN, EMPTY, SOURCE_BYTES, State, as_bytes, column_types
from memstore.storage.checksums import CHECK_BYTES, CHECK_ROWS, checks, joined, seal
from memstore.storage.fold import ABSENT, NEW, NOTHING, OLD, Step, Window, plan
from memstore.voxels.grids import packed_shape

if TYPE_CHECKING:
    import zarr

    from memstore.storage.chunks import Draft

FORMATS = (1, 2, 3)  # that we read; a memory is written in the lowest that can say what it is
MOVED = 3  # format of a memory whose log has moved, see fold.py
CHUNK_BYTES = 2**20  # keys of one base chunk
LARGEST_CHUNK = 2**24  # bytes of values of one base chunk, if it has more than one row
LARGEST_LOG_CHUNK = 2**27  # bytes; where it would have more, there is no log
SMALL_CHUNK = 4096  # rows of one chunk of an array of small rows
NO_ROW = -1
MOVES = {"log_first": "first", "fold_rows": "folding", "fold_next": "folded"}  # of a Window
LOG_CHUNK = 32  # rows of one chunk of the log
LOG_LEAST = 1024  # rows that the log may always have; above, a quarter of the used slots


class Changed(NamedTuple):
    """Entries of an array that a commit changes.

    Attributes:
        slots: (n,).
        entries: (n, ...).
    """

    slots: NDArray[np.int64]
    entries: NDArray[Any]


@dataclass(frozen=True)
class Ledger:
    """What is on disk at a snapshot, beyond the state itself.

    Attributes:
        checks: (capacity, 16) uint8 check of each slot's row.
        reads: (capacity,) int64 as saved.
        marks: (capacity,) uint8 of slots that the log holds, see fold.py: their base rows may be
            out of date.
        joint: (16,) uint8 XOR of all checks.
        log: rows of it that count, whole chunks.
        message: of the commit.
        time: of the commit, microseconds since 1970 (UTC).
        changes: of the arrays, by name, until `settle`: a commit under way shares the arrays with
            the ledger of the snapshot before.
    """

    checks: NDArray[np.uint8]
    reads: NDArray[np.int64]
    marks: NDArray[np.uint8]
    joint: NDArray[np.uint8]
    log: Window = NOTHING
    message: str = ""
    time: int = 0
    changes: Mapping[str, Changed] = field(default_factory=dict)

    @classmethod
    def empty(cls, config: MemoryConfig) -> "Ledger":
        """Ledger of a memory that nothing was written to."""
        n, check = config.capacity, np.zeros(CHECK_BYTES, np.uint8)
        return cls(np.tile(check, (n, 1)), np.zeros(n, np.int64), np.zeros(n, np.uint8), check)

    @property
    def logged(self) -> NDArray[np.bool_]:
        """(capacity,) bool, slots that the log holds."""
        is_logged: NDArray[np.bool_] = self.marks != ABSENT
        return is_logged

    def settle(self) -> None:
        """Lay the changes over the arrays: the commit has arrived. More than once is fine."""
        for name, (slots, entries) in self.changes.items():
            getattr(self, name)[slots] = entries


def arrays(config: MemoryConfig) -> dict[str, dict[str, Any]]:
    """Options for zarr's create_array, by name; codecs are the repository's to add."""
    capacity = config.capacity
    target = max(1, CHUNK_BYTES // (4 * config.key_dim))
    target = min(target, max(1, LARGEST_CHUNK // math.prod(packed_shape(config.resolution))))
    big = -(-capacity // -(-capacity // target))  # equal chunks: the last is not mostly padding
    small = min(SMALL_CHUNK, capacity)
    log = _up(max(LOG_LEAST, capacity // 4), LOG_CHUNK)

    def rows(n: int, shape: tuple[int, ...], dtype: str, chunk: int, fill: int) -> dict[str, Any]:
        shapes = {"shape": (n, *shape), "chunks": (chunk, *shape)}
        return {**shapes, "dtype": dtype, "fill_value": fill}

    return {
        "keys": rows(capacity, (config.key_dim,), "float32", big, 0),
        "values": rows(capacity, packed_shape(config.resolution), "uint8", big, 0),
        "touched": rows(capacity, (), "int64", small, EMPTY),
        "source": rows(capacity, (SOURCE_BYTES,), "uint8", small, 0),
        "checks": rows(capacity, (CHECK_BYTES,), "uint8", small, 0),
        "reads": rows(capacity, (), "int64", small, 0),
        "log": rows(log, (log_dtype(config).itemsize,), "uint8", LOG_CHUNK, 0),
        **{
            name: rows(capacity, shape, str(dtype), small, 0)
            for name, (dtype, shape) in column_arrays(config).items()
        },
    }


def column_arrays(config: MemoryConfig) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    """Dtype and shape of a row of each column's array, by the array's name."""
    text = np.dtype(np.uint8), (SOURCE_BYTES,)
    return {
        f"{COLUMN}{name}": text if dtype.kind == "S" else (dtype, ())
        for name, dtype in column_types(config).items()
    }


def log_dtype(config: MemoryConfig) -> np.dtype[np.void]:
    """Fields of one row of the log, packed; the slot is NO_ROW in a row that only pads a chunk."""
    return np.dtype(
        [
            ("slots", "<i8"),
            ("keys", "<f4", (config.key_dim,)),
            ("values", "u1", packed_shape(config.resolution)),
            ("touched", "<i8"),
            ("source", "u1", (SOURCE_BYTES,)),
            *((name, *of_row) for name, of_row in column_arrays(config).items()),
            ("checks", "u1", (CHECK_BYTES,)),
        ]
    )


def attributes(state: State, ledger: Ledger) -> dict[str, Any]:
    """Attributes of the root group."""
    (version, config), log = saved_config(state.config), ledger.log
    return {
        "memstore_format": MOVED if log.has_moved else version,
        "config": config,
        "clock": state.clock,
        "counts": dict(state.counts),
        "log_rows": log.rows,
        **({name: getattr(log, field) for name, field in MOVES.items()} if log.has_moved else {}),
        "message": ledger.message,
        "time": ledger.time,
        "seal": seal(state, ledger.joint, log, ledger.message, ledger.time),
    }


def write(
    draft: "Draft", state: State, dirty: NDArray[np.int64], ledger: Ledger, message: str
) -> Ledger:
    """Write changed rows, to the log or to the base, the reads, and the attributes.

    Args:
        draft: of a session at the snapshot that `ledger` belongs to.
        state: to save.
        dirty: (n,) slots whose rows differ from that snapshot's, ascending.
        ledger: of that snapshot; unchanged.
        message: of the commit.

    Returns:
        The ledger of the snapshot to be, to be settled once it is.
    """
    new = np.concatenate(
        [checks(state.rows(block)) for block in np.array_split(dirty, len(dirty) // CHECK_ROWS + 1)]
    )
    step = _plan(draft, state, ledger, len(dirty))
    if step is None:
        marks, log = np.zeros_like(ledger.marks), NOTHING
        has_marks = Changed(dirty[:0], marks[:0])
        _write_all(draft, state, ledger, Changed(dirty, new))
    else:
        has_ended = step.log.first > ledger.log.first
        log, marks = step.log, _ended(ledger.marks) if has_ended else ledger.marks
        has_marks = Changed(dirty, np.full(len(dirty), NEW if log.folding else OLD, np.uint8))
        _fold(draft, state, ledger, step)
        _put_log(draft, _records(state, dirty, new), ledger.log.end)
    read = np.flatnonzero(state.reads != ledger.reads)
    for start, stop in _runs(read, draft.layout("reads").chunk[0] if len(read) else 1):
        draft.put("reads", state.reads[start:stop], start)
    changes = {
        "checks": Changed(dirty, new),
        "reads": Changed(read, state.reads[read]),
        "marks": has_marks,
    }
    joint = ledger.joint ^ joined(ledger.checks[dirty]) ^ joined(new)
    time = int(datetime.now(UTC).timestamp() * 1e6)
    now = Ledger(ledger.checks, ledger.reads, marks, joint, log, message, time, changes)
    draft.finish(attributes(state, now))
    return now


def _plan(draft: "Draft", state: State, ledger: Ledger, changed: int) -> Step | None:
    """What a commit of changed slots does beside logging them; None if all rows go to the base."""
    used = int(np.count_nonzero(state.touched != EMPTY))
    if _is_for_base(draft, state, ledger, changed, used):
        return None
    most = min(max(LOG_LEAST, used // 4), draft.layout("log").rows)
    layouts = [draft.layout(name) for name in (*parts(state), "checks")]
    chunk = layouts[0].chunk[0]
    is_plain = all(layout.is_plain for layout in layouts)  # others may have made them
    if ledger.log.folding and not is_plain:
        return None
    chunk_bytes = chunk * log_dtype(state.config).itemsize if is_plain else 0
    step = plan(ledger.log, ledger.marks, _up(changed, LOG_CHUNK), most, chunk, chunk_bytes)
    return step if step.log.rows <= most else None


def _is_for_base(draft: "Draft", state: State, ledger: Ledger, changed: int, used: int) -> bool:
    """Whether a commit of changed slots, of so many that are used, does without the log."""
    row_bytes = log_dtype(state.config).itemsize
    if 2 * changed >= used or LOG_CHUNK * row_bytes > LARGEST_LOG_CHUNK:
        return True
    log = draft.layout("log")  # others may have made it, in other chunks
    is_ours = log.chunk == (LOG_CHUNK, row_bytes) and log.rows % LOG_CHUNK == 0
    return not is_ours or ledger.log.end % LOG_CHUNK > 0


def _write_all(draft: "Draft", state: State, ledger: Ledger, new: Changed) -> None:
    """Write all rows that the log holds, and changed ones (their checks), to the base; empty it."""
    stale = ledger.logged
    stale[new.slots] = True
    row_checks = _with(ledger.checks, new)
    _write_rows(draft.group, {**parts(state), "checks": row_checks}, np.flatnonzero(stale))
    if ledger.log.rows:
        codecs = {"compressors": draft.layout("log").compressors}
        options = arrays(state.config)["log"] | codecs
        draft.group.create_array("log", **options, overwrite=True)


def _fold(draft: "Draft", state: State, ledger: Ledger, step: Step) -> None:
    """Write rows of the base, and let go of rows of the log.

    Checks of rows that this commit changes stay as they are: the log holds these rows.
    """
    stored = {**parts(state), "checks": ledger.checks} if step.stop else {}
    for name, rows in stored.items():
        ranges = step.ranges(ledger.marks, draft.layout(name).chunk[0])
        for start, stop in ranges:
            draft.put(name, rows[start : min(stop, len(rows))], start)
        draft.copied.update(ranges)
    length = draft.layout("log").rows
    for number in range(ledger.log.first, step.log.first, LOG_CHUNK):
        draft.drop("log", number % length)


def _ended(marks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Marks once the fold has ended."""
    return np.where(marks == NEW, OLD, ABSENT).astype(np.uint8)


def _put_log(draft: "Draft", records: NDArray[np.uint8], number: int) -> None:
    """Have rows written to the log, the first of which has a number."""
    length = draft.layout("log").rows
    start = number % length
    room = length - start
    draft.put("log", records[:room], start)
    draft.put("log", records[room:], 0)


def _with(array: NDArray[Any], changed: Changed) -> NDArray[Any]:
    """A copy of an array (capacity, ...) with the changes."""
    array = array.copy()
    array[changed.slots] = changed.entries
    return array


def _records(
    state: State, slots: NDArray[np.int64], row_checks: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Rows of slots (n,), their checks (n, 16), as bytes of the log, padded to whole chunks."""
    rows, n = state.rows(slots), len(slots)
    records = np.zeros(_up(n, LOG_CHUNK), log_dtype(state.config))
    records["slots"][:n], records["slots"][n:] = slots, NO_ROW
    records["keys"][:n], records["values"][:n] = rows.keys, rows.values
    records["touched"][:n], records["checks"][:n] = rows.touched, row_checks
    records["source"][:n] = as_bytes(rows.sources)
    for name, column in rows.columns.items():
        records[f"{COLUMN}{name}"][:n] = as_bytes(column)
    return records.view(np.uint8).reshape(len(records), -1)


def parts(state: State) -> dict[str, NDArray[Any]]:
    """The state's arrays of the base under their names on disk, reads and checks left out."""
    return {
        "keys": state.index.keys,
        "values": state.values,
        "touched": state.touched,
        "source": as_bytes(state.sources),
        **{f"{COLUMN}{name}": as_bytes(column) for name, column in state.columns.items()},
    }


def _write_rows(
    group: "zarr.Group", parts: dict[str, NDArray[Any]], slots: NDArray[np.int64]
) -> None:
    """Write the base chunks that hold the slots (ascending)."""
    for name, rows in parts.items():
        array = get_array(group, name)
        for start, stop in _runs(slots, array.chunks[0]):
            stop = min(stop, len(rows))
            array[start:stop] = rows[start:stop]


def get_array(group: "zarr.Group", name: str) -> Any:
    """An array of the group, which zarr types as a group or an array."""
    return group[name]


def _runs(slots: NDArray[np.int64], chunk: int) -> Iterator[tuple[int, int]]:
    """Row ranges of whole chunks that cover the slots (ascending), neighbors joined."""
    chunks = np.unique(slots // chunk)
    for run in np.split(chunks, np.flatnonzero(np.diff(chunks) > 1) + 1):
        if len(run):
            yield int(run[0]) * chunk, (int(run[-1]) + 1) * chunk


def _up(number: int, step: int) -> int:
    """The next multiple of step."""
    return -(-number // step) * step
