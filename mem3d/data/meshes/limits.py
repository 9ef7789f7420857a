"""What a mesh file claims to hold, checked before anything of that size is made.

A few bytes can claim billions of faces. Each check reads only as much as it takes to know the
numbers; whether the rest of the file is sound is left to the parser.

Source: the headers of PLY, OFF, binary STL and glTF 2.0 (Khronos).
"""

import json
import re
from typing import Any

MAX_FACES = 2_000_000
MAX_CORNERS = 3 * MAX_FACES  # corners of faces, shared or not
MAX_NODES = 5_000  # of a scene: each costs a walk to its root
MAX_PARTS = 20_000  # materials or pieces of one file

_MAX_HEADER = 1 << 16  # bytes of a PLY header
_ELEMENT = re.compile(rb"^element\s+(\S+)\s+(\S+)\s*$", re.MULTILINE)
_OFF_COUNTS = re.compile(rb"C?OFF\s+(?:#[^\n]*\n\s*)*(\d{1,19})\s+(\d{1,19})")
_NUMBERS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}


def check_claims(data: bytes, kind: str) -> None:
    """Raise ValueError if a file of a kind ("obj", "ply", ...) claims more than we take."""
    _CHECKS[kind](data)


def check_count(name: str, count: int, most: int) -> None:
    """Raise ValueError unless 0 <= got <= most."""
    if not 0 <= count <= most:
        raise ValueError(f"got {count} {name}, want at most {most:,}")


def _check_obj(data: bytes) -> None:
    check_count("faces", data.count(b"\nf"), MAX_FACES)
    check_count("vertices", data.count(b"\nv "), MAX_CORNERS)
    check_count("changes of material", data.count(b"usemtl"), MAX_PARTS)


def _check_ply(data: bytes) -> None:
    end = data.find(b"end_header", 0, _MAX_HEADER)
    if not data.startswith(b"ply") or end < 0:
        raise ValueError("got no PLY header, want lines from 'ply' to 'end_header'")
    for name, count in _ELEMENT.findall(data[:end]):
        if not count.isdigit() or len(count) > 19:
            raise ValueError(f"got {count[:20]!r} of element {name[:20]!r}, want a number")
        # Even an element without properties is a line, or at least a byte, of a sound file.
        what = f"of element {name[:20].decode('ascii', 'replace')!r}"
        check_count(what, int(count), min(MAX_CORNERS, len(data)))


def _check_stl(data: bytes) -> None:
    claimed = int.from_bytes(data[80:84], "little")
    if len(data) == 84 + 50 * claimed:
        check_count("faces", claimed, MAX_FACES)
    elif data.lstrip()[:5].lower() != b"solid":
        want = f"84 + 50 * {claimed} as its header says"
        raise ValueError(f"got {len(data)} bytes of binary STL, want {want}")
    else:
        check_count("vertices", data.count(b"vertex") + data.count(b"VERTEX"), MAX_CORNERS)


def _check_off(data: bytes) -> None:
    counts = _OFF_COUNTS.search(data[:4096])
    if counts is None:
        raise ValueError("got no OFF header, want 'OFF' and the numbers of vertices and faces")
    check_count("vertices", int(counts[1]), min(MAX_CORNERS, len(data)))
    check_count("faces", int(counts[2]), min(MAX_FACES, len(data)))


def _check_glb(data: bytes) -> None:
    if data[:4] != b"glTF" or data[16:20] != b"JSON":
        raise ValueError("got no GLB header, want glTF 2.0 in binary form")
    length = int.from_bytes(data[12:16], "little")
    _check_gltf(data[20 : 20 + length])


def _check_gltf(text: bytes) -> None:
    try:
        tree = json.loads(text)
        numbers = sum(_natural(a["count"]) * _NUMBERS[a["type"]] for a in tree.get("accessors", []))
        viewed = sum(_natural(view["byteLength"]) for view in tree.get("bufferViews", []))
        nodes: list[dict[str, Any]] = tree.get("nodes", [])
        children = [child for node in nodes for child in node.get("children", [])]
        primitives = sum(len(mesh["primitives"]) for mesh in tree.get("meshes", []))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"got a damaged glTF header ({error!r:.100})") from error
    # Places, normals, colors, places in pictures: about 12 numbers a corner.
    check_count("numbers in accessors", numbers, 12 * MAX_CORNERS)
    check_count("bytes in buffer views", viewed, 64 * MAX_CORNERS)
    check_count("nodes", len(nodes), MAX_NODES)
    check_count("primitives", primitives, MAX_PARTS)
    if len(set(children)) < len(children):
        raise ValueError("got a node with two parents, want a tree of nodes")


def _natural(number: Any) -> int:
    """A number that JSON holds, >= 0."""
    if not isinstance(number, int) or number < 0:
        raise ValueError(f"got {number!r:.20}, want a number >= 0")
    return number


_CHECKS = {
    "obj": _check_obj,
    "ply": _check_ply,
    "stl": _check_stl,
    "off": _check_off,
    "glb": _check_glb,
    "gltf": _check_gltf,
}
