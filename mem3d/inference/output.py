"""A reconstruction as files: meshes with the network's confidence as colors, arrays, pictures."""

# R = voxels per side, V = vertices, K = recalled shapes

import io
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from memstore.files import open_regular
from memstore.voxels.mesh import FILE_TYPES, Mesh, blocky, smooth

Surface = Literal["smooth", "blocky"]
SURFACES: tuple[Surface, ...] = get_args(Surface)
FORMATS = (*FILE_TYPES, "3mf", "binvox", "npz")
PRINT_TYPES = ("stl", "3mf")
MAKER = "mem3d reconstruction"  # what pictures beside shapes say of themselves
_HEAD = 256  # bytes of a file; what a picture says of itself begins at byte 33


def is_own_picture(path: Path) -> bool:
    """Whether a file is a picture beside a shape, made here, and may be replaced by a newer one.

    Raises:
        OSError: it cannot be opened.
        memstore.MemstoreError: it is no regular file.
    """
    with open_regular(path) as file:
        return f"tEXtSoftware\0{MAKER}".encode() in file.read(_HEAD)


def input_of(file: Path) -> Path:
    """Where what the network was shown is written, beside a result's file."""
    return file.with_name(f"{file.stem}.input.png")


def npz_bytes(
    occupancy: NDArray[np.float32],
    threshold: float,
    grids: Sequence[NDArray[np.bool_]],
    slots: Sequence[int],
    cosines: Sequence[float],
    sources: Sequence[str],
    **more: NDArray[Any],
) -> bytes:
    """An .npz file that loads without pickle.

    Args:
        occupancy: (R, R, R) in [0, 1].
        threshold: full where occupancy > threshold.
        grids: of the K recalled shapes.
        slots: likewise.
        cosines: likewise.
        sources: likewise.
        more: further arrays under their names.
    """
    arrays: dict[str, Any] = {
        "occupancy": occupancy,
        "grid": occupancy > threshold,
        "threshold": np.float32(threshold),
        "recalled_grids": np.array(grids, np.bool_).reshape(-1, *occupancy.shape),
        "recalled_slots": np.array(slots, np.int64),
        "recalled_cosines": np.array(cosines, np.float32),
        "recalled_sources": np.array(sources, np.str_),
    }
    data = io.BytesIO()
    np.savez_compressed(data, **(arrays | more))
    return data.getvalue()


def mesh_of(
    occupancy: NDArray[np.float32],
    threshold: float,
    surface: Surface = "smooth",
    *,
    confidence: bool = True,
) -> Mesh:
    """Triangles of a shape, closed and right side out; `Reconstruction.mesh` has the arguments.

    Raises:
        ValueError: no voxel is above the threshold, or another surface is asked for.
    """
    grid = full_voxels(occupancy, threshold, surface)
    mesh = blocky(grid) if surface == "blocky" else smooth(occupancy, threshold)
    return colored(mesh, occupancy, threshold) if confidence else mesh


def full_voxels(
    occupancy: NDArray[np.float32], threshold: float, surface: Surface
) -> NDArray[np.bool_]:
    """(R, R, R) voxels that a mesh is to be made of.

    Raises:
        ValueError: there is none, or the surface is unknown.
    """
    if surface not in SURFACES:
        raise ValueError(f"surface: got {surface!r}, want one of {', '.join(SURFACES)}")
    grid = occupancy > threshold
    if not grid.any():
        raise ValueError(
            f"threshold: got {threshold}, want less than the largest occupancy "
            f"({occupancy.max():.3f}), or there is no shape"
        )
    return grid


UNSURE, MIDDLE, SURE = (228, 120, 50), (222, 214, 196), (66, 112, 180)  # sRGB
_NEAR = 1e-3  # voxels; a vertex so close to a plane of voxel centers lies in it


def vertex_confidence(
    mesh: Mesh, occupancy: NDArray[np.float32], threshold: float
) -> NDArray[np.float64]:
    """How sure the network is at each vertex of a mesh.

    Of each filled voxel around the vertex (one under a smooth surface, up to seven at a corner of a
    blocky one) the largest occupancy among it and its 26 neighbors counts; their mean is taken.

    Args:
        mesh: of that occupancy, from `memstore.voxels.mesh.smooth` or `blocky`.
        occupancy: (R, R, R) in [0, 1].
        threshold: filled where occupancy > threshold.

    Returns:
        (V,) in [threshold, 1].
    """
    side = len(occupancy)
    padded = np.pad(occupancy, 1)
    surest = _surest(padded)
    places = ((mesh.vertices.astype(np.float64) + 0.5) * side + 0.5).T  # voxel i's center is i + 1
    low = np.floor(places + _NEAR).astype(np.int64).clip(0, side + 1)
    high = np.ceil(places - _NEAR).astype(np.int64).clip(0, side + 1)
    is_between = low < high
    total, count = np.zeros(len(mesh.vertices)), np.zeros(len(mesh.vertices))
    for choice in product((False, True), repeat=3):
        voxels = tuple(high[axis] if choice[axis] else low[axis] for axis in range(3))
        filled = padded[voxels] > threshold
        for axis in np.flatnonzero(choice):  # where low is high, the same voxel comes again
            filled &= is_between[axis]
        total += np.where(filled, surest[voxels], 0)
        count += filled
    mean: NDArray[np.float64] = np.where(count > 0, total / count.clip(min=1), threshold)
    return mean


def colored(mesh: Mesh, occupancy: NDArray[np.float32], threshold: float) -> Mesh:
    """The mesh with colors from UNSURE (just above the threshold) to SURE (occupancy 1)."""
    share = (vertex_confidence(mesh, occupancy, threshold) - threshold) / (1 - threshold)
    stops = np.array([UNSURE, MIDDLE, SURE], float)
    colors = [np.interp(share, (0, 0.5, 1), stops[:, channel]) for channel in range(3)]
    return Mesh(mesh.vertices, mesh.faces, vertex_colors=np.stack(colors, 1).round().astype("u1"))


def _surest(occupancy: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest value among each voxel and its neighbors; the edges hold nothing."""
    for axis in range(3):  # what comes round from the other side is the edge's
        beside = [np.roll(occupancy, step, axis) for step in (-1, 1)]
        occupancy = np.maximum(occupancy, np.maximum(*beside))
    return occupancy
