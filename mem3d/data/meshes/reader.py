"""Reader of mesh files from anywhere: OBJ, GLB and glTF, STL, PLY, OFF, and plain .npz arrays.

A file is bounded before it is parsed, kept from reading other folders, and refused by name unless
every face that it holds or claims has arrived. A scene becomes one mesh, with its colors,
materials and pictures; what of those was lost is told.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mem3d.data.meshes.formats.gltf import read_gltf
from mem3d.data.meshes.formats.npz import read_arrays
from mem3d.data.meshes.formats.obj import read_obj
from mem3d.data.meshes.formats.off import read_off
from mem3d.data.meshes.formats.ply import read_ply
from mem3d.data.meshes.formats.stl import read_stl
from mem3d.data.meshes.pieces import MAX_FACES, Piece, check_count, check_indices, joined_paint
from mem3d.data.meshes.references import References
from mem3d.data.meshes.transforms import framed, rotation
from mem3d.data.rendering.texture import Paint
from memstore.files import open_regular
from memstore.voxels.mesh import Mesh

MAX_BYTES = 256 << 20  # of a file, and of all that it refers to

_READERS = {
    "glb": read_gltf,
    "gltf": read_gltf,
    "npz": lambda data, _: [read_arrays(data)],
    "obj": read_obj,
    "off": read_off,
    "ply": read_ply,
    "stl": read_stl,
}
MESH_TYPES = tuple(_READERS)

# A damaged file sends a reader to keys and rows that are not there, or of another type.
_DAMAGE = (LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


@dataclass(frozen=True)
class PaintedMesh:
    """A mesh in the frame of the data, longest side 1, centered."""

    mesh: Mesh
    paint: Paint | None = None  # colors within faces; None where the mesh's own say all
    warnings: tuple[str, ...] = ()  # what was left out, and what looks wrong


def read_mesh(
    path: str | Path,
    up: str = "y",
    front: str = "x",
    max_bytes: int = MAX_BYTES,
    root: str | Path | None = None,
) -> PaintedMesh:
    """Read a mesh file, believing nothing.

    Args:
        path: a file whose suffix is one of MESH_TYPES; it may refer to other files.
        up, front: the file's directions, as in `transforms.rotation`.
        max_bytes: largest file, and most bytes of all that it refers to.
        root: folder out of which no reference may lead; None is the one above the mesh's own,
            as materials beside `models/` are usual (`../images/x.jpg`).

    Raises:
        ValueError: not such a file; damaged; too large; without faces or of no size; with faces
            that cannot be read. The message begins with the path. A material or a picture that
            is missing or out of bounds is a warning of the result.
    """
    path, turn = Path(path), rotation(up, front)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in _READERS:
        raise ValueError(f"{path}: got suffix {path.suffix!r}, want one of {MESH_TYPES}")
    try:
        with open_regular(path) as file:
            data = file.read(max_bytes + 1)
        references = References(path.parent, Path(root or path.parent.resolve().parent), max_bytes)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"{path}: got {reason}, want a readable file") from error
    if len(data) > max_bytes:
        raise ValueError(f"{path}: got more than {max_bytes:,} bytes, want at most that")
    try:
        with np.errstate(all="ignore"):  # numbers are checked when they are together
            painted = _joined(_READERS[kind](data, references), turn)
    except ValueError as error:
        text = str(error)
        raise ValueError(f"{path}: {text if text.startswith('got') else f'got {text}'}") from error
    except _DAMAGE as error:
        reason = f"{type(error).__name__}: {error!s:.100}"
        raise ValueError(f"{path}: got a damaged {kind} file ({reason})") from error
    return PaintedMesh(painted.mesh, painted.paint, tuple(references.warnings))


def _joined(pieces: list[Piece], turn: NDArray[np.float64]) -> PaintedMesh:
    """One mesh of all pieces."""
    pieces = [piece for piece in pieces if len(piece.faces)]
    if not pieces:
        raise ValueError("got no faces, want at least one")
    check_count("faces", sum(len(piece.faces) for piece in pieces), MAX_FACES)
    for piece in pieces:
        check_indices("faces of vertices", piece.faces, len(piece.vertices))
    # Corners that no face uses must not move the rest; a mesh may have many of them.
    corners = np.concatenate([piece.vertices[piece.faces].reshape(-1, 3) for piece in pieces])
    if not np.isfinite(corners).all():
        raise ValueError("got vertices that are not finite, want numbers")
    vertices = framed(corners, turn).astype(np.float32)
    faces = np.arange(len(vertices), dtype=np.int32).reshape(-1, 3)
    colors, paint = joined_paint(pieces)
    return PaintedMesh(Mesh(vertices, faces, colors), paint)
