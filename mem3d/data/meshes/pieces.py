"""Pieces of a mesh as files give them: how large they may be, and how their colors become one."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mem3d.data.rendering.renderer import DEFAULT_COLOR
from mem3d.data.rendering.texture import Paint

MAX_FACES = 2_000_000  # triangles of a mesh
MAX_CORNERS = 3 * MAX_FACES  # vertices of a file, and corners of its faces
MAX_PARTS = 20_000  # materials or primitives of one file

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Piece:
    """A mesh of one material, in its place."""

    vertices: Floats  # (V, 3)
    faces: Ints  # (F, 3)
    colors: Bytes | None = None  # (F, 3) of faces or (F, 3, 3) of corners, sRGB
    uv: Floats | None = None  # (F, 3, 2)
    picture: Bytes | None = None  # (H, W, 3) sRGB; only with uv


def check_count(name: str, count: int, most: int) -> None:
    """Raise ValueError unless 0 <= count <= most."""
    if not 0 <= count <= most:
        raise ValueError(f"got {count} {name}, want at most {most:,}")


def check_indices(name: str, indices: NDArray[Any], count: int) -> None:
    """Raise ValueError for indices of rows that are not there."""
    low, high = (int(indices.min()), int(indices.max())) if indices.size else (0, -1)
    if low < 0 or high >= count:
        raise ValueError(f"got {name} {low}..{high}, want 0..{count - 1}")


def whole_rows(rows: Any) -> Ints:
    """Numbers as places of vertices; ValueError for fractions."""
    values = np.asarray(rows)
    wholes: Ints = values.astype(np.int64)
    if (wholes != values).any():
        raise ValueError("got corners that are no whole numbers, want places of vertices")
    return wholes


def color_bytes(values: NDArray[Any]) -> Bytes:
    """Colors in [0, 255], of 8 or 16 bits, or floats in [0, 1] (in [0, 255] if one is above 2)."""
    scale = 255 / 65535 if values.dtype == np.uint16 else 1.0
    if values.dtype.kind == "f":
        scale = 255 if np.nan_to_num(values).max(initial=0) <= 2 else 1.0
    return (np.nan_to_num(values * scale).clip(0, 255) + 0.5).astype(np.uint8)


def joined_paint(pieces: list[Piece]) -> tuple[Bytes | None, Paint | None]:
    """Colors of faces (F, 3) of all pieces; paint where faces are not of one color."""
    if all(piece.colors is None for piece in pieces):
        return None, None
    corners = np.concatenate([_corner_colors(piece) for piece in pieces])
    distinct = {id(p.picture): p.picture for p in pieces if p.picture is not None}
    pictures, number = tuple(distinct.values()), {key: i for i, key in enumerate(distinct)}
    if not pictures and (corners == corners[:, :1]).all():
        return corners[:, 0].copy(), None
    uv, picture = [], []
    for piece in pieces:
        count = len(piece.faces)
        uv.append(np.zeros((count, 3, 2)) if piece.uv is None else np.nan_to_num(piece.uv))
        picture.append(np.full(count, number.get(id(piece.picture), -1), np.int32))
    places = np.concatenate(uv)
    # Whole turns are dropped before rounding: float32 has few digits left at 10,000.
    places -= np.floor(places.min(1, keepdims=True))
    paint = Paint(corners, places.astype(np.float32), np.concatenate(picture), pictures)
    return corners.mean(1).astype(np.uint8), paint


def _corner_colors(piece: Piece) -> Bytes:
    """(F, 3, 3)."""
    shape = (len(piece.faces), 3, 3)
    if piece.colors is None:
        return np.broadcast_to(np.array(DEFAULT_COLOR, np.uint8), shape)
    colors = piece.colors if piece.colors.ndim == 3 else piece.colors[:, None]
    return np.broadcast_to(colors, shape)
