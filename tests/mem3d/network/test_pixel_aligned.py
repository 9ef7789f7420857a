from math import log, pi, radians

import numpy as np
import pytest
import torch

from mem3d.data.images import preprocess
from mem3d.data.images.preprocess import CROP, TEST_WINDOW, Window, train_view
from mem3d.data.images.viewpoint import UNKNOWN, viewpoint
from mem3d.data.rendering.renderer import FOCAL, MAX_DISTANCE, Scene, camera
from mem3d.network.heads.pose import BINS, ViewpointHead, azimuth_error, decode, viewpoint_loss
from mem3d.network.pixel_aligned import (
    project,
    sample_features,
    unproject,
    voxel_centers,
    voxel_centers_blocked,
)
from memstore.voxels.mesh import blocky
from tests.helpers.memory_dataset import lopsided


def seen_at(row, grid, point, window=TEST_WINDOW):
    """By definition: a point of the grid, -.5 to .5, in the scene, the picture, the window."""
    filled = np.argwhere(grid)
    extents = filled.max(0) - filled.min(0) + 1
    eye, axes = camera(row[0], row[1], row[3])
    place = np.asarray(point) * extents.max() / np.linalg.norm(extents) - eye
    x, y, back = axes @ place
    u, v = FOCAL * x / -back, -FOCAL * y / -back  # picture sides from the picture's middle
    u, v = (u - window.x) / window.side, (v - window.y) / window.side
    return (-2 * u if window.is_mirrored else 2 * u), 2 * v


def box(*extents):
    grid = np.zeros((16, 16, 16), np.bool_)
    low = [(16 - side) // 2 for side in extents]
    grid[tuple(slice(a, a + side) for a, side in zip(low, extents, strict=True))] = True
    return grid


@pytest.mark.parametrize(
    "window", [TEST_WINDOW, Window(CROP, 0.03, -0.02, False), Window(CROP, 0.03, 0.01, True)]
)
def test_points_are_projected_as_the_definition_says(window):
    rng = np.random.default_rng(0)
    grid = box(16, 8, 12)
    points = rng.uniform(-0.5, 0.5, (20, 3)).astype(np.float32)
    row = (200.0, 27.0, 0.0, 0.8, 25.0)
    mirrored = points * [1, 1, -1] if window.is_mirrored else points
    guess = torch.tensor([viewpoint(row, grid, window)])
    actual, _ = project(guess, torch.from_numpy(mirrored.astype(np.float32)))
    want = [seen_at(row, grid, point, window) for point in points]
    np.testing.assert_allclose(actual[0].numpy(), want, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        short, _ = project(guess, torch.from_numpy(mirrored.astype(np.float32)))
    assert torch.equal(short, actual)


def test_a_crop_that_shows_less_counts_as_a_nearer_camera():
    grid = box(16, 8, 12)
    row = (10.0, 26.0, 0.0, 0.7, 25.0)
    whole, part = viewpoint(row, grid), viewpoint(row, grid, Window(CROP / 2, 0, 0, False))
    assert whole.log_distance - part.log_distance == pytest.approx(log(2))
    assert part[:2] == whole[:2]
    longest = 16 / np.linalg.norm([16, 8, 12])
    assert whole.log_distance == pytest.approx(log(MAX_DISTANCE * 0.7 / longest))


def test_voxels_are_seen_on_the_object_in_training_pictures_too():
    grid = lopsided(3, side=16)
    row = (130.0, 28.0, 0.0, 0.75, 25.0)
    rgba = Scene(blocky(grid)).render(azimuth=130, elevation=28, ratio=0.75, size=137)
    for seed in range(6):
        view = train_view(rgba, grid, 64, np.random.default_rng(seed))
        places, _ = project(torch.tensor([viewpoint(row, grid, view.window)]), voxel_centers(16))
        columns, rows = ((places[0].T + 1) / 2 * 64).long().clamp(0, 63)
        ground = torch.from_numpy(view.pixels[:, :1, :1].astype(int))
        mask = (torch.from_numpy(view.pixels.astype(int)) - ground).abs().sum(0) > 12
        filled = torch.from_numpy(view.grid.reshape(-1))
        on_object = mask[rows, columns]
        assert on_object[filled].float().mean() > 0.93
        other = mask[rows, 63 - columns]
        assert other[filled].float().mean() < on_object[filled].float().mean() - 0.05


def test_what_is_nearer_the_camera_is_told():
    above = torch.tensor([[0.0, pi / 2 - 1e-3, 0.5, 0.0, 0.0]])
    _, nearness = project(above, torch.tensor([[0.0, 0.4, 0.0], [0.0, -0.4, 0.0]]))
    assert nearness[0, 0] > nearness[0, 1]


def test_lifting_reads_the_map_where_a_voxel_is_seen():
    ramp = torch.linspace(-1, 1, 65)[None, None, None].expand(1, 1, 65, 65).contiguous()
    guess = torch.tensor([[0.3, 0.4, 0.6, 0.0, 0.0]])
    places, _ = project(guess, voxel_centers(4))
    actual = unproject(ramp, places, 4)
    inside = (places.abs() < 0.98).all(2)[0]
    want = places[0, :, 0] * 65 / 64  # pixels' middles span a little less than the picture
    torch.testing.assert_close(actual.flatten()[inside], want[inside], atol=1e-4, rtol=0)
    assert unproject(ramp, places + 10, 4).abs().max() == 0  # past the edge: nothing


def test_centers_are_in_a_grids_order():
    points = voxel_centers(4).reshape(4, 4, 4, 3)
    assert points[3, 0, 1].tolist() == [0.375, -0.375, -0.125]


def test_no_camera_or_no_voxel_gives_no_viewpoint():
    assert viewpoint(None, box(2, 2, 2)) is UNKNOWN
    assert viewpoint((0, 25, 0, 1, 25), np.zeros((4, 4, 4), np.bool_)) is UNKNOWN


def test_a_sure_guess_is_decoded_and_costs_little():
    true = torch.tensor([[radians(93), 0.5, 0.7, 0.01, -0.02]])
    guess = torch.zeros(1, BINS + 4)
    guess[0, 9] = 30.0
    guess[0, BINS:] = (true[0, 1:] - torch.tensor([0.48, 0.6, 0, 0])) / torch.tensor(
        [0.1, 0.3, 0.05, 0.05]
    )
    result = decode(guess)
    assert azimuth_error(result, true).item() < radians(5.1)
    torch.testing.assert_close(result[:, 1:], true[:, 1:])
    wrong = guess.roll(18, 1)
    assert viewpoint_loss(guess, true) < viewpoint_loss(wrong, true)


def test_azimuth_errors_go_the_short_way_round():
    one, other = torch.zeros(1, 5), torch.zeros(1, 5)
    one[0, 0], other[0, 0] = radians(359), radians(-358)
    assert azimuth_error(one, other).item() == pytest.approx(radians(3), abs=1e-5)


def test_unknown_viewpoints_do_not_count_and_give_no_gradient():
    head = ViewpointHead(8).eval()
    features = torch.randn(3, 8, requires_grad=True)
    true = torch.tensor([[1.0, 0.5, 0.6, 0.0, 0.0], UNKNOWN, UNKNOWN])
    both = viewpoint_loss(head(features), true)
    torch.testing.assert_close(both, viewpoint_loss(head(features[:1]), true[:1]))
    both.backward()
    assert features.grad[0].abs().sum() > 0 and features.grad[1:].abs().sum() == 0
    assert viewpoint_loss(head(features), true[1:2].expand(3, 5)) == 0


def test_test_pictures_and_test_windows_agree():
    rgba = Scene(blocky(box(16, 8, 12))).render(azimuth=40, elevation=28, ratio=0.75, size=137)
    places, _ = project(
        torch.tensor([viewpoint((40, 28, 0, 0.75, 25), box(16, 8, 12))]), voxel_centers(16)
    )
    filled = torch.from_numpy(box(16, 8, 12).reshape(-1))
    columns, rows = ((places[0, filled].T + 1) / 2 * 64).long().clamp(0, 63)
    mask = (torch.from_numpy(preprocess.test_pixels(rgba, 64).astype(int)) - 240).abs().sum(0) > 12
    assert mask[rows, columns].float().mean() > 0.97


def test_voxels_in_eights_are_what_a_convolution_of_stride_2_sums_over():
    torch.manual_seed(0)
    conv = torch.nn.Conv3d(3, 5, 2, stride=2, bias=False)
    maps, places = torch.randn(2, 3, 6, 6), torch.rand(2, 8**3, 2) * 2 - 1
    want = conv(unproject(maps, places, 8))
    order = (voxel_centers_blocked(8) + 0.5) * 8 - 0.5
    at = (order @ torch.tensor([64.0, 8.0, 1.0])).round().long()  # place of each in a flat grid
    result = sample_features(maps, places[:, at].unflatten(1, (8, -1)))
    actual = (conv.weight.flatten(1) @ result.flatten(1, 2)).unflatten(2, (4, 4, 4))
    torch.testing.assert_close(actual, want)
