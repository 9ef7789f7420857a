"""Contact sheets: pictures in rows, each with its caption below, and PNG files.

memstore and mem3d share this module; memstore itself loads it only to draw.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from memstore.errors import ShapeError
from memstore.files import write_atomic
from memstore.scalars import as_int
from memstore.voxels.lettering import MARGIN, text_ink, text_width

Rgb = NDArray[np.uint8]  # (H, W, 3)

TILE = 137  # pixels per side of a tile
_LINE, _GAP = 15, 8  # pixels
_FAST = 1  # level of compression
_REDUCING_GAP = 2.0  # PIL averages whole pixels first, down to so many times the size: "fair"
_INK = 40
_LEVELS = np.round(255 - np.arange(256) * (255 - _INK) / 255).astype(np.uint8)  # by amount of ink


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet, (H, W, 3 or 4) uint8 or (H, W) bool, and the text below it."""

    image: NDArray[Any]
    caption: str = ""


def on_white(image: NDArray[Any]) -> Rgb:
    """A picture (H, W), (H, W, 3) or (H, W, 4), uint8 or bool, as RGB on white; always a copy."""
    pixels = _in_bytes(image)
    if pixels.shape[2:] == (3,):
        return pixels.copy()
    opaque = Image.fromarray(pixels).convert("RGBA")
    white = Image.new("RGBA", opaque.size, "white")
    return np.array(Image.alpha_composite(white, opaque).convert("RGB"))


def _in_bytes(image: NDArray[Any]) -> NDArray[np.uint8]:
    """A picture as uint8; ShapeError if it is none."""
    pixels = image.astype(np.uint8) * 255 if image.dtype == np.bool_ else image
    if pixels.dtype != np.uint8 or pixels.shape[2:] not in ((), (3,), (4,)) or pixels.ndim < 2:
        raise ShapeError(f"image: got {image.dtype} {image.shape}, want uint8 (H, W, 3 or 4)")
    return pixels


def sheet(
    rows: Sequence[Sequence[Tile]],
    title: str | None = None,
    size: int = TILE,
    heads: Sequence[str] = (),
) -> Rgb:
    """Arrange pictures in rows, each with its caption below.

    Args:
        rows: of tiles; rows may differ in length.
        title: lines above all.
        size: a tile's longest side in pixels; smaller and larger pictures are scaled to it.
        heads: what the columns show, from the left, above the first row.

    Returns:
        (height, width, 3).
    """
    size = as_int("size", size)
    lines = [max((_lines(tile) for tile in row), default=0) for row in rows]
    columns = max((len(row) for row in rows), default=0)
    width = max(_GAP + columns * (size + _GAP), 2 * _GAP)
    titles = [
        row for line in (title or "").splitlines() for row in _wrapped(line, width - 2 * _GAP)
    ]
    top = _GAP + (_LINE * len(titles) + _GAP if titles else 0) + (_LINE + _GAP if heads else 0)
    height = top + sum(size + _LINE * count + _GAP for count in lines)
    canvas = np.full((max(height, 2 * _GAP), width, 3), 255, np.uint8)
    for number, line in enumerate(titles):
        _write(canvas, _fit(line, width - 2 * _GAP), _GAP, _GAP + _LINE * number)
    for column, head in enumerate(heads[:columns]):
        _write_below(canvas, head, column, size, top - _LINE - _GAP // 2)
    for row, count in zip(rows, lines, strict=True):
        for column, tile in enumerate(row):
            x = _GAP + column * (size + _GAP)
            canvas[top : top + size, x : x + size] = _framed(tile.image, size)
            for number, line in enumerate(tile.caption.splitlines()):
                _write_below(canvas, line, column, size, top + size + _LINE * number)
        top += size + _LINE * count + _GAP
    return canvas


def save_png(path: str | Path, image: NDArray[np.uint8], maker: str = "") -> None:
    """Write a picture (H, W, 3 or 4) as PNG; `path` never holds half a file.

    Args:
        path: to make or replace.
        image: the picture.
        maker: what the file says of its "Software", before its pixels; "" for nothing.
    """
    write_atomic(path, png_bytes(image, maker))


def png_bytes(image: NDArray[np.uint8], maker: str = "") -> bytes:
    """A picture (H, W, 3 or 4) as a PNG file, see `save_png`.

    Rows are not filtered. PIL tries filters row by row, which takes 5 ms of a sheet's 8 and makes
    these flat pictures no smaller.

    Raises:
        ShapeError: the picture is of another shape or type.

    Source: PNG specification (third edition), sections 5 (chunks), 9 (filters) and 11.
    """
    if image.dtype != np.uint8 or image.shape[2:] not in ((3,), (4,)):
        raise ShapeError(f"image: got {image.dtype} {image.shape}, want uint8 (H, W, 3 or 4)")
    height, width, channels = image.shape
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # a row begins with its filter's type
    rows[:, 1:] = image.reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 8, {3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = {b"IHDR": head}
    if maker:
        chunks[b"tEXt"] = b"Software\0" + maker.encode("latin-1")
    chunks |= {b"IDAT": zlib.compress(rows.tobytes(), _FAST), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks.items()
    )


def _write(canvas: Rgb, line: str, x: int, y: int) -> None:
    """Letter a line on white, to the right of and below a place."""
    ink = text_ink(line)
    place = canvas[y - MARGIN :, x - MARGIN :][: ink.shape[0], : ink.shape[1]]
    levels = _LEVELS[ink[: place.shape[0], : place.shape[1]]]
    np.minimum(place, levels.repeat(3).reshape(place.shape), out=place)  # levels[..., None]: slow


def _write_below(canvas: Rgb, line: str, column: int, size: int, y: int) -> None:
    """Letter a line in the middle of a column of tiles, below a place, cut to fit."""
    text = _fit(line, size)
    start = _GAP + column * (size + _GAP) + (size - text_width(text)) // 2
    _write(canvas, text, start, y)


def _lines(tile: Tile) -> int:
    """Lines of its caption."""
    return len(tile.caption.splitlines())


def _framed(image: NDArray[Any], size: int) -> Rgb:
    """The picture scaled to fit a white square."""
    image = _in_bytes(image)
    height, width = image.shape[:2]
    scale = size / max(height, width)
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    if image.shape[:2] != (height, width):  # alpha is scaled along: PIL weighs colors by it
        picture = Image.fromarray(image)
        how = Image.Resampling.LANCZOS
        image = np.asarray(picture.resize((width, height), how, reducing_gap=_REDUCING_GAP))
    square = np.full((size, size, 3), 255, np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = on_white(image)
    return square


def _wrapped(text: str, width: int) -> list[str]:
    """A line as several that fit, broken at spaces."""
    rows = [""]
    for word in text.split(" "):
        longer = f"{rows[-1]} {word}" if rows[-1] else word
        if rows[-1] and text_width(longer) > width:
            rows.append(word)
        else:
            rows[-1] = longer
    return rows


def _fit(text: str, width: int) -> str:
    """Shorten a text in its middle until it fits: both ends of a model's name tell it apart."""
    if text_width(text) <= width:
        return text
    for length in range(len(text) - 1, 1, -1):
        short = f"{text[: length - length // 2]}...{text[len(text) - length // 2 :]}"
        if text_width(short) <= width:
            return short
    return text[:1]
