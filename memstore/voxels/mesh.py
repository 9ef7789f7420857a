"""Triangle meshes: from voxel grids, and into mesh files.

Frame: that of the grids, so y is up and the front is +x. The cube of a grid is
[-0.5, 0.5]^3: voxel (x, y, z) of an (R, R, R) grid is centered at ((x, y, z) + 0.5) / R - 0.5.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memstore.errors import ArgumentError, DtypeError, ExtraMissingError, ShapeError
from memstore.files import write_atomic
from memstore.scalars import as_float
from memstore.voxels.glb import glb_bytes

FILE_TYPES = ("glb", "obj", "ply", "stl")
_COLOR = (0.09, 0.22, 0.48, 1.0)  # linear RGBA of `write_glb`, a clear blue
_ROUGHNESS = 0.75  # 1 is chalk


@dataclass(frozen=True)
class Mesh:
    """Triangles; seen from outside, the corners of a face run anticlockwise."""

    vertices: NDArray[np.float32]  # (V, 3)
    faces: NDArray[np.int32]  # (F, 3) rows of vertices
    colors: NDArray[np.uint8] | None = None  # (F, 3) sRGB of each face
    vertex_colors: NDArray[np.uint8] | None = None  # (V, 3) sRGB of each vertex; or of each face

    def __post_init__(self) -> None:
        corners, count = len(self.vertices), len(self.faces)
        want = {"vertices": corners, "faces": count, "colors": count, "vertex_colors": corners}
        for name, rows in want.items():
            array = getattr(self, name)
            if array is not None and array.shape != (rows, 3):
                raise ShapeError(f"{name}: got shape {array.shape}, want ({rows}, 3)")
        if self.colors is not None and self.vertex_colors is not None:
            raise ArgumentError("colors: got those of faces and of vertices, want one of them")

    def volume(self) -> float:
        """Volume inside, negative if the mesh is inside out; the mesh must be closed."""
        a, b, c = (self.vertices[self.faces[:, i]].astype(np.float64) for i in range(3))
        return float((a * np.cross(b, c)).sum() / 6)


def blocky(grid: NDArray[np.bool_]) -> Mesh:
    """Mesh of a grid's voxels as cubes, without the faces between full voxels.

    Args:
        grid: (R, R, R) bool.

    Returns:
        Closed mesh in the cube [-0.5, 0.5]^3; no faces if the grid is empty.
    """
    _check_grid(grid)
    if grid.dtype != np.bool_:
        raise DtypeError(f"grid: got {grid.dtype}, want bool")
    side = len(grid)
    full = np.pad(grid, 1)
    corners = []
    for axis in range(3):
        u, v = np.eye(3, dtype=np.int64)[[(axis + 1) % 3, (axis + 2) % 3]]
        for step in (0, 1):  # the voxel's low face, its high face
            beside = np.roll(full, 1 - 2 * step, axis)
            voxels = np.argwhere((full & ~beside)[1:-1, 1:-1, 1:-1])
            voxels[:, axis] += step
            ring = [0 * u, u, u + v, v] if step else [0 * u, v, u + v, u]
            corners.append(voxels[:, None, :] + np.array(ring))
    quads = np.concatenate(corners).reshape(-1, 3) @ np.array([(side + 1) ** 2, side + 1, 1])
    used, quad = np.unique(quads, return_inverse=True)
    vertices = np.stack(np.unravel_index(used, (side + 1,) * 3), axis=1) / side - 0.5
    faces = quad.reshape(-1, 4)[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32))


def smooth(occupancy: NDArray[Any], level: float = 0.5) -> Mesh:
    """Mesh of the surface where occupancy crosses a level (marching cubes).

    Args:
        occupancy: (R, R, R) bool, or float in [0, 1]; outside the grid it counts as 0.
        level: in (0, 1), what counts as the surface.

    Returns:
        Closed mesh in the cube [-0.5, 0.5]^3, or up to half a voxel outside it where voxels at the
        grid's side are full.

    Raises:
        ArgumentError: no voxel is above the level, or the arguments are out of range.
        ExtraMissingError: scikit-image is not installed.
    """
    _check_grid(occupancy)
    values = occupancy.astype(np.float32)
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise ArgumentError(
            "occupancy: got values outside [0, 1] or not finite, want probabilities"
        )
    level = as_float("level", level)
    if not 0 < level < 1:
        raise ArgumentError(f"level: got {level}, want a number in (0, 1)")
    if not (values > level).any():
        raise ArgumentError(
            f"occupancy: got no voxel above the level {level} (largest {values.max():.3f}), "
            "want a shape to draw"
        )
    # "ascent": full is high. scikit-image's default would turn the mesh inside out.
    marching_cubes = _library("skimage.measure", "scikit-image").marching_cubes
    vertices, faces, _, _ = marching_cubes(
        np.pad(values, 1), level, gradient_direction="ascent", allow_degenerate=False
    )
    # Sample i of the padded array is the center of voxel i - 1.
    return Mesh(((vertices - 0.5) / len(values) - 0.5).astype(np.float32), faces.astype(np.int32))


def write_mesh(path: str | Path, mesh: Mesh) -> None:
    """Write a mesh in the format that the file's suffix names; `path` never holds half a file.

    Args:
        path: file to make or replace; its suffix is one of FILE_TYPES (none: glb). GLB, PLY and
            OBJ (as six numbers a vertex) keep the colors; STL holds the shape alone.
        mesh: at least one face.

    Raises:
        ArgumentError: an unknown suffix, or a mesh without faces.
        ExtraMissingError: another format than GLB, and trimesh is not installed.
    """
    file_type = Path(path).suffix.lower().removeprefix(".") or "glb"
    if file_type not in FILE_TYPES:
        raise ArgumentError(f"{path}: got suffix {file_type!r}, want one of {FILE_TYPES}")
    face_colors = None if file_type == "stl" else mesh.colors  # which files give to the corners
    vertices, faces = _corners(path, mesh, face_colors is not None)
    colors = mesh.vertex_colors if face_colors is None else np.repeat(face_colors, 3, axis=0)
    if file_type == "glb":
        attributes: dict[str, NDArray[Any]] = {"POSITION": vertices}
        if colors is not None:
            attributes["COLOR_0"] = np.insert(colors, 3, 255, axis=1)
        write_atomic(path, glb_bytes(faces, attributes))
        return
    trimesh = _library("trimesh", "trimesh")
    solid = trimesh.Trimesh(vertices, faces, process=False, vertex_colors=colors)
    data = solid.export(file_type=file_type)
    write_atomic(path, data.encode("utf-8") if isinstance(data, str) else data)


def write_glb(path: str | Path, mesh: Mesh, *, is_rounded: bool) -> None:
    """Write a mesh with a material and normals, for a viewer; `path` never holds half a file.

    Args:
        path: file to make or replace.
        mesh: at least one face; its colors are not used.
        is_rounded: shade it as one smooth skin, else every face as the plane that it is.

    Raises:
        ArgumentError: the mesh has no face.
    """
    vertices, faces = _corners(path, mesh, not is_rounded)  # shared corners would share a normal
    material = {
        "name": "shape",
        "pbrMetallicRoughness": {
            "baseColorFactor": _COLOR,
            "metallicFactor": 0.0,
            "roughnessFactor": _ROUGHNESS,
        },
    }
    attributes = {"POSITION": vertices, "NORMAL": vertex_normals(vertices, faces)}
    write_atomic(path, glb_bytes(faces, attributes, material))


def vertex_normals(vertices: NDArray[np.float32], faces: NDArray[np.int32]) -> NDArray[np.float32]:
    """(V, 3) unit normals, each the mean of its faces' by area; (0, 0, 1) where there is none."""
    a, b, c = (vertices[faces[:, i]].astype(np.float64) for i in range(3))
    normals = np.zeros((len(vertices), 3))
    across = np.cross(b - a, c - a)
    for corner in faces.T:
        np.add.at(normals, corner, across)
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.where(lengths > 0, normals, [0.0, 0.0, 1.0]) / np.where(lengths > 0, lengths, 1)
    return normals.astype(np.float32)


def _corners(
    path: str | Path, mesh: Mesh, is_split: bool
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Vertices and faces, every face with corners of its own if it is to be split."""
    if not len(mesh.faces):
        raise ArgumentError(f"{path}: got a mesh without faces, want at least one")
    if not is_split:
        return mesh.vertices, mesh.faces
    faces = np.arange(mesh.faces.size, dtype=np.int32).reshape(-1, 3)
    return mesh.vertices[mesh.faces].reshape(-1, 3), faces


def _library(module: str, package: str) -> Any:
    """A library of the extra `meshes`, imported late: each takes about a second."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ExtraMissingError.of("mesh", package, "meshes") from error


def _check_grid(grid: NDArray[Any]) -> None:
    """ShapeError unless cubic."""
    if grid.ndim != 3 or len(set(grid.shape)) != 1 or not grid.size:
        raise ShapeError(f"grid: got shape {grid.shape}, want (R, R, R)")
