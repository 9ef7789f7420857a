"""Meshes of grids, and their files."""

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from memstore import DtypeError
from memstore.voxels.mesh import FILE_TYPES, Mesh, blocky, smooth, write_glb, write_mesh
from tests.helpers.r2n2_folder import blob

grids = st.integers(1, 5).flatmap(lambda side: arrays(np.bool_, (side,) * 3))


def edges_balance(mesh):
    """Whether every edge is walked as often one way as the other: the mesh has no rim."""
    walked = mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).tolist()
    return sorted(walked) == sorted(edge[::-1] for edge in walked)


@given(grids)
def test_blocky_is_closed_with_the_volume_and_faces_of_its_voxels(grid):
    mesh = blocky(grid)
    padded = np.pad(grid, 1).astype(int)
    exposed = sum(int(np.abs(np.diff(padded, axis=axis)).sum()) for axis in range(3))
    assert len(mesh.faces) == 2 * exposed
    assert edges_balance(mesh)
    assert_allclose(mesh.volume(), grid.mean(), atol=1e-6)  # the cube's volume is 1


@given(grids.filter(lambda grid: grid.any()))
def test_smooth_is_closed_and_right_side_out(grid):
    mesh = smooth(grid)
    assert edges_balance(mesh)
    exposed = sum(
        int(np.diff(np.pad(grid, 1).astype(int), axis=i).astype(bool).sum()) for i in range(3)
    )
    # Corners are cut off and notches filled, by half a voxel at most from any face.
    assert 0 < mesh.volume() < grid.mean() + exposed / 2 / grid.size


def test_one_voxel_by_hand():
    grid = np.zeros((2, 2, 2), np.bool_)
    grid[1, 0, 1] = True
    mesh = blocky(grid)
    assert (len(mesh.vertices), len(mesh.faces)) == (8, 12)
    assert mesh.vertices.min(0).tolist() == [0, -0.5, 0]
    assert mesh.vertices.max(0).tolist() == [0.5, 0, 0.5]


def test_both_kinds_stand_in_the_same_place():
    grid = np.zeros((8, 8, 8), np.bool_)
    grid[1:7, 0:3, 4:8] = True
    for mesh in (blocky(grid), smooth(grid)):
        assert_allclose(mesh.vertices.min(0), [1 / 8 - 0.5, -0.5, 0], atol=1e-6)
        assert_allclose(mesh.vertices.max(0), [7 / 8 - 0.5, 3 / 8 - 0.5, 0.5], atol=1e-6)


def test_smooth_follows_occupancy_between_voxels():
    occupancy = np.zeros((4, 4, 4), np.float32)
    occupancy[:, :2] = 1
    occupancy[:, 2] = 0.2  # from 1 at y = -1/8 to 0.2 at 1/8: 0.6 is half way
    assert_allclose(smooth(occupancy, 0.6).vertices[:, 1].max(), 0, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_nothing_to_draw_is_said(value):
    with pytest.raises(ValueError, match="no voxel above the level"):
        smooth(np.full((4, 4, 4), value), 0.5)
    assert len(blocky(np.zeros((4, 4, 4), np.bool_)).faces) == 0


@pytest.mark.parametrize("occupancy", [np.full((2, 2, 2), np.nan), np.full((2, 2, 2), 1.5)])
def test_smooth_wants_probabilities(occupancy):
    with pytest.raises(ValueError, match="want probabilities"):
        smooth(occupancy)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="grid: got shape"):
        blocky(np.zeros((2, 3, 2), np.bool_))
    with pytest.raises(DtypeError, match="want bool"):
        blocky(np.zeros((2, 2, 2)))
    with pytest.raises(ValueError, match="level"):
        smooth(np.ones((2, 2, 2)), 1.0)
    with pytest.raises(ValueError, match="colors: got shape"):
        Mesh(np.zeros((3, 3), np.float32), np.zeros((1, 3), np.int32), np.zeros((2, 3), np.uint8))
    colors = np.zeros((3, 3), np.uint8)
    with pytest.raises(ValueError, match="want one of them"):
        Mesh(colors.astype(np.float32), np.zeros((1, 3), np.int32), colors[:1], colors)


@pytest.mark.parametrize("kind", FILE_TYPES)
def test_a_file_read_by_others_is_the_same_solid(kind, tmp_path):
    grid = np.random.default_rng(0).random((6, 6, 6)) < 0.5
    mesh = smooth(grid)
    write_mesh(tmp_path / f"a.{kind}", mesh)
    read = trimesh.load_mesh(tmp_path / f"a.{kind}")
    assert_allclose(read.bounds, [mesh.vertices.min(0), mesh.vertices.max(0)], atol=1e-6)
    assert_allclose(read.volume, mesh.volume(), rtol=1e-4)
    assert [file.name for file in tmp_path.iterdir()] == [f"a.{kind}"]


@pytest.mark.parametrize("kind", ["glb", "obj", "ply"])
def test_colors_reach_the_file(kind, tmp_path):
    mesh = blocky(np.ones((1, 1, 1), np.bool_))
    colors = np.zeros((12, 3), np.uint8)
    colors[:6, 0] = 200
    write_mesh(tmp_path / f"a.{kind}", Mesh(mesh.vertices, mesh.faces, colors))
    read = trimesh.load_mesh(tmp_path / f"a.{kind}", process=False)
    found = np.unique(read.visual.vertex_colors[:, :3], axis=0)
    assert found.tolist() == [[0, 0, 0], [200, 0, 0]]


@pytest.mark.parametrize("kind", FILE_TYPES)
def test_colors_of_vertices_leave_the_mesh_closed(kind, tmp_path):
    mesh = smooth(np.ones((2, 2, 2), np.bool_))
    colors = np.arange(3 * len(mesh.vertices), dtype=np.uint8).reshape(-1, 3)
    write_mesh(tmp_path / f"a.{kind}", Mesh(mesh.vertices, mesh.faces, vertex_colors=colors))
    read = trimesh.load_mesh(tmp_path / f"a.{kind}", process=kind == "stl", maintain_order=True)
    assert read.is_watertight
    if kind != "stl":
        order = np.lexsort(read.vertices.round(4).T), np.lexsort(mesh.vertices.round(4).T)
        found = read.visual.vertex_colors[order[0], :3]
        assert found.tolist() == colors[order[1]].tolist()


def test_no_suffix_is_glb_and_an_unknown_one_is_refused(tmp_path):
    mesh = blocky(np.ones((1, 1, 1), np.bool_))
    write_mesh(tmp_path / "shape", mesh)
    assert (tmp_path / "shape").read_bytes()[:4] == b"glTF"
    with pytest.raises(ValueError, match="suffix 'fbx'"):
        write_mesh(tmp_path / "a.fbx", mesh)
    with pytest.raises(ValueError, match="without faces"):
        write_mesh(tmp_path / "a.glb", blocky(np.zeros((1, 1, 1), np.bool_)))


@pytest.mark.parametrize("is_rounded", [True, False])
def test_the_surface_is_kept_and_normals_point_outwards(is_rounded, tmp_path):
    want = blocky(blob(0))
    write_glb(tmp_path / "a.glb", want, is_rounded=is_rounded)
    mesh = trimesh.load(tmp_path / "a.glb", force="mesh", process=False)
    assert mesh.volume == pytest.approx(want.volume(), rel=1e-4)
    assert len(mesh.faces) == len(want.faces)
    stored = mesh.vertex_normals[mesh.faces].mean(axis=1)
    assert ((stored * mesh.face_normals).sum(axis=1) > 0.5).all()
    if not is_rounded:
        np.testing.assert_allclose(stored, mesh.face_normals, atol=1e-5)


def test_a_mesh_without_faces_is_refused(tmp_path):
    empty = Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32))
    with pytest.raises(ValueError, match="without faces"):
        write_glb(tmp_path / "a.glb", empty, is_rounded=True)
    assert list(tmp_path.iterdir()) == []
