"""Table: whole rows of a memory and the facts about it, as they travel in files.

The one form behind every kind of file that `exchange` writes and reads; docs/exchange.md.

Over 250 lines: what is believed of a file is checked beside what is asked of it.
"""

import json
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from memstore.config import MemoryConfig
from memstore.errors import FormatError, MemstoreError, PathError
from memstore.slots.state import SOURCE_BYTES, Rows, State
from memstore.voxels.grids import packed_shape

FORMAT = 1
BLOCK_BYTES = 2**24  # of one array, read at once
UNIT = 1e-5  # how far a key's norm may be from 1
COUNTS = ("merge", "insert", "evict", "remove")
_BUILTINS: tuple[type[Exception], ...] = (  # what damage has been seen to raise
    *(MemstoreError, OSError, ValueError, TypeError, LookupError, AttributeError),
    *(ArithmeticError, RuntimeError, MemoryError, EOFError),
)
_SLOT_BYTES = 160  # of a memory per slot of its capacity, used or not: source, clocks, counts
_LONGEST_LINE, _LONGEST_VALUE = 300, 60  # characters of a message that may quote a file
_LATEST = 2**62  # no clock or count comes near; clock - touched must fit int64


class Table(NamedTuple):
    """Rows of a memory, all of used slots, and what is true of the whole."""

    rows: Rows
    config: MemoryConfig
    clock: int
    counts: dict[str, int]


class Head(NamedTuple):
    """What a file declares of one array."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes it would take, as a Python int: a declared shape may overflow any other."""
        return math.prod(self.shape) * self.dtype.itemsize


class Archive(Protocol):
    """Named arrays in a file that is open to be read; nothing is read before it is asked for."""

    @property
    def names(self) -> list[str]:
        """Of all its arrays."""
        ...

    @property
    def heads(self) -> dict[str, Head]:
        """Of its arrays that mean something to us."""
        ...

    @property
    def facts(self) -> Any:
        """The facts beside the arrays of an export of ours; None in a file of others."""
        ...

    def blocks(self, name: str) -> Iterator[NDArray[Any]]:
        """An array's rows in order, whole rows, some at a time."""
        ...


def table_of(state: State, slots: NDArray[np.int64]) -> Table:
    """Copy the rows of used slots (n,)."""
    return Table(state.rows(slots), state.config, state.clock, dict(state.counts))


def arrays(table: Table, sources_as_bytes: bool = False) -> dict[str, NDArray[Any]]:
    """The table's arrays by name; sources as S128 (n,), or as uint8 (n, 128) if so asked."""
    named: dict[str, NDArray[Any]] = table.rows._asdict()
    if sources_as_bytes:
        named["sources"] = table.rows.sources.view(np.uint8).reshape(-1, SOURCE_BYTES)
    return named


def facts(table: Table) -> dict[str, Any]:
    """What travels beside the arrays, ready for JSON."""
    return {
        "memstore_export": FORMAT,
        "config": asdict(table.config),
        "clock": table.clock,
        "counts": table.counts,
        "crc32": {name: _crc32(array) for name, array in arrays(table).items()},
    }


def parse_facts(text: bytes | str) -> Any:
    """Undo `json.dumps(facts(table))`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"attributes: got no JSON ({error})") from error


def read_table(archive: Archive) -> Table:
    """Read an export of ours, believing nothing; bound its sizes first.

    Raises:
        FormatError: something does not add up; other errors if a value is of another type.
    """
    told = archive.facts
    check_version(told)
    config = MemoryConfig(**told["config"])
    slots = archive.heads["slots"]
    for name, (dtype, shape) in _expected(config, slots.shape[:1]).items():
        got = archive.heads[name]
        want = Head(np.dtype(dtype), shape)
        as_bytes = Head(np.dtype(np.uint8), (*shape, SOURCE_BYTES))
        if got != want and not (name == "sources" and got == as_bytes):
            raise FormatError(f"{name}: got {got.dtype} {got.shape}, want {dtype} {shape}")
    found = {name: read_array(archive, name) for name in Rows._fields}
    found["sources"] = found["sources"].view(f"S{SOURCE_BYTES}").reshape(-1)
    return checked(Rows(**found), config, told)


def check_version(told: Any) -> None:
    """Raise FormatError unless the facts are of a format we know."""
    if not isinstance(told, dict) or told.get("memstore_export") != FORMAT:
        got = told.get("memstore_export") if isinstance(told, dict) else told
        raise FormatError(f"memstore_export: got {repr(got)[:_LONGEST_VALUE]}, want {FORMAT}")


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


def checked(rows: Rows, config: MemoryConfig, told: Any) -> Table:
    """A table of the rows, if a memory can be in that state and they are as written.

    Args:
        rows: of the right dtypes and shapes.
        config: of the memory.
        told: facts, of which only the version was checked.
    """
    for name, array in rows._asdict().items():
        if _crc32(array) != told["crc32"][name]:
            raise FormatError(f"{name}: got other bytes than were written (CRC-32 differs)")
    counts = {name: told["counts"][name] for name in COUNTS}
    for name, number in {"clock": told["clock"], **counts}.items():
        if type(number) is not int or not 0 <= number < _LATEST:
            raise FormatError(f"{name}: got {repr(number)[:_LONGEST_VALUE]}, want an int >= 0")
    _check_range("slots", rows.slots, config.capacity - 1)
    if len(np.unique(rows.slots)) < len(rows.slots):
        raise FormatError("slots: got a slot twice, want distinct slots")
    _check_range("touched", rows.touched, told["clock"])
    _check_range("reads", rows.reads, _LATEST)
    for start in range(0, len(rows.keys), 512):
        norms = np.linalg.norm(rows.keys[start : start + 512].astype(np.float64), axis=1)
        if not (np.abs(norms - 1) < UNIT).all():  # also refuses nan
            raise FormatError("keys: got a key that is no unit vector")
    padding = 2 ** (-config.resolution % 8) - 1  # mask of the bits past the last voxel
    if (rows.values[..., -1] & padding).any():
        raise FormatError("values: got padding bits that are set")
    for source in rows.sources.tolist():
        if b"\0" in source:
            raise FormatError(f"sources: got {source!r}, want UTF-8 without NUL")
        source.decode()
    return Table(rows, config, told["clock"], counts)


def restored(table: Table, max_bytes: int) -> State:
    """A state with the table's rows in their slots."""
    rows, config = table.rows, table.config
    row_bytes = 4 * config.key_dim + math.prod(packed_shape(config.resolution))
    needed = (int(rows.slots.max(initial=-1)) + 1) * row_bytes + config.capacity * _SLOT_BYTES
    check_bytes("slots up to the highest, and the capacity", needed, max_bytes)
    state = State.empty(config)
    state.put(rows)
    state.clock, state.counts = table.clock, table.counts
    return state


def check_heads(heads: dict[str, Head], max_bytes: int) -> None:
    """Raise FormatError if the arrays would not fit, before any is read."""
    check_bytes("arrays", sum(head.nbytes for head in heads.values()), max_bytes)


def check_bytes(name: str, got: int, largest: int) -> None:
    """Raise FormatError if it is too much."""
    if got > largest:
        raise FormatError(f"{name}: got {got:,} bytes, want <= {largest:,} (max_bytes)")


@contextmanager
def reading(path: Path, *foreign: type[Exception]) -> Iterator[None]:
    """Report whatever a damaged or hostile file makes Python and a library raise as our errors.

    Args:
        path: named in the message.
        foreign: what that library raises beside Python's own.
    """
    try:
        yield
    except PathError:
        raise
    except _BUILTINS + foreign as error:
        line = next(iter(str(error).splitlines()), "") or type(error).__name__
        if not isinstance(error, MemstoreError):
            line = f"cannot be read: {line}"
        line = line.removeprefix(f"{path}: ")
        if len(line) > _LONGEST_LINE:
            line = f"{line[:_LONGEST_LINE]}..."
        raise FormatError(f"{path}: {line}") from error


def _expected(config: MemoryConfig, n: tuple[int, ...]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Dtype and shape of each array of a table with n rows."""
    return {
        "slots": ("int64", n),
        "keys": ("float32", (*n, config.key_dim)),
        "values": ("uint8", (*n, *packed_shape(config.resolution))),
        "touched": ("int64", n),
        "sources": (f"S{SOURCE_BYTES}", n),
        "reads": ("int64", n),
    }


def _check_range(name: str, numbers: NDArray[np.int64], highest: int) -> None:
    """Raise FormatError unless all are in [0, highest]."""
    if (outside := (numbers < 0) | (numbers > highest)).any():
        got = numbers[outside.argmax()]
        raise FormatError(f"{name}: got {got}, want numbers in [0, {highest}]")


def _crc32(array: NDArray[Any]) -> int:
    """Of its bytes in C order."""
    return zlib.crc32(np.ascontiguousarray(array).data) if array.size else 0
