"""Primitives: the inside test and the mesh describe one solid."""

import math

import numpy as np
import pytest

from mem3d.data.procedural.solids import SQUARE, Ball, Part, Prism, Ring

L_SHAPE = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.0), (0.0, 0.0), (0.0, 0.5), (-0.5, 0.5))
SOLIDS = {
    "box": (Prism(SQUARE), 1),
    "frustum": (Prism(SQUARE, 0.5), (1 + 0.5 + 0.25) / 3),
    "concave": (Prism(L_SHAPE), 0.75),
    "clockwise": (Prism(L_SHAPE[::-1]), 0.75),
    "ball": (Ball(), math.pi / 6),
    "ring": (Ring(0.2), 2 * math.pi**2 * 0.4 * 0.1**2),
}


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
