"""The shape beside its photo, from the same camera; what colors mean."""

from math import log, pi

import numpy as np
import pytest

from mem3d.data.images.preprocess import test_pixels as pixels_of
from mem3d.data.images.viewpoint import Viewpoint, viewpoint
from mem3d.data.rendering.figures import grid_picture
from mem3d.data.rendering.renderer import SIZE, render
from mem3d.inference import figures
from mem3d.inference.printing import printable
from memstore.voxels.contact_sheet import Tile
from memstore.voxels.mesh import blocky
from tests.helpers.r2n2_folder import box

# As long in x as the grid, and unlike itself from any two sides: a mast at the front, a wing to +z.
GRID = (
    box((0, 8, 12), (32, 13, 20)) | box((25, 8, 13), (29, 24, 16)) | box((8, 8, 20), (14, 11, 27))
)
GRID |= box((8, 8, 5), (10, 10, 12))
CAMERAS = [(azimuth, 10.0 + azimuth / 12, 0.7 + azimuth / 1500) for azimuth in range(0, 360, 40)]


def overlap(first, second):
    """IoU of what is drawn in two pictures (H, W, 3), on white and on the network's gray."""
    a, b = (first < 220).any(axis=2), (second < 220).any(axis=2)
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("camera", CAMERAS)
def test_the_shape_lies_where_the_network_saw_it(camera):
    azimuth, elevation, ratio = camera
    mesh = blocky(GRID)
    photo = render(mesh, azimuth=azimuth, elevation=elevation, ratio=ratio, samples=4)
    seen = pixels_of(photo, SIZE).transpose(1, 2, 0)
    guess = viewpoint((azimuth, elevation, 0.0, ratio, 25.0), GRID)

    assert overlap(figures.as_photographed(mesh, GRID, guess), seen) > 0.93
    for other in (-guess.azimuth, guess.azimuth + pi, pi - guess.azimuth):
        apart = abs((other - guess.azimuth + pi) % (2 * pi) - pi)
        if apart > 0.3:  # else it is the same side
            wrong = figures.as_photographed(mesh, GRID, guess._replace(azimuth=other))
            assert overlap(wrong, seen) < 0.8


def test_where_the_middle_lies_is_kept():
    mesh, middle = blocky(GRID), Viewpoint(0.6, 0.4, log(1.8), 0.0, 0.0)
    first = figures.as_photographed(mesh, GRID, middle)
    moved = figures.as_photographed(mesh, GRID, middle._replace(right=10 / SIZE, down=-20 / SIZE))
    np.testing.assert_array_equal(moved[:-20, 10:], first[20:, :-10])


@pytest.mark.parametrize(
    "guess",
    [
        Viewpoint(1e3, 9.0, -50.0, 7.0, -7.0),
        Viewpoint(0.0, -9.0, 800.0, -3.0, 3.0),
        Viewpoint(0.1, pi / 2, 0.0, 0.0, 0.0),
    ],
)
def test_any_guess_can_be_drawn(guess):
    picture = figures.as_photographed(blocky(GRID), GRID, guess)
    assert picture.shape == (SIZE, SIZE, 3)


@pytest.fixture
def sheets(monkeypatch):
    """Rows and legend of each sheet."""
    drawn = []
    monkeypatch.setattr(figures, "sheet", lambda rows, _, legend=None: drawn.append((rows, legend)))
    return drawn


def test_the_view_of_the_photo_and_the_legend_are_there_if_they_are_known(sheets):
    mesh, photos = blocky(GRID), [Tile(np.zeros((9, 9), bool), "photo")]
    guess = Viewpoint(3.0, 0.4, log(1.8), 0.0, 0.0)
    figures.picture(photos, GRID, mesh, [], "", guess, 0.25)
    figures.picture(photos, GRID, mesh, [], "")
    figures.picture(photos, GRID, None, [], "", guess, 0.25)
    (known, legend), (unknown, none), (empty, _) = sheets
    captions = [tile.caption for tile in known[0]]
    assert captions == ["photo", "as in the photo", "front right", "back left"]
    np.testing.assert_array_equal(known[0][1].image, figures.as_photographed(mesh, GRID, guess))
    assert (legend.words, legend.is_scale) == (("0.25", "1"), True)
    assert [tile.caption for tile in unknown[0]] == ["photo", "front right", "back left"]
    assert none is None
    assert [tile.caption for tile in empty[0]] == ["photo", "no shape"]


def test_what_will_be_printed_has_a_row_of_its_own(sheets):
    occupancy = np.where(GRID, np.float32(0.9), np.float32(0.1))
    body, prior = printable(occupancy, 0.3, height=48), (GRID, "a prior")
    figures.picture([Tile(GRID[0], "photo")], GRID, blocky(GRID), [prior], "", body=body)
    [([_, row, priors], _)] = sheets
    deep, wide, _ = body.size
    assert [tile.caption for tile in row] == [
        "to print\nfront right",
        "to print\nback left",
        f"front: {wide:.0f} mm wide\n48 mm high",
        f"side: {deep:.0f} mm deep\n48 mm high",
    ]
    assert [tile.caption for tile in priors] == ["a prior"]
    front, side = ((tile.image < 250).any(2).any(0).sum() for tile in row[2:])
    assert side > front  # columns with ink: it is longer than it is wide


def test_voxels_that_are_missed_or_too_much_have_their_own_colors():
    front = GRID & (np.arange(32)[:, None, None] >= 24)
    row = figures.comparison_row(Tile(GRID[0]), GRID, front, 0.5, [])
    truth, network = row[1].image.astype(int), row[2].image.astype(int)
    inked = (truth < 250).any(axis=2)
    bluish = inked & (truth[..., 2] > truth[..., 0])
    reddish = inked & (truth[..., 0] > truth[..., 2])
    assert bluish.sum() > 100 and reddish.sum() > 100
    # The front end, which both have, hides nothing of itself: it is blue in both pictures.
    alone = (network < 250).any(axis=2)
    assert (network[alone][:, 2] > network[alone][:, 0]).all()
    assert (bluish & ~alone).mean() < 0.01

    swapped = figures.comparison_row(Tile(GRID[0]), front, GRID, 0.5, [])[2].image.astype(int)
    np.testing.assert_array_equal((swapped < 250).any(axis=2), inked)
    assert ((swapped[..., 0] > swapped[..., 2]) & inked).sum() == pytest.approx(
        reddish.sum(), rel=0.03
    )
    assert (swapped[reddish] != truth[reddish]).any(axis=1).mean() > 0.9  # another color


def test_where_both_agree_the_picture_is_the_plain_one():
    same = figures.comparison_row(Tile(GRID[0]), GRID, GRID, 1.0, [])
    zoom = figures.zoom_of([GRID], figures.VIEWS[:1])
    plain = grid_picture(GRID, azimuth=figures.VIEWS[0], zoom=zoom)
    for tile in same[1:3]:
        assert np.abs(tile.image.astype(int) - plain).mean() < 1
