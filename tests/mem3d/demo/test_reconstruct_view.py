"""What the demo page does with a photo."""

import os
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from PIL import Image

from mem3d.data.taxonomy import titled
from mem3d.demo import reconstruct_view
from mem3d.demo.reconstruct_view import (
    CANVAS,
    account,
    editor_value,
    read_paint,
    read_shape,
    recalled_tiles,
    reconstruct_corrected,
    reconstruct_upload,
    to_print,
    write_files,
)
from memstore.voxels.binvox import read_binvox, write_binvox
from tests.helpers.r2n2_folder import blob, picture
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


def on_paper(path):
    """A photo without transparency: a dark disc on white, and where it is."""
    rgba = picture(0)
    where = rgba[..., 3] > 0
    ground = np.full((*where.shape, 3), 250, np.uint8)
    ground[where] = (40, 60, 120)
    Image.fromarray(ground).save(path)
    return path, where


def test_the_mask_is_told_at_the_photos_size(shown, trained, tmp_path):
    np.testing.assert_array_equal(shown.mask, picture(0)[..., 3] > 127)
    path, where = on_paper(tmp_path / "paper.png")
    cut = reconstruct_upload(*trained[1:3], path)
    assert cut.background == "cut"
    assert (cut.mask & where).sum() / (cut.mask | where).sum() > 0.9
    kept = reconstruct_upload(*trained[1:3], path, background="keep")
    assert kept.mask is None
    assert not editor_value(kept)["layers"][0].any()


def test_paint_comes_back_as_it_went(shown, tmp_path):
    """Over a white ground; of a photo that is not square, and at another size as well."""
    low = replace(shown, photo=shown.photo[20:110], mask=shown.mask[20:110])
    for photo in (shown, low):
        value = editor_value(photo)
        assert value["background"][0, 0].tolist() == [255, 255, 255]
        layer = Image.fromarray(value["layers"][0])
        assert layer.size == value["background"].shape[:2] == (CANVAS, CANVAS)
        for size in (CANVAS, 2 * CANVAS):
            layer.resize((size, size)).save(tmp_path / "layer.png")
            paint = read_paint([tmp_path / "layer.png"], photo)
            assert (paint & photo.mask).sum() / (paint | photo.mask).sum() > 0.97
        assert not read_paint([], photo).any()


def test_the_mask_lies_over_its_object_in_the_editor(shown):
    """By hand: of a photo 2 high and 4 wide, the canvas's middle half; its left pixel painted."""
    photo = np.zeros((2, 4, 4), np.uint8)
    photo[:, 0] = (200, 10, 10, 255)
    small = replace(shown, photo=photo, mask=photo[..., 3] > 0)
    value, quarter = editor_value(small), CANVAS // 4
    where = np.zeros((CANVAS, CANVAS), np.bool_)
    where[quarter : 3 * quarter, :quarter] = True
    np.testing.assert_array_equal(value["layers"][0][..., 3] > 0, where)
    np.testing.assert_array_equal((value["background"] == (200, 10, 10)).all(2), where)


def test_the_object_is_found_in_a_box_around_a_stroke(trained, tmp_path):
    """Two discs: of the whole photo both are cut out, in the box the right one alone."""
    _, model, memory, _ = trained
    y, x = np.mgrid[:120, :240]
    discs = [np.hypot(x - middle, y - 60) < 25 for middle in (60, 180)]
    photo = np.full((120, 240, 3), 250, np.uint8)
    photo[discs[0] | discs[1]] = (40, 60, 120)
    Image.fromarray(photo).save(tmp_path / "two.png")
    shown = reconstruct_upload(model, memory, tmp_path / "two.png")
    stroke = np.zeros((120, 240), np.bool_)
    stroke[range(32, 89), range(152, 209)] = True  # from corner to corner
    found = reconstruct_corrected(model, memory, shown, stroke, is_box=True)
    assert found.background == "cut"
    assert (found.mask & discs[1]).sum() / (found.mask | discs[1]).sum() > 0.9
    assert not (found.mask & discs[0]).any()
    with pytest.raises(ValueError, match="mask: got no paint"):
        reconstruct_corrected(model, memory, shown, np.zeros_like(stroke))


def test_files_to_print_are_of_the_size(shown, tmp_path):
    threshold = float(np.median(shown.result.occupancy))
    body = to_print(shown, threshold, 80, "smooth")
    files = write_files(shown, threshold, tmp_path, body=body)
    assert list(files) == ["glb", "binvox", "npz", "stl", "3mf"]
    assert trimesh.load(files["stl"]).extents.max() == pytest.approx(80, rel=1e-6)
    assert files["3mf"].read_bytes()[:2] == b"PK"
