"""Solid grids of meshes, whole and damaged, against solids known by hand."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import ndimage

from mem3d.data.meshes import voxelize
from mem3d.data.meshes.voxelize import inside_votes, surface, voxelize_mesh
from mem3d.data.procedural.solids import ball, box
from memstore.voxels.mesh import Mesh

GRAY = (90, 90, 90)


def mesh_of(*parts):
    """Meshes of parts side by side, no corner shared between them."""
    pieces = [part.mesh() for part in parts]
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in pieces[:-1])])
    faces = np.concatenate([f + start for (_, f), start in zip(pieces, starts, strict=True)])
    vertices = np.concatenate([vertices for vertices, _ in pieces])
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32))


def box_grid(low, high, side=32):
    grid = np.zeros((side,) * 3, bool)
    grid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return grid


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


BOX = box((0, 32), (0, 16), (0, 8), GRAY)  # one unit is one voxel
BOX_GRID = box_grid((0, 8, 12), (32, 24, 20))


def test_a_box_fills_its_voxels_and_is_centered():
    assert_array_equal(voxelize_mesh(mesh_of(BOX)), BOX_GRID)


def test_place_and_size_do_not_matter():
    mesh = mesh_of(BOX)
    moved = Mesh(mesh.vertices * np.float32(0.125) + np.float32(7), mesh.faces)
    assert_array_equal(voxelize_mesh(moved), BOX_GRID)


@pytest.mark.parametrize("axis", range(3))
def test_a_box_without_one_side_is_filled(axis):
    mesh = mesh_of(BOX)
    corners = mesh.vertices[mesh.faces]
    lid = (corners[:, :, axis] == mesh.vertices[:, axis].max()).all(1)
    assert lid.sum() == 2
    assert_array_equal(voxelize_mesh(Mesh(mesh.vertices, mesh.faces[~lid])), BOX_GRID)


def test_faces_turned_any_way_change_nothing():
    mesh = mesh_of(BOX)
    faces = mesh.faces.copy()
    faces[::3] = faces[::3, ::-1]
    assert_array_equal(voxelize_mesh(Mesh(mesh.vertices, faces)), BOX_GRID)


def test_loose_triangles_doubled_and_shuffled_change_nothing():
    mesh = mesh_of(BOX)
    corners = np.random.default_rng(0).permutation(mesh.vertices[mesh.faces])
    corners = np.concatenate([corners, corners[:, ::-1]])
    faces = np.arange(3 * len(corners), dtype=np.int32).reshape(-1, 3)
    assert_array_equal(voxelize_mesh(Mesh(corners.reshape(-1, 3), faces)), BOX_GRID)


def test_parts_that_overlap_are_united_even_where_one_is_open():
    parts = box((0, 32), (0, 16), (0, 8), GRAY), box((8, 24), (4, 12), (2, 6), GRAY)
    mesh = mesh_of(*parts)
    without_top = ~(mesh.vertices[mesh.faces][:, :, 1] == 16).all(1)
    assert_array_equal(voxelize_mesh(Mesh(mesh.vertices, mesh.faces[without_top])), BOX_GRID)
    votes = inside_votes(voxelize._placed(mesh, 32), 32)
    assert_array_equal(votes == 3, BOX_GRID)  # parity of the whole would find a hollow


def test_a_hole_wider_than_a_voxel_is_mended():
    mesh = mesh_of(ball((0, 0, 0), (16, 16, 16), GRAY))
    whole = voxelize_mesh(mesh)
    middle = mesh.vertices[mesh.faces].mean(1)
    patch = (np.abs(middle[:, 1]) < 4) & (middle[:, 0] > 8) & (middle[:, 2] > 8)  # no tip
    assert patch.sum() >= 4
    torn = Mesh(mesh.vertices, mesh.faces[~patch])
    shell = surface(voxelize._placed(torn, 32), 32)
    assert_array_equal(ndimage.binary_fill_holes(shell), shell)  # all runs out through the hole
    assert iou(voxelize_mesh(torn), whole) > 0.98


def test_sheets_and_needles_do_not_vanish():
    sheet = Mesh(
        np.array([[0, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1]], np.float32),
        np.array([[0, 1, 2], [0, 2, 3]], np.int32),
    )
    assert_array_equal(voxelize_mesh(sheet).any(1), np.ones((32, 32), bool))
    needle = mesh_of(box((0, 0.001), (0, 1), (0, 0.001), GRAY))
    assert_array_equal(voxelize_mesh(needle).any((0, 2)), np.ones(32, bool))


def test_a_frame_stays_open():
    ring = box_grid((0, 0, 12), (32, 32, 20)) & ~box_grid((4, 4, 0), (28, 28, 32))
    bars = (
        box((0, 32), (0, 4), (0, 8), GRAY), box((0, 32), (28, 32), (0, 8), GRAY),
        box((0, 4), (0, 32), (0, 8), GRAY), box((28, 32), (0, 32), (0, 8), GRAY),
    )  # fmt: skip
    grid = voxelize_mesh(mesh_of(*bars))
    assert (grid & ~ring)[5:27, 5:27].sum() == 0
    assert (ring & ~grid).sum() == 0  # an inner side that lies between two voxels may take both


def test_the_surface_has_nearly_every_voxel_that_random_points_of_it_fall_into():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 16, (30, 3, 3))
    corners[:10, 2] = corners[:10, 1] + rng.normal(0, 0.05, (10, 3))  # slivers
    corners = corners.clip(0, 16)
    weights = rng.dirichlet((1, 1, 1), 20_000)
    points = np.einsum("pk,fkd->fpd", weights, corners).reshape(-1, 3)
    hit = np.zeros((16,) * 3, bool)
    hit[tuple(points.astype(int).clip(0, 15).T)] = True
    assert (surface(corners, 16) & hit).sum() / hit.sum() > 0.95  # corners are missed
    assert not (surface(corners, 16) & ~hit).sum() > 0.03 * hit.sum()


def test_votes_match_counting_crossings_one_line_at_a_time():
    rng = np.random.default_rng(1)
    mesh = mesh_of(
        *(box((a, a + 9), (b, b + 7), (0, 11), GRAY) for a, b in rng.uniform(0, 9, (3, 2)))
    )
    corners = voxelize._placed(mesh, 8)
    line, depth, _ = voxelize._crossings(corners, 1, 8)
    for x, z in np.ndindex(8, 8):
        start = np.array([x, 0, z]) + np.insert(voxelize._ASIDE, 1, 0.0)
        naive = sorted(naive_crossings(corners, start))
        assert sorted(depth[line == 8 * x + z]) == pytest.approx(naive)


def naive_crossings(corners, start):
    """Depths along +y where the line through `start` crosses triangles (Moeller-Trumbore)."""
    along = np.array([0.0, 1.0, 0.0])
    for a, b, c in corners:
        across = np.cross(along, c - a)
        scale = (b - a) @ across
        if abs(scale) > 1e-12:
            u = (start - a) @ across / scale
            turned = np.cross(start - a, b - a)
            v = along @ turned / scale
            if u > 0 and v > 0 and u + v < 1:
                yield start[1] + (c - a) @ turned / scale


def test_what_has_no_size_is_refused():
    corners = np.zeros((3, 3), np.float32)
    with pytest.raises(ValueError, match="no faces"):
        voxelize_mesh(Mesh(corners, np.zeros((0, 3), np.int32)))
    with pytest.raises(ValueError, match="longest side 0"):
        voxelize_mesh(Mesh(corners, np.array([[0, 1, 2]], np.int32)))
    with pytest.raises(ValueError, match="resolution"):
        voxelize_mesh(mesh_of(BOX), 0)


def test_triangles_that_fill_the_grid_by_the_thousand_are_refused():
    corners = np.eye(3, dtype=np.float32)
    with pytest.raises(ValueError, match="points"):
        voxelize_mesh(Mesh(corners, np.tile(np.arange(3, dtype=np.int32), (200_000, 1))))
