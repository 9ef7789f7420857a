"""Colors within faces, by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mem3d.data.rendering.texture import LINEAR, Paint, to_linear, to_srgb

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def paint(corners, uv=None, pictures=()):
    uv = np.zeros((1, 3, 2)) if uv is None else np.array([uv])
    number = np.array([0 if pictures else -1], np.int32)
    return Paint(np.array([corners], np.uint8), uv.astype(np.float32), number, pictures)


def at(painted, second, third):
    places = (np.array([value], np.float32) for value in (second, third))
    return painted.at(np.zeros(1, np.int32), *places)[0]


def test_srgb_by_its_definition():
    assert_allclose(
        to_linear(np.array([0, 0.04045, 0.5, 1])), [0, 0.0031308, 0.2140411, 1], rtol=1e-5
    )
    assert_allclose(to_srgb(to_linear(np.linspace(0, 1, 50))), np.linspace(0, 1, 50), atol=1e-4)
    assert_allclose(LINEAR[128], 0.2158605, rtol=1e-5)


def test_corners_mix_as_light():
    painted = paint((RED, GREEN, BLUE))
    assert_allclose(at(painted, 0, 0), [1, 0, 0])
    assert_allclose(at(painted, 1, 0), [0, 1, 0])
    assert_allclose(at(painted, 0, 1), [0, 0, 1])
    assert_allclose(at(painted, 0.5, 0.25), [0.25, 0.5, 0.25])


def test_a_picture_has_v_up_and_repeats():
    picture = np.array([[RED, GREEN], [BLUE, WHITE]], np.uint8)  # top row first
    for u, v, color in ((0.25, 0.75, RED), (0.75, 0.75, GREEN), (0.25, 0.25, BLUE)):
        for turns in (0, 1, -3):
            painted = paint((WHITE,) * 3, [(u + turns, v - turns)] * 3, (picture,))
            assert_allclose(at(painted, 0.3, 0.3), LINEAR[list(color)], atol=1e-5)


def test_between_pixels_is_their_mean_and_corners_tint():
    picture = np.array([[WHITE, (0, 0, 0)]], np.uint8)
    painted = paint((RED,) * 3, [(0.5, 0.5)] * 3, (picture,))
    assert_allclose(at(painted, 0.1, 0.1), [0.5, 0, 0], atol=1e-6)


def test_arrays_that_do_not_fit_are_named():
    good = paint((RED,) * 3)
    with pytest.raises(ValueError, match="uv"):
        Paint(good.corners, good.uv[:, :2], good.picture, ())
    with pytest.raises(ValueError, match="picture"):
        Paint(good.corners, good.uv, good.picture + 1, ())
    assert_array_equal(good.picture, [-1])
