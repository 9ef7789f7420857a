"""Contact sheets: pictures in rows, each with its caption below, what colors mean, and PNG files.

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
_APART = 16  # pixels between columns that are set apart, and the others
_BAR, _PIECE, _HIGH = 96, 20, 11  # pixels: a scale's length, that of one color, their height
_RULE = 190  # gray of the line that sets columns apart
_FAST = 1  # level of compression
_REDUCING_GAP = 2.0  # PIL averages whole pixels first, down to so many times the size: "fair"
_INK = 40
_LEVELS = np.round(255 - np.arange(256) * (255 - _INK) / 255).astype(np.uint8)  # by amount of ink


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet, (H, W, 3 or 4) uint8 or (H, W) bool, and the text below it."""

    image: NDArray[Any]
    caption: str = ""


@dataclass(frozen=True)
class Legend:
    """What the colors of a sheet mean: a bar with words beside it.

    Attributes:
        title: before the bar.
        colors: sRGB, from left to right.
        words: one behind each color; of a scale two, before and behind it.
        is_scale: the colors run into each other.
    """

    title: str
    colors: Sequence[tuple[int, int, int]]
    words: Sequence[str]
    is_scale: bool = False

    def parts(self) -> list[tuple[Rgb, str]]:
        """Pieces of the bar (h, w, 3), w = 0 for none, and the words behind each."""
        none = np.zeros((_HIGH, 0, 3), np.uint8)
        if not self.is_scale:
            pieces = [np.full((_HIGH, _PIECE, 3), color, np.uint8) for color in self.colors]
            return [(none, self.title), *zip(pieces, self.words, strict=True)]
        low, high = self.words
        stops, at = np.array(self.colors, float), np.linspace(0, len(self.colors) - 1, _BAR)
        line = [np.interp(at, range(len(stops)), stops[:, channel]) for channel in range(3)]
        bar = np.tile(np.stack(line, axis=1).round().astype(np.uint8), (_HIGH, 1, 1))
        return [(none, f"{self.title} {low}"), (bar, high)]


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
    legend: Legend | None = None,
    apart: int = 0,
) -> Rgb:
    """Arrange pictures in rows, each with its caption below.

    Args:
        rows: of tiles; rows may differ in length.
        title: lines above all.
        size: a tile's longest side in pixels; smaller and larger pictures are scaled to it.
        heads: what the columns show, from the left, above the first row.
        legend: below the title, once for all tiles.
        apart: so many columns, from the left, are set apart from the others by a line.

    Returns:
        (height, width, 3).
    """
    size = as_int("size", size)
    lines = [max((_lines(tile) for tile in row), default=0) for row in rows]
    columns = max((len(row) for row in rows), default=0)
    step, wider = size + _GAP, _APART if 0 < apart < columns else 0
    lefts = [_GAP + i * step + (wider if i >= apart else 0) for i in range(columns)]
    width = max(_GAP + columns * step + wider, 2 * _GAP)
    top = _Top.of(title, legend, width - 2 * _GAP)
    y = _GAP + top.height + (_LINE + _GAP if heads else 0)
    height = y + sum(step + _LINE * count for count in lines)
    canvas = np.full((max(height, 2 * _GAP), width, 3), 255, np.uint8)
    top.write(canvas, width - 2 * _GAP)
    if wider:
        rule = lefts[apart] - (_APART + _GAP) // 2
        canvas[_GAP + top.height : -_GAP, rule] = _RULE
    for left, head in zip(lefts, heads, strict=False):
        _write_below(canvas, head, left, size, y - _LINE - _GAP // 2)
    for row, count in zip(rows, lines, strict=True):
        for left, tile in zip(lefts, row, strict=False):
            canvas[y : y + size, left : left + size] = _framed(tile.image, size)
            for number, line in enumerate(tile.caption.splitlines()):
                _write_below(canvas, line, left, size, y + size + _LINE * number)
        y += step + _LINE * count
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


@dataclass(frozen=True)
class _Top:
    """What stands above the tiles: lines of a title, and parts of a legend.

    Attributes:
        titles: lines that fit.
        parts: line, column, piece of the bar and words of each part of the legend.
        height: pixels of both, with the gaps below.
    """

    titles: list[str]
    parts: list[tuple[int, int, Rgb, str]]
    height: int

    @staticmethod
    def of(title: str | None, legend: Legend | None, width: int) -> "_Top":
        """Broken at spaces, and between the legend's parts, to fit a width."""
        titles = [row for line in (title or "").splitlines() for row in _wrapped(line, width)]
        parts, line, x = [], 0, 0
        for bar, words in legend.parts() if legend else ():
            wide = _words_at(bar) + text_width(words)
            if x and x + wide > width:
                line, x = line + 1, 0
            parts.append((line, x, bar, words))
            x += wide + (_GAP if words else 0)
        height = (_LINE * len(titles) + _GAP) * bool(titles)
        return _Top(titles, parts, height + (_LINE * (line + 1) + _GAP) * bool(parts))

    def write(self, canvas: Rgb, width: int) -> None:
        """Letter and paint it at the top of a canvas; what is longer than the width is cut."""
        for number, text in enumerate(self.titles):
            _write(canvas, _fit(text, width), _GAP, _GAP + _LINE * number)
        first = _GAP + (_LINE * len(self.titles) + _GAP) * bool(self.titles)
        for line, x, bar, words in self.parts:
            y, left = first + _LINE * line, _GAP + x
            place = canvas[y + 2 : y + 2 + len(bar), left : left + bar.shape[1]]
            place[:] = bar[:, : place.shape[1]]
            room = max(0, width - x - _words_at(bar))
            _write(canvas, _fit(words, room), left + _words_at(bar), y)


def _words_at(bar: Rgb) -> int:
    """Pixels from a piece of a bar's left to the words behind it."""
    width = len(bar[0])
    return width + 4 if width else 0


def _write(canvas: Rgb, line: str, x: int, y: int) -> None:
    """Letter a line on white, to the right of and below a place."""
    ink = text_ink(line)
    place = canvas[y - MARGIN :, x - MARGIN :][: ink.shape[0], : ink.shape[1]]
    levels = _LEVELS[ink[: place.shape[0], : place.shape[1]]]
    np.minimum(place, levels.repeat(3).reshape(place.shape), out=place)  # levels[..., None]: slow


def _write_below(canvas: Rgb, line: str, left: int, size: int, y: int) -> None:
    """Letter a line in the middle of a tile's width, below a place, cut to fit."""
    text = _fit(line, size)
    _write(canvas, text, left + (size - text_width(text)) // 2, y)


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
