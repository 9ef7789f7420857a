"""Shard files of a Zarr v3 array: many items in one file, each found by an index at its end.

Every item (a picture, a grid) is one inner chunk: zstd, then crc32c. The index holds an offset and
a length per item, 2**64 - 1 twice where there is none, and ends in its own crc32c. Any zarr library
reads these files; it is done by hand here because zarr-python takes milliseconds a chunk.

Files are untrusted: sizes are held against the array's before anything is allocated.

Source: Zarr v3 core and the sharding-indexed codec 1.0 (zarr-specs); RFC 8878, section 3.1.1.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import zstd
from numpy.typing import NDArray

from memstore.files import check_regular

Bytes = NDArray[np.uint8]

MAX_ITEM = 64 << 20  # bytes of one item once unpacked; a picture of the real set has 75 KB
MAX_PER_SHARD = 1 << 16
_NONE = 2**64 - 1
_CRC = 4  # bytes of a crc32c
_MAGIC = b"\x28\xb5\x2f\xfd"  # of a zstd frame


def pack_item(item: Bytes, level: int) -> bytes:
    """Compress one item; the crc32c of the result stands at its end."""
    return _with_crc(zstd.compress(np.ascontiguousarray(item), level))


def unpack_item(data: bytes, size: int, name: str) -> Bytes:
    """Undo pack_item.

    Args:
        data: what pack_item gave.
        size: bytes the item has, (size,) of the result.
        name: what an error is to name.

    Raises:
        ValueError: the bytes are not those that were written.
    """
    frame = memoryview(data)[:-_CRC]
    if len(data) < _CRC or google_crc32c.value(bytes(frame)) != int.from_bytes(
        data[-_CRC:], "little"
    ):
        raise ValueError(f"{name}: got a wrong checksum, want the bytes that were packed")
    if (actual := _content_size(data)) != size:
        raise ValueError(f"{name}: got {actual} bytes of content, want {size}")
    item = np.empty(size, np.uint8)
    try:
        zstd.decompress(frame, item)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{name}: got no readable zstd frame ({error})") from error
    return item


def pack_shard(items: Sequence[bytes | None], per_shard: int) -> bytes:
    """A whole shard file.

    Args:
        items: what pack_item gave, None where there is no item.
        per_shard: items of a full shard, as the array's metadata say.
    """
    index = np.full((per_shard, 2), _NONE, "<u8")
    end = 0
    for row, item in enumerate(items):
        if item is not None:
            index[row] = end, len(item)
            end += len(item)
    return b"".join([*(item for item in items if item is not None), _with_crc(index.tobytes())])


class ShardFiles:
    """Items of one array on a local disk.

    A file is opened for each item and not mapped: a map of a file that another program cuts short
    ends the process, and hundreds of maps take as many file descriptors. Opening costs 10 us.
    """

    def __init__(self, folder: Path, item_shape: tuple[int, ...], count: int, per_shard: int):
        """Take what the array's metadata say; `folder` is the array's."""
        self._folder = folder
        self._item_shape = item_shape
        self._size = int(np.prod(item_shape))
        self._count = count
        self._per_shard = per_shard
        self._indexes: dict[int, tuple[str, NDArray[np.uint64]]] = {}  # with the file's path

    def read(self, i: int) -> Bytes:
        """Item i, of the item's shape.

        Raises:
            ValueError: it is missing or damaged; names the file.
        """
        if not 0 <= i < self._count:
            raise ValueError(f"{self._folder}: got item {i}, want 0..{self._count - 1}")
        shard, row = divmod(i, self._per_shard)
        if shard not in self._indexes:
            path = str(self._folder / "c" / str(shard)) + "/0" * len(self._item_shape)
            self._indexes[shard] = path, _read_index(path, self._per_shard)
        path, index = self._indexes[shard]
        offset, length = index[row].tolist()
        if offset == _NONE:
            raise ValueError(f"{path}: got no item {i} in it, want one")
        data = _read(path, offset, length)
        return unpack_item(data, self._size, f"{path}, item {i}").reshape(self._item_shape)

    def __getstate__(self) -> dict[str, Any]:
        """What a process that is sent this needs; it reads the indexes again."""
        return {**self.__dict__, "_indexes": {}}


def _read_index(path: str, per_shard: int) -> NDArray[np.uint64]:
    """(per_shard, 2) offset and length of each item, all of them inside the file."""
    try:
        stat = os.stat(path)
        check_regular(stat, path)  # before it is opened: a pipe would be waited for
    except OSError as error:
        raise ValueError(f"{path}: got {error}, want a readable shard") from error
    size = 16 * per_shard + _CRC
    if stat.st_size < size:
        raise ValueError(f"{path}: got {stat.st_size} bytes, want an index of {size} at the end")
    data = _read(path, stat.st_size - size, size)
    if _with_crc(data[:-_CRC]) != data:
        raise ValueError(f"{path}: got an index with a wrong checksum, want the one written")
    index = np.frombuffer(data[:-_CRC], "<u8").reshape(per_shard, 2).astype(np.uint64)
    offsets, lengths = index[(index != _NONE).any(1)].T
    room = np.uint64(stat.st_size - size)
    # Not offset + length, which may pass 2**64.
    if (lengths > min(room, np.uint64(MAX_ITEM))).any() or (offsets > room - lengths).any():
        raise ValueError(f"{path}: got an index that points outside the file, want it inside")
    return index


def _read(path: str, offset: int, length: int) -> bytes:
    """Exactly those bytes of a file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            data = os.pread(descriptor, length, offset)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ValueError(f"{path}: got {error.strerror}, want a readable shard") from error
    if len(data) != length:
        raise ValueError(f"{path}: got {len(data)} bytes at {offset}, want {length}")
    return data


def _with_crc(data: bytes) -> bytes:
    return data + int(google_crc32c.value(data)).to_bytes(_CRC, "little")


def _content_size(data: bytes) -> int | None:
    """Bytes that a zstd frame says it unpacks to; None if it is no frame or does not say."""
    if len(data) < 6 or data[:4] != _MAGIC:
        return None
    flags = data[4]
    alone = bool(flags & 0x20)  # a single segment: no window byte, always a size
    width = (1 if alone else 0, 2, 4, 8)[flags >> 6]
    start = 5 + (not alone) + (0, 1, 2, 4)[flags & 3]
    if not width or len(data) < start + width:
        return None
    return int.from_bytes(data[start : start + width], "little") + (256 if width == 2 else 0)
