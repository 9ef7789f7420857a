"""Lines of text."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image, ImageDraw, ImageFont

from memstore.voxels.contact_sheet import Tile, sheet
from memstore.voxels.lettering import FONT_SIZE, MARGIN, text_ink, text_width

FONT = ImageFont.load_default(size=FONT_SIZE)
RNG = np.random.default_rng(0)
LINES = ["", "1: cos 0.873", "front right", "AVATAR office fj", "gen_infin...y_013", "Åé ñ 語"]
LINES += ["".join(map(chr, RNG.integers(32, 127, 30))) for _ in range(50)]


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_what_pil_draws(line):
    ink = text_ink(line)
    assert text_width(line) == FONT.getlength(line)
    canvas = Image.new("L", ink.shape[::-1])
    ImageDraw.Draw(canvas).text((MARGIN, MARGIN), line, 255, FONT)
    assert_array_equal(ink, np.asarray(canvas))


def test_a_sheet_is_lettered_as_pil_letters():
    picture = sheet([[Tile(np.full((60, 60, 3), 255, np.uint8), "gray ink")]], size=60)
    canvas = Image.new("RGB", picture.shape[1::-1], "white")
    middle = 8 + (60 - text_width("gray ink")) // 2
    ImageDraw.Draw(canvas).text((middle, 8 + 60), "gray ink", (40, 40, 40), FONT)
    assert np.abs(picture.astype(int) - np.asarray(canvas)).max() <= 1
