"""Numbers in text files: rows of equally many, and rows of polygons."""

from array import array
from collections.abc import Iterator
from io import BytesIO
from itertools import islice

import numpy as np

from mem3d.data.meshes.pieces import Floats

MAX_LINES = 40_000_000  # of a text file
MAX_LINE = 16 << 20  # bytes
_MAX_QUOTED = 40  # characters of a foreign line in a message


def lines_of(data: bytes) -> Iterator[bytes]:
    """The lines of a text in UTF-8 or Latin-1, one after another; a byte order mark is dropped.

    Raises:
        ValueError: too many lines, or one too long.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\r" in data:  # systems end lines in three ways, and a file may mix them
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if data.count(b"\n") > MAX_LINES:
        raise ValueError(f"got more than {MAX_LINES:,} lines, want fewer")
    for line in BytesIO(data):
        if len(line) > MAX_LINE:
            raise ValueError(f"got a line of {len(line):,} bytes, want at most {MAX_LINE:,}")
        yield line


def text_of(data: bytes) -> str:
    """A name in UTF-8 or, where it is none, in Latin-1."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def quoted(line: bytes) -> str:
    """A line as messages quote it."""
    return repr(text_of(line.strip()[:_MAX_QUOTED]))


def rows_of(lines: Iterator[bytes], count: int, name: str) -> Floats:
    """So many lines (count, W) of equally many numbers.

    Raises:
        ValueError: fewer lines, other numbers of numbers, or something else.
    """
    values, width = array("d"), None
    for line in islice(lines, count):
        numbers = numbers_of(line)
        if width is not None and len(numbers) != width:
            raise ValueError(f"got {quoted(line)}, want {width} numbers as in other {name}")
        width = len(numbers)
        values.extend(numbers)
    rows = len(values) // (width or 1)
    if rows != count:
        raise ValueError(f"got {rows} {name}, want the {count} that the header claims")
    return np.array(values).reshape(count, width or 0)


def numbers_of(line: bytes) -> list[float]:
    """The numbers of a line; Python alone would take 1_000."""
    try:
        if b"_" not in line:
            return list(map(float, line.split()))
    except ValueError:
        pass
    raise ValueError(f"got {quoted(line)}, want numbers")


def wholes_of(line: bytes) -> list[int]:
    """The whole numbers of a line."""
    try:
        if b"_" not in line:
            return list(map(int, line.split()))
    except ValueError:
        pass
    raise ValueError(f"got {quoted(line)}, want whole numbers")
