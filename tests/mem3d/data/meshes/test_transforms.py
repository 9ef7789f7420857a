"""Frames, by hand, and deformed variants."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mem3d.data.meshes.dataset import RenderConfig, render_meshes
from mem3d.data.meshes.transforms import (
    DIRECTIONS,
    PIECE,
    WHOLE,
    deform,
    framed,
    rotation,
    shape_family,
    variant_name,
)
from mem3d.data.open import open_dataset
from memstore.voxels.mesh import Mesh, blocky, write_mesh


@pytest.fixture
def mesh():
    rng = np.random.default_rng(0)
    grid = np.zeros((8, 8, 8), np.bool_)
    grid[1:7, 2:6, 1:7] = rng.random((6, 4, 6)) < 0.5
    grid |= grid[:, :, ::-1]
    return blocky(grid)


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


def test_each_axis_is_warped_monotonically_and_by_itself(mesh):
    warped = deform(mesh, np.random.default_rng(1))
    for axis in range(3):
        before, after = mesh.vertices[:, axis], warped.vertices[:, axis]
        order = np.argsort(before, kind="stable")
        steps, moved = np.diff(before[order]), np.diff(after[order])
        assert (moved[steps > 0] > 0).all()  # what lay apart still does, in the same order
        np.testing.assert_allclose(moved[steps == 0], 0, atol=1e-6)  # flat faces stay flat
        slopes = moved[steps > 0] / steps[steps > 0]
        assert 1 / (WHOLE * PIECE) - 1e-3 <= slopes.min() <= slopes.max() <= WHOLE * PIECE + 1e-3
    assert not np.allclose(mesh.vertices, warped.vertices, atol=0.01)
    assert warped.faces is mesh.faces


def test_left_and_right_stay_alike(mesh):
    warped = deform(mesh, np.random.default_rng(2)).vertices
    mirrored = mesh.vertices * [1, 1, -1]
    places = {tuple(np.round(row, 5)): i for i, row in enumerate(mesh.vertices)}
    twin = [places[tuple(np.round(row, 5))] for row in mirrored]
    np.testing.assert_allclose(warped[twin], warped * [1, 1, -1], atol=1e-5)


def test_a_mesh_without_vertices_is_given_back():
    empty = Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32))
    assert deform(empty, np.random.default_rng(0)) is empty


def test_a_variant_names_its_family():
    assert variant_name("02958343/abc", 0) == "02958343/abc"
    assert variant_name("02958343/abc", 7) == "02958343/abc-v07"
    assert shape_family("02958343/abc-v07") == shape_family("02958343/abc-v100") == "02958343/abc"
    for whole in ("02958343/abc", "02958343/abc-v1", "02958343/a-v07b"):
        assert shape_family(whole) == whole


def test_variants_are_shapes_of_their_own(mesh, tmp_path):
    (tmp_path / "meshes" / "chair").mkdir(parents=True)
    write_mesh(tmp_path / "meshes" / "chair" / "one.ply", mesh)
    config = RenderConfig(views=2, size=32, variants=3)
    for out in ("first", "second"):
        found = render_meshes(tmp_path / "meshes", tmp_path / out, config)
        assert (found.shapes, found.skipped) == (4, ())
    first, second = (open_dataset(tmp_path / out) for out in ("first", "second"))
    assert {shape_family(first.shape_id(i)) for i in range(4)} == {"03001627/one"}
    grids = {first.grid(i).tobytes() for i in range(4)}
    assert len(grids) == 4
    for i in range(4):
        np.testing.assert_array_equal(first.grid(i), second.grid(i))
        np.testing.assert_array_equal(first.image(i, 1), second.image(i, 1))


def test_small_categories_get_more_variants(mesh, tmp_path):
    for name in ("chair/one", "chair/two", "chair/three", "lamp/four"):
        (tmp_path / "meshes" / name).parent.mkdir(parents=True, exist_ok=True)
        write_mesh(tmp_path / "meshes" / f"{name}.ply", mesh)
    config = RenderConfig(views=1, size=16, per_category=6)
    render_meshes(tmp_path / "meshes", tmp_path / "out", config)
    shapes = open_dataset(tmp_path / "out")
    names = [shapes.shape_id(i) for i in range(len(shapes))]
    assert sum(name.startswith("03001627") for name in names) == 6  # 2 of each of three chairs
    assert sum(name.startswith("03636649") for name in names) == 6  # 6 of the one lamp
    assert len({shape_family(name) for name in names}) == 4


def test_variants_are_asked_for_in_one_way(tmp_path):
    with pytest.raises(ValueError, match="want one of them"):
        RenderConfig(variants=3, per_category=10)
