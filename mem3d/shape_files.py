"""Reconstructions as files: meshes, voxels, arrays, pictures; each appears whole or not at all."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mem3d.data.transforms import Rgba
from mem3d.reconstruction import Reconstruction, Surface, picture
from memstore.binvox import write_binvox
from memstore.files import open_regular, write_atomic
from memstore.meshes import FILE_TYPES, write_mesh
from memstore.sheets import save_png

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
