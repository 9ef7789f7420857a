"""The chunks of a memory: what they may unpack to, and a quick way to write those of a commit.

What files may unpack to is what they declare, and that in proportion.
"""

import asyncio
import json
import math
import os
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
import zarr
from numcodecs.zstd import Zstd
from numpy.typing import NDArray
from zarr.abc.codec import Codec
from zarr.codecs import BytesCodec, Crc32cCodec, ZstdCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.buffer.cpu import NDBuffer
from zarr.core.sync import sync
from zarr.storage import WrapperStore

from memstore.errors import FormatError
from memstore.storage import zstd

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest, Store
    from zarr.core.buffer import Buffer, BufferPrototype

GENEROUS = 2**28  # bytes of RAM that any memory may ask for
LENIENCE = 64  # bytes that each of its bytes on disk may ask for besides

PENDING = 2**26  # bytes of chunks, about, that a commit holds before it writes them
READ_ROWS = 4096  # rows, and
READ_BYTES = 2**23  # bytes of chunks that are on their way at once: more would not be in cache

_METADATA = "zarr.json"
_PACKED = ("snapshots", "manifests", "transactions")  # folders of Icechunk's, which unpacks whole
_PREFIX = 39  # bytes of Icechunk's before the zstd data
_HARMLESS = 4 * GENEROUS // zstd.BLOCK_BYTES  # bytes of a file: no block has fewer than four
_CODECS: tuple[tuple[type[Codec], ...], ...] = (
    (),
    (ZstdCodec,),
    (Crc32cCodec,),
    (ZstdCodec, Crc32cCodec),
)


def check_proportion(size: int, disk_bytes: Callable[[], int]) -> None:
    """Refuse a small folder that asks for much RAM.

    Args:
        size: bytes that it asks for.
        disk_bytes: gives the folder's size.
    """
    if size > GENEROUS and size > GENEROUS + LENIENCE * disk_bytes():
        raise FormatError(f"got {disk_bytes():,} bytes on disk that ask for {size:,} in RAM")


def check_files(folder: Path, besides: str = "") -> None:
    """Raise FormatError unless all in a folder is a file or a folder, and unpacks in proportion.

    A link may lead anywhere, to be read as ours or written over, and a pipe never ends.

    Args:
        folder: of a memory.
        besides: name of a link in it that nobody follows.
    """
    is_packed = folder.name in _PACKED
    with suppress(FileNotFoundError), os.scandir(folder) as entries:  # a writer lets it expire
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                check_files(folder / entry.name)
            elif entry.name == besides and entry.is_symlink():
                continue
            elif not entry.is_file(follow_symlinks=False):
                kind = "a link" if entry.is_symlink() else "neither a file nor a folder"
                raise FormatError(f"{entry.path}: got {kind}, want a memory's own files")
            elif is_packed and (size := entry.stat().st_size) > _HARMLESS:
                with open(entry.path, "rb") as file:
                    most = zstd.most_unpacked(file.read()[_PREFIX:])
                if most > GENEROUS + LENIENCE * size:
                    raise FormatError(f"{entry.path}: got {size:,} bytes that unpack to {most:,}")


class ChunkStore(WrapperStore["Store"]):
    """A store that gives out chunks of arrays that were accepted, if each unpacks to its size."""

    def __init__(self, store: "Store") -> None:
        super().__init__(store)
        self._checks: dict[str, Callable[[Buffer], None]] = {}  # of chunks, by array

    def accept(self, name: str, array: Any, disk_bytes: Callable[[], int]) -> None:
        """Let chunks of an array be read, those that are in proportion.

        Args:
            name: of the array.
            array: as the folder declares it.
            disk_bytes: gives the folder's size.

        Raises:
            FormatError: its chunks are packed otherwise than by zstd.
        """
        kinds = tuple(type(codec) for codec in array.compressors)
        is_plain = isinstance(array.serializer, BytesCodec) and not array.filters
        if array.shards or not is_plain or kinds not in _CODECS:
            packed = [type(codec).__name__ for codec in array.metadata.codecs]
            raise FormatError(f"{name}: got codecs {packed}, want bytes, then zstd, crc32c or none")
        sides = [max(sides) for sides in zip(array.chunks, array.shape, strict=True)][1:]
        across = array.chunks[0] * math.prod(sides) * array.dtype.itemsize  # all chunks of a row
        size = math.prod(array.chunks) * array.dtype.itemsize

        def check(chunk: "Buffer") -> None:
            check_proportion(across, disk_bytes)
            if ZstdCodec not in kinds:
                return
            header = zstd.frame(chunk[: zstd.HEADER_BYTES].to_bytes())
            if header is None or header.size != size:
                declared = header and header.size
                what = "no zstd frame of known size" if declared is None else f"{declared:,} bytes"
                raise FormatError(f"{name}: got a chunk of {what}, want {size:,} bytes")

        self._checks[name] = check

    async def get(
        self, key: str, prototype: "BufferPrototype", byte_range: "ByteRequest | None" = None
    ) -> "Buffer | None":
        """As the store below."""
        buffer = await super().get(key, prototype, byte_range)
        if buffer is not None and key.rpartition("/")[2] != _METADATA:
            self._checks[key.partition("/")[0]](buffer)  # a KeyError: nobody has accepted it
        return buffer

    def fill(self, array: Any, rows: NDArray[Any], first: int = 0) -> None:
        """Read rows (n, ...) of an array that was accepted into those given.

        Zarr takes twice as long, and as long for a chunk of few bytes as for a large one.

        Args:
            array: of the store.
            rows: to be set.
            first: number of the first one, at which a chunk begins.
        """
        chunk = array.chunks
        if chunk[1:] != array.shape[1:] or not _is_native(array):
            for start in range(0, len(rows), READ_ROWS):
                part = rows[start : start + READ_ROWS]
                block = slice(first + start, first + start + len(part))
                array.get_basic_selection(block, out=NDBuffer.from_numpy_array(part))
            return
        size = math.prod(chunk) * array.dtype.itemsize
        at_once = max(1, READ_BYTES // max(size, 1))
        starts = range(0, len(rows), chunk[0])
        prototype = default_buffer_prototype()

        async def read(start: int) -> None:
            part = rows[start : start + chunk[0]]
            key = array.metadata.encode_chunk_key(
                ((first + start) // chunk[0], *(0 for _ in chunk[1:]))
            )
            packed = await self.get(f"{array.basename}/{key}", prototype)
            if packed is None:
                part[...] = array.fill_value
                return
            data = _unpacked(packed.as_numpy_array(), array.compressors, array.basename, size)
            part[...] = data.view(array.dtype).reshape(chunk)[: len(part)]

        async def read_all() -> None:
            for first in range(0, len(starts), at_once):
                await asyncio.gather(*map(read, starts[first : first + at_once]))

        sync(read_all())


class Strip:
    """Rows of an array, taken from the first to the last, a few at a time: no chunk is read twice.

    It holds some rows, of whole chunks: at least one chunk, be that as large as it may.
    """

    def __init__(self, store: ChunkStore, array: Any, rows: int, at_once: int) -> None:
        """Begin.

        Args:
            store: that has accepted the array.
            array: to be read.
            rows: of the array, those behind them left out.
            at_once: rows to be held; more, if a chunk has more.
        """
        self._store, self._array, self._rows = store, array, rows
        self._at_once = max(1, at_once // array.chunks[0]) * array.chunks[0]
        self._start, self._held = 0, self._empty(0)

    def take(self, start: int, stop: int) -> NDArray[Any]:
        """A copy of rows [start, stop)."""
        rows, at = self._empty(stop - start), start
        while at < stop:
            if not self._start <= at < self._start + len(self._held):
                self._held = self._empty(0)  # first: no two of them at a time
                self._start = at - at % self._array.chunks[0]
                held = self._empty(min(self._at_once, self._rows - self._start))
                self._store.fill(self._array, held, self._start)
                self._held = held
            part = self._held[at - self._start :][: stop - at]
            rows[at - start :][: len(part)] = part
            at += len(part)
        return rows

    def _empty(self, rows: int) -> NDArray[Any]:
        """Room for rows."""
        return np.empty((rows, *self._array.shape[1:]), self._array.dtype)


def _is_native(array: Any) -> bool:
    """Whether numbers of an array lie on disk in this machine's byte order."""
    endian, native = array.serializer.endian, sys.byteorder
    return bool(getattr(endian, "value", native) == native)


def _unpacked(
    data: NDArray[np.uint8], compressors: tuple[Codec, ...], name: str, size: int
) -> NDArray[np.uint8]:
    """The bytes (size,) of a chunk, whose zstd frame has been looked at."""
    for codec in reversed(compressors):
        if isinstance(codec, Crc32cCodec):
            data, checksum = data[:-4], data[-4:].tobytes()
            if google_crc32c.value(data).to_bytes(4, "little") != checksum:
                raise FormatError(f"{name}: got a chunk that does not fit its checksum")
        else:
            data = np.frombuffer(Zstd().decode(data), np.uint8)
    if len(data) != size:
        raise FormatError(f"{name}: got a chunk of {len(data):,} bytes, want {size:,}")
    return data


@dataclass(frozen=True)
class Layout:
    """What a commit must know of an array to write whole chunks of it.

    Attributes:
        rows: of the array, in use or not.
        chunk: shape of a chunk.
        compressors: its codecs, of `_CODECS`.
        is_plain: chunks hold whole rows, in this machine's byte order.
    """

    rows: int
    chunk: tuple[int, ...]
    compressors: tuple[Any, ...]
    is_plain: bool = True

    def pack(self, rows: NDArray[Any]) -> bytes:
        """The file of a chunk of rows (n, ...); what they lack of a chunk is zeros."""
        whole = np.zeros(self.chunk, rows.dtype)
        whole[: len(rows)] = rows
        data = whole.tobytes()
        for codec in self.compressors:
            if isinstance(codec, ZstdCodec):
                data = Zstd(level=codec.level, checksum=codec.checksum).encode(data)
            else:
                data += google_crc32c.value(data).to_bytes(4, "little")
        return data


class Draft:
    """What a commit writes: arrays by Zarr, but whole chunks of rows and attributes at once.

    Zarr takes ten milliseconds for these, of which two would do: it reads the metadata anew, and
    each codec and each chunk is a task for its event loop.
    """

    def __init__(
        self,
        store: "Store",
        group: zarr.Group | None = None,
        layouts: dict[str, Layout] | None = None,
    ) -> None:
        """Begin.

        Args:
            store: of a session.
            group: its root, if it is open.
            layouts: of this store's arrays, as far as they are known; what is asked for is added.
        """
        self._store, self._group = store, group
        self._layouts = {} if layouts is None else layouts
        self._files: dict[str, bytes] = {}  # that were put and are not written yet
        self._names: set[str] = set()  # of all that were put
        self._dropped: set[str] = set()
        self.copied: set[tuple[int, int]] = set()  # ranges of the base's rows that a fold has put

    @property
    def group(self) -> zarr.Group:
        """The root, which takes a while to open."""
        if self._group is None:
            self._group = zarr.open_group(self._store, mode="r+", zarr_format=3)
        return self._group

    def layout(self, name: str) -> Layout:
        """Of an array, when it was first asked for."""
        if name not in self._layouts:
            array: Any = self.group[name]
            chunk, compressors = array.chunks, tuple(array.compressors)
            is_plain = chunk[1:] == array.shape[1:] and _is_native(array)
            self._layouts[name] = Layout(array.shape[0], chunk, compressors, is_plain)
        return self._layouts[name]

    def put(self, name: str, rows: NDArray[Any], start: int) -> None:
        """Have rows (n, ...) written to an array whose chunks hold whole rows.

        Args:
            name: of the array.
            rows: to its end, or a multiple of a chunk's.
            start: the first one, at which a chunk begins.
        """
        layout = self.layout(name)
        step, rest = layout.chunk[0], "/0" * (rows.ndim - 1)
        for row in range(0, len(rows), step):
            chunk = f"{name}/c/{(start + row) // step}{rest}"
            self._files[chunk] = layout.pack(rows[row : row + step])
            self._names.add(chunk)
            if len(self._files) * len(self._files[chunk]) > PENDING:
                self._write()

    def drop(self, name: str, row: int) -> None:
        """Have the chunk that begins at a row of an array of two axes deleted, unless it is put."""
        self._dropped.add(f"{name}/c/{row // self.layout(name).chunk[0]}/0")

    def finish(self, attributes: dict[str, Any]) -> None:
        """Write what was put, delete what was dropped, and write all attributes of the root."""
        facts = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        self._files[_METADATA] = json.dumps(facts).encode()
        self._write(self._dropped - self._names)

    def _write(self, dropped: Collection[str] = ()) -> None:
        """Write what waits, and delete chunks."""
        files, self._files = self._files, {}
        buffer = default_buffer_prototype().buffer

        async def write() -> None:
            await asyncio.gather(*map(self._store.delete, dropped))
            await asyncio.gather(
                *(self._store.set(name, buffer.from_bytes(data)) for name, data in files.items())
            )

        sync(write())
