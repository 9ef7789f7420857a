"""Polygons in triangles: all of each, and nothing besides."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from mem3d.data.meshes.polygons import triangulate
from tests.helpers.solids import OUTLINE

U = np.array([(x, y, 0) for x, y in OUTLINE], float)


def areas(points, triangles):
    """Signed, seen from +z."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    return np.cross(b - a, c - a)[:, 2] / 2


def cut(points, counts=None):
    triangles, owner, report = triangulate(
        points, np.arange(len(points)), np.array(counts or [len(points)])
    )
    return triangles, owner, report


@pytest.mark.parametrize("turn", range(8))
@pytest.mark.parametrize("scale", [1, 1e-12, 1e12])
def test_a_concave_polygon_from_any_corner(turn, scale):
    points = np.roll(U, turn, axis=0) * scale
    triangles, _, report = cut(points)
    assert (len(triangles), report) == (6, "")
    assert (areas(points, triangles) > 0).all()
    assert areas(points, triangles).sum() == pytest.approx(3.2 * scale**2)  # 2 * .4 * 2 + 4 * .4


def test_far_from_the_origin_and_standing():
    points = np.stack([np.full(8, 5e5), U[:, 0], U[:, 1] + 4e6], 1)
    triangles, _, _ = cut(points)
    assert np.abs(areas(U, triangles)).sum() == pytest.approx(3.2)


def test_a_concave_quad_is_cut_along_its_other_diagonal():
    points = np.array([(0, 0, 0), (4, 0, 0), (1, 1, 0), (0, 4, 0)], float)
    for turn in range(4):
        turned = np.roll(points, turn, axis=0)
        assert (areas(turned, cut(turned)[0]) > 0).all()


def test_polygons_of_many_kinds_keep_their_order():
    points = np.concatenate([U, U[:3], U[4:], U[:2], U[3:]])
    triangles, owner, report = cut(points, [8, 3, 4, 2, 5])
    assert_array_equal(owner, [0] * 6 + [1] + [2] * 2 + [4] * 3)
    assert_array_equal(np.unique(triangles[owner == 4]), np.arange(17, 22))
    assert report == "1 faces of fewer than three corners are left out"


def test_corners_in_line_and_corners_twice():
    square = np.array([(0, 0), (1, 0), (2, 0), (2, 0), (2, 2), (1, 2), (0, 2), (0, 1)], float)
    points = np.c_[square, np.zeros(8)]
    for turn in range(8):
        turned = np.roll(points, turn, axis=0)
        triangles, _, report = cut(turned)
        assert (len(triangles), report) == (6, "")
        assert areas(turned, triangles).sum() == pytest.approx(4)
        assert (areas(turned, triangles) >= 0).all()


def test_a_hole_joined_by_a_seam():
    """As programs write faces with holes."""
    ring = [(0, 0), (4, 0), (4, 4), (0, 4), (0, 0), (1, 1), (1, 3), (3, 3), (3, 1), (1, 1)]
    points = np.array([(x, y, 0) for x, y in ring], float)
    triangles, _, report = cut(points)
    assert (len(triangles), report) == (8, "")
    assert areas(points, triangles).sum() == pytest.approx(12)
    assert (areas(points, triangles) >= 0).all()


def test_a_polygon_that_crosses_itself_is_told():
    points = np.array([(0, 0, 0), (2, 2, 0), (2, 0, 0), (0, 3, 0)], float)
    triangles, _, report = cut(points)
    assert len(triangles) == 2
    assert "cross themselves" in report


def test_corners_that_are_not_there():
    for corner in (-1, 8):
        with pytest.raises(ValueError, match=r"want 0\.\.7"):
            triangulate(U, np.array([0, 1, corner]), np.array([3]))


def test_no_polygon_takes_for_ever(monkeypatch):
    rng = np.random.default_rng(0)
    points = np.c_[rng.random((5_000, 2)), np.zeros(5_000)]
    triangles, _, report = cut(points)
    assert len(triangles) == 4_998 and "cross" in report
    monkeypatch.setattr("mem3d.data.meshes.polygons._MAX_WORK", 10**6)
    with pytest.raises(ValueError, match="concave faces"):
        cut(points)


@given(st.integers(3, 40), st.integers(0, 2**32 - 1))
def test_stars_of_any_shape(sides, seed):
    """Corners at any distance around a middle: simple polygons, of a known area."""
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.random(sides)) * 2 * np.pi
    if np.diff(angle, append=angle[0] + 2 * np.pi).max() > 3:
        return  # the middle may be outside
    radius = rng.uniform(0.2, 1, sides)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle), 0 * angle], 1)
    x, y = points[:, 0], points[:, 1]
    area = (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2  # the shoelace
    triangles, _, report = cut(points)
    assert (len(triangles), report) == (sides - 2, "")
    assert (areas(points, triangles) > -1e-9).all()
    assert areas(points, triangles).sum() == pytest.approx(area)


@pytest.mark.parametrize("first", range(7))
def test_corners_on_the_line_of_others_are_no_crossing(first):
    """A saw blade: an ear whose edge runs through other corners would leave one that is."""
    saw = np.array([(0, 0), (2, 0), (2, 1), (1.5, 0.2), (1, 1), (0.5, 0.5), (0, 1)])
    vertices = np.c_[np.roll(saw, -first, axis=0), np.zeros(7)]
    faces, _, told = triangulate(vertices, np.arange(7), np.array([7]))
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    areas = np.cross(b - a, c - a)[:, 2] / 2
    assert told == ""
    assert (areas >= 0).all() and areas.sum() == pytest.approx(1.35)
