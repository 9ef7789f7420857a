"""Reconstructions as files: meshes, voxels, arrays, pictures; each appears whole or not at all."""

import io
from collections.abc import Sequence

# R = voxels per side, V = vertices
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mem3d.data.images.preprocess import Rgba
from mem3d.inference.figures import picture
from mem3d.inference.reconstruct import Reconstruction, Surface
from memstore.files import open_regular, write_atomic
from memstore.voxels.binvox import write_binvox
from memstore.voxels.contact_sheet import save_png
from memstore.voxels.mesh import FILE_TYPES, Mesh, write_mesh

FORMATS = (*FILE_TYPES, "binvox", "npz")
MAKER = "mem3d reconstruction"  # what pictures beside shapes say of themselves
_PICTURE = "png"
_HEAD = 256  # bytes of a file; what a picture says of itself begins at byte 33


def save(
    path: str | Path,
    result: Reconstruction,
    *,
    surface: Surface = "smooth",
    confidence: bool = True,
) -> None:
    """Write one file; `Reconstruction.save` explains the arguments."""
    kind = Path(path).suffix.lower().removeprefix(".")
    if kind in FILE_TYPES:
        write_mesh(path, result.mesh(surface, confidence=confidence))
    elif kind == "binvox":
        write_binvox(path, result.grid)
    elif kind == "npz":
        write_atomic(path, _arrays(result))
    elif kind == _PICTURE:
        save_png(path, picture(None, result, surface=surface, confidence=confidence))
    else:
        want = ", ".join((*FORMATS, _PICTURE))
        raise ValueError(f"{path}: got the ending {kind!r}, want one of {want}")


def write(
    photo: Rgba,
    result: Reconstruction,
    stem: Path,
    *,
    formats: Sequence[str] = ("glb",),
    surface: Surface = "smooth",
    confidence: bool = True,
) -> list[Path]:
    """Write what came of a photo.

    Args:
        photo: (H, W, 4).
        result: of that photo.
        stem: path without ending; its folder must exist.
        formats: of FORMATS.
        surface: see `Reconstruction.mesh`.
        confidence: likewise.

    Returns:
        the files: STEM.FORMAT for each format (no mesh if the shape is empty) and STEM.png.
    """
    files = []
    for kind in dict.fromkeys(formats):
        if kind in FILE_TYPES and not result.grid.any():
            continue
        files.append(stem.with_name(f"{stem.name}.{kind}"))
        save(files[-1], result, surface=surface, confidence=confidence)
    files.append(stem.with_name(f"{stem.name}.{_PICTURE}"))
    sheet = picture(photo, result, name=stem.name, surface=surface, confidence=confidence)
    save_png(files[-1], sheet, MAKER)
    return files


def is_own_picture(path: Path) -> bool:
    """Whether a file is a picture beside a shape, made here, and may be replaced by a newer one.

    Raises:
        OSError: it cannot be opened.
        memstore.MemstoreError: it is no regular file.
    """
    with open_regular(path) as file:
        return f"tEXtSoftware\0{MAKER}".encode() in file.read(_HEAD)


def _arrays(result: Reconstruction) -> bytes:
    """An .npz file that loads without pickle."""
    data = io.BytesIO()
    np.savez_compressed(
        data,
        occupancy=result.occupancy,
        grid=result.grid,
        threshold=np.float32(result.threshold),
        recalled_slots=np.array([prior.slot for prior in result.priors], np.int64),
        recalled_cosines=np.array([prior.cosine for prior in result.priors], np.float32),
        recalled_sources=np.array([prior.source for prior in result.priors], np.str_),
    )
    return data.getvalue()


UNSURE, MIDDLE, SURE = (228, 120, 50), (222, 214, 196), (66, 112, 180)  # sRGB
_NEAR = 1e-3  # voxels; a vertex so close to a plane of voxel centers lies in it


def confidence(mesh: Mesh, occupancy: NDArray[np.float32], threshold: float) -> NDArray[Any]:
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
    at = (mesh.vertices.astype(np.float64) + 0.5) * side + 0.5  # voxel i's center is i + 1
    low, high = np.floor(at + _NEAR), np.ceil(at - _NEAR)
    total, count = np.zeros(len(at)), np.zeros(len(at))
    seen: list[NDArray[np.int64]] = []
    for choice in product((False, True), repeat=3):
        voxels = np.where(choice, high, low).astype(np.int64).clip(0, side + 1)
        found = padded[tuple(voxels.T)]
        filled = found > threshold
        for other in seen:  # where low is high, the same voxel comes again
            filled &= (voxels != other).any(1)
        seen.append(voxels)
        total += np.where(filled, surest[tuple(voxels.T)], 0)
        count += filled
    return np.where(count > 0, total / count.clip(min=1), threshold)


def colored(mesh: Mesh, occupancy: NDArray[np.float32], threshold: float) -> Mesh:
    """The mesh with colors from UNSURE (just above the threshold) to SURE (occupancy 1)."""
    share = (confidence(mesh, occupancy, threshold) - threshold) / (1 - threshold)
    stops = np.array([UNSURE, MIDDLE, SURE], float)
    colors = [np.interp(share, (0, 0.5, 1), stops[:, channel]) for channel in range(3)]
    return Mesh(mesh.vertices, mesh.faces, vertex_colors=np.stack(colors, 1).round().astype("u1"))


def _surest(occupancy: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest value among each voxel and its neighbors; the edges hold nothing."""
    for axis in range(3):  # what comes round from the other side is the edge's
        beside = [np.roll(occupancy, step, axis) for step in (-1, 1)]
        occupancy = np.maximum(occupancy, np.maximum(*beside))
    return occupancy
