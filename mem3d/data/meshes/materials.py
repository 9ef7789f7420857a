"""Colors of meshes that trimesh has read: materials, pictures, colors of faces and corners."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mem3d.data.images.io import FORMATS, MAX_PIXELS
from mem3d.data.rendering.renderer import DEFAULT_COLOR
from mem3d.data.rendering.texture import Paint, to_srgb

MAX_SIDE = 512  # pixels; larger pictures are shrunk, as a view has 137
_MAX_DECODED = 5 * MAX_PIXELS  # of all pictures of a mesh

Pictures = dict[int, NDArray[np.uint8]]  # those decoded so far, by the identity of the image


@dataclass(frozen=True)
class Piece:
    """A mesh of one material, in its place."""

    vertices: NDArray[np.float64]  # (V, 3)
    faces: NDArray[np.int64]  # (F, 3)
    colors: NDArray[np.uint8] | None = None  # (F, 3) of faces or (F, 3, 3) of corners, sRGB
    uv: NDArray[np.float64] | None = None  # (F, 3, 2)
    picture: NDArray[np.uint8] | None = None  # (H, W, 3) sRGB; only with uv


def piece_of(mesh: Any, matrix: NDArray[np.float64], pictures: Pictures) -> Piece:
    """A mesh of trimesh's, moved by a matrix (4, 4); `pictures` gets those that it needs.

    glTF says that the colors of corners and materials are light, those of pictures sRGB. But a
    mesh without a material has its corners' colors from a tool such as trimesh: sRGB again.
    """
    vertices = np.asarray(mesh.vertices, np.float64)
    vertices = vertices @ matrix[:3, :3].T + matrix[:3, 3]
    faces = np.asarray(mesh.faces, np.int64).reshape(-1, 3)
    visual = mesh.visual
    if visual.kind == "face":
        return Piece(vertices, faces, _bytes(visual.face_colors)[:, :3])
    if visual.kind == "vertex":
        return Piece(vertices, faces, _bytes(visual.vertex_colors)[:, :3][faces])
    if visual.kind != "texture" or _is_stand_in(visual.material):
        return Piece(vertices, faces)
    colors = np.broadcast_to(_material_color(visual.material), (len(faces), 3, 3))
    own = visual.vertex_attributes.get("color")
    if own is not None and len(own) == len(vertices):
        light = _bytes(own)[:, :3][faces] / 255
        colors = (colors * to_srgb(light) + 0.5).astype(np.uint8)
    picture = _picture(visual.material, pictures)
    uv = None if visual.uv is None else np.asarray(visual.uv, np.float64)
    if picture is None or uv is None or uv.shape != (len(vertices), 2):
        return Piece(vertices, faces, colors)
    return Piece(vertices, faces, colors, np.nan_to_num(uv)[faces], picture)


def joined_paint(pieces: list[Piece]) -> tuple[NDArray[np.uint8] | None, Paint | None]:
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
        uv.append(np.zeros((count, 3, 2)) if piece.uv is None else piece.uv)
        picture.append(np.full(count, number.get(id(piece.picture), -1), np.int32))
    places = np.concatenate(uv)
    # Whole turns are dropped before rounding: float32 has few digits left at 10,000.
    places -= np.floor(places.min(1, keepdims=True))
    paint = Paint(corners, places.astype(np.float32), np.concatenate(picture), pictures)
    return corners.mean(1).astype(np.uint8), paint


def _corner_colors(piece: Piece) -> NDArray[np.uint8]:
    """(F, 3, 3)."""
    shape = (len(piece.faces), 3, 3)
    if piece.colors is None:
        return np.broadcast_to(np.array(DEFAULT_COLOR, np.uint8), shape)
    colors = piece.colors if piece.colors.ndim == 3 else piece.colors[:, None]
    return np.broadcast_to(colors, shape)


def _bytes(colors: Any) -> NDArray[np.uint8]:
    """(N, 3 or 4) in [0, 255]: floats are in [0, 1], uint16 in [0, 65535]."""
    array = np.asarray(colors)
    if array.dtype == np.uint8:
        return array
    scale = 255 if array.dtype.kind == "f" else 255 / 65535
    return (np.nan_to_num(array * scale).clip(0, 255) + 0.5).astype(np.uint8)


def _material_color(material: Any) -> NDArray[np.uint8]:
    """sRGB (3,) of a material; white under a picture that it does not tint."""
    factor = getattr(material, "baseColorFactor", None)
    if hasattr(material, "baseColorFactor"):  # glTF's: light, and white if left out
        light = np.full(3, 1.0) if factor is None else np.asarray(factor)[:3] / 255
        return (to_srgb(light) * 255 + 0.5).astype(np.uint8)
    # OBJ: many exporters leave black or gray beside a picture, so it is not multiplied.
    if getattr(material, "image", None) is not None:
        return np.full(3, 255, np.uint8)
    return np.asarray(material.diffuse, np.uint8)[:3]


def _is_stand_in(material: Any) -> bool:
    """Whether trimesh made the material up, for a mesh whose own is missing."""
    image = getattr(material, "image", None)
    return image is not None and image.format is None  # no file was opened


def _picture(material: Any, pictures: Pictures) -> NDArray[np.uint8] | None:
    """(H, W, 3) of a material's picture, at most MAX_SIDE a side; ValueError for one too large."""
    image = getattr(material, "image", None) or getattr(material, "baseColorTexture", None)
    if image is None or id(image) in pictures:
        return pictures.get(id(image))
    # Nothing is decoded yet; other formats might start other programs.
    if image.format not in FORMATS:
        raise ValueError(f"got a picture of format {image.format!r}, want one of {FORMATS}")
    image.draft("RGB", (2 * MAX_SIDE, 2 * MAX_SIDE))  # a large JPEG is decoded at half its size
    if image.width * image.height > min(MAX_PIXELS, _MAX_DECODED // (len(pictures) + 1)):
        raise ValueError(f"got {len(pictures)} pictures and one of {image.size}, want fewer pixels")
    small = image.convert("RGB")
    small.thumbnail((MAX_SIDE, MAX_SIDE))
    pictures[id(image)] = np.array(small, np.uint8)
    return pictures[id(image)]
