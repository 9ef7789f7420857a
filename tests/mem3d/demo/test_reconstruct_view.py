"""What the demo page does with a photo."""

import os

import numpy as np
import pytest
import trimesh

from mem3d.data.taxonomy import titled
from mem3d.demo import reconstruct_view
from mem3d.demo.reconstruct_view import (
    account,
    read_shape,
    recalled_tiles,
    reconstruct_upload,
    write_files,
)
from memstore.voxels.binvox import read_binvox, write_binvox
from tests.helpers.r2n2_folder import blob
from tests.helpers.untrained_run import save_photo


@pytest.fixture
def shown(trained, tmp_path):
    _, model, memory, _ = trained
    return reconstruct_upload(model, memory, save_photo(tmp_path / "thing.png"))


def test_a_photo_is_shown_with_what_it_recalls(shown):
    assert (shown.name, shown.background) == ("thing", "masked")
    nearest = shown.result.priors[0]
    assert nearest.cosine == max(prior.cosine for prior in shown.result.priors)
    tiles = recalled_tiles(shown)
    assert len(tiles) == len(shown.result.priors)
    assert tiles[0][0].shape == (reconstruct_view.TILE, reconstruct_view.TILE, 3)
    assert tiles[0][1] == f"1 · cosine {nearest.cosine:.3f}\n{titled(nearest.source)}"
    assert f"cosine of {nearest.cosine:.2f}" in account(shown)


def test_another_threshold_is_meshed_without_the_network(trained, tmp_path):
    _, model, memory, _ = trained
    runs = []
    with model.register_forward_hook(lambda *_: runs.append("network")):
        shown = reconstruct_upload(model, memory, save_photo(tmp_path / "a.png"))
        volumes = []
        for threshold in np.quantile(shown.result.occupancy, [0.2, 0.8]).tolist():
            files = write_files(shown, threshold, tmp_path)
            volumes.append(trimesh.load(files["glb"], force="mesh").volume)
    assert runs == ["network"]
    assert volumes[0] > volumes[1] > 0


@pytest.mark.parametrize("look", ["smooth", "blocky"])
def test_the_files_hold_the_same_shape(shown, look, tmp_path):
    threshold = float(np.median(shown.result.occupancy))
    files = write_files(shown, threshold, tmp_path, look)
    assert [path.name for path in files.values()] == ["thing.glb", "thing.binvox", "thing.npz"]
    grid = shown.result.occupancy > threshold
    np.testing.assert_array_equal(read_binvox(files["binvox"]), grid)
    with np.load(files["npz"]) as told:
        np.testing.assert_array_equal(told["grid"], grid)
        np.testing.assert_array_equal(told["occupancy"], shown.result.occupancy)
        assert told["recalled_sources"].tolist() == [prior.source for prior in shown.result.priors]
        lengths = {len(told[f"recalled_{name}"]) for name in ("grids", "slots", "cosines")}
        assert lengths == {len(shown.result.priors)}
        np.testing.assert_array_equal(told["feature"], shown.feature)
    mesh = trimesh.load(files["glb"], force="mesh")
    if look == "blocky":  # by hand: a voxel is 1/32 wide
        assert mesh.volume == pytest.approx(grid.sum() / 32**3, rel=1e-3)


def test_an_empty_shape_has_no_files(shown, tmp_path):
    assert write_files(shown, float(shown.result.occupancy.max()), tmp_path) == {}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"no picture", "bad.png: got no picture"),
        (b"", "bad.png: got no picture"),
        (b"\x89PNG\r\n\x1a\n" + b"0" * 40, "bad.png: got an unreadable picture"),
    ],
)
def test_what_is_no_photo_is_named_without_its_folder(content, says, trained, tmp_path):
    _, model, memory, _ = trained
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(ValueError, match=says) as refused:
        reconstruct_upload(model, memory, tmp_path / "bad.png")
    assert str(tmp_path) not in str(refused.value)


def test_uploads_are_bounded(trained, tmp_path, monkeypatch):
    _, model, memory, _ = trained
    large = tmp_path / "large.png"
    large.touch()
    os.truncate(large, reconstruct_view.MAX_BYTES + 2**20)
    for read in (lambda: reconstruct_upload(model, memory, large), lambda: read_shape(large)):
        with pytest.raises(ValueError, match=r"large.png: got 21.0 MB, want at most 20 MB"):
            read()
    monkeypatch.setattr(reconstruct_view, "MAX_PIXELS", 99)
    with pytest.raises(ValueError, match=r"a\.png: got 137x137 pixels, want at most 99"):
        reconstruct_upload(model, memory, save_photo(tmp_path / "a.png"))


def test_a_shape_is_read_or_refused_by_name(tmp_path):
    write_binvox(tmp_path / "a.binvox", blob(0))
    np.testing.assert_array_equal(read_shape(tmp_path / "a.binvox"), blob(0))
    (tmp_path / "b.binvox").write_bytes(b"#binvox 2")
    with pytest.raises(ValueError, match=r"^b\.binvox: got a file"):
        read_shape(tmp_path / "b.binvox")
