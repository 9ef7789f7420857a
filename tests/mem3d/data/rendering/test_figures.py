"""Pictures for people."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from scipy.ndimage import gaussian_filter

from mem3d.data.figures import axes_sheet
from mem3d.data.readers.pix3d import Pix3D
from mem3d.data.readers.r2n2 import R2N2
from mem3d.data.rendering.figures import (
    GRID_COLOR,
    OVERLAY_COLOR,
    grid_picture,
    grid_pictures,
    mesh_pictures,
    overlay,
    zoom_of,
)
from mem3d.data.rendering.renderer import Scene
from mem3d.training.report import curves
from memstore.voxels.contact_sheet import on_white
from memstore.voxels.mesh import Mesh, blocky, smooth
from tests.helpers.memory_dataset import MemoryDataset, lopsided
from tests.helpers.pix3d_folder import add_photo, chair, save_voxels, write_list
from tests.helpers.r2n2_folder import make_r2n2

WHITE = np.full((20, 20, 3), 255, np.uint8)


def test_a_full_grid_fits_from_every_side():
    for azimuth in (0, 20, 45, 215):
        picture = grid_picture(np.ones((4, 4, 4), np.bool_), azimuth=azimuth)
        assert picture.shape == (137, 137, 3)
        rim = [picture[0], picture[-1], picture[:, 0], picture[:, -1]]
        assert all((side == 255).all() for side in rim)
        assert (picture < 255).any(axis=2).mean() > 0.3


def on_rays(mesh, azimuth, elevation=25.0):
    """The picture as rays with hard shadows draw it."""
    colors = np.broadcast_to(np.array(GRID_COLOR, np.uint8), mesh.faces.shape)
    scene = Scene(Mesh(mesh.vertices, mesh.faces, colors), 1.4)
    return scene.render(azimuth=azimuth, elevation=elevation, ratio=0.88)


@pytest.mark.parametrize(("azimuth", "elevation"), [(35, 25), (125, -30), (1, 2), (250, 80)])
@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_grids_are_drawn_as_rays_draw_them(azimuth, elevation, share):
    grid = np.random.default_rng(0).random((8, 8, 8)) < share
    traced = on_rays(blocky(grid), azimuth, elevation)
    picture = grid_picture(grid, azimuth=azimuth, elevation=elevation)
    assert_array_equal((picture < 255).any(2), traced[..., 3] > 0)
    apart = np.abs(picture.astype(int) - on_white(traced))[traced[..., 3] > 0]
    assert np.median(apart) <= 1  # lit alike, but for soft shadows and mixed edges
    assert apart.mean() < 12


@pytest.mark.parametrize("azimuth", [35, 200])
def test_meshes_are_drawn_as_rays_draw_them(azimuth):
    occupancy = gaussian_filter(np.random.default_rng(0).random((16, 16, 16)), 2)
    level = float(np.quantile(occupancy, 0.7))
    mesh, grid = smooth(occupancy, level), occupancy > level
    (picture,) = mesh_pictures(mesh, grid, [azimuth])
    traced = on_rays(mesh, azimuth)
    assert_array_equal((picture < 255).any(2), traced[..., 3] > 0)
    apart = np.abs(picture.astype(int) - on_white(traced))[traced[..., 3] > 0]
    assert np.median(apart) <= 3
    assert apart.mean() < 12


def test_a_mesh_keeps_its_colors():
    grid = np.ones((4, 4, 4), np.bool_)
    mesh = blocky(grid)
    red = np.tile(np.array([200, 0, 0], np.uint8), (len(mesh.vertices), 1))
    of_faces = Mesh(mesh.vertices, mesh.faces, red[:1].repeat(len(mesh.faces), 0))
    of_corners = Mesh(mesh.vertices, mesh.faces, vertex_colors=red)
    pictures = [mesh_pictures(m, grid, [35])[0] for m in (of_faces, of_corners)]
    assert_array_equal(*pictures)
    assert (pictures[0][..., 1] < 1).any()
    assert (mesh_pictures(mesh, grid, [35])[0][..., 2] > 100).any()


def test_a_pictures_owner_may_draw_on_it():
    grid = np.ones((4, 4, 4), np.bool_)
    first = grid_picture(grid, 20)
    first[:] = 0
    assert (grid_picture(grid, 20) == 255).any()


def test_an_empty_grid_is_a_blank_tile():
    assert (grid_picture(np.zeros((4, 4, 4), np.bool_), 20) == 255).all()


def test_occupancy_is_cut_at_the_threshold():
    occupancy = np.full((2, 2, 2), 0.4, np.float32)
    assert (grid_picture(occupancy, 20) == 255).all()
    full = grid_picture(np.ones((2, 2, 2), np.bool_), 20)
    assert_array_equal(grid_picture(occupancy, 20, threshold=0.3), full)


def test_scale_does_not_depend_on_the_shape():
    one = np.zeros((8, 8, 8), np.bool_)
    one[0, 0, 0] = True
    assert 0 < (grid_picture(one) < 255).any(axis=2).mean() < 0.03


def test_overlay_tints_the_silhouette_only():
    mask = np.zeros((20, 20), np.bool_)
    mask[5:9, 5:9] = True
    picture = overlay(WHITE, mask)
    assert_array_equal((picture != WHITE).any(axis=2), mask)
    with pytest.raises(ValueError, match="silhouette"):
        overlay(WHITE, mask[1:])


def test_curves_tolerate_what_is_missing(tmp_path):
    rows = [
        {"epoch": 1, "loss": 0.5, "val_iou": None},
        {"epoch": 2, "loss": float("nan"), "hit_rate": 0.3, "key_cosine": None, "unknown": "text"},
        {"epoch": 3, "key_cosine": 0.7},
        {},
    ]
    for name, log in (("some", rows), ("none", [])):
        curves(log, tmp_path / f"{name}.png")
        with Image.open(tmp_path / f"{name}.png") as image:
            assert image.size == (1100, 990)


TOP = 8 + 15 + 8 + 15 + 8  # gap, title, gap, legend, gap
ROW = 137 + 2 * 15 + 8  # tile, caption of two lines, gap


def test_axes_sheet_of_photos_with_and_without_a_pose(tmp_path):
    entries = [add_photo(tmp_path, f"{n}.png", "model/v.mat", chair()) for n in range(2)]
    del entries[1]["rot_mat"]
    save_voxels(tmp_path, "model/v.mat", chair())
    picture = axes_sheet(Pix3D.open(write_list(tmp_path, entries)), [0, 1])
    red = picture[TOP:, :, 0].astype(int) - picture[TOP:, :, 1] > 60
    assert (picture[:TOP] == OVERLAY_COLOR).all(2).sum() == 20 * 11  # the legend, once
    half = len(red) // 2
    assert red[:half].any()
    assert not red[half + 20 :].any()


def test_axes_sheet_of_any_kind_of_data():
    data = MemoryDataset([lopsided(seed) for seed in range(2)])
    assert axes_sheet(data, [1, 0]).shape == (TOP + 2 * ROW, 8 + 4 * 145, 3)
    assert axes_sheet(data, [1], range(2)).shape == (TOP + ROW, 8 + 3 * 145, 3)
    data.projection = lambda i, view, grid: None  # no camera: photo twice, and the grid
    assert axes_sheet(data, [0]).shape[1] == 8 + 3 * 145
    with pytest.raises(ValueError, match="no shapes"):
        axes_sheet(data, [])


def test_axes_sheet_names_a_broken_model(tmp_path):
    root = make_r2n2(tmp_path)
    (root / "ShapeNetVox32" / "03001627" / "test1" / "model.binvox").write_bytes(b"torn")
    data = R2N2.open(root, "test")
    assert axes_sheet(data, [len(data) - 1], [0]).shape[1] == 8 + 145
    assert axes_sheet(data, [0], [5]).shape[1] == 8 + 145  # it has no such view


def test_axes_sheet_of_real_models(real_data):
    data = R2N2.open(real_data / "r2n2_real")
    picture = axes_sheet(data, [0, 5], [3])
    assert picture.shape == (TOP + 2 * ROW, 8 + 4 * 145, 3)


@pytest.mark.parametrize("azimuth", [35.0, 215.0])
def test_a_zoom_lets_grids_fill_their_pictures_and_cuts_nothing_off(azimuth):
    small, flat, whole = (np.zeros((16,) * 3, bool) for _ in range(3))
    small[6:10, 6:10, 6:10], flat[:, 7:9, 4:12], whole[:] = True, True, True
    assert (
        zoom_of([whole], [azimuth])
        == 1.0
        < zoom_of([flat], [azimuth])
        <= zoom_of([small], [azimuth])
    )
    assert zoom_of([small, whole], [azimuth]) == 1.0
    assert zoom_of([np.zeros((16,) * 3, bool)], [azimuth]) == 1.0
    for grid in (small, flat, whole):
        zoom = zoom_of([grid], [azimuth])
        inked = (grid_picture(grid, azimuth=azimuth, zoom=zoom) < 255).any(2)
        assert not (inked[0].any() or inked[-1].any() or inked[:, 0].any() or inked[:, -1].any())
        assert inked.sum() > (grid_picture(grid, azimuth=azimuth) < 255).any(2).sum() or zoom == 1


def test_several_grids_are_drawn_as_each_alone():
    grids = [np.random.default_rng(seed).random((6, 6, 6)) < 0.2 for seed in range(3)]
    for color in (GRID_COLOR, (150, 155, 162)):
        pictures = grid_pictures(grids, 215.0, 1.2, color)
        for grid, picture in zip(grids, pictures, strict=True):
            assert_array_equal(picture, grid_picture(grid, azimuth=215.0, zoom=1.2, color=color))
