"""Colors that say how sure the network is."""

import numpy as np
import pytest

from mem3d.inference.output import SURE, UNSURE, colored, vertex_confidence
from memstore.voxels.mesh import blocky, smooth


def two_beams(sure=1.0, unsure=0.4):
    """Two separate beams along y, at x < 4 and x > 4, in an 8^3 grid."""
    occupancy = np.zeros((8, 8, 8), np.float32)
    occupancy[1:3, :, 3:5] = sure
    occupancy[6, :, 3:5] = unsure
    return occupancy


@pytest.mark.parametrize("make", [smooth, lambda occupancy, level: blocky(occupancy > level)])
def test_each_part_has_its_own(make):
    occupancy = two_beams()
    mesh = make(occupancy, 0.3)
    found = vertex_confidence(mesh, occupancy, 0.3)
    left = mesh.vertices[:, 0] < 0
    assert left.any() and not left.all()
    np.testing.assert_allclose(found[left], 1)
    np.testing.assert_allclose(found[~left], 0.4, rtol=1e-6)


def test_sub_voxel_places_do_not_matter():
    """A sure block whose outermost voxels are filled by a third is as sure as one without them."""
    occupancy = np.zeros((8, 8, 8), np.float32)
    occupancy[2:6, 2:6, 2:6] = 0.35
    occupancy[3:5, 3:5, 3:5] = 1
    mesh = smooth(occupancy, 0.3)
    np.testing.assert_allclose(vertex_confidence(mesh, occupancy, 0.3), 1)


def test_a_grid_filled_to_its_edges_stays_within_it():
    """What lies at the other end of the grid is no neighbor."""
    occupancy = np.zeros((4, 4, 4), np.float32)
    occupancy[0], occupancy[3] = 0.5, 0.9
    mesh = blocky(occupancy > 0.3)
    found = vertex_confidence(mesh, occupancy, 0.3)
    np.testing.assert_allclose(found[mesh.vertices[:, 0] < 0], 0.5)


def test_colors_run_from_unsure_to_sure():
    mesh = smooth(two_beams(unsure=0.3001), 0.3)
    colors = colored(mesh, two_beams(unsure=0.3001), 0.3).vertex_colors
    assert {tuple(color) for color in colors.tolist()} == {SURE, UNSURE}
