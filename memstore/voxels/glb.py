"""One mesh as a glTF 2.0 binary file (GLB), for viewers and 3-D programs.

Source: Khronos Group, glTF 2.0 specification, sections 3.6 (buffers, accessors), 3.7 (meshes) and
4 (GLB).
"""

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ARRAY, _ELEMENTS = 34962, 34963  # targets of a buffer view: of corners, of faces
_COMPONENTS = {"float32": 5126, "uint32": 5125, "uint8": 5121}
_ALIGNED = 4  # bytes: where chunks, views and each vertex begin


def glb_bytes(
    faces: NDArray[np.int32],
    attributes: dict[str, NDArray[Any]],
    material: dict[str, Any] | None = None,
) -> bytes:
    """The whole file.

    Args:
        faces: (F, 3) rows of the vertices, F > 0.
        attributes: by glTF's names, one row a vertex: POSITION and NORMAL (V, 3) float32, COLOR_0
            (V, 4) uint8.
        material: glTF's, of the whole mesh.
    """
    indices = faces.astype(np.uint32).ravel()
    arrays = {**attributes, "": indices}
    data = b""
    views: list[dict[str, Any]] = []
    accessors: list[dict[str, Any]] = []
    for name, array in arrays.items():
        target = _ARRAY if name else _ELEMENTS
        view = {"byteOffset": len(data), "byteLength": array.nbytes, "target": target}
        views.append({"buffer": 0, **view})
        accessors.append({"bufferView": len(accessors), **_accessor(name, array)})
        data += _padded(array.tobytes(), b"\0")
    primitive: dict[str, Any] = {
        "attributes": {name: i for i, name in enumerate(attributes)},
        "indices": len(attributes),
    }
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "memstore"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(data)}],
    }
    if material is not None:
        document["materials"] = [material]
        primitive["material"] = 0
    head = _padded(json.dumps(document, allow_nan=False).encode(), b" ")
    chunks = _chunk(b"JSON", head) + _chunk(b"BIN\0", data)
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _accessor(name: str, array: NDArray[Any]) -> dict[str, Any]:
    """What an array's numbers are, in glTF's words; of places also their bounds."""
    accessor: dict[str, Any] = {
        "componentType": _COMPONENTS[array.dtype.name],
        "count": len(array),
        "type": "SCALAR" if array.ndim == 1 else f"VEC{array.shape[1]}",
    }
    if array.dtype == np.uint8:
        accessor["normalized"] = True
    if name == "POSITION":
        accessor |= {"min": array.min(0).tolist(), "max": array.max(0).tolist()}
    return accessor


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack("<I4s", len(content), kind) + content


def _padded(content: bytes, filler: bytes) -> bytes:
    return content + filler * (-len(content) % _ALIGNED)
