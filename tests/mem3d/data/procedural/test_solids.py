"""Primitives, whose inside test and mesh describe one solid, and parts in their places."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mem3d.data.procedural.solids import (
    SQUARE,
    Ball,
    Part,
    Prism,
    Ring,
    ball,
    both,
    box,
    placed,
    ring,
    rod,
    rounded,
    shear,
    slab,
    turn,
)

GRAY = (128, 128, 128)
TRIANGLE = [(0.0, 0.0), (4.0, 0.0), (0.0, 2.0)]
PARTS = [
    (box((1, 3), (0, 4), (-2, 2), GRAY), (1, 0, -2), (3, 4, 2)),
    (box((0, 2), (0, 4), (0, 2), GRAY, lean=(-3, 1)), (-3, 0, 0), (2, 4, 3)),
    (ball((1, 2, 3), (1, 2, 0.5), GRAY), (0, 0, 2.5), (2, 4, 3.5)),
    (ring((0, 1, 0), 3, 0.5, GRAY), (-3, 0.5, -3), (3, 1.5, 3)),
    (ring((0, 0, 0), 3, 0.5, GRAY, "x"), (-0.5, -3, -3), (0.5, 3, 3)),
    (ring((0, 0, 0), 3, 0.5, GRAY, "z"), (-3, -3, -0.5), (3, 3, 0.5)),
    (slab(TRIANGLE, "y", (1, 2), GRAY), (0, 1, 0), (4, 2, 2)),  # (x, z)
    (slab(TRIANGLE, "z", (1, 2), GRAY), (0, 0, 1), (4, 2, 2)),  # (x, y)
    (slab(TRIANGLE, "x", (1, 2), GRAY), (1, 0, 0), (2, 2, 4)),  # (z, y)
]
L_SHAPE = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.0), (0.0, 0.0), (0.0, 0.5), (-0.5, 0.5))
SOLIDS = {
    "box": (Prism(SQUARE), 1),
    "frustum": (Prism(SQUARE, 0.5), (1 + 0.5 + 0.25) / 3),
    "concave": (Prism(L_SHAPE), 0.75),
    "clockwise": (Prism(L_SHAPE[::-1]), 0.75),
    "ball": (Ball(), math.pi / 6),
    "ring": (Ring(0.2), 2 * math.pi**2 * 0.4 * 0.1**2),
}


@pytest.mark.parametrize(("part", "low", "high"), PARTS)
def test_parts_are_where_they_were_asked_to_be(part, low, high):
    assert_allclose(part.bounds(), [low, high], atol=0.12)  # facets of round parts fall short


@pytest.mark.parametrize("part", [part for part, _, _ in PARTS])
def test_inside_and_mesh_agree_in_place(part):
    low, high = part.bounds()
    points = np.random.default_rng(0).uniform(low, high, (40_000, 3))
    vertices, faces = part.mesh()
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    volume = (a * np.cross(b, c)).sum() / 6
    assert part.inside(points).mean() * np.prod(high - low) == pytest.approx(volume, rel=0.15)


@pytest.mark.parametrize("end", [(0, 5, 0), (5, 0, 0), (0, 0, 5), (3, 4, 0), (-1, 2, 2)])
def test_a_rod_runs_from_end_to_end_and_tapers(end):
    end = np.array(end, float)
    part = rod((0, 0, 0), end, 1, GRAY, taper=0.5)
    across = np.cross(end, [0.3, 0.5, 0.8])
    across /= np.linalg.norm(across)
    shares = np.array([0.02, 0.5, 0.98])[:, None]
    assert part.inside(shares * end + 0.45 * across).tolist() == [True, True, True]
    assert part.inside(shares * end + 0.7 * across).tolist() == [True, True, False]
    assert part.inside(shares * end + 1.05 * across).tolist() == [False, False, False]
    assert part.inside(np.array([-0.02 * end, 1.02 * end])).tolist() == [False, False]


def test_rounded_outlines_touch_all_four_sides():
    outline = np.array(rounded((-2, 4), (0, 1), 0.3))
    assert_allclose([outline.min(0), outline.max(0)], [[-2, 0], [4, 1]])


@pytest.mark.parametrize(("axis", "point", "want"), [
    ("x", (0, 1, 0), (0, 0, 1)), ("y", (0, 0, 1), (1, 0, 0)), ("z", (1, 0, 0), (0, 1, 0)),
])  # fmt: skip
def test_turns_are_right_handed(axis, point, want):
    assert_allclose(turn(axis, 90) @ point, want, atol=1e-12)


def test_placing_keeps_the_fixed_point_and_leans_what_is_above():
    (part,) = placed(
        [box((0, 1), (2, 6), (0, 1), GRAY)], shear("x", "y", -0.5), (0, 2, 0), (9, 0, 0)
    )
    assert_allclose(part.bounds(), [(7, 2, 0), (10, 6, 1)])
    assert part.inside(np.array([[9.5, 2.1, 0.5], [7.5, 5.9, 0.5], [9.5, 5.9, 0.5]])).tolist() == [
        True, True, False,
    ]  # fmt: skip


def test_mirror_images_face_outward():
    one, other = both(slab(TRIANGLE, "y", (1, 2), GRAY))
    assert_allclose(other.bounds(), [(0, 1, -2), (4, 2, 0)])
    for part in (one, other):
        vertices, faces = part.mesh()
        a, b, c = (vertices[faces[:, i]] for i in range(3))
        assert (a * np.cross(b, c)).sum() / 6 == pytest.approx(4)  # half of 4 x 2 x 1


@pytest.mark.parametrize("name", SOLIDS)
def test_volume_by_formula_by_sampling_and_of_the_mesh(name):
    primitive, volume = SOLIDS[name]
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (40_000, 3))
    assert primitive.inside(points).mean() == pytest.approx(volume, abs=0.01)
    vertices, faces = Part(primitive, np.eye(3), np.zeros(3), (0, 0, 0)).mesh()
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    # Positive: faces point outward. A polyhedron within a round solid is a little smaller.
    assert (a * np.cross(b, c)).sum() / 6 == pytest.approx(
        volume, rel=0.12 if name == "ring" else 0.06
    )


@pytest.mark.parametrize("name", SOLIDS)
def test_meshes_are_closed(name):
    vertices, faces = SOLIDS[name][0].mesh()
    _, place = np.unique(vertices.round(9), axis=0, return_inverse=True)
    walked = place.reshape(-1)[faces][:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).tolist()
    assert sorted(walked) == sorted(edge[::-1] for edge in walked)


def test_nothing_is_inside_beyond_the_ends():
    points = np.array([[0, 0.51, 0], [0, -0.51, 0], [0.51, 0, 0]])
    for primitive, _ in SOLIDS.values():
        assert not primitive.inside(points).any()
