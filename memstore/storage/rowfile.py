"""Row file: the rows of a memory in one file that is mapped instead of read (docs/format.md).

A cache: the folder is the truth, and without the file, or with one that does not fit, a memory
opens as ever. It holds what was compared with the rows' checks while it was written, and is
compared with checksums of its own whenever it is opened.

Arrays of capacity rows, each from a multiple of 64 KiB on, in the machine's byte order: keys,
values, touched, sources, reads, full (full voxels, int32), checks, logged (1 for a slot that the
log holds, 2 if since the fold under way began), columns by name. Keys and values past the last used
slot are a hole. Then JSON (snapshot, rows, log_rows, in format 3 `log`: log_first, fold_rows,
fold_next; format and config, XXH3-128 of each 16 MiB of each array), XXH3-128 of the JSON, its
length (8 bytes), MAGIC. It is written beside, with its room reserved, synced, renamed. Numbers that
no row's check covers are copied to RAM. Lists of keys are safetensors, then XXH3-128.
"""

import errno
import json
import mmap
import os
import re
import sys
import weakref
from collections.abc import Container, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from memstore.config import MemoryConfig, saved_config
from memstore.errors import PathError
from memstore.files import check_regular, open_regular, partial_of, sync, tidy, write_atomic
from memstore.json_text import parse_json
from memstore.search.index import KeyIndex
from memstore.search.ivf import IvfIndex
from memstore.slots.state import COLUMN, EMPTY, State, column_types, row_types
from memstore.storage.checksums import CHECK_BYTES, THREADS
from memstore.storage.fold import Window
from memstore.storage.schema import MOVED, Ledger

Place = Literal["ram", "disk"]
"""Where keys and values lie: read into RAM, or in a row file that is mapped."""

FOLDER = "rows"  # in that of the memory
LISTS = ".lists"  # ends the name of a file of lists, see search/ivf.py
MAGIC = b"memstore rows 1\n"
ALIGNMENT = 2**16  # bytes at which an array begins: a page of any system
BLOCK = 2**24  # bytes that have one checksum
LARGEST_TRAILER = 2**26  # bytes
PART = 2  # rows of 1 / PART of the RAM that is free, and more, are mapped unless told otherwise
LEAST_PRIVATE = 2**28  # bytes of changed rows that a writer may hold in RAM, or
PRIVATE = 8  # part of all rows
_DIGEST = 16
_END = _DIGEST + 8 + len(MAGIC)  # bytes: the trailer's checksum and its length, and MAGIC
_LARGE = ("keys", "values")  # arrays whose rows that were never used take no place on disk
IN_RAM = ("touched", "reads", "full", "checks", "logged")  # no check of a row covers them all
_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)


class Section(NamedTuple):
    """Where in the file an array lies."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int  # byte, as the next
    stop: int


class Block(NamedTuple):
    """Part of an array that has one checksum."""

    name: str  # of the array
    start: int  # byte of the file, as the next
    stop: int


def sections(config: MemoryConfig) -> dict[str, Section]:
    """The arrays of a file, by name, in order; all of them are (capacity, ...)."""
    n = config.capacity
    types = row_types(config, n)
    del types["slots"]
    types["full"] = np.dtype(np.int32), (n,)
    types["checks"] = np.dtype(np.uint8), (n, CHECK_BYTES)
    types["logged"] = np.dtype(np.uint8), (n,)
    types |= {f"{COLUMN}{name}": (dtype, (n,)) for name, dtype in column_types(config).items()}
    placed, start = {}, 0
    for name, (dtype, shape) in types.items():
        stop = start + dtype.itemsize * int(np.prod(shape))
        placed[name] = Section(dtype, shape, start, stop)
        start = -(-stop // ALIGNMENT) * ALIGNMENT
    return placed


def row_bytes(config: MemoryConfig) -> int:
    """Bytes of a row, in all arrays."""
    return sum((s.stop - s.start) // config.capacity for s in sections(config).values())


@dataclass
class RowFile:
    """A file that is whole, mapped: what is changed in its arrays stays this process's own.

    Attributes:
        path: of the file.
        rows: slots that have a row.
        log: of the snapshot.
        arrays: (capacity, ...) by name: those of a State, and of a Ledger `checks`, and `marks`
            under the name of `logged`. Numbers that no check of a row covers lie in RAM.
        watch: over the file.
    """

    path: Path
    rows: int
    log: Window
    arrays: dict[str, NDArray[Any]]
    watch: "Watch"

    @property
    def snapshot(self) -> str:
        """Id of the snapshot whose rows these are."""
        return self.path.name


class Watch:
    """Tells whether somebody has written to a file since it was mapped, or cut it off."""

    def __init__(self, descriptor: int, size: int) -> None:
        """Begin.

        Args:
            descriptor: of the file.
            size: bytes of it that are mapped.
        """
        self._descriptor, self._size = os.dup(descriptor), size
        weakref.finalize(self, os.close, self._descriptor)
        self._time = os.fstat(descriptor).st_mtime_ns

    def look(self) -> tuple[bool, int]:
        """Whether all that is mapped is there, and when the file was last written to."""
        status = os.fstat(self._descriptor)
        return status.st_size >= self._size, status.st_mtime_ns

    def is_new(self, time: int) -> bool:
        """Whether nothing that was written then was found to be harmless yet."""
        return time != self._time

    def accept(self, time: int) -> None:
        """What was written then has changed no row."""
        self._time = time


def files_of(folder: Path) -> list[Path]:
    """Row files of a memory's folder, whole or not, the latest first."""
    with suppress(OSError):
        files = [entry for entry in _own(folder).iterdir() if "." not in entry.name]
        return sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return []


def _own(folder: Path) -> Path:
    """The folder of row files; OSError if it is a link, which might lead to somebody else's."""
    path = folder / FOLDER
    if path.is_symlink():
        raise PathError(f"{path}: got a link, want a folder")
    return path


def opened(folder: Path, config: MemoryConfig, snapshot: str) -> RowFile | None:
    """The row file of a snapshot, or the latest of another one; None if there is none that fits."""
    paths = files_of(folder)
    named = [path for path in paths if path.name == snapshot]
    for path in [*named, *(path for path in paths if path not in named)][:1]:
        with suppress(OSError, ValueError, KeyError, TypeError):
            return checked(path, config)
    return None


def checked(path: Path, config: MemoryConfig, digests: list[str] | None = None) -> RowFile:
    """Map a row file, once it is what was written.

    Args:
        path: of the file.
        config: of the memory.
        digests: of its blocks, where this process has just written it.

    Raises:
        ValueError: it is damaged, or of another memory or system; KeyError, TypeError, OSError too.
    """
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        check_regular(status, path)
        placed = sections(config)
        start = _start_of_trailer(placed)
        watch = Watch(file.fileno(), start)
        facts = _trailer(file.fileno(), start, status.st_size)
        log = _window(facts)
        if facts["memory"] != _memory(config, log) or facts["snapshot"] != path.name:
            raise ValueError("got the rows of another memory or snapshot")
        rows = int(facts["rows"])
        if not 0 <= rows <= config.capacity:
            raise ValueError(f"got {rows:,} rows, want at most {config.capacity:,}")
        mapping = mmap.mmap(
            file.fileno(),
            start,
            flags=mmap.MAP_PRIVATE | _NORESERVE,
            prot=mmap.PROT_READ | mmap.PROT_WRITE,
        )
        for name in _LARGE:
            section = placed[name]
            unused = section.start + _used_bytes(name, section, rows)
            _check_unused(file.fileno(), section, unused)
    arrays = _arrays(mapping, placed)
    arrays |= {name: arrays[name].copy() for name in IN_RAM}
    blocks = _blocks(placed, rows)
    if _by_name(blocks, digests or _digests(mapping, blocks), placed) != facts["digests"]:
        raise ValueError("got rows that do not fit their checksums")
    return RowFile(path, rows, log, arrays, watch)


class Draft:
    """A row file that is being written, beside the place that it will take."""

    def __init__(self, path: Path, config: MemoryConfig, rows: int) -> None:
        """Make a file whose arrays are zeros.

        Args:
            path: of the file.
            config: of the memory.
            rows: slots that have a row.

        Raises:
            OSError: the disk has no room for it, or is not to be written.
        """
        self.rows, self._path, self._config = 0, path, config
        self._placed = sections(config)
        self._end = _start_of_trailer(self._placed)
        with open(path, "wb+") as file:
            os.ftruncate(file.fileno(), self._end)
        self.reserve(rows)
        with open(path, "rb+") as file:
            self._mapping = mmap.mmap(file.fileno(), self._end)
        self.arrays = _arrays(self._mapping, self._placed)
        self.arrays["touched"][:] = EMPTY

    def reserve(self, rows: int) -> None:
        """Have room for slots [0, rows); OSError if the disk has none, where a mapping crashes."""
        if self.rows and rows <= self.rows:
            return
        with open(self._path, "rb+") as file:
            for name, section in self._placed.items():
                used = _used_bytes(name, section, rows)
                if used and hasattr(os, "posix_fallocate"):  # macOS has it not
                    os.posix_fallocate(file.fileno(), section.start, used)
        self.rows = rows

    @property
    def blocks(self) -> list[Block]:
        """Of all arrays, in order."""
        return _blocks(self._placed, self.rows)

    def blocks_of(self, slots: NDArray[np.int64]) -> list[Block]:
        """Those in which rows of slots (n,) lie."""
        touched: set[tuple[str, int]] = set()
        for name, section in self._placed.items():
            width = (section.stop - section.start) // section.shape[0]
            for byte in (slots * width, slots * width + width - 1):
                starts = section.start + np.unique(byte // BLOCK) * BLOCK
                touched.update((name, start) for start in starts.tolist())
        return [block for block in self.blocks if (block.name, block.start) in touched]

    def digests(self, blocks: list[Block]) -> list[str]:
        """Checksums (hex) of blocks."""
        return _digests(self._mapping, blocks)

    def flush(self) -> None:
        """Have the disk write what is filled, so that the end need not wait for all of it."""
        sync([self._path])

    def finish(self, snapshot: str, log: Window, digests: list[str] | None = None) -> None:
        """Write the checksums of what the arrays hold, and have all of it on stable storage.

        Args:
            snapshot: whose rows these are.
            log: of it.
            digests: of all blocks, if they are known.
        """
        blocks = self.blocks
        facts = {
            "snapshot": snapshot,
            "rows": self.rows,
            "log_rows": log.rows,
            **({"log": [log.first, log.folding, log.folded]} if log.has_moved else {}),
            "memory": _memory(self._config, log),
            "digests": _by_name(blocks, digests or self.digests(blocks), self._placed),
        }
        text = json.dumps(facts).encode()
        self._mapping.flush()
        with open(self._path, "rb+") as file:
            file.seek(self._end)
            file.write(text + xxhash.xxh3_128_digest(text))
            file.write(len(text).to_bytes(8, "little") + MAGIC)
        sync([self._path])


class Maker:
    """Makes a memory's row file from what is read of the memory."""

    def __init__(self, folder: Path, beside: Path, place: Place | None) -> None:
        """A draft is made at `beside`, if one is wanted: see `wants_file`."""
        self._memory, self._folder = folder, folder / FOLDER
        self._beside, self._place = beside, place
        self.draft: Draft | None = None

    def begin(self, config: MemoryConfig, rows: int) -> State:
        """State of zeros, to be filled: in a file, or in RAM if no file is wanted or possible."""
        self.draft = None
        if wants_file(config, rows, self._place):
            with suppress(OSError):
                return self._begin(config, rows)
        return State.with_rows(config, rows)

    def _begin(self, config: MemoryConfig, rows: int) -> State:
        """State of zeros in a file."""
        _own(self._memory).mkdir(exist_ok=True)
        tidy(self._folder)
        self.draft = Draft(self._beside, config, rows)
        return State.over(config, self.draft.arrays, rows)

    def fill(self, ledger: Ledger) -> None:
        """Put what is known of the rows beside them."""
        assert self.draft
        self.draft.arrays["checks"][:] = ledger.checks
        self.draft.arrays["logged"][:] = ledger.marks

    def finish(
        self, snapshot: str, ledger: Ledger, kept: str, digests: list[str] | None = None
    ) -> Path:
        """Put the draft, all of whose rows are filled, in its place; other files go, but one.

        Args:
            snapshot: whose rows these are.
            ledger: of it.
            kept: snapshot whose file stays besides.
            digests: of the draft's blocks, if they are known; it is filled with the ledger then.

        Raises:
            OSError: the disk refuses.
        """
        assert self.draft
        if digests is None:
            self.fill(ledger)
        self.draft.finish(snapshot, ledger.log, digests)
        path = self._folder / snapshot
        os.replace(self._beside, path)
        sync([self._folder])
        drop(self._folder.parent, (snapshot, kept))
        return path


@contextmanager
def making(folder: Path, place: Place | None) -> Iterator[Maker]:
    """Give a maker of the row file of a memory's folder; what it leaves half made is removed."""
    with partial_of(folder / FOLDER / FOLDER) as beside:
        yield Maker(folder, beside, place)


def drop(folder: Path, kept: Container[str] = ()) -> None:
    """Remove a memory's row files but those of some snapshots; who has one mapped keeps it."""
    with suppress(OSError):
        for path in _own(folder).iterdir():
            if not path.name.startswith(".") and path.stem not in kept:
                path.unlink(missing_ok=True)


def save_lists(path: Path, index: KeyIndex) -> None:
    """Save an index's lists of keys, if it has new ones, beside the row file at a path."""
    if not isinstance(index, IvfIndex) or not path.exists():
        return
    if (arrays := index.unsaved_lists()) is not None:
        from safetensors import numpy

        data = numpy.save(arrays)
        with suppress(PathError):  # a full disk: a cache less
            write_atomic(path.with_suffix(LISTS), data + xxhash.xxh3_128_digest(data))


def load_lists(path: Path, index: KeyIndex, changed: NDArray[np.int64]) -> str | None:
    """Have an index search the lists that were saved beside a row file, if there are any.

    Args:
        path: of the row file.
        index: of its keys.
        changed: (n,) slots that have other keys since.

    Returns:
        What is wrong with them; None if nothing is.
    """
    if not isinstance(index, IvfIndex):
        return None
    from safetensors import SafetensorError, numpy

    try:
        with open_regular(path.with_suffix(LISTS)) as file:
            data = file.read()
        if xxhash.xxh3_128_digest(memoryview(data)[:-_DIGEST]) != data[-_DIGEST:]:
            raise ValueError("got lists that do not fit their checksum")
        index.use_lists(numpy.load(data[:-_DIGEST]), changed)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        return str(error)
    return None


def is_outgrown(config: MemoryConfig, rows: int, changed: int) -> bool:
    """Whether a file of so many rows is to be made anew, so many of which were changed in RAM."""
    private = changed * (row_bytes(config) + 2 * mmap.PAGESIZE)  # a page belongs to one process
    return private > max(LEAST_PRIVATE, rows * row_bytes(config) // PRIVATE)


def wants_file(config: MemoryConfig, rows: int, place: Place | None) -> bool:
    """Whether a memory's rows belong in a file: None chooses so if they would take much RAM."""
    size = rows * row_bytes(config)
    return place == "disk" or (place is None and size > available_ram() / PART)


def available_ram() -> float:
    """Bytes of RAM that are free or could be, of the machine or of the group of processes."""
    free = [float("inf")]
    with suppress(OSError):
        line = re.search(r"MemAvailable: *(\d+) kB", Path("/proc/meminfo").read_text())
        free += [int(line[1]) * 1024] if line else []
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        free.append(int((group / "memory.max").read_text()))
    return min(free)


def _start_of_trailer(placed: Mapping[str, Section]) -> int:
    """Byte after the arrays."""
    return max(section.stop for section in placed.values())


def _used_bytes(name: str, section: Section, rows: int) -> int:
    """Bytes of an array, from its start on, that are more than room for rows to come."""
    size = section.stop - section.start
    return size // section.shape[0] * rows if name in _LARGE else size


def _arrays(mapping: mmap.mmap, placed: Mapping[str, Section]) -> dict[str, NDArray[Any]]:
    """The arrays of a mapped file."""
    return {
        name: np.frombuffer(mapping, dtype, int(np.prod(shape)), start).reshape(shape)
        for name, (dtype, shape, start, _) in placed.items()
    }


def _blocks(placed: Mapping[str, Section], rows: int) -> list[Block]:
    """The blocks of all arrays, in order."""
    return [
        Block(name, start, min(start + BLOCK, section.start + used))
        for name, section in placed.items()
        for used in [_used_bytes(name, section, rows)]
        for start in range(section.start, section.start + used, BLOCK)
    ]


def _digests(mapping: mmap.mmap, blocks: list[Block]) -> list[str]:
    """Checksums (hex) of blocks."""
    view = memoryview(mapping)

    def digest(block: Block) -> str:
        _, start, stop = block
        if hasattr(mmap, "MADV_WILLNEED"):  # the disk is asked for all of it at once
            mapping.madvise(mmap.MADV_WILLNEED, start, stop - start)
        return xxhash.xxh3_128_hexdigest(view[start:stop])

    with ThreadPoolExecutor(max(1, min(THREADS, len(blocks)))) as pool:
        return list(pool.map(digest, blocks))


def _by_name(
    blocks: list[Block], digests: list[str], placed: Mapping[str, Section]
) -> dict[str, list[str]]:
    """Checksums of all blocks by the arrays' names."""
    by_name: dict[str, list[str]] = {name: [] for name in placed}
    for block, hexadecimal in zip(blocks, digests, strict=True):
        by_name[block.name].append(hexadecimal)
    return by_name


def _check_unused(descriptor: int, section: Section, start: int) -> None:
    """Raise ValueError unless a section has zeros from a byte on; of most the file system knows."""
    at = start
    while at < section.stop:
        try:
            at = os.lseek(descriptor, at, os.SEEK_DATA)
            hole = os.lseek(descriptor, at, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole
                return
            raise
        part = os.pread(descriptor, max(0, min(BLOCK, hole - at, section.stop - at)), at)
        if part.strip(b"\0"):
            raise ValueError("got bytes where rows were never used")
        at += len(part) or BLOCK


def _trailer(descriptor: int, start: int, size: int) -> dict[str, Any]:
    """What the end of a file says of it; ValueError if it is not what was written."""
    if not start + _END <= size <= start + _END + LARGEST_TRAILER:
        raise ValueError(f"got {size:,} bytes, want a trailer after {start:,}")
    data = os.pread(descriptor, size - start, start)
    text, digest, end = data[:-_END], data[-_END:][:_DIGEST], data[-_END + _DIGEST :]
    if end != len(text).to_bytes(8, "little") + MAGIC or xxhash.xxh3_128_digest(text) != digest:
        raise ValueError("got a damaged trailer")
    facts: dict[str, Any] = parse_json(text)
    return facts


def _window(facts: Mapping[str, Any]) -> Window:
    """Of the snapshot's log."""
    first, folding, folded = map(int, facts.get("log", (0, 0, 0)))
    return Window(first, int(facts["log_rows"]), folding, folded)


def _memory(config: MemoryConfig, log: Window) -> list[Any]:
    """What tells whether a file's arrays are this memory's, and read as we read them."""
    version, fields = saved_config(config)
    version = MOVED if log.has_moved else version
    facts: list[Any] = parse_json(json.dumps([version, fields, sys.byteorder]))
    return facts
