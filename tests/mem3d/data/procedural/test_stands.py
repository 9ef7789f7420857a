"""Stands reach from the floor to what they carry; backs from the seat to their top."""

from dataclasses import replace

import numpy as np
import pytest

from mem3d.data.procedural.stands import Stand, backrest

GRAY = (128, 128, 128)
BASES = ("legs", "star", "disc", "cone", "sled", "panels", "block")
BACKS = ("solid", "round", "ladder", "slats", "frame", "split")


def height(parts):
    lows, highs = zip(*(part.bounds() for part in parts), strict=True)
    return np.min(lows, 0)[1], np.max(highs, 0)[1]


@pytest.mark.parametrize("base", BASES)
def test_stands_fill_the_height(base):
    for seed in range(5):
        stand = replace(Stand.draw(np.random.default_rng(seed)), base=base)
        low, high = height(stand.stand((-6, 6), (-8, 8), 12, GRAY))
        assert low == pytest.approx(0, abs=0.5)  # a leaning leg ends in a slanted face
        assert high == pytest.approx(12, abs=0.5)


@pytest.mark.parametrize("style", BACKS)
def test_backs_fill_their_height_and_width(style):
    parts = backrest(style, 8, (10, 22), 2, GRAY, flare=0.8)
    assert height(parts) == (pytest.approx(10, abs=0.2), pytest.approx(22, abs=0.2))
    reach = max(part.bounds()[1][2] for part in parts)
    assert 0.8 * 8 - 0.3 < reach < 8.1
