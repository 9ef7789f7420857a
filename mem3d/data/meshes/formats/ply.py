"""Reader of PLY files, text and binary, with polygons of any numbers of corners.

The file must hold just as many rows as its header claims.

Source: G. Turk, "The PLY Polygon File Format" (1994); texture coordinates as MeshLab writes them.
"""

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mem3d.data.meshes.formats.numbers import lines_of, numbers_of, quoted, rows_of, text_of
from mem3d.data.meshes.pieces import (
    MAX_CORNERS,
    MAX_FACES,
    Bytes,
    Floats,
    Ints,
    Piece,
    check_count,
    color_bytes,
    whole_rows,
)
from mem3d.data.meshes.polygons import triangulate
from mem3d.data.meshes.references import References

_MAX_HEADER = 1 << 16  # bytes
_MAX_PROPERTIES = 200  # of an element
_HEADER = re.compile(
    rb"ply[ \t\r]*\n(?P<lines>.*?\n)[ \t]*end_header[ \t]*(?:\r\n|\r|\n|\Z)", re.DOTALL
)
_TYPES = {
    **dict.fromkeys((b"char", b"int8"), "i1"),
    **dict.fromkeys((b"uchar", b"uint8"), "u1"),
    **dict.fromkeys((b"short", b"int16"), "i2"),
    **dict.fromkeys((b"ushort", b"uint16"), "u2"),
    **dict.fromkeys((b"int", b"int32"), "i4"),
    **dict.fromkeys((b"uint", b"uint32"), "u4"),
    **dict.fromkeys((b"float", b"float32"), "f4"),
    **dict.fromkeys((b"double", b"float64"), "f8"),
}
_ORDERS = {b"ascii": "=", b"binary_little_endian": "<", b"binary_big_endian": ">"}
_CORNERS = ("vertex_indices", "vertex_index")
_PLACES = (("texture_u", "texture_v"), ("u", "v"), ("s", "t"))


@dataclass(frozen=True)
class _Property:
    """One column of an element; a list has its length before each of its rows."""

    name: str
    dtype: np.dtype[Any]
    length: np.dtype[Any] | None = None  # of a list


@dataclass
class _Element:
    """One table of the file."""

    name: str
    count: int
    properties: list[_Property]


@dataclass(frozen=True)
class _Column:
    """The values of a property: one a row, or with `lengths` so many."""

    values: NDArray[Any]
    lengths: Ints | None = None


_Table = dict[str, _Column]


def read_ply(data: bytes, references: References) -> list[Piece]:
    """The piece that a PLY file holds; colors are its picture's, else its faces' or vertices'.

    Raises:
        ValueError: other than what its header claims, or no polygons.
    """
    header = _HEADER.match(data[:_MAX_HEADER])
    if header is None:
        raise ValueError("got no PLY header, want lines from 'ply' to 'end_header'")
    order, elements, pictures = _read_header(header["lines"], len(data))
    body = data[header.end() :]
    if order == "=":
        tables, rest = _read_text(body, elements)
    else:
        tables, rest = _read_binary(body, elements)
    if rest.strip(b"\0 \t\r\n"):
        raise ValueError(f"got {len(rest)} bytes after the rows that the header claims, want none")
    for element in elements:
        if element.count and element.name not in ("vertex", "face"):
            if any(column.lengths is not None for column in tables[element.name].values()):
                raise ValueError(f"got lists of element {element.name[:20]!r}, want faces")
            references.warn(f"element {element.name[:20]!r} is not read")
    return [_piece(tables, pictures, references)]


def _read_header(text: bytes, size: int) -> tuple[str, list[_Element], list[str]]:
    """Byte order, or "=" for text; elements; names of pictures."""
    order, elements, pictures = None, [], []
    for line in text.splitlines():
        key, *words = line.split() or [b"comment"]
        if key == b"format" and len(words) == 2 and words[0] in _ORDERS:
            order = _ORDERS[words[0]]
        elif key == b"element" and len(words) == 2 and re.fullmatch(rb"\d{1,19}", words[1]):
            name, count = text_of(words[0]), int(words[1])
            # Even an element without properties is a line, or at least a byte, of a sound file.
            check_count(f"of element {name[:20]!r}", count, min(MAX_CORNERS, size))
            elements.append(_Element(name, count, []))
        elif key == b"property" and elements and order:
            check_count("properties", len(elements[-1].properties) + 1, _MAX_PROPERTIES)
            elements[-1].properties.append(_property(words, order, line))
        elif key in (b"comment", b"obj_info"):
            if words[:1] and words[0].lower() == b"texturefile":
                pictures.append(text_of(line[line.lower().index(b"texturefile") + 11 :].strip()))
        else:
            raise ValueError(
                f"got {quoted(line)} in the header, want a format, elements, properties"
            )
    names = [element.name for element in elements]
    if order is None or len(set(names)) < len(names):
        raise ValueError("got a header of no format, or of one element twice")
    return order, elements, pictures


def _property(words: list[bytes], order: str, line: bytes) -> _Property:
    """A property of "TYPE NAME" or "list TYPE TYPE NAME"."""
    *types, name = words or [b""]
    is_list = types[:1] == [b"list"]
    kinds = [_TYPES.get(word) for word in (types[1:] if is_list else types)]
    if len(kinds) != (2 if is_list else 1) or None in kinds:
        raise ValueError(f"got {quoted(line)} in the header, want a property")
    dtypes = [np.dtype(order + str(kind)) for kind in kinds]
    if is_list and dtypes[0].kind == "f":
        raise ValueError(f"got {quoted(line)} in the header, want lengths that are whole")
    return _Property(text_of(name), dtypes[-1], dtypes[0] if is_list else None)


def _read_text(body: bytes, elements: list[_Element]) -> tuple[dict[str, _Table], bytes]:
    """The tables, and what follows them."""
    lines = (line for line in lines_of(body) if not line.isspace())
    tables = {}
    for element in elements:
        if any(column.length is not None for column in element.properties):
            tables[element.name] = _text_lists(lines, element)
            continue
        rows = rows_of(lines, element.count, f"rows of {element.name[:20]!r}")
        if element.count and rows.shape[1] != len(element.properties):
            raise ValueError(
                f"got {rows.shape[1]} numbers a {element.name[:20]}, want "
                f"{len(element.properties)} as the header claims"
            )
        tables[element.name] = {
            column.name: _Column(_typed(rows[:, i] if rows.size else np.zeros(0), column.dtype))
            for i, column in enumerate(element.properties)
        }
    return tables, b"".join(islice(lines, 1))


def _text_lists(lines: Iterator[bytes], element: _Element) -> _Table:
    """A table some of whose properties are lists."""
    values = [array("d") for _ in element.properties]
    lengths = [array("q") for _ in element.properties]
    rows = 0
    for line in islice(lines, element.count):
        numbers, place = numbers_of(line), 0
        for column, into, counts in zip(element.properties, values, lengths, strict=True):
            count = 1
            if column.length is not None:
                count = (
                    int(numbers[place])
                    if place < len(numbers) and 0 <= numbers[place] < len(numbers)
                    else -1
                )
                counts.append(count)
                place += 1
            if count < 0 or place + count > len(numbers):
                raise ValueError(f"got {quoted(line)}, want the row that the header claims")
            into.extend(numbers[place : place + count])
            place += count
        if place != len(numbers):
            raise ValueError(f"got {quoted(line)}, want the row that the header claims")
        rows += 1
    if rows != element.count:
        raise ValueError(f"got {rows} rows of {element.name[:20]!r}, want {element.count}")
    return {
        column.name: _Column(
            _typed(np.array(into), column.dtype),
            None if column.length is None else np.array(counts, np.int64),
        )
        for column, into, counts in zip(element.properties, values, lengths, strict=True)
    }


def _typed(values: Floats, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Numbers of a text as the type that the header claims."""
    with np.errstate(invalid="ignore", over="ignore"):
        typed = values.astype(dtype)
    if dtype.kind != "f" and (typed != values).any():
        raise ValueError(f"got numbers that are no {dtype.name}, as the header claims")
    return typed


def _read_binary(body: bytes, elements: list[_Element]) -> tuple[dict[str, _Table], bytes]:
    """The tables, and what follows them."""
    tables, place = {}, 0
    for element in elements:
        columns, place = _alike(body, element, place) or _walked(body, element, place)
        tables[element.name] = {
            column.name: values for column, values in zip(element.properties, columns, strict=True)
        }
    return tables, body[place:]


def _alike(body: bytes, element: _Element, place: int) -> tuple[list[_Column], int] | None:
    """The columns and the end, if all rows are as long as the first."""
    rows, first = element.count, _row(body, element, place)
    size = _end(element, first, place) - place
    if not rows or place + size * rows > len(body):
        return None
    columns = []
    for column, (start, count) in zip(element.properties, first, strict=True):
        table = _strided(body, column.dtype, (rows, count), start, size).reshape(-1)
        lengths = None
        if column.length is not None:
            before = start - column.length.itemsize
            lengths = _strided(body, column.length, (rows, 1), before, size)[:, 0].astype(np.int64)
            if (lengths != count).any():
                return None
        columns.append(_Column(table.astype(column.dtype.newbyteorder("=")), lengths))
    return columns, place + size * rows


def _strided(
    body: bytes, dtype: np.dtype[Any], shape: tuple[int, int], start: int, size: int
) -> NDArray[Any]:
    """A table whose rows lie `size` bytes apart."""
    if not shape[1]:
        return np.zeros(shape, dtype)
    return np.ndarray(shape, dtype, body, start, (size, dtype.itemsize))


def _walked(body: bytes, element: _Element, place: int) -> tuple[list[_Column], int]:
    """The columns and the end, row by row."""
    starts = [array("q") for _ in element.properties]
    counts = [array("q") for _ in element.properties]
    for _ in range(element.count):
        row = _row(body, element, place)
        for i, (start, count) in enumerate(row):
            starts[i].append(start)
            counts[i].append(count)
        place = _end(element, row, place)
    columns = []
    for i, column in enumerate(element.properties):
        lengths = np.array(counts[i], np.int64)
        values = _gathered(body, np.array(starts[i], np.int64), lengths, column.dtype)
        columns.append(_Column(values, None if column.length is None else lengths))
    return columns, place


def _end(element: _Element, row: list[tuple[int, int]], place: int) -> int:
    """Where a row ends that begins at a place."""
    return row[-1][0] + row[-1][1] * element.properties[-1].dtype.itemsize if row else place


def _row(body: bytes, element: _Element, place: int) -> list[tuple[int, int]]:
    """Place and number of the values of each property of one row."""
    row = []
    for column in element.properties if element.count else ():
        count = 1
        if column.length is not None:
            end = place + column.length.itemsize
            if end > len(body):
                raise ValueError(_cut(element))
            count = int(np.frombuffer(body, column.length, 1, place)[0])
            place = end
        row.append((place, count))
        if count < 0 or place + count * column.dtype.itemsize > len(body):
            raise ValueError(_cut(element))
        place += count * column.dtype.itemsize
    return row


def _cut(element: _Element) -> str:
    return f"got an end within element {element.name[:20]!r}, want {element.count} rows"


def _gathered(body: bytes, starts: Ints, counts: Ints, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values (sum of counts,) that lie at places in bytes, one after another from each."""
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    places = np.repeat(starts, counts) + within * dtype.itemsize
    data = np.frombuffer(body, np.uint8)[places[:, None] + np.arange(dtype.itemsize)]
    values: NDArray[Any] = data.reshape(-1).view(dtype).astype(dtype.newbyteorder("="))
    return values


def _piece(tables: dict[str, _Table], pictures: list[str], references: References) -> Piece:
    """Triangles and colors of the vertices and faces."""
    vertex, face = tables.get("vertex", {}), tables.get("face", {})
    corner = next((face[name] for name in _CORNERS if name in face), None)
    if corner is None or corner.lengths is None or not {"x", "y", "z"} <= set(vertex):
        raise ValueError(f"got no faces of vertices, want {_CORNERS[0]!r} and x, y, z")
    check_count("faces", len(corner.lengths), MAX_FACES)
    vertices: Floats = np.stack([vertex[axis].values for axis in "xyz"], 1).astype(np.float64)
    corners = whole_rows(corner.values)
    triangles, owner, report = triangulate(vertices, corners, corner.lengths)
    references.warn(report)
    faces = corners[triangles]
    uv = _uv(vertex, face, corner, triangles, faces)
    if uv is not None and pictures:
        if len(pictures) > 1:
            references.warn(f"{len(pictures)} pictures, of which the first is drawn")
        picture = references.picture(pictures[0])
        if picture is not None:
            return Piece(vertices, faces, np.full((len(faces), 3, 3), 255, np.uint8), uv, picture)
    of_faces, of_vertices = _colors(face), _colors(vertex)
    if of_faces is not None:
        return Piece(vertices, faces, of_faces[owner])
    return Piece(vertices, faces, None if of_vertices is None else of_vertices[faces])


def _uv(
    vertex: _Table, face: _Table, corner: _Column, triangles: Ints, faces: Ints
) -> Floats | None:
    """Places (T, 3, 2) in the picture, of corners or of vertices."""
    spots = face.get("texcoord")
    pairs, sides = getattr(spots, "lengths", None), corner.lengths
    if spots is not None and pairs is not None and sides is not None and (pairs == 2 * sides).all():
        return spots.values.reshape(-1, 2).astype(np.float64)[triangles]
    for names in _PLACES:
        if set(names) <= set(vertex):
            return np.stack([vertex[name].values for name in names], 1).astype(np.float64)[faces]
    return None


def _colors(table: _Table) -> Bytes | None:
    """(N, 3), if the table has them."""
    if not {"red", "green", "blue"} <= set(table):
        return None
    return color_bytes(np.stack([table[name].values for name in ("red", "green", "blue")], 1))
