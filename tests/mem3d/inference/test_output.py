"""Reconstructions as files that other programs read."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from PIL import Image

from mem3d.inference.output import FORMATS, is_own_picture
from mem3d.inference.reconstruct import Prior, Reconstruction
from memstore.voxels.binvox import read_binvox
from tests.helpers.r2n2_folder import blob, picture


@pytest.fixture
def result():
    occupancy = np.where(blob(0), np.float32(0.9), np.float32(0.1))
    occupancy[:8] = np.where(blob(0)[:8], 0.4, 0.1)
    seen = np.zeros((64, 64, 3), np.uint8)
    return Reconstruction(occupancy, 0.3, seen, (Prior(blob(1), 0.9, "chair/a", 3),))


def test_every_format_holds_the_shape(result, tmp_path):
    files = result.save_all(tmp_path / "thing", picture(0), formats=FORMATS)
    assert [path.name for path in files] == [f"thing.{kind}" for kind in (*FORMATS, "png")]
    for path in files[:4]:
        mesh = trimesh.load(path, force="mesh")
        assert mesh.is_watertight and mesh.volume > 0, path
        colors = np.unique(mesh.visual.vertex_colors[:, :3], axis=0)
        assert (len(colors) > 1) == (path.suffix != ".stl"), path  # sure at one end, not the other
    np.testing.assert_array_equal(read_binvox(tmp_path / "thing.binvox"), result.grid)
    with np.load(tmp_path / "thing.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["occupancy"], result.occupancy)
        assert arrays["recalled_sources"].tolist() == ["chair/a"]
        assert arrays["recalled_slots"].tolist() == [3]
        np.testing.assert_array_equal(arrays["recalled_grids"], blob(1)[None])


def test_blocky_and_plain(result, tmp_path):
    result.save(tmp_path / "a.ply", surface="blocky", confidence=False)
    mesh = trimesh.load(tmp_path / "a.ply", force="mesh")
    assert mesh.volume == pytest.approx(result.grid.mean(), rel=1e-5)
    assert mesh.visual.kind is None
    assert result.mesh("blocky").vertex_colors is not None


def test_the_ending_picks_the_format(result, tmp_path):
    result.save(tmp_path / "a.PNG")
    with Image.open(tmp_path / "a.PNG") as image:
        assert image.format == "PNG"
    with pytest.raises(ValueError, match="ending 'fbx', want one of glb, obj"):
        result.save(tmp_path / "a.fbx")
    with pytest.raises(ValueError, match="surface: got 'round'"):
        result.mesh("round")


def test_an_empty_shape_is_told(result, tmp_path):
    empty = replace(result, threshold=0.95)
    files = empty.save_all(tmp_path / "x", picture(0), formats=("glb", "binvox"))
    assert [path.name for path in files] == ["x.binvox", "x.png"]
    with pytest.raises(ValueError, match=r"got 0.95, want less than the largest .*0.900"):
        empty.save(tmp_path / "x.glb")


def test_its_own_pictures_are_known(result, tmp_path):
    """Other pictures and other files are not, however short."""
    result.save_all(tmp_path / "thing", picture(0))
    Image.open(tmp_path / "thing.png").save(tmp_path / "copied.png")  # by another program
    (tmp_path / "empty.png").touch()
    own = [path.name for path in tmp_path.iterdir() if is_own_picture(path)]
    assert own == ["thing.png"]
