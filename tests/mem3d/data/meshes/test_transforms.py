"""Frames, by hand."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mem3d.data.meshes.transforms import DIRECTIONS, framed, rotation


def test_the_datas_own_frame_stays():
    assert_allclose(rotation("y", "x"), np.eye(3))


def test_z_up_with_the_front_to_minus_y():
    # Up (0, 0, 1) becomes y; front (0, -1, 0) becomes x; the object's right side follows.
    turn = rotation("z", "-y")
    assert_allclose(turn @ [0, 0, 1], [0, 1, 0])
    assert_allclose(turn @ [0, -1, 0], [1, 0, 0])
    assert_allclose(turn @ [-1, 0, 0], [0, 0, 1])  # x cross y of the old axes: -y x z = -x


def test_no_choice_mirrors():
    for up, front in itertools.product(DIRECTIONS, DIRECTIONS):
        if up[-1] != front[-1]:
            assert_allclose(np.linalg.det(rotation(up, front)), 1)


@pytest.mark.parametrize(("up", "front", "named"), [("y", "-y", "front"), ("w", "x", "up")])
def test_impossible_directions_are_named(up, front, named):
    with pytest.raises(ValueError, match=named):
        rotation(up, front)


def test_the_longest_side_is_1_and_the_middle_0():
    points = np.array([[10.0, 0, 0], [14, 2, 0], [10, 2, 1]])
    assert_allclose(
        framed(points, np.eye(3)), [[-0.5, -0.25, -0.125], [0.5, 0.25, -0.125], [-0.5, 0.25, 0.125]]
    )


def test_far_from_the_origin_nothing_is_lost():
    points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 0.3, 0]])
    far = framed(points + 1e6, np.eye(3))
    assert_allclose(far, framed(points, np.eye(3)), atol=1e-9)


@pytest.mark.parametrize(
    "points", [np.ones((3, 3)), np.array([[0, 0, 0], [1e308, 0, 0], [-1e308, 0, 0.0]])]
)
def test_points_without_a_size_are_refused(points):
    with pytest.raises(ValueError, match="longest side"), np.errstate(over="ignore"):
        framed(points, np.eye(3))
