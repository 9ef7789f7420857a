"""The camera, by hand and on real views; light and alpha."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mem3d.data.procedural.solids import box
from mem3d.data.readers.r2n2 import R2N2
from mem3d.data.rendering import renderer
from mem3d.data.rendering.renderer import Scene, camera, project, render
from mem3d.data.rendering.texture import Paint
from memstore.voxels.mesh import Mesh, blocky

FRONT = {"azimuth": 0.0, "elevation": 0.0, "ratio": 1.0}


def mesh_of(*parts):
    pieces = [part.mesh() for part in parts]
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in pieces[:-1])])
    return Mesh(
        np.concatenate([vertices for vertices, _ in pieces]).astype(np.float32),
        np.concatenate([f + s for (_, f), s in zip(pieces, starts, strict=True)]).astype(np.int32),
        np.concatenate([np.tile(np.uint8(p.color), (len(p.mesh()[1]), 1)) for p in parts]),
    )


def iou(one, other):
    return (one & other).sum() / max((one | other).sum(), 1)


def test_cameras_by_hand():
    eye, axes = camera(0, 0, 1)
    assert_allclose(eye, [1.75, 0, 0], atol=1e-6)
    # Facing -x with y up, right is -z.
    assert_allclose(axes, [[0, 0, -1], [0, 1, 0], [1, 0, 0]], atol=1e-6)
    assert_allclose(camera(90, 30, 0.5)[0], [0, 0.4375, 0.875 * np.sqrt(3) / 2], atol=1e-6)


def test_a_plate_covers_the_pixels_that_similar_triangles_say():
    # Half height 0.1 at distance 1.75 and focal length 137 * 35 / 32: 8.56 pixels around 68.5.
    plate = mesh_of(box((-0.01, 0), (-0.1, 0.1), (-0.1, 0.1), (255, 0, 0)))
    scene = Scene(plate, diagonal=1)
    rows, columns = np.nonzero(scene.silhouette(**FRONT))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (60, 76, 60, 76)
    alpha = scene.render(**FRONT, samples=4)[:, :, 3]
    assert_allclose(alpha.sum() / 255, (2 * 8.5625) ** 2, rtol=0.02)


def test_up_is_up_and_plus_z_is_left_from_the_front():
    for y, z, rows, columns in (
        (0.3, 0, slice(0, 60), slice(None)),
        (0, 0.3, slice(None), slice(0, 60)),
    ):
        plate = mesh_of(box((0, 0.1), (y, y + 0.1), (z, z + 0.1), (255, 0, 0)))
        mask = Scene(plate, diagonal=1).silhouette(**FRONT)
        assert mask[rows, columns].sum() == mask.sum() > 0


def test_color_is_the_objects_alone_and_black_where_nothing_is():
    cube = mesh_of(box((0, 1), (0, 1), (0, 1), (255, 0, 0)))
    picture = render(cube, azimuth=20, elevation=30, ratio=1)
    seen = picture[:, :, 3] > 0
    assert (picture[seen][:, 0] > 60).all()
    assert (picture[:, :, 1:3] == 0).all()
    assert (picture[~seen] == 0).all()
    assert 0 < ((picture[:, :, 3] > 0) & (picture[:, :, 3] < 255)).sum() < 0.1 * seen.sum()


def test_shadows_only_darken():
    floor = box((-1, 1), (0, 0.1), (-1, 1), (200, 200, 200))
    roof = box((-0.4, 0.4), (0.8, 0.9), (-0.4, 0.4), (200, 200, 200))
    view = {"azimuth": 30.0, "elevation": 40.0, "ratio": 0.9}
    with_shadow, without = (
        render(mesh_of(floor, roof), **view, shadows=shadows).astype(int)
        for shadows in (True, False)
    )
    assert (with_shadow <= without).all()
    assert (with_shadow < without).any()
    assert_array_equal(with_shadow[:, :, 3], without[:, :, 3])


def test_a_mesh_inside_out_looks_the_same():
    mesh = mesh_of(box((0, 1), (0, 2), (0, 3), (90, 120, 30)))
    turned = Mesh(mesh.vertices, mesh.faces[:, ::-1].copy(), mesh.colors)
    view = {"azimuth": 30.0, "elevation": 20.0, "ratio": 0.9}
    assert_array_equal(render(mesh, **view), render(turned, **view))


SQUARE = Mesh(
    np.array([[0, -1, 1], [0, -1, -1], [0, 1, -1], [0, 1, 1]], np.float32),  # seen from +x
    np.array([[0, 1, 2], [0, 2, 3]], np.int32),
)


def test_a_picture_on_a_square_stands_upright():
    # From the front +z is left: corners in the order lower left, lower right, upper right, ...
    uv = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32)[SQUARE.faces]
    colors = {"top left": (255, 0, 0), "top right": (0, 255, 0), "bottom left": (0, 0, 255)}
    quarters = np.array([[*colors.values()][:2], [colors["bottom left"], (255, 255, 255)]])
    picture = quarters.repeat(8, 0).repeat(8, 1).astype(np.uint8)
    paint = Paint(np.full((2, 3, 3), 255, np.uint8), uv, np.zeros(2, np.int32), (picture,))
    seen = Scene(SQUARE, paint=paint).render(**FRONT, shadows=False)
    for name, (row, column) in (
        ("top left", (55, 55)), ("top right", (55, 82)), ("bottom left", (82, 55)),
    ):  # fmt: skip
        strongest = seen[row, column, :3].astype(int)
        assert (strongest > 0).tolist() == [value > 0 for value in colors[name]], name


def test_paint_of_one_color_is_the_meshs_own_color():
    mesh = mesh_of(box((0, 1), (0, 2), (0, 3), (90, 120, 30)))
    corners = np.repeat(mesh.colors[:, None], 3, axis=1)
    faces = len(mesh.faces)
    paint = Paint(corners, np.zeros((faces, 3, 2), np.float32), np.full(faces, -1, np.int32), ())
    view = {"azimuth": 30.0, "elevation": 20.0, "ratio": 0.9}
    own, painted = (Scene(mesh, paint=p).render(**view).astype(int) for p in (None, paint))
    assert np.abs(own - painted).max() <= 1  # weights sum to 1 within rounding
    with pytest.raises(ValueError, match="paint: got 12 faces, want 2"):
        Scene(SQUARE, paint=paint)


def test_where_many_corners_may_be_seen_is_bounded_by_cells(monkeypatch):
    mesh = mesh_of(
        box((0, 1), (0, 2), (0, 3), (90, 120, 30)), box((2, 3), (0, 1), (0, 1), (9, 9, 9))
    )
    view = {"azimuth": 30.0, "elevation": 20.0, "ratio": 0.7}
    exact = Scene(mesh)
    monkeypatch.setattr(renderer, "_MANY", 10)
    cells = Scene(mesh)
    assert len(cells._hull) != len(exact._hull)
    assert_array_equal(cells.render(**view), exact.render(**view))


def test_an_empty_grid_gives_an_empty_picture():
    empty = np.zeros((4, 4, 4), np.bool_)
    assert not render(blocky(empty), **FRONT, size=16).any()
    assert not project(empty, [0, 25, 0, 0.8, 25], size=16).any()


def test_wrong_cameras_are_refused():
    with pytest.raises(ValueError, match="ratio > 0"):
        camera(0, 0, 0)
    with pytest.raises(ValueError, match="in-plane"):
        project(np.ones((2, 2, 2), np.bool_), [0, 25, 10, 0.8, 25])


def test_projection_tells_every_wrong_frame_of_a_lopsided_object():
    grid = np.zeros((16, 16, 16), np.bool_)
    grid[:, 0:3, 3:13] = grid[0:3, :, 3:7] = True
    row = [50, 27, 0, 0.8, 25]
    truth = render(blocky(grid), azimuth=50, elevation=27, ratio=0.8)[:, :, 3] > 127
    assert iou(project(grid, row), truth) > 0.97
    wrong = (grid[::-1], grid[:, :, ::-1], grid.transpose(2, 1, 0), grid.transpose(0, 2, 1))
    assert max(iou(project(frame, row), truth) for frame in wrong) < 0.75


def test_real_views_agree_with_real_grids_in_this_frame_only(real_data):
    data = R2N2.open(real_data / "r2n2_real", categories=["aeroplane", "car", "chair"])
    frames = {
        "right": lambda grid: grid,
        "x mirrored": lambda grid: grid[::-1],
        "x and z swapped": lambda grid: grid.transpose(2, 1, 0),
        "y and z swapped": lambda grid: grid.transpose(0, 2, 1),
    }
    score = {
        name: np.mean(
            [
                iou(project(frame(data.grid(i)), row), data.image(i, view)[:, :, 3] > 127)
                for i in range(len(data))
                for view, row in enumerate(data.cameras(i)[:6])
            ]
        )
        for name, frame in frames.items()
    }
    # Voxels are thicker than wings and tubes, so that 1 is out of reach.
    assert score.pop("right") > 0.75
    assert max(score.values()) < 0.65
