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
    arrays = [*attributes.values(), indices]
    data = b""
    views: list[dict[str, Any]] = []
    accessors: list[dict[str, Any]] = []
    for array in arrays:
        rows = np.ascontiguousarray(array)
        views.append(
            {
                "buffer": 0,
                "byteOffset": len(data),
                "byteLength": rows.nbytes,
                "target": _ELEMENTS if array is indices else _ARRAY,
            }
        )
        accessors.append(
            {
                "bufferView": len(accessors),
                "componentType": _COMPONENTS[rows.dtype.name],
                "count": len(rows),
                "type": "SCALAR" if rows.ndim == 1 else f"VEC{rows.shape[1]}",
                **({"normalized": True} if rows.dtype == np.uint8 else {}),
            }
        )
        data += _padded(rows.tobytes(), b"\0")
    position = attributes["POSITION"]
    bounds = {"min": position.min(0).tolist(), "max": position.max(0).tolist()}
    accessors[list(attributes).index("POSITION")].update(bounds)
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


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack("<I4s", len(content), kind) + content


def _padded(content: bytes, filler: bytes) -> bytes:
    return content + filler * (-len(content) % _ALIGNED)
