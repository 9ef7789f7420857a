"""Table: whole rows of a memory and the facts about it, as they travel in files.

The one form behind every kind of file that `exchange` writes and reads; docs/exchange.md.
"""

import math
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from memstore.config import MemoryConfig, config_from_saved, saved_config
from memstore.errors import FormatError, SlotError
from memstore.files import Progress
from memstore.slots.state import (
    CHECKED,
    COLUMN,
    COUNTS,
    LATEST,
    SOURCE_BYTES,
    Rows,
    State,
    as_bytes,
    check_rows,
    column_types,
    row_types,
)
from memstore.voxels.grids import packed_shape

FORMATS = (1, 2)  # that we read, as of the folder
BLOCK_BYTES = 2**24  # of one array, read at once
_SLOT_BYTES = 160  # of a memory per slot of its capacity, used or not: source, clocks, counts
ROW_ARRAYS = tuple(name for name in Rows._fields if name != "columns")
_LONGEST_VALUE = 60  # characters of a file that a message quotes


class Table(NamedTuple):
    """Rows of a memory, all of used slots, and what is true of the whole."""

    rows: Rows
    config: MemoryConfig
    clock: int
    counts: dict[str, int]


class Selection:
    """Some rows of an array, copied when and as far as they are asked for."""

    def __init__(self, array: NDArray[Any], slots: NDArray[np.int64]) -> None:
        self._array, self._slots = array, slots
        self.dtype, self.shape = array.dtype, (len(slots), *array.shape[1:])
        self.ndim = array.ndim

    def __len__(self) -> int:
        return len(self._slots)

    def __getitem__(self, which: Any) -> Any:
        """As of an array (n, ...), by place."""
        return self._array[self._slots[which]]


def selected_rows(state: State, slots: NDArray[np.int64]) -> Table:
    """A table of used slots, to be written while nobody changes the state."""
    every = state.rows(slice(state.index.rows))
    named: dict[str, Any] = {
        name: Selection(getattr(every, name), slots) for name in ROW_ARRAYS if name != "slots"
    }
    columns: Any = {name: Selection(column, slots) for name, column in every.columns.items()}
    rows = Rows(slots=slots, **named, columns=columns)
    return Table(rows, state.config, state.clock, dict(state.counts))


def pieces(
    array: "NDArray[Any] | Selection", texts_as_bytes: bool = False
) -> Iterator[NDArray[Any]]:
    """An array's rows in order, C-contiguous, some at a time; at least one piece."""
    step = max(1, BLOCK_BYTES // Head(array.dtype, array.shape).row_bytes)
    for start in range(0, max(1, len(array)), step):
        piece: NDArray[Any] = np.ascontiguousarray(array[start : start + step])
        yield as_bytes(piece) if texts_as_bytes and piece.ndim == 1 else piece


class Head(NamedTuple):
    """What a file declares of one array."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes it would take, as a Python int: a declared shape may overflow any other."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, at least 1."""
        return max(1, math.prod(self.shape[1:]) * self.dtype.itemsize)


class Archive(Protocol):
    """Named arrays in a file that is open to be read; nothing is read before it is asked for."""

    names: list[str]  # of all its arrays
    heads: dict[str, Head]  # of its arrays that mean something to us
    facts: Any  # beside the arrays of an export of ours; None in a file of others

    def blocks(self, name: str) -> Iterator[NDArray[Any]]:
        """An array's rows in order, whole rows, some at a time."""
        ...


def arrays(table: Table) -> dict[str, NDArray[Any] | Selection]:
    """The table's arrays by name; texts as S128 (n,)."""
    named: dict[str, NDArray[Any] | Selection] = {
        name: getattr(table.rows, name) for name in ROW_ARRAYS
    }
    return named | {COLUMN + name: column for name, column in table.rows.columns.items()}


def heads_as_bytes(table: Table) -> dict[str, Head]:
    """What `pieces` with texts as bytes gives of each array, by name."""
    text = np.dtype(np.uint8), SOURCE_BYTES
    return {
        name: Head(text[0], (len(array), text[1]))
        if array.dtype.kind == "S"
        else Head(array.dtype, tuple(array.shape))
        for name, array in arrays(table).items()
    }


class ByteProgress:
    """Progress of a table that is written array by array: its slots, as its bytes."""

    def __init__(self, table: Table, progress: Progress) -> None:
        self._slots, self._progress = len(table.rows.slots), progress
        self._bytes = self._last = 0
        self._total = max(1, sum(head.nbytes for head in heads_as_bytes(table).values()))

    def add(self, count: int) -> None:
        """So many bytes more."""
        self._bytes += count
        slots = min(self._slots - 1, self._slots * self._bytes // self._total)
        if slots > self._last:
            self._last = slots
            self._progress(slots, self._slots)

    def end(self) -> None:
        """All of them."""
        self._progress(self._slots, self._slots)


def is_ours(name: str) -> bool:
    """Whether an array of that name means something to us."""
    return name in ROW_ARRAYS or name.startswith(COLUMN)


def facts(table: Table) -> dict[str, Any]:
    """What travels beside the arrays, ready for JSON."""
    version, config = saved_config(table.config)
    return {
        "memstore_export": version,
        "config": config,
        "clock": table.clock,
        "counts": table.counts,
        "crc32": {name: _crc32(array) for name, array in arrays(table).items()},
    }


def read_config(facts: Any) -> MemoryConfig:
    """The config among facts; raise FormatError unless they are of a format we know."""
    version = facts.get("memstore_export") if isinstance(facts, dict) else facts
    if type(version) is not int or version not in FORMATS or not isinstance(facts, dict):
        want = " or ".join(map(str, FORMATS))
        raise FormatError(f"memstore_export: got {repr(version)[:_LONGEST_VALUE]}, want {want}")
    return config_from_saved(version, facts["config"])


def read_state(archive: Archive, max_bytes: int) -> State:
    """Read an export of ours, believing nothing; bound its sizes first.

    Keys and values go straight to their slots, so that nothing large lies in RAM twice.

    Raises:
        FormatError: something does not add up; other errors if a value is of another type.
    """
    config, named = read_config(archive.facts), _small_arrays(archive)
    slots = named["slots"]
    if (outside := (slots < 0) | (slots >= config.capacity)).any():
        slot = slots[outside.argmax()]
        raise SlotError(f"slots: got {slot}, want numbers in [0, {config.capacity - 1}]")
    if len(np.unique(slots)) < len(slots):
        raise SlotError("slots: got a slot twice, want distinct slots")
    state = _room_for(slots, config, max_bytes)
    checksums = {name: _crc32(array) for name, array in named.items()}
    keys = state.index.fill()
    for name, rows in (("keys", keys), ("values", state.values)):
        checksums[name], start = 0, 0
        for block in archive.blocks(name):
            rows[slots[start : start + len(block)]] = block
            checksums[name] = zlib.crc32(np.ascontiguousarray(block).data, checksums[name])
            start += len(block)
        if start != len(slots):
            raise FormatError(f"{name}: got {start} rows, want {len(slots)}")
    _check_sums(checksums, archive.facts)
    state.touched[slots], state.reads[slots] = named["touched"], named["reads"]
    state.sources[slots] = named["sources"]
    for name, column in state.columns.items():
        column[slots] = named[COLUMN + name]
    state.clock, state.counts = _clock_and_counts(archive.facts)
    for start in range(0, len(slots), CHECKED):
        check_rows(state.rows(slots[start : start + CHECKED]), config, state.clock)
    state.count_voxels()
    state.dirty.update(slots.tolist())
    return state


def _small_arrays(archive: Archive) -> dict[str, NDArray[Any]]:
    """All but keys and values, once all arrays are declared as they have to be; texts as S128."""
    config, slots = read_config(archive.facts), archive.heads["slots"]
    n = slots.shape[0] if slots.shape else 0
    types = row_types(config, n)
    types |= {COLUMN + name: (dtype, (n,)) for name, dtype in column_types(config).items()}
    for name, (dtype, shape) in types.items():
        head = archive.heads[name]
        in_bytes = Head(np.dtype(np.uint8), (*shape, SOURCE_BYTES))
        if head != (dtype, shape) and not (dtype.kind == "S" and head == in_bytes):
            raise FormatError(f"{name}: got {head.dtype} {head.shape}, want {dtype} {shape}")
    named = {name: read_array(archive, name) for name in types if name not in ("keys", "values")}
    for name, (dtype, _) in types.items():
        if dtype.kind == "S":
            named[name] = named[name].view(dtype).reshape(-1)
    return named


def read_array(archive: Archive, name: str) -> NDArray[Any]:
    """Read a whole array; exactly as many rows as it declares."""
    head = archive.heads[name]
    array = np.empty(head.shape, head.dtype)
    start = 0
    for block in archive.blocks(name):
        array[start : start + len(block)] = block
        start += len(block)
    if start != len(array):
        raise FormatError(f"{name}: got {start} rows, want {len(array)}")
    return array


def checked_table(rows: Rows, config: MemoryConfig, facts: Any) -> Table:
    """A table of the rows, if a memory can be in that state and they are as written.

    Args:
        rows: of the right dtypes and shapes.
        config: of the memory.
        facts: of which only the version was checked.
    """
    named = arrays(Table(rows, config, 0, {}))
    _check_sums({name: _crc32(array) for name, array in named.items()}, facts)
    clock, counts = _clock_and_counts(facts)
    check_rows(rows, config, clock)
    return Table(rows, config, clock, counts)


def _check_sums(checksums: dict[str, int], facts: Any) -> None:
    """Raise FormatError unless arrays have the CRC-32 that they were written with."""
    for name, checksum in checksums.items():
        if checksum != facts["crc32"][name]:
            raise FormatError(f"{name}: got other bytes than were written (CRC-32 differs)")


def _clock_and_counts(facts: Any) -> tuple[int, dict[str, int]]:
    """Of the memory; raise FormatError unless they can be such."""
    clock, counts = facts["clock"], {name: facts["counts"][name] for name in COUNTS}
    for name, number in {"clock": clock, **counts}.items():
        if type(number) is not int or not 0 <= number < LATEST:
            raise FormatError(f"{name}: got {repr(number)[:_LONGEST_VALUE]}, want an int >= 0")
    return clock, counts


def restored(table: Table, max_bytes: int) -> State:
    """A state with the table's rows in their slots."""
    state = _room_for(table.rows.slots, table.config, max_bytes)
    state.put(table.rows)
    state.clock, state.counts = table.clock, table.counts
    return state


def _room_for(slots: NDArray[np.int64], config: MemoryConfig, max_bytes: int) -> State:
    """An empty state with a row for each of slots (n,), if that may take so much RAM."""
    rows = int(slots.max(initial=-1)) + 1
    row_bytes = 4 * config.key_dim + math.prod(packed_shape(config.resolution))
    slot_bytes = _SLOT_BYTES + sum(dtype.itemsize for dtype in column_types(config).values())
    total = rows * row_bytes + config.capacity * slot_bytes
    check_bytes("slots up to the highest, and the capacity", total, max_bytes)
    state = State.empty(config)
    state.index.grow(rows)
    return state


def check_heads(heads: dict[str, Head], max_bytes: int) -> None:
    """Raise FormatError if the arrays would not fit, before any is read."""
    check_bytes("arrays", sum(head.nbytes for head in heads.values()), max_bytes)


def check_bytes(name: str, size: int, largest: int) -> None:
    """Raise FormatError if it is too much."""
    if size > largest:
        raise FormatError(f"{name}: got {size:,} bytes, want <= {largest:,} (max_bytes)")


def _crc32(array: NDArray[Any] | Selection) -> int:
    """Of its bytes in C order."""
    crc = 0
    for piece in pieces(array):
        crc = zlib.crc32(piece.data, crc) if piece.size else crc
    return crc
