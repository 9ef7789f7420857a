"""Reading a memory from its Zarr arrays and attributes (docs/format.md), believing nothing.

As a whole (`read`), over a row file (`read_over`), or a few rows at a time (`Pieces`).
"""

import ctypes
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from memstore.config import MemoryConfig, config_from_saved
from memstore.errors import FormatError, NotAMemoryError
from memstore.paths import ObjectUrl
from memstore.slots.state import (
    CHECKED,
    COLUMN,
    COUNTS,
    EMPTY,
    SOURCE_BYTES,
    Rows,
    State,
    check_rows,
    check_state,
    column_types,
)
from memstore.storage import rowfile
from memstore.storage.backend import reading
from memstore.storage.checksums import CHECK_BYTES, Counted, checks, joined, misfits, seal
from memstore.storage.chunks import Strip, check_proportion
from memstore.storage.fold import ABSENT, Window
from memstore.storage.rowfile import RowFile
from memstore.storage.schema import (
    FORMATS,
    LOG_CHUNK,
    MOVED,
    MOVES,
    NO_ROW,
    Ledger,
    arrays,
    column_arrays,
    get_array,
    log_dtype,
    parts,
)
from memstore.voxels.grids import full_voxels, packed_shape

if TYPE_CHECKING:
    import zarr

PIECE_BYTES = 2**24  # of rows that are read at once
OF_ROWS = ("keys", "values", "touched", "source")  # arrays of the base, columns left out
KINDS = ("touched", "reads", "keys", "values", "sources")  # of faults, as `check_rows` looks
LAST_ROW = 2**62  # number of a row of a log that nobody lives to see
FEW = 32  # part of a row file's rows that may be out of date


def check_format(group: "zarr.Group") -> None:
    """Raise unless the group says that it is a memory of a format we know."""
    version = group.attrs.get("memstore_format")
    if version is None:
        raise NotAMemoryError("memstore_format: got no such attribute")
    if type(version) is not int or version not in FORMATS:
        want = ", ".join(map(str, FORMATS))
        raise FormatError(
            f"got format {version!r}, want one of {want}; a newer memstore may read it"
        )


Begin = Callable[[MemoryConfig, int], State]  # a state of zeros that has so many rows


def read(
    group: "zarr.Group",
    disk_bytes: Callable[[], int],
    begin: Begin = State.with_rows,
) -> tuple[State, Ledger]:
    """Read a memory, believing nothing.

    Each row is compared with its check: a chunk that the store no longer finds reads as zeros,
    without a word.

    Args:
        group: at the snapshot to read, of a `ChunkStore`.
        disk_bytes: gives the folder's size; a memory may ask for RAM in proportion only.
        begin: gives the state to fill.

    Raises:
        FormatError: something does not add up; zarr raises much else if a folder is damaged.
    """
    facts: Any = group.attrs
    outline = outlined(group, disk_bytes)
    config, store, log, rows = outline.config, outline.store, outline.log, outline.rows
    state, ledger = begin(config, rows), Ledger.empty(config)
    state.touched[:] = outline.touched
    stored = parts(state) | {"checks": ledger.checks, "reads": state.reads}
    stored["keys"] = state.index.fill()
    for name, part in stored.items():  # in place: nothing lies in RAM twice
        store.fill(outline.on_disk[name], part[:rows])
    _replay(log, stored)
    set_counts(state, facts)
    check_state(state)
    ledger = sealed(state, ledger, facts, log.window)
    if wrong := misfits(state, ledger.checks):
        raise FormatError(f"slots {wrong[:8]}: got rows other than those written; see verify")
    state.clear(np.flatnonzero(~state.used_rows))
    state.count_voxels()
    _return_free_memory()
    ledger.marks[log.slots] = log.marks
    ledger.reads[:] = state.reads
    return state, ledger


class Outline(NamedTuple):
    """What is to be known of a snapshot before its rows are read.

    Attributes:
        config: of the memory.
        store: a ChunkStore.
        on_disk: its arrays, by name.
        log: its log.
        touched: (capacity,) of the base.
        rows: slots that have a row, in the base or in the log.
    """

    config: MemoryConfig
    store: Any
    on_disk: dict[str, Any]
    log: "Log"
    touched: NDArray[np.int64]
    rows: int


def outlined(group: "zarr.Group", disk_bytes: Callable[[], int]) -> Outline:
    """Look at a group as `read` does; FormatError if something does not add up."""
    store, config = cast(Any, group.store), config_of(group)
    on_disk = _checked_arrays(group, config, disk_bytes)
    window = window_of(group.attrs, config, on_disk["log"].shape[0])
    touched = np.full(config.capacity, EMPTY)
    store.fill(on_disk["touched"], touched)
    rows = 1 + int(np.flatnonzero(touched != EMPTY).max(initial=-1))
    _check_size(config, rows + window.rows, disk_bytes)
    log = Log(store, on_disk["log"], window, config)
    rows = max(rows, 1 + int(log.slots.max(initial=-1)))
    _check_size(config, rows, disk_bytes)
    return Outline(config, store, on_disk, log, touched, rows)


def config_of(group: "zarr.Group") -> MemoryConfig:
    """Size and rules of a memory."""
    facts: Any = group.attrs
    version, fields = facts["memstore_format"], facts["config"]
    if version == MOVED:
        version = 2 if "when_full" in fields else 1
    return config_from_saved(version, fields)


def window_of(facts: Any, config: MemoryConfig, length: int) -> Window:
    """The rows that count of a log whose array has a length; FormatError if there are not so many.

    Args:
        facts: attributes of the group.
        config: of the memory.
        length: rows of the array.
    """
    rows = _count("log_rows", facts["log_rows"], length)
    if facts["memstore_format"] != MOVED:
        return Window(rows=rows)
    most = {"log_first": LAST_ROW, "fold_rows": rows, "fold_next": config.capacity}
    parts = {MOVES[name]: _count(name, facts[name], most[name]) for name in MOVES}
    window = Window(rows=rows, **parts)
    if not window.has_moved:
        raise FormatError("got a log that has not moved in format 3, want format 1's or 2's")
    return window


def read_over(
    group: "zarr.Group", disk_bytes: Callable[[], int], file: RowFile, snapshot: str
) -> tuple[State, Ledger] | None:
    """Read a memory of whose rows a row file holds nearly all, or all; None if it holds fewer.

    What differs is told by the rows' checks, and read from the arrays.

    Args:
        group: at the snapshot to read, of a `ChunkStore`.
        disk_bytes: gives the folder's size.
        file: of this memory.
        snapshot: of the group.

    Raises:
        FormatError: something does not add up; zarr raises much else if a folder is damaged.
    """
    facts, config = cast(Any, group.attrs), config_of(group)
    state = State.over(config, file.arrays, file.rows)
    set_counts(state, facts)
    if file.snapshot == snapshot:
        checks, marks = file.arrays["checks"], file.arrays["logged"]
        ledger = Ledger(checks, state.reads.copy(), marks, joined(checks[:0]))
        changed, window = np.empty(0, np.int64), file.log
    else:
        ledger, on_disk = Ledger.empty(config), _checked_arrays(group, config, disk_bytes)
        window = window_of(facts, config, on_disk["log"].shape[0])
        _check_size(config, window.rows, disk_bytes)
        stale = _follow(group, on_disk, window, state, file, ledger)
        if stale is None:
            return None
        changed = stale
    ledger = sealed(state, ledger, facts, window)
    rowfile.load_lists(file.path, state.index, changed)
    return state, ledger


def _follow(
    group: "zarr.Group",
    on_disk: dict[str, Any],
    window: Window,
    state: State,
    file: RowFile,
    ledger: Ledger,
) -> NDArray[np.int64] | None:
    """Set rows of a state to those of the group where these differ: (n,) slots; None if many do.

    Args:
        group: at the snapshot to read.
        on_disk: its arrays, by name.
        window: of its log.
        state: of another snapshot, but for the clock and the counts.
        file: the state's.
        ledger: an empty one; set to this snapshot's checks, reads and marks.
    """
    config, store = state.config, cast(Any, group.store)
    store.fill(on_disk["reads"], ledger.reads)
    state.reads[:] = ledger.reads
    # If the log has only grown since, its former rows are in the file; else the seal tells.
    carried = window.carried(file.log, file.arrays["logged"])
    for marks in (None,) if carried is None else (carried, None):
        start = window.first if marks is None else file.log.end
        log = Log(store, on_disk["log"], window, config, start)
        store.fill(on_disk["checks"], ledger.checks)
        ledger.marks[:] = ABSENT if marks is None else marks
        ledger.checks[ledger.logged] = file.arrays["checks"][ledger.logged]
        ledger.checks[log.slots], ledger.marks[log.slots] = log.checks, log.marks
        if _is_sealed(state, ledger, group.attrs, window):
            break
    stale = np.flatnonzero((ledger.checks != file.arrays["checks"]).any(axis=1))
    if len(stale) > max(LOG_CHUNK, state.index.rows // FEW):
        return None
    state.index.grow(int(stale.max(initial=-1)) + 1)
    stored = parts(state) | {"keys": state.index.fill()}
    in_base = np.setdiff1d(stale, log.slots)
    for records in log.pieces() if len(in_base) < len(stale) else ():
        some = records[np.isin(records["slots"], stale)]
        for name, rows in stored.items():
            rows[some["slots"]] = some[name]
    for name, rows in stored.items():
        array = on_disk[name]
        for chunk in np.unique(in_base // array.chunks[0]).tolist():
            start = chunk * array.chunks[0]
            slots = in_base[in_base // array.chunks[0] == chunk]
            rows[slots] = np.asarray(array[start : start + array.chunks[0]])[slots - start]
    changed = state.rows(stale)
    check_rows(changed, config, state.clock, with_empty=True)
    if (checks(changed) != ledger.checks[stale]).any():
        raise FormatError("got rows other than those written; see verify")
    state.clear(stale[changed.touched == EMPTY])
    state.full[stale] = full_voxels(state.values[stale])
    state.reads[:] = ledger.reads  # also of slots that were emptied
    return stale


def set_counts(state: Counted, facts: Any) -> None:
    """Set the clock and the counts."""
    state.clock = _count("clock", facts["clock"])
    state.counts = {name: _count(name, facts["counts"][name]) for name in state.counts}


def sealed(state: Counted, ledger: Ledger, facts: Any, log: Window) -> Ledger:
    """The ledger, completed; FormatError unless the seal fits its checks and the state."""
    if not _is_sealed(state, ledger, facts, log):
        raise FormatError("seal: got parts that do not belong together; the folder is damaged")
    joint, message, time = joined(ledger.checks), facts["message"], facts["time"]
    return replace(ledger, joint=joint, log=log, message=message, time=time)


def _is_sealed(state: Counted, ledger: Ledger, facts: Any, log: Window) -> bool:
    """Whether the seal fits the ledger's checks and the state's reads, clock and counts."""
    message, time = facts["message"], _count("time", facts["time"], 2**62)
    fitting = seal(state, joined(ledger.checks), log, message, time)
    return bool(facts["seal"] == fitting)


class Log:
    """The log of a snapshot, from a row on, read a piece at a time: it may be large.

    Attributes:
        window: the rows that count.
        slots: (n,) that it holds, ascending.
        checks: (n, 16) of the last row of each.
        marks: (n,) of them, see fold.py.
    """

    def __init__(
        self, store: Any, array: Any, window: Window, config: MemoryConfig, first: int | None = None
    ) -> None:
        """Read it once, for its slots; FormatError if there are no such slots.

        Args:
            store: that has accepted the array.
            array: of the log.
            window: the rows that count.
            config: of the memory.
            first: number of the first row to read; by default all that count.
        """
        self.window, self._dtype = window, log_dtype(config)
        self._first = window.first if first is None else first
        self._store, self._array = store, array
        self._at_once = max(1, PIECE_BYTES // self._dtype.itemsize)
        self._whole: NDArray[np.void] | None = None  # a short one, which is read once
        slots = np.full(window.end - self._first, NO_ROW)
        row_checks = np.zeros((len(slots), CHECK_BYTES), np.uint8)
        for start, records in self._read():
            part = slice(start, start + len(records))
            slots[part], row_checks[part] = records["slots"], records["checks"]
        if (slots[slots != NO_ROW] < 0).any() or (slots >= config.capacity).any():
            raise FormatError(f"log: got a slot outside [0, {config.capacity})")
        last = _last_rows(slots)
        self.slots, self.checks = slots[last], row_checks[last]
        self.marks = window.mark(self._first + last)
        self._is_last = np.zeros(len(slots), np.bool_)
        self._is_last[last] = True

    def pieces(self) -> Iterator[NDArray[np.void]]:
        """The last row of each slot, in the log's order, some at a time."""
        for start, records in self._read():
            yield records[self._is_last[start : start + len(records)]]

    def _read(self) -> Iterator[tuple[int, NDArray[np.void]]]:
        """All rows, some at a time, after how many came before."""
        if self._whole is not None:
            yield 0, self._whole
            return
        length, stop = self._array.shape[0], self.window.end
        strip, start = Strip(self._store, self._array, length, self._at_once), self._first
        while start < stop:
            at = start % length
            rows = strip.take(at, min(at + self._at_once, at + stop - start, length))
            records = rows.view(self._dtype).reshape(len(rows))
            if len(rows) == stop - self._first:
                self._whole = records
            yield start - self._first, records
            start += len(rows)


def _checked_arrays(
    group: "zarr.Group", config: MemoryConfig, disk_bytes: Callable[[], int]
) -> dict[str, Any]:
    """The arrays by name; FormatError unless all have the right shapes, types and codecs."""
    store: Any = group.store
    on_disk = {}
    for name, options in arrays(config).items():
        array, free = get_array(group, name), int(name == "log")  # of any length
        if array.shape[free:] != options["shape"][free:] or str(array.dtype) != options["dtype"]:
            want = f"{options['dtype']} {options['shape']}"
            raise FormatError(f"{name}: got {array.dtype} {array.shape}, want {want}")
        store.accept(name, array, disk_bytes)
        on_disk[name] = array
    return on_disk


def _return_free_memory() -> None:
    """Hand back to the system what reading has used and freed; glibc would keep a third more."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def _replay(log: Log, stored: dict[str, NDArray[Any]]) -> None:
    """Lay the rows of the log over the arrays; of several rows of a slot the last counts."""
    for records in log.pieces():
        for name, array in stored.items():
            if name != "reads":  # always in the base
                array[records["slots"]] = records[name]


def _last_rows(slots: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each slot in the log the last row, slots ascending."""
    order = np.argsort(slots, kind="stable")  # np.unique would load numpy.ma: that takes as long
    slots = slots[order]
    ends = np.append(slots[1:] != slots[:-1], True)[: len(slots)]
    return np.asarray(order[ends & (slots != NO_ROW)])


def _count(name: str, number: object, most: float = np.inf) -> int:
    """An int in [0, most]."""
    if type(number) is not int or not 0 <= number <= most:
        raise FormatError(f"{name}: got {number!r}, want an int in [0, {most}]")
    return number


def _check_size(config: MemoryConfig, rows: int, disk_bytes: Callable[[], int]) -> None:
    """Refuse a small folder that asks for a huge memory."""
    row_bytes = 4 * config.key_dim + int(np.prod(packed_shape(config.resolution)))
    row_bytes += sum(dtype.itemsize for dtype in column_types(config).values())
    check_proportion(rows * row_bytes, disk_bytes)


class Pieces:
    """A snapshot, to be gone through once: all of it is looked at as `read` does.

    The log's rows need not be laid over the base's: each row is one or the other's.

    Attributes:
        config: of the memory.
        rows: slots that have a row.
        touched: (capacity,) as in the rows, complete once all were given.
        reads: (capacity,) as saved.
        clock, counts: of the memory.
        ledger: of the snapshot; its message, time and reads once all rows were given.
    """

    def __init__(
        self,
        path: Path | ObjectUrl,
        group: "zarr.Group",
        disk_bytes: Callable[[], int],
        in_turn: bool = False,
    ) -> None:
        """Look at what is small.

        Args:
            path: of the memory, for messages.
            group: at the snapshot, of a `ChunkStore`.
            disk_bytes: gives the folder's size.
            in_turn: read array after array first, and rank the faults of rows: of several things
                that are wrong, that one is raised which `read` raises.

        Raises:
            FormatError: something does not add up; zarr raises much else if a folder is damaged.
        """
        self._path, self._facts, self._in_turn = path, group.attrs, in_turn
        self._outline = outline = outlined(group, disk_bytes)
        self.config, self.rows, self.touched = outline.config, outline.rows, outline.touched
        row_bytes = log_dtype(self.config).itemsize
        self._at_once = max(1, PIECE_BYTES // row_bytes)
        self._names = (*OF_ROWS, *column_arrays(self.config))
        self.ledger, self.clock = Ledger.empty(self.config), 0
        self.reads, self.counts = self.ledger.reads.copy(), dict.fromkeys(COUNTS, 0)

    def __iter__(self) -> Iterator[Rows]:
        """All rows, some at a time, empty slots too; those of the base come first.

        Raises:
            FormatError: something does not add up; that the seal does not fit, at the end.
        """
        pieces = self._pieces()
        while True:
            with reading(self._path):  # not what is done with the rows
                rows = next(pieces, None)
            if rows is None:
                return
            yield rows

    def _pieces(self) -> Iterator[Rows]:
        """As all."""
        outline, ledger, log = self._outline, self.ledger, self._outline.log
        for name in self._names if self._in_turn else ():
            strip = self._strip(name)
            for start, stop in self._parts():
                strip.take(start, stop)
        outline.store.fill(outline.on_disk["checks"], ledger.checks[: self.rows])
        outline.store.fill(outline.on_disk["reads"], self.reads[: self.rows])
        ledger.checks[log.slots], ledger.marks[log.slots] = log.checks, log.marks
        set_counts(self, self._facts)
        faults = []
        for rows in chain(self._base(), self._logged()):
            try:
                check_rows(rows, self.config, self.clock, with_empty=True)
            except FormatError:
                if not self._in_turn:
                    raise
                faults.append(_first_fault(rows, self.config, self.clock))
            else:
                yield _cleared(rows)
        if faults:
            raise min(faults, key=lambda fault: fault[:3])[3]
        self.ledger = sealed(self, ledger, self._facts, log.window)
        ledger.reads[:] = np.where(self.touched == EMPTY, 0, self.reads)

    def _strip(self, name: str) -> Strip:
        """Rows of an array of the base."""
        return Strip(self._outline.store, self._outline.on_disk[name], self.rows, self._at_once)

    def _parts(self) -> Iterator[tuple[int, int]]:
        """Ranges of rows."""
        for start in range(0, self.rows, self._at_once):
            yield start, min(start + self._at_once, self.rows)

    def _base(self) -> Iterator[Rows]:
        """Rows of the base that the log does not hold."""
        strips = {name: self._strip(name) for name in self._names}
        for start, stop in self._parts():
            parts = {name: strip.take(start, stop) for name, strip in strips.items()}
            own = self.ledger.marks[start:stop] == ABSENT
            if not own.all():
                parts = {name: part[own] for name, part in parts.items()}
            yield self._rows(start + np.flatnonzero(own), parts)

    def _logged(self) -> Iterator[Rows]:
        """The last row of each slot in the log."""
        for records in self._outline.log.pieces():
            parts = {name: records[name].copy() for name in self._names}
            slots = records["slots"].astype(np.int64)
            self.touched[slots] = parts["touched"]
            yield self._rows(slots, parts)

    def _rows(self, slots: NDArray[np.int64], parts: dict[str, NDArray[Any]]) -> Rows:
        """Rows of slots (n,) of copies of their parts, by the names of arrays on disk."""
        texts = np.dtype(f"S{SOURCE_BYTES}")
        columns = {
            name: parts[f"{COLUMN}{name}"].view(texts)[:, 0]
            if dtype.kind == "S"
            else parts[f"{COLUMN}{name}"]
            for name, dtype in column_types(self.config).items()
        }
        source = parts["source"].view(texts)[:, 0]
        arrays = parts["keys"], parts["values"], parts["touched"], source, self.reads[slots]
        return Rows(slots, *arrays, columns)


def _cleared(rows: Rows) -> Rows:
    """The rows, copies, once nothing is left of what empty slots held."""
    empty = rows.touched == EMPTY
    if empty.any():
        arrays: tuple[NDArray[Any], ...] = rows.keys, rows.values, rows.sources, rows.reads
        for array in (*arrays, *rows.columns.values()):
            array[empty] = array.dtype.type()
    return rows


def _first_fault(rows: Rows, config: MemoryConfig, clock: int) -> tuple[int, int, int, FormatError]:
    """Of rows that do not pass, the fault that `check_state` tells first, after its place there."""
    names, faults = [*KINDS, *rows.columns], []
    for i, slot in enumerate(rows.slots.tolist()):
        try:
            check_rows(rows.part(slice(i, i + 1)), config, clock, with_empty=True)
        except FormatError as error:
            kind = names.index(str(error).partition(":")[0])
            faults.append((slot // CHECKED, kind, slot, error))
    return min(faults, key=lambda fault: fault[:3])
