"""A solid with concave sides, rightly read whatever its file's form."""

import base64
import json
import struct

import numpy as np

from mem3d.data.meshes.reader import read_mesh
from mem3d.data.meshes.voxelize import voxelize_mesh
from memstore.voxels.mesh import Mesh

# The outline of a U, so that a fan from any one corner of its ends would fill what is open.
OUTLINE = [(0, 0), (0.4, 0), (0.4, 2), (3.6, 2), (3.6, 0), (4, 0), (4, 2.4), (0, 2.4)]
VERTICES = [(*point, z) for z in (0, 1.5) for point in OUTLINE]
ENDS = [list(range(7, -1, -1)), list(range(8, 16))]
SIDES = [[i, (i + 1) % 8, 8 + (i + 1) % 8, 8 + i] for i in range(8)]
POLYGONS = ENDS + SIDES
# Cut by hand: two posts and a bar.
_HALF = [(0, 1, 2), (0, 2, 7), (7, 2, 3), (7, 3, 6), (3, 4, 5), (3, 5, 6)]
TRIANGLES = (
    [(a, b, c) for c, b, a in _HALF]
    + [(a + 8, b + 8, c + 8) for a, b, c in _HALF]
    + [t for a, b, c, d in SIDES for t in ((a, b, c), (a, c, d))]
)


def grid_of(faces=TRIANGLES):
    """Voxels (32, 32, 32) of triangles of VERTICES."""
    return voxelize_mesh(Mesh(np.array(VERTICES, np.float32), np.array(faces, np.int32), None))


def read_whole(path, **options):
    """Read a file of the solid: its voxels and all its triangles are there."""
    painted = read_mesh(path, **options)
    assert len(painted.mesh.faces) == len(TRIANGLES)
    assert (voxelize_mesh(painted.mesh) == grid_of()).all()
    return painted


def obj_text(vertex="v {} {} {}", face="f {}", end="\n", polygons=POLYGONS):
    """The solid as lines of an OBJ file."""
    lines = [vertex.format(*point) for point in VERTICES]
    lines += [face.format(" ".join(str(i + 1) for i in polygon)) for polygon in polygons]
    return "".join(line + end for line in lines)


def off_text(header="OFF\n{} {} 0\n", polygons=POLYGONS, end="\n"):
    """The solid as an OFF file."""
    rows = [" ".join(map(str, point)) for point in VERTICES]
    rows += [" ".join(map(str, [len(p), *p])) for p in polygons]
    return header.format(len(VERTICES), len(polygons)) + "".join(row + end for row in rows)


def ply_bytes(order="<", polygons=POLYGONS, extra=b"", claim=None):
    """The solid as a PLY file, binary, or text where the order is ""."""
    kind = {"<": "binary_little_endian", ">": "binary_big_endian", "": "ascii"}[order]
    head = (
        f"ply\nformat {kind} 1.0\ncomment by hand\nelement vertex {len(VERTICES)}\n"
        "property float x\nproperty float y\nproperty float z\n"
        f"element face {claim or len(polygons)}\n"
        "property list uchar int vertex_indices\nend_header\n"
    )
    if not order:
        rows = off_text("", polygons).encode()
    else:
        rows = np.array(VERTICES, order + "f4").tobytes()
        rows += b"".join(bytes([len(p)]) + np.array(p, order + "i4").tobytes() for p in polygons)
    return head.encode() + rows + extra


def stl_bytes(extra=b"", claim=None):
    """The solid as a binary STL file."""
    table = np.zeros(len(TRIANGLES), [("n", "<f4", 3), ("v", "<f4", (3, 3)), ("a", "<u2")])
    table["v"] = np.array(VERTICES)[np.array(TRIANGLES)]
    count = len(TRIANGLES) if claim is None else claim
    return b"solid in name only".ljust(80) + struct.pack("<I", count) + table.tobytes() + extra


def stl_text(name="solid x"):
    """The solid as an STL file in text."""
    text = name + "\n"
    for triangle in TRIANGLES:
        text += " facet normal 0 0 0\n  outer loop\n"
        text += "".join("   vertex {} {} {}\n".format(*VERTICES[i]) for i in triangle)
        text += "  endloop\n endfacet\n"
    return text + "endsolid x\n"


class Gltf:
    """A glTF file, array by array.

    Attributes:
        tree: what its JSON says; may be changed before it is written.
    """

    def __init__(self):
        self.data = b""
        self.tree = {
            "asset": {"version": "2.0"},
            "accessors": [],
            "bufferViews": [],
            "meshes": [{"primitives": []}],
            "nodes": [{"mesh": 0}],
            "scenes": [{"nodes": [0]}],
        }

    def view(self, array):
        """Number of a new buffer view."""
        raw = array.tobytes()
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(raw)}
        self.data += raw + bytes(-len(raw) % 4)
        self.tree["bufferViews"].append(view)
        return len(self.tree["bufferViews"]) - 1

    def accessor(self, values, kind="<f4", **more):
        """Number of a new accessor of rows (N, W) or numbers (N,)."""
        array = np.array(values, kind)
        codes = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
        width = array.shape[1] if array.ndim > 1 else 1
        names = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
        row = {
            "bufferView": self.view(array),
            "componentType": codes[array.dtype.str[1:]],
            "count": len(array),
            "type": names[width],
        }
        self.tree["accessors"].append(row | more)
        return len(self.tree["accessors"]) - 1

    def primitive(self, indices=None, **attributes):
        """Add triangles of the solid's corners or of others, and give them to be changed."""
        attributes = {"POSITION": self.accessor(VERTICES), **attributes}
        indices = TRIANGLES if indices is None else indices
        primitive = {"attributes": attributes, "indices": self.accessor(np.ravel(indices), "<u2")}
        self.tree["meshes"][0]["primitives"].append(primitive)
        return primitive

    def gltf(self, encoding="utf-8"):
        """As text with its buffer within."""
        uri = "data:application/octet-stream;base64," + base64.b64encode(self.data).decode()
        buffers = [{"byteLength": len(self.data), "uri": uri}]
        return json.dumps(self.tree | {"buffers": buffers}).encode(encoding)

    def glb(self):
        """In binary form."""
        text = json.dumps(self.tree | {"buffers": [{"byteLength": len(self.data)}]}).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
        chunks += struct.pack("<II", len(self.data), 0x004E4942) + self.data
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def rich_gltf():
    """The solid with what else a file may have: a skin, morphs, copies, sparse rows, colors."""
    file = Gltf()
    corners = len(VERTICES)
    primitive = file.primitive(
        COLOR_0=file.accessor([[9, 99, 199, 255]] * corners, "u1", normalized=True),
        TEXCOORD_0=file.accessor([[0.5, 0.5]] * corners),
        JOINTS_0=file.accessor([[0, 0, 0, 0]] * corners, "u1"),
        WEIGHTS_0=file.accessor([[1, 0, 0, 0]] * corners),
    )
    sparse = {
        "count": 1,
        "indices": {"bufferView": file.view(np.array([0], "<u2")), "componentType": 5123},
        "values": {"bufferView": file.view(np.array(VERTICES[:1], "<f4"))},
    }
    moved = file.accessor(np.zeros((corners, 3)), sparse=sparse)
    primitive |= {"targets": [{"POSITION": moved}], "material": 0}
    file.tree["meshes"][0]["weights"] = [0.0]
    file.tree["materials"] = [{"pbrMetallicRoughness": {"baseColorFactor": [1, 0.5, 0.2, 1]}}]
    copies = {"TRANSLATION": file.accessor([[0, 0, 0], [0, 0, 9]])}
    file.tree["nodes"] = [
        {"mesh": 0, "extensions": {"EXT_mesh_gpu_instancing": {"attributes": copies}}},
        {"mesh": 0, "skin": 0, "translation": [9, 9, 9]},
        {"rotation": [0, 0, 0, 1], "scale": [1, 1, 1]},
    ]
    file.tree["skins"] = [
        {"joints": [2], "inverseBindMatrices": file.accessor([np.eye(4).ravel()])}
    ]
    file.tree["scenes"][0]["nodes"] = [0, 1, 2]
    return file
