"""Reader of glTF 2.0 scenes, as .gltf or .glb.

Read: triangles, strips and fans; sparse, normalized and strided accessors; transforms, instances
(EXT_mesh_gpu_instancing), morph weights and skins as they stand at rest; base colors, their
pictures, colors of corners. What a file requires besides, or compresses, is refused by its name.

Source: Khronos, glTF 2.0 specification.
"""

import base64
import binascii
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from mem3d.data.meshes.references import References
from mem3d.data.rendering.texture import to_srgb
from memstore.json_text import parse_json

MAX_NODES = 5_000  # of a scene: each costs a walk from its root
_MAX_VALUES = 2_000_000

_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_INSTANCES = "EXT_mesh_gpu_instancing"
_DRACO = "KHR_draco_mesh_compression"
_MOVED = "KHR_texture_transform"
_DIFFUSE = "KHR_materials_pbrSpecularGlossiness"
_WEBP = "EXT_texture_webp"
# Those that are read, and those that say nothing of shape and base color.
_READ = {_INSTANCES, _MOVED, _WEBP, "KHR_mesh_quantization"}
_OF_NO_SHAPE = ("KHR_materials_", "KHR_lights_", "KHR_xmp", "EXT_lights_", "MSFT_packing_")
_MAX_JSON = 64 << 20  # bytes, of a .gltf with its buffers in it, say
_IDENTITY = np.eye(4)


def read_gltf(data: bytes, references: References) -> list[Piece]:
    """The pieces of a scene, one a primitive, in their places.

    Raises:
        ValueError: damaged, too large, or with something that is not read.
        KeyError, TypeError, IndexError, AttributeError: damaged.
    """
    binary = None
    if data[:4] == b"glTF":
        data, binary = _chunks(data)
    # Each costs some hundred bytes; arrays in text within have none of these.
    check_count("values in its JSON", data.count(b",") + data.count(b"["), _MAX_VALUES)
    scene = _Scene(parse_json(data, _MAX_JSON), binary, references)
    return list(scene.pieces())


def _chunks(data: bytes) -> tuple[bytes, bytes | None]:
    """The JSON and the buffer of a GLB file."""
    version, length = (int.from_bytes(data[i : i + 4], "little") for i in (4, 8))
    if version != 2 or not 20 <= length <= len(data):
        raise ValueError(
            f"got {len(data)} bytes of GLB {version}, want {length} of 2 as its header says"
        )
    chunks: list[tuple[bytes, bytes]] = []
    place = 12
    while place + 8 <= length and len(chunks) < 2:
        end = place + 8 + int.from_bytes(data[place : place + 4], "little")
        if end > length:
            raise ValueError("got a chunk that goes beyond the end, want a whole GLB file")
        chunks.append((data[place + 4 : place + 8], data[place + 8 : end]))
        place = end
    if not chunks or chunks[0][0] != b"JSON":
        raise ValueError("got no GLB header, want glTF 2.0 in binary form")
    binary = chunks[1][1] if chunks[1:] and chunks[1][0] == b"BIN\0" else None
    return chunks[0][1].rstrip(b"\0 "), binary


def _natural(number: Any) -> int:
    """A number that JSON holds, >= 0."""
    if not isinstance(number, int) or number < 0:
        raise ValueError(f"got {number!r:.20}, want a whole number >= 0")
    return number


def _at(rows: Any, number: Any) -> Any:
    """A row of a list by a number that JSON holds: Python would take -1."""
    return rows[_natural(number)]


class _Scene:
    """A glTF file, whose arrays are read as they are asked for."""

    def __init__(self, tree: dict[str, Any], binary: bytes | None, references: References) -> None:
        self._tree, self._binary, self._references = tree, binary, references
        self._buffers: dict[int, bytes] = {}
        self._accessors: dict[int, NDArray[Any]] = {}
        self._faces = 0
        self._check()

    def _check(self) -> None:
        """Refuse what cannot be read, before anything of its size is made."""
        tree = self._tree
        version = str(tree.get("asset", {}).get("version", "2.0"))
        if not version.startswith("2."):
            raise ValueError(f"got glTF {version[:20]!r}, want 2.0")
        lacking = [name for name in tree.get("extensionsRequired", []) if not _is_harmless(name)]
        if lacking:
            names = ", ".join(map(repr, lacking))
            raise ValueError(
                f"got {names[:200]}, which it requires; want plain glTF (gltf-transform or Blender "
                "write it so)"
            )
        others = [name for name in tree.get("extensionsUsed", []) if not _is_harmless(name)]
        for name in others:
            if name != _DRACO:
                self._references.warn(f"extension {str(name)[:60]!r} is not read")
        nodes = tree.get("nodes", [])
        numbers = sum(_natural(a["count"]) * _WIDTHS[a["type"]] for a in tree.get("accessors", []))
        viewed = sum(_natural(view["byteLength"]) for view in tree.get("bufferViews", []))
        primitives = sum(len(mesh["primitives"]) for mesh in tree.get("meshes", []))
        # Places, normals, colors, places in pictures: about 12 numbers a corner.
        check_count("numbers in accessors", numbers, 12 * MAX_CORNERS)
        check_count("bytes in buffer views", viewed, 64 * MAX_CORNERS)
        check_count("nodes", len(nodes), MAX_NODES)
        check_count("primitives", primitives, MAX_PARTS)
        children = [child for node in nodes for child in node.get("children", [])]
        if len(set(children)) < len(children):
            raise ValueError("got a node with two parents, want a tree of nodes")

    def pieces(self) -> Iterator[Piece]:
        """The primitives of all nodes of the scene, in their places."""
        tree, used = self._tree, set()
        meshes, placed = tree.get("meshes", []), self._placed()
        if not tree.get("nodes"):  # a bare mesh: no scene says where it is
            for mesh in meshes:
                yield from self._mesh(mesh, {}, _IDENTITY[None])
            return
        for number, world in placed.items():
            node = _at(tree["nodes"], number)
            if "mesh" not in node:
                continue
            mesh = _at(meshes, node["mesh"])
            used.add(node["mesh"])
            if "skin" in node:
                joints = self._joints(node["skin"], placed)
                yield from self._mesh(mesh, node, _IDENTITY[None], joints)
            else:
                yield from self._mesh(mesh, node, world @ self._instances(node))
        if len(used) < len(meshes):
            self._references.warn(
                f"{len(meshes) - len(used)} of {len(meshes)} meshes are not in the scene"
            )

    def _placed(self) -> dict[int, Floats]:
        """Matrix (4, 4) of each node of the scene, by its number."""
        tree = self._tree
        nodes, scenes = tree.get("nodes", []), tree.get("scenes", [])
        children = {child for node in nodes for child in node.get("children", [])}
        roots = [number for number in range(len(nodes)) if number not in children]
        if scenes:
            roots = _at(scenes, tree.get("scene", 0)).get("nodes", [])
        placed: dict[int, Floats] = {}
        waiting = [(_natural(root), _IDENTITY) for root in roots]
        while waiting:
            number, above = waiting.pop()
            if number in placed:
                raise ValueError("got a node that is in the scene twice, want a tree of nodes")
            placed[number] = above @ _matrix(nodes[number])
            waiting += [(_natural(n), placed[number]) for n in nodes[number].get("children", [])]
        return dict(sorted(placed.items()))

    def _instances(self, node: dict[str, Any]) -> Floats:
        """Matrices (N, 4, 4) of a node's copies within it; one that changes nothing without."""
        extension = node.get("extensions", {}).get(_INSTANCES)
        if extension is None:
            return _IDENTITY[None]
        arrays = {k: self._accessor(n) for k, n in extension["attributes"].items()}
        count = min(len(array) for array in arrays.values())
        check_count("instances", count, MAX_FACES)
        return _transforms(
            arrays.get("TRANSLATION", np.zeros((count, 3)))[:count],
            arrays.get("ROTATION", np.tile([0.0, 0, 0, 1], (count, 1)))[:count],
            arrays.get("SCALE", np.ones((count, 3)))[:count],
        )

    def _joints(self, number: Any, placed: dict[int, Floats]) -> Floats:
        """Matrices (J, 4, 4) of a skin's joints as they stand in the scene."""
        skin = _at(self._tree["skins"], number)
        worlds = np.stack([placed[_natural(joint)] for joint in skin["joints"]])
        if "inverseBindMatrices" not in skin:
            return worlds
        inverse = self._accessor(skin["inverseBindMatrices"])[: len(worlds)]
        matrices: Floats = worlds @ inverse.reshape(-1, 4, 4).transpose(0, 2, 1).astype(np.float64)
        return matrices

    def _mesh(
        self,
        mesh: dict[str, Any],
        node: dict[str, Any],
        places: Floats,
        joints: Floats | None = None,
    ) -> Iterator[Piece]:
        """A mesh's primitives at places (N, 4, 4), or where joints (J, 4, 4) carry them."""
        weights = node.get("weights", mesh.get("weights", []))
        for primitive in mesh["primitives"]:
            corners = self._corners(primitive)
            if corners is None:
                continue
            self._faces += len(corners) // 3 * len(places)
            check_count("faces", self._faces, MAX_FACES)
            points = self._points(primitive, corners, weights, joints)
            moved = points @ places[:, :3, :3].transpose(0, 2, 1) + places[:, None, :3, 3]
            faces = np.arange(len(places) * len(corners)).reshape(-1, 3)
            colors, uv, picture = self._look(primitive, corners)
            yield Piece(
                moved.reshape(-1, 3),
                faces,
                None if colors is None else np.tile(colors, (len(places), 1, 1)),
                None if uv is None else np.tile(uv, (len(places), 1, 1)),
                picture,
            )

    def _corners(self, primitive: dict[str, Any]) -> Ints | None:
        """Vertices (3 * T,) of a primitive's triangles; None for lines and points."""
        mode = primitive.get("mode", 4)
        if mode in (0, 1, 2, 3):
            self._references.warn("lines and points are left out")
            return None
        if _DRACO in primitive.get("extensions", {}):
            # Beside it there may be the same without compression.
            accessors = [*primitive["attributes"].values(), primitive.get("indices")]
            rows = [_at(self._tree["accessors"], n) for n in accessors if n is not None]
            if not all("bufferView" in row for row in rows):
                raise ValueError(f"got a part in {_DRACO}, want plain glTF")
        count = len(self._accessor(primitive["attributes"]["POSITION"]))
        indices = np.arange(count)
        if "indices" in primitive:
            indices = self._accessor(primitive["indices"])[:, 0].astype(np.int64)
        check_indices("faces of vertices", indices, count)
        if mode == 4 and len(indices) % 3 == 0:
            return indices
        if mode not in (5, 6) or len(indices) < 3:
            raise ValueError(f"got {len(indices)} corners of mode {mode!r:.20}, want triangles")
        first = np.arange(len(indices) - 2)
        odd = first % 2 if mode == 5 else 0 * first
        start = first if mode == 5 else 0 * first
        places = np.stack([start, first + 1 + odd, first + 2 - odd], 1)
        return indices[places].reshape(-1)

    def _points(
        self, primitive: dict[str, Any], corners: Ints, weights: list[float], joints: Floats | None
    ) -> Floats:
        """Places (3 * T, 3) of corners, before those of the nodes."""
        attributes = primitive["attributes"]
        points: Floats = self._accessor(attributes["POSITION"])[corners].astype(np.float64)
        targets = primitive.get("targets", [])
        for target, weight in zip(targets, weights, strict=False):
            if weight and "POSITION" in target:
                points += weight * self._accessor(target["POSITION"])[corners]
        if joints is None:
            return points
        if "JOINTS_0" not in attributes:
            raise ValueError("got a skin without JOINTS_0, want its joints")
        moved, total = np.zeros_like(points), np.zeros((len(points), 1))
        for part in range(2):
            if f"JOINTS_{part}" in attributes:
                numbers = self._accessor(attributes[f"JOINTS_{part}"])[corners].astype(np.int64)
                shares = self._accessor(attributes[f"WEIGHTS_{part}"])[corners].astype(np.float64)
                check_indices("joints", numbers, len(joints))
                for number, share in zip(numbers.T, shares.T[:, :, None], strict=True):
                    carried = np.einsum("nij,nj->ni", joints[number, :3, :3], points)
                    moved += share * (carried + joints[number, :3, 3])
                    total += share
        return moved / np.where(total == 0, 1, total)

    def _look(
        self, primitive: dict[str, Any], corners: Ints
    ) -> tuple[Bytes | None, Floats | None, Bytes | None]:
        """Colors (T, 3, 3), places in a picture (T, 3, 2), and the picture.

        glTF says that the colors of corners and materials are light, those of pictures sRGB. But
        a mesh without a material has its corners' colors from a tool such as trimesh: sRGB again.
        """
        attributes, own = primitive["attributes"], None
        if "COLOR_0" in attributes:
            rows = self._accessor(attributes["COLOR_0"])[corners, :3]
            own = color_bytes(rows.clip(0, 1) if rows.dtype.kind == "f" else rows)
        if "material" not in primitive:
            return (None if own is None else own.reshape(-1, 3, 3)), None, None
        material = _at(self._tree["materials"], primitive["material"])
        pbr = material.get("pbrMetallicRoughness", {})
        factor, texture = pbr.get("baseColorFactor"), pbr.get("baseColorTexture")
        if _DIFFUSE in material.get("extensions", {}):
            pbr = material["extensions"][_DIFFUSE]
            factor, texture = pbr.get("diffuseFactor"), pbr.get("diffuseTexture")
        light = np.nan_to_num(np.array(factor or [1, 1, 1], np.float64)[:3]).clip(0, 1)
        base = (to_srgb(light) * 255 + 0.5).astype(np.uint8)
        colors = np.broadcast_to(base, (len(corners), 3))
        if own is not None:
            colors = (colors * to_srgb(own / 255) + 0.5).astype(np.uint8)
        uv, picture = None, None
        if texture is not None:
            uv, picture = self._textured(attributes, corners, texture)
        return colors.reshape(-1, 3, 3), uv, picture

    def _textured(
        self, attributes: dict[str, int], corners: Ints, texture: dict[str, Any]
    ) -> tuple[Floats | None, Bytes | None]:
        """Places (T, 3, 2) in a picture, v up, and the picture; None where one is missing."""
        moved = texture.get("extensions", {}).get(_MOVED, {})
        name = f"TEXCOORD_{moved.get('texCoord', texture.get('texCoord', 0))}"
        picture = self._picture(_at(self._tree["textures"], texture["index"]))
        if picture is None or name not in attributes:
            return None, None
        uv = self._accessor(attributes[name])[corners].astype(np.float64)
        uv = uv * moved.get("scale", [1, 1])
        turn = float(moved.get("rotation", 0))
        uv = uv @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        uv = uv + moved.get("offset", [0, 0])
        return np.stack([uv[:, 0], 1 - uv[:, 1]], 1).reshape(-1, 3, 2), picture

    def _picture(self, texture: dict[str, Any]) -> Bytes | None:
        """The picture of a texture."""
        other = texture.get("extensions", {}).get(_WEBP, {})
        number = other.get("source", texture.get("source"))
        if number is None:
            self._references.warn("a picture in a format that is not read; drawn without it")
            return None
        image = _at(self._tree["images"], number)
        uri = image.get("uri", "")
        if "bufferView" in image:
            view = _at(self._tree["bufferViews"], image["bufferView"])
            start, length = _natural(view.get("byteOffset", 0)), view["byteLength"]
            data = self._buffer(view)[start : start + length]
        elif uri.startswith("data:"):
            data = _inline(uri)
        else:
            return self._references.picture(uri)
        return self._references.keep_picture(f"images[{number}]", data)

    def _accessor(self, number: Any) -> NDArray[Any]:
        """An accessor's rows (N, W); integers that stand for fractions as those."""
        number = _natural(number)
        if number not in self._accessors:
            accessor = self._tree["accessors"][number]
            dtype, width = np.dtype(_TYPES[accessor["componentType"]]), _WIDTHS[accessor["type"]]
            count = _natural(accessor["count"])
            if "bufferView" in accessor:
                rows = self._rows(accessor, dtype, width, count)
            elif "sparse" in accessor:
                rows = np.zeros((count, width), dtype)
            else:
                raise ValueError(f"got accessor {number} without data, want a view of a buffer")
            if "sparse" in accessor:
                rows = self._overlaid(rows, accessor["sparse"])
            if accessor.get("normalized") and dtype.kind != "f":
                rows = np.maximum(rows / np.float32(np.iinfo(dtype).max), -1)
            self._accessors[number] = rows
        return self._accessors[number]

    def _overlaid(self, rows: NDArray[Any], sparse: dict[str, Any]) -> NDArray[Any]:
        """Rows (N, W) with those of a sparse accessor in place of some."""
        count, indices = _natural(sparse["count"]), sparse["indices"]
        check_count("sparse rows", count, len(rows))
        dtype = np.dtype(_TYPES[indices["componentType"]])
        places = self._rows(indices, dtype, 1, count)[:, 0].astype(np.int64)
        check_indices("sparse rows", places, len(rows))
        rows = rows.copy()
        rows[places] = self._rows(sparse["values"], rows.dtype, rows.shape[1], count)
        return rows

    def _rows(
        self, source: dict[str, Any], dtype: np.dtype[Any], width: int, count: int
    ) -> NDArray[Any]:
        """Rows (count, width) of the buffer view that a part of the file names."""
        view = _at(self._tree["bufferViews"], source["bufferView"])
        offset, size = _natural(source.get("byteOffset", 0)), dtype.itemsize * width
        stride = _natural(view.get("byteStride", size)) or size
        length = offset + stride * (count - 1) + size if count else 0
        if stride < size or length > view["byteLength"]:
            raise ValueError(
                f"got {count} rows of a view of {view['byteLength']} bytes, want fewer"
            )
        start = _natural(view.get("byteOffset", 0)) + offset
        return np.ndarray(
            (count, width), dtype, self._buffer(view), start, (stride, dtype.itemsize)
        )

    def _buffer(self, view: dict[str, Any]) -> bytes:
        """The buffer of a view."""
        packed = [name for name in view.get("extensions", {}) if "compression" in name]
        if packed:
            raise ValueError(f"got a buffer in {packed[0][:60]!r}, want plain glTF")
        number = _natural(view["buffer"])
        if number not in self._buffers:
            buffer = self._tree["buffers"][number]
            uri = buffer.get("uri")
            if uri is None:
                if number or self._binary is None:
                    raise ValueError(f"got buffer {number} without data, want a whole file")
                data = self._binary
            else:
                data = _inline(uri) if uri.startswith("data:") else self._references.read(uri)
            if len(data) < _natural(buffer["byteLength"]):
                raise ValueError(f"got {len(data)} bytes of buffer {number}, want more")
            self._buffers[number] = data
        return self._buffers[number]


def _is_harmless(name: Any) -> bool:
    """Whether an extension is read, or says nothing of shape and base color."""
    return name in _READ or str(name).startswith(_OF_NO_SHAPE)


def _inline(uri: str) -> bytes:
    """What a data URI holds."""
    try:
        return base64.b64decode(uri.partition(",")[2], validate=True)
    except binascii.Error as error:
        raise ValueError(f"got a damaged data URI ({error})") from error


def _matrix(node: dict[str, Any]) -> Floats:
    """A node's own matrix (4, 4)."""
    if "matrix" in node:
        columns: Floats = np.array(node["matrix"], np.float64).reshape(4, 4).T
        return columns
    parts = (("translation", [0, 0, 0]), ("rotation", [0, 0, 0, 1]), ("scale", [1, 1, 1]))
    matrices = _transforms(*(np.array([node.get(name, none)], np.float64) for name, none in parts))
    matrix: Floats = matrices[0]
    return matrix


def _transforms(
    translations: NDArray[Any], rotations: NDArray[Any], scales: NDArray[Any]
) -> Floats:
    """Matrices (N, 4, 4) of moves (N, 3), quaternions x y z w (N, 4) and factors (N, 3)."""
    matrices = np.tile(_IDENTITY, (len(translations), 1, 1))
    quaternions = rotations.astype(np.float64)
    quaternions /= np.maximum(np.linalg.norm(quaternions, axis=1, keepdims=True), 1e-30)
    axis, w = quaternions[:, None, :3], quaternions[:, None, 3:]
    across = np.cross(axis, np.eye(3)[None])  # rows: axis x unit vectors
    turned = np.eye(3) + 2 * (w * across + np.cross(axis, across))
    matrices[:, :3, :3] = (turned * scales[:, :, None]).transpose(0, 2, 1)
    matrices[:, :3, 3] = translations
    return matrices
