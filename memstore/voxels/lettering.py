"""Lines of text for pictures: each character is drawn once, and set beside others from then on.

PIL's own font lays characters side by side, without kerning, on whole pixels, so that a line of
them is what PIL draws, in a tenth of the time.
"""

from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

FONT_SIZE = 12  # pixels
MARGIN = 4  # pixels around a line for what reaches beyond it
_HEIGHT = 16  # pixels, from the top of the tallest character to the foot of the longest


class _Glyph(NamedTuple):
    """A character: its ink (h, w) in [0, 255], where that begins, and the way to the next."""

    ink: NDArray[np.uint16]
    x: int
    y: int
    advance: int


@lru_cache(maxsize=1024)
def text_width(text: str) -> int:
    """Pixels from a line's beginning to where another could follow."""
    return sum(_glyph(character).advance for character in text)


@lru_cache(maxsize=1024)  # sheets have many lines in common; 3 MB
def text_ink(text: str) -> NDArray[np.uint8]:
    """How much ink is where (h, w): the line begins MARGIN right of and below the corner."""
    ink = np.zeros((_HEIGHT + 2 * MARGIN, text_width(text) + 2 * MARGIN), np.uint16)
    x = MARGIN
    for glyph in map(_glyph, text):
        height, width = glyph.ink.shape
        top, left = MARGIN + glyph.y, x + glyph.x
        place = ink[top : top + height, left : left + width]
        place += glyph.ink - (place * glyph.ink + 127) // 255
        x += glyph.advance
    return ink.astype(np.uint8)


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Unpacked once."""
    return ImageFont.load_default(size=FONT_SIZE)


@cache
def _glyph(character: str) -> _Glyph:
    """Drawn once."""
    left, top, right, bottom = (round(edge) for edge in _font().getbbox(character))
    picture = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(picture).text((-left, -top), character, 255, _font())
    ink = np.asarray(picture).astype(np.uint16)
    return _Glyph(ink, left, top, round(_font().getlength(character)))
