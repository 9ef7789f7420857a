"""One numeric array out of a MATLAB file, versions 5 to 7.

A file is untrusted input: a compressed variable is unpacked no further than its declared size,
which is checked first. Version 4 and version 7.3 (which is HDF5) are other formats and are refused.

Source: MathWorks, "MAT-File Format", level 5.
"""

import math
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from memstore.files import open_regular

MAX_BYTES = 64 << 20  # of a file
MAX_ELEMENTS = 128**3  # of an array: as many as Pix3D's have
_MAX_VARIABLES = 64
_HEADER = 128
_PREFIX = 4096  # bytes that hold everything about a variable but its values
_MATRIX, _COMPRESSED = 14, 15
_NUMERIC = range(6, 16)  # array classes double ... uint64
_COMPLEX = 0x0800
_TYPES = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class _Variable:
    """What stands before an array's values."""

    name: str
    kind: int  # array class
    is_complex: bool
    shape: tuple[int, ...]
    values: int  # where the element with the values begins


def read_mat(path: str | Path, name: str) -> NDArray[Any]:
    """Read a variable.

    Args:
        path: a .mat file.
        name: of the variable.

    Returns:
        The array in the type it is stored in, which for a double may well be uint8.

    Raises:
        ValueError: the file cannot be read, is damaged, is of another version, or has no real,
            full, numeric array of that name with at most MAX_ELEMENTS elements.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(min(size, MAX_BYTES + 1))  # read(n) asks for n bytes at once
    except OSError as error:
        raise ValueError(f"{path}: got {error.strerror or error}, want a readable file") from error
    try:
        return _find(data, name)
    except (ValueError, zlib.error, struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error or 'got a damaged file'}") from error


def _find(data: bytes, name: str) -> NDArray[Any]:
    """The array of that name in a whole file."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"got over {MAX_BYTES} bytes, want at most so many")
    if data.startswith((_HDF5, b"MATLAB 7.3")) or data[512:520] == _HDF5:
        raise ValueError("got a MATLAB 7.3 file (HDF5), want version 5 to 7; save it with -v7")
    order: Literal["<", ">"] = ">" if data[126:128] == b"MI" else "<"
    if data[126:128] not in (b"IM", b"MI") or struct.unpack_from(order + "H", data, 124) != (256,):
        raise ValueError("got no MATLAB file of version 5 to 7, want one")
    names = []
    for packed, body in _variables(data, order):
        prefix = _inflate(body, _PREFIX) if packed else body[:_PREFIX]
        variable = _described(prefix, order)
        names.append(variable.name)
        if variable.name == name:
            size = _checked_size(variable)
            whole = _inflate(body, variable.values + 16 + 8 * size) if packed else body
            return _values(whole, variable, order)
    raise ValueError(f"got variables {names}, want one named {name!r}")


def _variables(data: bytes, order: str) -> Iterator[tuple[bool, memoryview]]:
    """Each variable of a file: whether it is compressed, and its bytes."""
    at = _HEADER
    for _ in range(_MAX_VARIABLES):
        if at == len(data):
            return
        kind, size = struct.unpack_from(order + "II", data, at)
        if kind not in (_MATRIX, _COMPRESSED) or at + 8 + size > len(data):
            raise ValueError(f"got a damaged or cut element at byte {at}, want a whole variable")
        packed = kind == _COMPRESSED
        start = at + 8 if packed else at
        yield packed, memoryview(data)[start : at + 8 + size]
        at += 8 + size
    raise ValueError(f"got more than {_MAX_VARIABLES} variables, want at most so many")


def _inflate(body: memoryview, most: int) -> memoryview:
    """The first `most` bytes, at most, of what a compressed variable holds."""
    return memoryview(zlib.decompressobj().decompress(body, most))


def _element(data: memoryview, at: int, order: str) -> tuple[int, memoryview, int]:
    """Type, bytes and end of the element at a place; short ones are packed into their tag."""
    [word] = struct.unpack_from(order + "I", data, at)
    if word >> 16:
        kind, size, start, end = word & 0xFFFF, word >> 16, at + 4, at + 8
        if size > 4:
            raise ValueError(f"got a short element of {size} bytes, want at most 4")
    else:
        kind = word
        [size] = struct.unpack_from(order + "I", data, at + 4)
        start = at + 8
        end = start + -(-size // 8) * 8
    if start + size > len(data):
        raise ValueError("got a variable that is cut short, want a whole one")
    return kind, data[start : start + size], end


def _described(data: memoryview, order: str) -> _Variable:
    """What a variable is, from its first bytes."""
    [kind] = struct.unpack_from(order + "I", data, 0)
    if kind != _MATRIX:
        raise ValueError(f"got an element of type {kind}, want an array")
    _, flags, at = _element(data, 8, order)
    [flag] = struct.unpack_from(order + "I", flags, 0)
    _, dims, at = _element(data, at, order)
    shape = struct.unpack(f"{order}{len(dims) // 4}i", dims)
    _, name, at = _element(data, at, order)
    return _Variable(bytes(name).decode("ascii"), flag & 0xFF, bool(flag & _COMPLEX), shape, at)


def _checked_size(variable: _Variable) -> int:
    """Number of elements; ValueError unless it is a numeric array of sane size."""
    if variable.kind not in _NUMERIC or variable.is_complex:
        raise ValueError(f"{variable.name}: got no array of real numbers, want one")
    if min(variable.shape, default=0) < 1 or math.prod(variable.shape) > MAX_ELEMENTS:
        size = " x ".join(map(str, variable.shape[:8]))
        raise ValueError(f"{variable.name}: got {size}, want 1 to {MAX_ELEMENTS} elements")
    return math.prod(variable.shape)


def _values(data: memoryview, variable: _Variable, order: Literal["<", ">"]) -> NDArray[Any]:
    """The array, in MATLAB's column-first order."""
    kind, values, _ = _element(data, variable.values, order)
    if kind not in _TYPES:
        raise ValueError(f"{variable.name}: got values of type {kind}, want numbers")
    dtype = np.dtype(_TYPES[kind]).newbyteorder(order)
    want = math.prod(variable.shape) * dtype.itemsize
    if len(values) != want:
        raise ValueError(f"{variable.name}: got {len(values)} bytes of values, want {want}")
    return np.frombuffer(values, dtype).reshape(variable.shape, order="F")
