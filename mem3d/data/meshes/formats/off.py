"""Reader of OFF files in text, as Geomview, ModelNet and MeshLab write them.

The header may run into the numbers after it (`OFF490 518 0`), as in many files of ModelNet. The
file must hold just as many vertices and faces as it claims.

Source: Geomview's manual, "OFF Files" (version 1.9).
"""

import re
from array import array
from collections.abc import Iterator

import numpy as np

from mem3d.data.meshes.formats.numbers import lines_of, numbers_of, quoted, rows_of
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

# C, N, ST: each vertex has a color, a normal, a place in a picture besides.
_HEADER = re.compile(
    rb"\s*(?P<kind>(?:ST|st)?[Cc]?N?)[Oo][Ff][Ff]\s*(?P<vertices>\d{1,19})\s+(?P<faces>\d{1,19})"
    rb"(?:[ \t]+-?\d+)?(?=\s|\Z)"
)


def read_off(data: bytes, references: References) -> list[Piece]:
    """The piece that an OFF file holds; colors are its faces', else its vertices'.

    Raises:
        ValueError: another header, or other than what it claims.
    """
    text = b"".join(line.partition(b"#")[0].rstrip() + b"\n" for line in lines_of(data))
    header = _HEADER.match(text)
    if header is None:
        raise ValueError(
            f"got {quoted(text[:60])}, want 'OFF' and the numbers of vertices and faces"
        )
    count, faces = int(header["vertices"]), int(header["faces"])
    check_count("vertices", count, min(MAX_CORNERS, len(data)))
    check_count("faces", faces, min(MAX_FACES, len(data)))
    body = text[header.end() :]
    rows = (line for line in lines_of(body) if not line.isspace())
    if sum(not line.isspace() for line in lines_of(body)) != count + faces:
        return [_read_dense(rows, count, faces, references)]
    vertices = rows_of(rows, count, "vertices")
    own = _vertex_colors(vertices, header["kind"].upper())
    corners, counts, colors = _read_faces(rows)
    triangles, face, report = triangulate(vertices[:, :3], corners, counts)
    references.warn(report)
    painted = own[corners[triangles]] if own is not None else None
    return [Piece(vertices[:, :3], corners[triangles], painted if colors is None else colors[face])]


def _read_dense(rows: Iterator[bytes], count: int, faces: int, references: References) -> Piece:
    """Several rows a line, without colors: first lines of vertices, then lines of faces."""
    want = f"want {count} vertices and {faces} faces as the header claims"
    values, corners, counts = array("d"), array("d"), array("q")
    for line in rows if count else ():
        values.extend(numbers_of(line))
        if len(values) % 3 or len(values) >= 3 * count:
            break
    if len(values) != 3 * count:
        raise ValueError(f"got lines that are not those of vertices, {want}")
    for line in rows:
        numbers, place = numbers_of(line), 0
        while place < len(numbers):
            sides = int(numbers[place]) if 3 <= numbers[place] < len(numbers) - place else -1
            if sides != numbers[place] or len(counts) == faces:
                raise ValueError(f"got {quoted(line)}, {want}")
            counts.append(sides)
            corners.extend(numbers[place + 1 : place + 1 + sides])
            place += 1 + sides
    if len(counts) != faces:
        raise ValueError(f"got {len(counts)} faces, {want}")
    vertices, whole = np.array(values).reshape(-1, 3), whole_rows(corners)
    triangles, _, report = triangulate(vertices, whole, np.array(counts, np.int64))
    references.warn(report)
    return Piece(vertices, whole[triangles])


def _read_faces(rows: Iterator[bytes]) -> tuple[Ints, Ints, Bytes | None]:
    """Corners (N,) and their counts (F,) of lines "n i j k ...", and colors (F, 3) if all have."""
    corners, counts, colors = array("d"), array("q"), array("d")
    for line in rows:
        numbers = numbers_of(line)
        sides = int(numbers[0]) if 0 <= numbers[0] <= len(numbers) else -1
        rest = numbers[1 + sides :]
        # A color of one number is a place in a map that few have.
        if not 0 <= sides == numbers[0] <= len(numbers) - 1 or len(rest) not in (0, 1, 3, 4):
            raise ValueError(f"got face {quoted(line)}, want its corners and perhaps a color")
        counts.append(sides)
        corners.extend(numbers[1 : 1 + sides])
        if len(rest) > 2:
            colors.extend(rest[:3])
    table = np.array(colors).reshape(-1, 3)
    has_colors = len(table) and len(table) == len(counts)
    return (
        whole_rows(corners),
        np.array(counts, np.int64),
        color_bytes(table) if has_colors else None,
    )


def _vertex_colors(rows: Floats, kind: bytes) -> Bytes | None:
    """Colors (V, 3) after the places and, if the header says so, the normals of vertices."""
    start = 6 if b"N" in kind else 3
    extra = rows.shape[1] - start - (2 if b"ST" in kind else 0)
    if extra not in (0, 3, 4):
        raise ValueError(f"got {rows.shape[1]} numbers a vertex, want 3 and perhaps a color")
    return color_bytes(rows[:, start : start + 3]) if extra else None
