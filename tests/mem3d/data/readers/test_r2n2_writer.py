"""Writing model folders: cameras, claims, processes."""

import os
import signal

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mem3d.data.parallel import results
from mem3d.data.readers.r2n2 import R2N2
from mem3d.data.readers.r2n2_writer import claim, draw_cameras, write_shape
from mem3d.data.rendering.renderer import Scene
from memstore.voxels.mesh import blocky


def test_cameras_are_in_the_ranges_of_the_real_ones():
    rows = draw_cameras(500, np.random.default_rng(0))
    assert_array_equal(rows[:, [2, 4]], np.tile([0, 25], (500, 1)))
    for column, low, high in ((0, 0, 360), (1, 25, 30), (3, 0.65, 0.95)):
        span = high - low
        assert low <= rows[:, column].min() < low + 0.1 * span
        assert high - 0.1 * span < rows[:, column].max() <= high


def test_a_model_reads_back(tmp_path):
    grid = np.zeros((32,) * 3, bool)
    grid[:, 8:24, 3:9] = True
    cameras = draw_cameras(3, np.random.default_rng(1))
    scene = Scene(blocky(grid))
    write_shape(tmp_path, "03001627/a", grid, scene, cameras, 20)
    data = R2N2.open(tmp_path)
    assert [model.shape_id for model in data.shapes] == ["03001627/a"]
    assert_array_equal(data.grid(0), grid)
    np.testing.assert_allclose(data.cameras(0), cameras, rtol=1e-11)
    azimuth, elevation, _, ratio, _ = cameras[2]
    picture = scene.render(azimuth=azimuth, elevation=elevation, ratio=ratio, size=20)
    assert_array_equal(data.image(0, 2), picture)


def test_a_claim_is_kept(tmp_path):
    claim(tmp_path / "set", "made.json", {"seed": 1})
    claim(tmp_path / "set", "made.json", {"seed": 1})
    with pytest.raises(ValueError, match=r"\(seed 1 -> 2\)"):
        claim(tmp_path / "set", "made.json", {"seed": 2})
    with pytest.raises(ValueError, match=r"\(views None -> 3\)"):
        claim(tmp_path / "set", "made.json", {"seed": 1, "views": 3})
    with pytest.raises(ValueError, match="other files"):
        claim(tmp_path, "made.json", {})
    (tmp_path / "set" / "made.json").write_text("[]")
    with pytest.raises(ValueError, match="got list, want a JSON object"):
        claim(tmp_path / "set", "made.json", {})
    (tmp_path / "set" / "made.json").write_text("{")
    with pytest.raises(ValueError, match="JSON"):
        claim(tmp_path / "set", "made.json", {})


@pytest.mark.parametrize("processes", [1, 2])
def test_results_are_of_every_task(processes):
    with results(abs, [-3, 1, -2, 0], processes) as found:
        assert sorted(found) == [0, 1, 2, 3]


def test_a_killed_process_is_an_error_not_a_wait():
    with pytest.raises(ValueError, match="killed"), results(die, [1, 2, 3], 2) as found:
        list(found)


def die(_):
    os.kill(os.getpid(), signal.SIGKILL)


def interrupted(number):
    os.kill(os.getpid(), signal.SIGINT)
    return number


def test_a_worker_leaves_ctrl_c_to_the_process_that_started_it():
    with results(interrupted, [1, 2, 3], 2) as made:
        assert sorted(made) == [1, 2, 3]
