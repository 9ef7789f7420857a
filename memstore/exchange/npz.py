"""Named arrays in numpy's .npz files, written whole and read with suspicion.

A file is untrusted input: its directory and every array's header are checked against each other
before anything is allocated, and nothing is ever unpickled.

Source: numpy.lib.format (the .npy header); PKWARE APPNOTE.TXT 4.3 (the .zip directory).
"""

import io
import json
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from memstore.errors import FormatError, PathMissingError, translated
from memstore.exchange.table import (
    BLOCK_BYTES,
    ByteProgress,
    Head,
    Selection,
    Table,
    arrays,
    check_bytes,
    facts,
    is_ours,
    pieces,
)
from memstore.files import Progress, open_regular
from memstore.json_text import parse_json
from memstore.paths import local_path
from memstore.scalars import as_int

FACTS = "attributes"  # array of bytes that hold JSON
FOREIGN = (zipfile.BadZipFile, zlib.error, struct.error)
_MAX_DIRECTORY = 2**16  # bytes of the zip's directory: we write seven entries
_MAX_FACTS = 2**20  # bytes
_MAX_HEADER = 10_000  # bytes of an array's header, as numpy has it
_HEADER = re.compile(
    rb"\{'descr': ?'([<|](?:b1|u1|[fi][248]|[SU][0-9]{1,4}))', ?'fortran_order': ?(True|False), ?"
    rb"'shape': ?\(((?:[0-9]{1,19}, ?)*(?:[0-9]{1,19})?)\),? ?\}\s*"
)


def write_npz(path: Path, table: Table, progress: Progress) -> None:
    """Write a table as a new file, in pieces, as np.savez would."""
    text = np.frombuffer(json.dumps(facts(table)).encode(), np.uint8)
    bar = ByteProgress(table, progress)
    with zipfile.ZipFile(path, "x", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in {**arrays(table), FACTS: text}.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                for block in npy_blocks(array):
                    file.write(block)
                    bar.add(len(block) if name != FACTS else 0)
    bar.end()


def npy_blocks(array: NDArray[Any] | Selection) -> Iterator[memoryview]:
    """The bytes of an .npy file of an array, some at a time."""
    head = io.BytesIO()
    described = np.lib.format.dtype_to_descr(array.dtype)
    facts = {"descr": described, "fortran_order": False, "shape": tuple(array.shape)}
    np.lib.format.write_array_header_1_0(head, facts)
    yield head.getbuffer()
    for piece in pieces(array):
        yield piece.reshape(-1).view(np.uint8).data


@contextmanager
def open_npz(path: Path) -> Iterator["Npz"]:
    """Open a file to be read; whatever is wrong with it is a FormatError."""
    with translated(path, *FOREIGN), open_regular(path) as file:
        _check_directory(file)
        with zipfile.ZipFile(file) as opened:
            yield Npz(opened)


def read_npy(path: Path, max_bytes: int) -> NDArray[Any]:
    """Read one array, of at least one axis, from an .npy file."""
    with translated(path), open_regular(path) as file:
        head = _read_header(file, "array", os.fstat(file.fileno()).st_size)
        check_bytes("array", head.nbytes, max_bytes)
        if not head.shape or not head.nbytes:
            return np.empty(head.shape, head.dtype)
        return np.concatenate(list(_rows(file, head)))


def read_features(path: str | Path, max_bytes: int = 2**30) -> NDArray[np.floating]:
    """Read features from an .npy file, believing nothing.

    Args:
        path: an array of floats, (C,) or (n, C).
        max_bytes: most RAM that it may take.

    Returns:
        (n, C).

    Raises:
        PathMissingError: there is no such file.
        FormatError: damaged, larger, pickled, or of another type or shape.
    """
    path = local_path(path)
    if not path.exists():
        raise PathMissingError(f"{path}: nothing there, want an .npy file of features")
    features = np.atleast_2d(read_npy(path, as_int("max_bytes", max_bytes)))
    if features.dtype.kind != "f" or features.ndim != 2:
        want = "floats (C,) or (n, C)"
        raise FormatError(f"{path}: got {features.dtype} {features.shape}, want {want}")
    return features


class Npz:
    """The arrays of a file that mean something to us, as `table.Archive`."""

    def __init__(self, opened: zipfile.ZipFile) -> None:
        names = [member.filename for member in opened.infolist()]
        if len(set(names)) < len(names):
            raise FormatError(f"directory: got members {names[:8]}, want distinct names")
        self._zip = opened
        self.names = [name.removesuffix(".npy") for name in names]
        self.heads: dict[str, Head] = {}
        for name in self.names:
            if (is_ours(name) or name == FACTS) and f"{name}.npy" in names:
                member = opened.getinfo(f"{name}.npy")
                with self._open(member) as file:
                    self.heads[name] = _read_header(file, name, member.file_size)
        self.facts: Any = None
        if FACTS in self.heads:
            head = self.heads[FACTS]
            if len(head.shape) != 1 or head.nbytes > _MAX_FACTS:
                raise FormatError(f"{FACTS}: got {head}, want the bytes of JSON")
            self.facts = parse_json(b"".join(block.tobytes() for block in self.blocks(FACTS)))

    def blocks(self, name: str) -> Iterator[NDArray[Any]]:
        """An array's rows in order, whole rows, some at a time."""
        member = self._zip.getinfo(f"{name}.npy")
        with self._open(member) as file:
            yield from _rows(file, _read_header(file, name, member.file_size))
            if file.read(1):  # also makes zipfile check the CRC
                raise FormatError(f"{name}: got bytes after its last row")

    def _open(self, member: zipfile.ZipInfo) -> IO[bytes]:
        """A member's bytes; LZMA and others may ask for gigabytes to unpack."""
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            kind = member.compress_type
            raise FormatError(f"{member.filename}: got compression {kind}, want none or deflate")
        return self._zip.open(member)


def _check_directory(file: IO[bytes]) -> None:
    """Raise FormatError unless the zip's directory is small: zipfile reads it whole."""
    file.seek(0, 2)
    file.seek(-min(file.tell(), 98), 2)  # zip64 record 56, its locator 20, end record 22
    tail = file.read()
    if tail[-22:-18] != b"PK\5\6":
        raise FormatError("got a file without a zip directory at its end, want .npz")
    size = int.from_bytes(tail[-10:-6], "little")
    if tail[-42:-38] == b"PK\6\7":
        size = int.from_bytes(tail[-98 + 40 : -98 + 48], "little")
    if size > _MAX_DIRECTORY:
        raise FormatError(f"directory: got {size} bytes, want <= {_MAX_DIRECTORY}")


def _read_header(file: IO[bytes], name: str, size: int) -> Head:
    """What an .npy file of so many bytes declares, once that agrees with its size."""
    magic = file.read(8)
    if magic not in (b"\x93NUMPY\1\0", b"\x93NUMPY\2\0"):
        raise FormatError(f"{name}: got no array of .npy version 1 or 2")
    width = 2 * magic[6]
    length = int.from_bytes(file.read(width), "little")
    header = _HEADER.fullmatch(file.read(min(length, _MAX_HEADER)))
    if header is None:
        raise FormatError(f"{name}: got a header we do not read, want plain numbers, bools or text")
    if header[2] == b"True":
        raise FormatError(f"{name}: got columns first, want C order (np.ascontiguousarray)")
    shape = tuple(int(side) for side in header[3].split(b",") if side.strip())
    head = Head(np.dtype(header[1].decode()), shape)
    if head.nbytes != size - 8 - width - length:
        raise FormatError(f"{name}: got {size} bytes, want those of {head.dtype} {shape}")
    return head


def _rows(file: IO[bytes], head: Head) -> Iterator[NDArray[Any]]:
    """The rows after a header, some at a time."""
    count = head.shape[0] if head.shape else 1
    step = max(1, BLOCK_BYTES // head.row_bytes)
    for start in range(0, count, step):
        shape = (min(step, count - start), *head.shape[1:])
        yield np.frombuffer(file.read(Head(head.dtype, shape).nbytes), head.dtype).reshape(shape)
