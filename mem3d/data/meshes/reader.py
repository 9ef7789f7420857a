"""Reader of mesh files from anywhere: OBJ, GLB and glTF, STL, PLY, OFF, and plain .npz arrays.

trimesh parses; here a file is bounded before it is parsed, kept from reading other folders, and
checked afterwards. A scene becomes one mesh, with its colors, materials and pictures.

A .npz mesh has `v` (V, 3) floats, `f` (F, 3) integers and, if it has colors, `c` (F, 3) uint8.
"""

import logging
import tokenize
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mem3d.data.meshes.limits import MAX_CORNERS, MAX_FACES, check_claims, check_count
from mem3d.data.meshes.materials import Pictures, Piece, joined_paint, piece_of
from mem3d.data.meshes.transforms import framed, rotation
from mem3d.data.rendering.texture import Paint
from memstore.files import open_regular
from memstore.voxels.mesh import Mesh

MESH_TYPES = ("glb", "gltf", "npz", "obj", "off", "ply", "stl")
MAX_BYTES = 256 << 20  # of a file, and of all that it refers to
_MAX_QUOTED = 80  # characters of a foreign name in a message
_MAX_MEMBERS = 64  # of an .npz file
_MAX_HEADER = 4096  # bytes, of one of its arrays

# numpy parses headers with Python's own parser.
_HEADER_ERRORS = (
    ValueError,
    KeyError,
    TypeError,
    SyntaxError,
    RecursionError,
    MemoryError,
    tokenize.TokenError,
)


@dataclass(frozen=True)
class PaintedMesh:
    """A mesh in the frame of the data, longest side 1, centered."""

    mesh: Mesh
    paint: Paint | None = None  # colors within faces; None where the mesh's own say all


def read_mesh(
    path: str | Path, up: str = "y", front: str = "x", max_bytes: int = MAX_BYTES
) -> PaintedMesh:
    """Read a mesh file, believing nothing.

    Args:
        path: a file whose suffix is one of MESH_TYPES; it may refer to files in its own folder
            and the folders within.
        up, front: the file's directions, as in `orientation.rotation`.
        max_bytes: largest file, and most bytes of all that it refers to.

    Raises:
        ValueError: not such a file; damaged; too large; without faces or of no size; it refers to
            a file outside its folder. The message begins with the path.
    """
    path, turn = Path(path), rotation(up, front)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in MESH_TYPES:
        raise ValueError(f"{path}: got suffix {path.suffix!r}, want one of {MESH_TYPES}")
    try:
        with open_regular(path) as file:
            data = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"{path}: got {reason}, want a readable file") from error
    if len(data) > max_bytes:
        raise ValueError(f"{path}: got more than {max_bytes:,} bytes, want at most that")
    try:
        pieces = [read_arrays(data)] if kind == "npz" else _parsed(data, kind, path, max_bytes)
        return _joined(pieces, turn)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _joined(pieces: list[Piece], turn: NDArray[np.float64]) -> PaintedMesh:
    """One mesh of all pieces."""
    for piece in pieces:
        _check_piece(piece)
    pieces = [piece for piece in pieces if len(piece.faces)]
    if not pieces:
        raise ValueError("got no faces, want at least one")
    check_count("faces", sum(len(piece.faces) for piece in pieces), MAX_FACES)
    # Corners that no face uses must not move the rest; a mesh may have many of them.
    corners = np.concatenate([piece.vertices[piece.faces].reshape(-1, 3) for piece in pieces])
    if not np.isfinite(corners).all():
        raise ValueError("got vertices that are not finite, want numbers")
    vertices = framed(corners, turn).astype(np.float32)
    faces = np.arange(len(vertices), dtype=np.int32).reshape(-1, 3)
    colors, paint = joined_paint(pieces)
    return PaintedMesh(Mesh(vertices, faces, colors), paint)


def _check_piece(piece: Piece) -> None:
    """Raise ValueError for faces of vertices that are not there."""
    check_count("vertices", len(piece.vertices), MAX_CORNERS)
    if len(piece.faces):
        low, high = int(piece.faces.min()), int(piece.faces.max())
        if low < 0 or high >= len(piece.vertices):
            want = f"0..{len(piece.vertices) - 1}"
            raise ValueError(f"got faces of vertices {low}..{high}, want {want}")


def _parsed(data: bytes, kind: str, path: Path, max_bytes: int) -> list[Piece]:
    """The pieces of a file that trimesh reads, where its scene puts them."""
    import trimesh  # imported late: about a second

    check_claims(data, kind)
    folder = _own_folder(path, max_bytes)
    log = logging.getLogger("trimesh")
    level = log.level
    try:
        log.setLevel(logging.CRITICAL)  # what matters is raised here
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            scene: Any = trimesh.load_scene(
                BytesIO(data), file_type=kind, resolver=folder, process=False
            )
            pieces = _flattened(scene)
    # A parser stops at damage wherever it stands: IndexError, KeyError, AssertionError, ...
    except Exception as error:
        reason = f"{type(error).__name__}: {error!s:.100}"
        raise ValueError(f"got a damaged {kind} file ({reason})") from error
    finally:
        log.setLevel(level)
    if folder.refused:
        raise ValueError(f"got {folder.refused[0]}, want files of its own folder")
    return pieces


def _flattened(scene: Any) -> list[Piece]:
    """A scene's meshes in their places; what is no mesh (lines, points) is left out."""
    import trimesh

    placed = [scene.graph[node] for node in scene.graph.nodes_geometry]
    meshes = [
        (matrix, scene.geometry[name])
        for matrix, name in placed
        if isinstance(scene.geometry[name], trimesh.Trimesh)
    ]
    check_count("faces", sum(len(mesh.faces) for _, mesh in meshes), MAX_FACES)
    pictures: Pictures = {}
    return [piece_of(mesh, matrix, pictures) for matrix, mesh in meshes]


def _own_folder(path: Path, max_bytes: int) -> Any:
    """What trimesh asks for files that a mesh refers to: those of the mesh's folder alone."""
    from trimesh.resolvers import Resolver

    root = path.parent.resolve()

    class OwnFolder(Resolver):
        def __init__(self) -> None:
            self.refused: list[str] = []  # trimesh swallows what is raised here
            self.remaining = max_bytes

        def get(self, name: Any) -> bytes:
            text = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
            text = text.strip().replace("\\", "/")
            file = (root / text) if (root / text).exists() else (root / unquote(text))
            file = file.resolve()
            if "://" in text or not file.is_relative_to(root):
                self.refused.append(f"a reference to {text[:_MAX_QUOTED]!r}")
                raise ValueError(self.refused[-1])
            with open_regular(file) as stream:
                data = stream.read(self.remaining + 1)
            if len(data) > self.remaining:
                self.refused.append(f"references to more than {max_bytes:,} bytes")
                raise ValueError(self.refused[-1])
            self.remaining -= len(data)
            return data

        def write(self, name: str, data: bytes) -> None:
            raise ValueError("got a write, want reads alone")

        def namespaced(self, namespace: str) -> "OwnFolder":
            return self

        def keys(self) -> list[str]:
            return []

    return OwnFolder()


def read_arrays(data: bytes) -> Piece:
    """The mesh in the bytes of an .npz file: `v` (V, 3), `f` (F, 3) and perhaps `c` (F, 3).

    Raises:
        ValueError: damaged, too large, or of other types and shapes.
    """
    try:
        with zipfile.ZipFile(BytesIO(data)) as opened:
            if len(opened.infolist()) > _MAX_MEMBERS:
                raise ValueError(f"got {len(opened.infolist())} arrays, want at most a few")
            vertices = _array(opened, "v", "f", MAX_CORNERS)
            faces = _array(opened, "f", "iu", MAX_FACES)
            colors = _array(opened, "c", "u", MAX_FACES) if "c.npy" in opened.namelist() else None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        raise ValueError(f"got a damaged .npz file ({error!s:.100})") from error
    except (KeyError, RuntimeError) as error:  # a missing member, an encrypted one
        raise ValueError(f"got no mesh ({error!s:.100}), want arrays v and f") from error
    if colors is not None and (colors.dtype != np.uint8 or len(colors) != len(faces)):
        raise ValueError(f"got colors {colors.dtype} {colors.shape}, want uint8 as faces")
    return Piece(vertices.astype(np.float64), faces.astype(np.int64), colors)


def _array(opened: zipfile.ZipFile, name: str, kinds: str, most: int) -> NDArray[Any]:
    """Array (N, 3) of a dtype among `kinds`, once its header agrees with the directory."""
    member = opened.getinfo(f"{name}.npy")
    # LZMA and others may ask for gigabytes to unpack.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name}: got compression {member.compress_type}, want none or deflate")
    with opened.open(member) as file:
        shape, columns_first, dtype = _header(file, name)
        if len(shape) != 2 or shape[1] != 3 or columns_first or dtype.kind not in kinds:
            raise ValueError(f"{name}: got {dtype} {shape}, want (N, 3) of kind {kinds!r}")
        check_count(f"rows in {name}", shape[0], most)
        size = shape[0] * 3 * dtype.itemsize
        content = file.read(size + 1)
    if len(content) != size:
        raise ValueError(f"{name}: got other than {size} bytes, want those of {dtype} {shape}")
    return np.frombuffer(content, dtype).reshape(shape)


def _header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and dtype that an .npy header declares."""
    try:
        version = npy.read_magic(file)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        return read(file, max_header_size=_MAX_HEADER)
    except _HEADER_ERRORS as error:
        raise ValueError(f"{name}: got no .npy header ({error!s:.100})") from error
