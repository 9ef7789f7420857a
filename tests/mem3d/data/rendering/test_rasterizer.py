"""Faces drawn row by row, and voxels by what each of their faces covers."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mem3d.data.rendering.light import facing, lamp, reaching, shaded, strength
from mem3d.data.rendering.rasterizer import draw_faces, mixed, nearest_faces, packed
from mem3d.data.rendering.renderer import FOCAL, camera
from mem3d.data.rendering.voxels import draw_voxels
from memstore.voxels.mesh import blocky, smooth

VIEWS = [(35, 25), (160, -40), (1, 2), (301, 70)]  # straight on, samples would lie on edges


def traced(vertices, faces, eye, axes, side):
    """Each sample's nearest face by a ray against every triangle that is seen from outside."""
    at = np.arange(side) - (side - 1) / 2
    columns, rows = np.meshgrid(at, -at)
    rays = np.stack([columns, rows, np.full_like(rows, -FOCAL * side)], -1) @ axes.astype(float)
    nearest, best = np.full((side, side), -1), np.full((side, side), np.inf)
    for number, face in enumerate(faces):
        a, b, c = vertices[face].astype(float)
        normal = np.cross(b - a, c - a)
        slope = rays @ normal
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = ((a - eye) @ normal) / slope
            place = eye + rays * distance[..., None]
            inside = [np.cross(q - p, place - p) @ normal >= 0 for p, q in ((a, b), (b, c), (c, a))]
        hit = (slope < 0) & np.all(inside, 0) & (distance < best)
        nearest[hit], best[hit] = number, distance[hit]
    return nearest


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("surface", ["smooth", "blocky"])
def test_each_sample_shows_the_nearest_face(view, surface):
    """But for samples on an edge between two: these show one of them."""
    values = np.random.default_rng(1).random((4, 4, 4))
    mesh = smooth(values, 0.6) if surface == "smooth" else blocky(values > 0.6)
    eye, axes = camera(*view, 0.9)
    faces = nearest_faces(mesh.vertices, mesh.faces, eye, axes, 40)
    want = traced(mesh.vertices, mesh.faces, eye, axes, 40)
    assert_array_equal(faces >= 0, want >= 0)
    assert (faces != want).mean() < 0.01
    assert (faces >= 0).sum() > 100


def test_no_face_and_none_in_the_picture():
    eye, axes = camera(35, 25, 0.9)
    nothing = nearest_faces(np.zeros((0, 3), "f4"), np.zeros((0, 3), int), eye, axes, 8)
    assert (nothing == -1).all()
    mesh = blocky(np.ones((1, 1, 1), bool))
    beside = mesh.vertices + 3 * axes[0]
    assert (nearest_faces(beside, mesh.faces, eye, axes, 8) == -1).all()
    part = nearest_faces(mesh.vertices + 0.5 * axes[0], mesh.faces, eye, axes, 8)
    assert 0 < (part >= 0).sum() < 64


def test_a_pixel_is_the_mean_of_its_samples():
    colors = np.random.default_rng(0).integers(0, 256, (4 * 6, 3), np.uint8)
    samples = packed(colors).reshape(4, 6)
    want = colors.reshape(2, 2, 3, 2, 3).astype(float).mean((1, 3))
    assert_allclose(mixed(samples), want, atol=0.5)


@pytest.mark.parametrize("view", [*VIEWS, (0, 0)])
@pytest.mark.parametrize("share", [0, 0.1, 0.6, 1])
def test_voxels_are_drawn_as_their_faces_would_be(view, share):
    """Pixel by pixel, on random grids, from outside of the cube on one to three axes."""
    grid = np.random.default_rng(2).random((6, 6, 6)) < share
    eye, axes = camera(*view, 0.9)
    color = np.array([110, 150, 200], np.uint8)
    mesh = blocky(grid)
    quads = mesh.faces.reshape(-1, 6)[:, [0, 1, 2, 5]]
    corners = mesh.vertices[quads]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) * 36
    beside = np.floor((corners.mean(1) + normals / 12 + 0.5) * 6).astype(int)
    sun = reaching(grid, lamp(0, axes))[tuple(beside.T + 1)]
    light = strength(normals, axes, facing(normals, 0, axes) * sun)
    want = draw_faces(mesh.vertices, quads, shaded(color, light), eye, axes, 40)
    picture = draw_voxels(grid[None], color, eye, axes, 40)[0]
    assert_array_equal((picture < 255).any(2), (want < 255).any(2))
    # The same samples; light may differ in the last digit, edges by a sample of four.
    assert (np.abs(picture.astype(int) - want).max(2) > 1).mean() < 0.001


@pytest.mark.parametrize("view", [*VIEWS, (0, 0)])
def test_grids_drawn_at_once_are_drawn_as_one_by_one(view):
    rng = np.random.default_rng(4)
    grids = np.array([rng.random((6, 6, 6)) < share for share in (0.3, 0, 1, 0.02)])
    color, camera_of = np.array([110, 150, 200], np.uint8), camera(*view, 0.9)
    pictures = draw_voxels(grids, color, *camera_of, 40)
    for grid, picture in zip(grids, pictures, strict=True):
        assert_array_equal(picture, draw_voxels(grid[None], color, *camera_of, 40)[0])
    assert [(picture < 255).any() for picture in pictures] == [True, False, True, True]


def test_light_goes_through_empty_voxels_alone():
    """By hand: each voxel's light is that of the four above, none from full ones."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        grid, towards = rng.random((4, 4, 4)) < 0.3, rng.standard_normal(3).astype("f4")
        axis = int(np.abs(towards).argmax())
        step = towards / abs(towards[axis])
        padded, light = np.pad(grid, 1), np.ones((6, 6, 6))
        layers = range(6) if step[axis] < 0 else range(5, -1, -1)
        for cell in sorted(np.ndindex(6, 6, 6), key=lambda c: layers.index(c[axis])):
            total = 0.0
            place = np.array(cell) + step
            low = np.floor(place + 1e-7 * (np.arange(3) == axis)).astype(int)
            for move in np.ndindex(2, 2, 2):
                other = low + move
                weight = np.prod(np.where(move, place - low, 1 - place + low))
                is_outside = ((other < 0) | (other > 5)).any()
                total += weight * (is_outside or light[tuple(other)] * ~padded[tuple(other)])
            light[cell] = total
        assert_allclose(reaching(grid, towards), light, atol=1e-5)
