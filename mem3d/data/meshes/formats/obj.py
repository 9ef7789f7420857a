"""Reader of Wavefront OBJ files and of their MTL materials.

Every line is read or known to say nothing of the shape; any other is an error. OBJ files do not
say how much they hold, so what looks like one that was cut short is told.

Source: Wavefront, Object Files and Material Library File Format, versions 3.0 and 4.2.
"""

import re
from array import array
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from mem3d.data.meshes.formats.numbers import lines_of, numbers_of, quoted, text_of, wholes_of
from mem3d.data.meshes.pieces import (
    MAX_CORNERS,
    MAX_FACES,
    MAX_PARTS,
    Bytes,
    Floats,
    Ints,
    Piece,
    check_count,
    check_indices,
    color_bytes,
)
from mem3d.data.meshes.polygons import triangulate
from mem3d.data.meshes.references import References
from mem3d.data.rendering.renderer import DEFAULT_COLOR

_OF_NO_SHAPE = set(
    b"vn vp g o s mg bevel c_interp d_interp lod usemap maplib shadow_obj trace_obj".split()
)
_THIN = {b"l", b"p"}
_OFTEN = 10_000  # lines from check to check
_COMMENT = re.compile(rb"\s#.*$", re.DOTALL)
_GOING_ON = re.compile(rb"^([^#\n]*)\\\n", re.MULTILINE)  # comments do not
# Options before the name of a picture: words of one value, and of one to three numbers.
_OPTION = re.compile(
    rb"-(?:(?P<vector>[ost])(?P<numbers>(?:\s+[-+.\de]{1,30}(?=\s)){1,3})"
    rb"|mm\s+\S+\s+\S+|(?:blendu|blendv|boost|bm|cc|clamp|imfchan|texres|type)\s+\S+)\s+",
    re.IGNORECASE,
)


@dataclass
class _Material:
    """What an MTL file says of one material."""

    color: Floats | None = None  # (3,) in [0, 1]
    picture: str | None = None
    scale: tuple[float, float] = (1.0, 1.0)  # of places in the picture, before the offset
    offset: tuple[float, float] = (0.0, 0.0)


class _Lines:
    """What the lines read so far hold."""

    def __init__(self) -> None:
        self.vertices, self.colors, self.uv = array("d"), array("d"), array("d")
        self.corners, self.uv_corners = array("q"), array("q")  # a corner without uv: -1
        self.counts, self.materials = array("q"), array("q")  # of each face; no material: -1
        self.names: dict[bytes, int] = {}  # number of each material
        self.libraries: dict[bytes, None] = {}  # in the order of the file
        self.material = -1
        self.has_colors = self.has_thin = False

    def add(self, key: bytes, rest: bytes) -> None:
        """Read one line."""
        if key == b"v":
            self._add_vertex(numbers_of(rest))
        elif key in (b"f", b"fo"):
            self._add_face(rest)
        elif key == b"vt":
            numbers = numbers_of(rest)
            if not 1 <= len(numbers) <= 3:
                raise ValueError(f"got {len(numbers)} numbers, want 1 to 3")
            self.uv.extend([*numbers, 0.0][:2])
        elif key == b"usemtl":
            self.material = self.names.setdefault(rest, len(self.names))
        elif key == b"mtllib":
            self.libraries[rest] = None
        elif key in _THIN:
            self.has_thin = True
        elif key not in _OF_NO_SHAPE:
            raise ValueError("want a line of a polygon mesh")

    def check(self) -> None:
        """Raise ValueError for more than we take."""
        check_count("faces", len(self.counts), MAX_FACES)
        check_count("vertices", len(self.vertices) // 3, MAX_CORNERS)
        check_count("places in a picture", len(self.uv) // 2, MAX_CORNERS)
        check_count("materials", len(self.names), MAX_PARTS)

    def _add_vertex(self, numbers: list[float]) -> None:
        """x y z, perhaps with a weight, or a color with or without alpha."""
        if len(numbers) not in (3, 4, 6, 7):
            raise ValueError(f"got {len(numbers)} numbers, want 3, 4, 6 or 7")
        self.vertices.extend(numbers[:3])
        is_colored = len(numbers) > 4
        self.has_colors |= is_colored
        self.colors.extend(numbers[3:6] if is_colored else _GRAY)

    def _add_face(self, line: bytes) -> None:
        """Corners as v, v/vt, v//vn or v/vt/vn; negative numbers count back from here."""
        if b"/" in line:
            parts = [token.split(b"/") for token in line.split()]
            vertices = wholes_of(b" ".join(part[0] for part in parts))
            places = wholes_of(b" ".join(part[1] or b"0" for part in parts if len(part) > 1))
            if not len(vertices) == len(places) == len(parts):
                raise ValueError("want v, v/vt, v//vn or v/vt/vn")
        else:
            vertices, places = wholes_of(line), []
        if len(vertices) < 3:
            raise ValueError(f"got {len(vertices)} corners, want 3 or more")
        if 0 in vertices:
            raise ValueError("got vertex 0, want 1.. or -1..")
        self.corners.extend(_places(vertices, len(self.vertices) // 3))
        uv_corners = _places(places, len(self.uv) // 2) if places else [-1] * len(vertices)
        self.uv_corners.extend(uv_corners)
        self.counts.append(len(vertices))
        self.materials.append(self.material)


_GRAY = [value / 255 for value in DEFAULT_COLOR]


def read_obj(data: bytes, references: References) -> list[Piece]:
    """The pieces of an OBJ file, one a material.

    Raises:
        ValueError: a line that is not understood, or more than we take.
    """
    if b"\\\n" in data or b"\\\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        data = _GOING_ON.sub(rb"\1 ", data)
    lines = _Lines()
    for number, line in enumerate(lines_of(data), 1):
        key, _, rest = line.strip().replace(b"\t", b" ").partition(b" ")
        if not key or key.startswith(b"#"):
            continue
        if key not in (b"usemtl", b"mtllib"):
            rest = rest.partition(b"#")[0]
        try:
            lines.add(key, rest.strip())
        except (ValueError, OverflowError) as error:
            reason = str(error).removeprefix("got ")
            raise ValueError(f"got line {number} {quoted(line)}: {reason}") from error
        if number % _OFTEN == 0:
            lines.check()
    lines.check()
    _tell(lines, data, references)
    return _pieces(lines, references)


def _places(numbers: list[int], count: int) -> list[int]:
    """Places from 0 that numbers from 1, or from -1 back, stand for; 0 gives -1."""
    if min(numbers) >= 0:  # those to come are taken as well
        return [number - 1 for number in numbers]
    if min(numbers) < -count:
        raise ValueError(f"got {min(numbers)}, want at least -{count}")
    return [number - 1 if number >= 0 else count + number for number in numbers]


def _tell(lines: _Lines, data: bytes, references: References) -> None:
    """Tell what is left out, and what looks like a file that was cut short."""
    if lines.has_thin:
        references.warn("lines and points are left out")
    unused = len(lines.vertices) // 3 - 1 - max(lines.corners, default=-1)
    if unused > 0:
        references.warn(f"no face uses the last {unused} vertices: was the file cut short?")
    *_, last = b"", *data[-1000:].splitlines(keepends=True)
    if last.strip() and not last.endswith((b"\n", b"\r")) and not last.lstrip().startswith(b"#"):
        references.warn("the last line does not end: was the file cut short?")


def _pieces(lines: _Lines, references: References) -> list[Piece]:
    """Triangles by material, and by whether their corners have places in its picture."""
    vertices = np.array(lines.vertices).reshape(-1, 3)
    corners, uv_corners = np.array(lines.corners), np.array(lines.uv_corners)
    uv = np.array(lines.uv).reshape(-1, 2)
    check_indices("faces of places in a picture", uv_corners[uv_corners >= 0], len(uv))
    triangles, face, report = triangulate(vertices, corners, np.array(lines.counts))
    references.warn(report)
    colors = None
    if lines.has_colors:
        colors = color_bytes(np.array(lines.colors).reshape(-1, 3))
    materials = _named_materials(lines, references)
    has_uv = (uv_corners[triangles] >= 0).all(1)
    group = 2 * np.array(lines.materials)[face] + has_uv
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-9))
    pieces = []
    for members in np.split(order, starts)[1:]:
        number, is_placed = divmod(int(group[members[0]]), 2)
        material = materials[number] if number >= 0 else None
        places = triangles[members]
        own = None if colors is None else colors[corners[places]]
        spots = uv[uv_corners[places]] if is_placed else None
        pieces.append(_piece(vertices, corners[places], material, own, spots, references))
    return pieces


def _piece(
    vertices: Floats,
    faces: Ints,
    material: _Material | None,
    colors: Bytes | None,
    uv: Floats | None,
    references: References,
) -> Piece:
    """A piece of one material; what the material says goes before colors (F, 3, 3) of corners."""
    if material is not None and material.picture is not None and uv is not None:
        picture = references.picture(material.picture)
        if picture is not None:
            # Many exporters leave black or gray beside a picture, so it is not multiplied.
            white = np.full((len(faces), 3, 3), 255, np.uint8)
            return Piece(vertices, faces, white, uv * material.scale + material.offset, picture)
    if material is not None and material.color is not None:
        color = (material.color.clip(0, 1) * 255 + 0.5).astype(np.uint8)
        return Piece(vertices, faces, np.broadcast_to(color, faces.shape))
    return Piece(vertices, faces, colors)


def _named_materials(lines: _Lines, references: References) -> list[_Material | None]:
    """What the material files say of each name that faces use."""
    library: dict[str, _Material] = {}
    for names in lines.libraries:
        for text in _library_texts(names, references):
            library |= _read_mtl(text)
    materials = []
    for name in lines.names:
        material = library.get(text_of(name)) or library.get(text_of(_COMMENT.sub(b"", name)))
        if material is None and library:
            references.warn(f"no material {quoted(name)}; drawn gray")
        materials.append(material)
    return materials


def _library_texts(names: bytes, references: References) -> list[bytes]:
    """The files of an mtllib line: one name, perhaps with spaces, or several."""
    reasons = []
    plain = _COMMENT.sub(b"", names)
    for choice in ([names], [plain], plain.split()):
        try:
            return [references.read(_name(name)) for name in choice]
        except ValueError as error:
            reasons.append(str(error).removeprefix("got "))
    references.warn(f"{reasons[0]}; drawn without its materials")
    return []


def _read_mtl(text: bytes) -> dict[str, _Material]:
    """Materials by name; a name that holds a # is also that before it."""
    materials: dict[str, _Material] = {}
    material = _Material()
    for line in lines_of(text):
        key, _, rest = line.strip().replace(b"\t", b" ").partition(b" ")
        word, rest = key.lower(), rest.strip()
        if word == b"newmtl":
            material = materials[text_of(rest)] = _Material()
            materials.setdefault(text_of(_COMMENT.sub(b"", rest)), material)
        elif word == b"kd":
            material.color = _color(rest.partition(b"#")[0])
        elif word == b"map_kd":
            with suppress(ValueError):  # options of no numbers: no picture
                _set_picture(material, rest)
    return materials


def _color(line: bytes) -> Floats | None:
    """(3,) of "r g b" or one number for all; None for a spectrum, or damage."""
    try:
        numbers = np.array(numbers_of(line))
    except ValueError:
        return None
    is_sound = len(numbers) in (1, 3) and bool(np.isfinite(numbers).all())
    return np.broadcast_to(numbers, 3) if is_sound else None


def _set_picture(material: _Material, rest: bytes) -> None:
    """The name after the options, and of those what moves the picture."""
    place = 0
    while option := _OPTION.match(rest, place):
        if option["vector"]:
            numbers = numbers_of(option["numbers"])
            word = option["vector"].lower()
            if word == b"s":
                material.scale = (numbers[0], numbers[1] if len(numbers) > 1 else 1.0)
            elif word == b"o":
                material.offset = (numbers[0], numbers[1] if len(numbers) > 1 else 0.0)
        place = option.end()
    material.picture = _name(_COMMENT.sub(b"", rest[place:])) or None


def _name(text: bytes) -> str:
    """A file's name, without quotes around it."""
    return text_of(text).strip().strip('"')
