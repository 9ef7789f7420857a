"""Named arrays in a plain folder of Zarr v3, which any Zarr reads; no Icechunk.

Chunks are stored as they are: without a codec that unpacks, a file costs no more RAM than disk.
All chunks are written, zeros too, so that a lost one is noticed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from memstore.errors import FormatError, translated
from memstore.exchange.table import (
    BLOCK_BYTES,
    Head,
    Table,
    arrays,
    facts,
    heads_as_bytes,
    is_ours,
)
from memstore.files import Progress, check_regular
from memstore.slots.state import as_bytes

if TYPE_CHECKING:
    import zarr

METADATA = "zarr.json"
_MAX_METADATA = 2**20  # bytes of one zarr.json
_MAX_ARRAYS = 64


def write_zarr(path: Path, table: Table, progress: Progress) -> None:
    """Write a table as a new folder, some rows of all arrays at a time."""
    import zarr
    from zarr.storage import LocalStore

    group = zarr.create_group(LocalStore(path), zarr_format=3, attributes=facts(table))
    named, heads, n = arrays(table), heads_as_bytes(table), len(table.rows.slots)
    widest = max(head.row_bytes for head in heads.values())
    step = max(1, BLOCK_BYTES // widest)
    outputs = {
        name: group.create_array(
            name,
            shape=head.shape,
            dtype=head.dtype,
            chunks=(min(step, max(1, n)), *head.shape[1:]),
            compressors=None,
            config={"write_empty_chunks": True},
        )
        for name, head in heads.items()
    }
    for start in range(0, n, step):
        for name, rows in named.items():
            part = rows[start : start + step]
            outputs[name][start : start + step] = as_bytes(part) if part.ndim == 1 else part
        progress(min(start + step, n), n)


@contextmanager
def open_zarr(path: Path) -> Iterator["ZarrFolder"]:
    """Open a folder to be read; whatever is wrong with it is a FormatError."""
    import zarr
    from zarr.errors import BaseZarrError
    from zarr.storage import LocalStore

    with translated(path, BaseZarrError):
        folders = [path, *(entry for entry in path.iterdir() if entry.is_dir())]
        if len(folders) > _MAX_ARRAYS:
            raise FormatError(f"got more than {_MAX_ARRAYS} arrays")
        for file in (folder / METADATA for folder in folders):
            if file.stat().st_size > _MAX_METADATA:
                raise FormatError(f"{file.name}: got {file.stat().st_size} bytes, want less")
        files = _count_files(path)
        names = [folder.name for folder in folders[1:]]
        yield ZarrFolder(zarr.open_group(LocalStore(path, read_only=True), mode="r"), names, files)


class ZarrFolder:
    """The arrays of a folder that mean something to us, as `table.Archive`."""

    def __init__(self, group: "zarr.Group", names: list[str], files: int) -> None:
        self._files = files
        self.names = names
        self._arrays: dict[str, Any] = {name: group[name] for name in filter(is_ours, names)}
        self.heads = {name: _head(name, array) for name, array in self._arrays.items()}
        attributes = group.attrs.asdict()
        self.facts: Any = attributes if "memstore_export" in attributes else None

    def blocks(self, name: str) -> Iterator[NDArray[Any]]:
        """An array's rows in order, whole rows, some at a time."""
        array = self._arrays[name]
        if array.nchunks > self._files:  # zarr would make a list of all their names
            chunks = f"{array.nchunks} chunks in {self._files} files"
            raise FormatError(f"{name}: got {chunks}, want a file for each")
        if (present := array.nchunks_initialized) != array.nchunks:
            raise FormatError(f"{name}: got {present} of its {array.nchunks} chunks, want all")
        step: int = array.chunks[0]
        for start in range(0, array.shape[0], step):
            yield np.asarray(array[start : start + step])


def _count_files(path: Path) -> int:
    """How many there are, in folders too; all are regular, for Zarr would wait for a pipe."""
    count = 0
    for folder, folders, files in os.walk(path):
        if links := [name for name in folders if os.path.islink(os.path.join(folder, name))]:
            raise FormatError(f"{links[0]}: got a link to a folder, want the folder itself")
        for name in files:
            file = os.path.join(folder, name)
            check_regular(os.stat(file), file)
        count += len(files)
    return count


def _head(name: str, array: "zarr.Array[Any]") -> Head:
    """What an array declares, once nothing in it can grow while it is read."""
    from zarr.codecs import BytesCodec

    packed = array.compressors or array.filters or array.shards
    if packed or not isinstance(array.serializer, BytesCodec):
        raise FormatError(f"{name}: got packed chunks, want them stored as they are")
    head = Head(array.dtype, tuple(array.shape))
    chunk = Head(array.dtype, tuple(array.chunks))
    if not head.shape or chunk.nbytes > max(BLOCK_BYTES, head.row_bytes):
        raise FormatError(f"{name}: got chunks {chunk.shape} of {head.shape}, want smaller ones")
    return head
