"""Writing a pack, and that it is what the files hold."""

import json
import shutil

import numpy as np
import pytest
import zarr
from numpy.testing import assert_array_equal
from PIL import Image

from mem3d.data.images.preprocess import test_pixels as plain_pixels
from mem3d.data.images.preprocess import train_pixels
from mem3d.data.open import open_dataset
from mem3d.data.zarr_pack import writer as module
from mem3d.data.zarr_pack.writer import pack
from memstore.errors import PathExistsError
from tests.helpers.pix3d_folder import make_pix3d
from tests.helpers.r2n2_folder import make_r2n2


def contents(folder):
    """Every file's bytes."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def assert_same(ours, theirs):
    """Everything that training and evaluation ask of two data sets."""
    assert len(ours) == len(theirs)
    for i in range(len(ours)):
        assert (ours.shape_id(i), ours.category(i)) == (theirs.shape_id(i), theirs.category(i))
        assert ours.views(i) == theirs.views(i)
        assert_array_equal(ours.grid(i), theirs.grid(i))
        assert_array_equal(ours.cameras(i), theirs.cameras(i))
        for view in range(ours.views(i)):
            assert_array_equal(ours.image(i, view), theirs.image(i, view))


@pytest.mark.parametrize("per_shard", [1, 3, 2048])
def test_a_pack_holds_what_the_files_hold(made_up_data, tmp_path, per_shard):
    files = open_dataset(made_up_data)
    assert_same(pack(files, tmp_path / "p", per_shard=per_shard), files)
    for subset in ("train", "val", "test"):
        assert_same(open_dataset(tmp_path / "p", subset), open_dataset(made_up_data, subset))


def test_the_network_sees_the_same(made_up_data, tmp_path):
    files = open_dataset(made_up_data, "test")
    packed = pack(files, tmp_path / "p")
    for i in range(len(files)):
        ours, theirs = packed.image(i, 1), files.image(i, 1)
        assert plain_pixels(ours, 64).tobytes() == plain_pixels(theirs, 64).tobytes()
        first, second = (
            train_pixels(image, data.grid(i), 64, np.random.default_rng(i))
            for image, data in ((ours, packed), (theirs, files))
        )
        assert [part.tobytes() for part in first] == [part.tobytes() for part in second]


def test_real_views(real_data, tmp_path):
    files = open_dataset(real_data / "r2n2_real")
    assert_same(pack(files, tmp_path / "p", per_shard=50), files)


def test_processes_and_packing_a_pack_change_no_byte(made_up_data, tmp_path):
    files = open_dataset(made_up_data)
    pack(files, tmp_path / "one", per_shard=5)
    pack(files, tmp_path / "two", per_shard=5, processes=2)
    pack(open_dataset(tmp_path / "one"), tmp_path / "again", per_shard=5)
    want = contents(tmp_path / "one")
    assert contents(tmp_path / "two") == want
    assert contents(tmp_path / "again") == want


def test_any_zarr_library_finds_its_way(made_up_data, tmp_path):
    files = open_dataset(made_up_data)
    pack(files, tmp_path / "p", per_shard=5)
    group = zarr.open_group(tmp_path / "p", mode="r")
    models = group.attrs["mem3d_pack"]["models"]
    for i in range(len(files)):
        first, views = models["first_view"][i], models["views"][i]
        want = [files.image(i, view) for view in range(views)]
        assert_array_equal(group["images"][first : first + views], want)
        assert_array_equal(group["cameras"][first : first + views], files.cameras(i))
        bits = np.unpackbits(group["grids"][models["row"][i]]).astype(bool)
        assert_array_equal(bits.reshape(32, 32, 32), files.grid(i))


@pytest.fixture
def broken_data(tmp_path):
    """Of 8 models: one without a binvox, one with a cut view, one with a larger view."""
    root = make_r2n2(tmp_path / "data", train=2, val=1, test=1)
    chairs = root / "ShapeNetRendering" / "03001627"
    (root / "ShapeNetVox32" / "02691156" / "train0" / "model.binvox").unlink()
    (chairs / "train1" / "rendering" / "01.png").write_bytes(b"\x89PNG")
    Image.new("RGBA", (64, 64), (1, 2, 3, 255)).save(chairs / "val0" / "rendering" / "00.png")
    return root


@pytest.mark.parametrize("per_shard", [1, 3, 2048])
def test_broken_models_are_left_out_and_named(broken_data, tmp_path, per_shard):
    packed = pack(open_dataset(broken_data), tmp_path / "p", per_shard=per_shard)

    assert len(packed) == 5
    reasons = {skip.shape_id: skip.reason for skip in packed.skipped}
    assert "model.binvox" in reasons.pop("02691156/train0")
    assert "01.png" in reasons.pop("03001627/train1")
    assert "got (64, 64, 4), want (137, 137, 4)" in reasons.pop("03001627/val0")
    assert not reasons
    good = open_dataset(broken_data).check()
    assert [packed.shape_id(i) for i in range(5)] == [
        good.shape_id(i) for i in range(len(good)) if good.shape_id(i) != "03001627/val0"
    ]
    val = open_dataset(tmp_path / "p", "val")
    assert [skip.shape_id for skip in val.skipped] == ["03001627/val0"]


def test_an_interrupted_run_goes_on(made_up_data, tmp_path, monkeypatch):
    files = open_dataset(made_up_data)
    pack(files, tmp_path / "whole", per_shard=5)

    def stop(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(files, tmp_path / "p", per_shard=5, progress=stop)
    assert not (tmp_path / "p").exists()
    with pytest.raises(ValueError, match="unfinished pack of other data"):
        pack(open_dataset(made_up_data, "test"), tmp_path / "p", per_shard=5)
    written = []
    real = module._write
    monkeypatch.setattr(module, "_write", lambda job, task: (written.append(task), real(job, task)))
    calls = []
    pack(files, tmp_path / "p", per_shard=5, progress=lambda *call: calls.append(call))

    assert len(written) == 11 - 3  # 32 views and 16 grids make 7 and 4 shards
    assert calls == [(done, 11) for done in range(4, 12)]
    assert contents(tmp_path / "p") == contents(tmp_path / "whole")
    assert not (tmp_path / ".p.partial").exists()


def test_a_shard_that_is_gone_despite_its_note_is_written_again(made_up_data, tmp_path):
    """As after a power cut, where the note's folder was on the disk and the shard's was not."""
    files, beside = open_dataset(made_up_data), tmp_path / ".p.partial"
    pack(files, tmp_path / "whole", per_shard=5)

    def stop(done, total):
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(files, tmp_path / "p", per_shard=5, progress=stop)
    for shard in ("images/c/2", "cameras/c/3", "grids/c/1"):
        shutil.rmtree(beside / shard)
    calls = []
    pack(files, tmp_path / "p", per_shard=5, progress=lambda *call: calls.append(call))
    assert calls == [(9, 11), (10, 11), (11, 11)]
    assert contents(tmp_path / "p") == contents(tmp_path / "whole")


def test_mistakes(made_up_data, tmp_path):
    files = open_dataset(made_up_data)
    (tmp_path / "taken").write_text("")
    with pytest.raises(PathExistsError):
        pack(files, tmp_path / "taken")
    for setting in ({"per_shard": 0}, {"per_shard": 65537}, {"processes": 0}):
        with pytest.raises(ValueError, match=next(iter(setting))):
            pack(files, tmp_path / "p", **setting)
    lost = shutil.copytree(made_up_data, tmp_path / "lost")
    (lost / "split.json").write_text(json.dumps([]))
    with pytest.raises(ValueError, match="no shape that can be read"):
        pack(open_dataset(lost), tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_a_name_that_comes_twice_is_refused_before_anything_is_written(tmp_path):
    data = open_dataset(make_pix3d(tmp_path / "pix3d"))
    with pytest.raises(ValueError, match="name twice"):
        pack(data, tmp_path / "p")
    assert [path.name for path in tmp_path.iterdir()] == ["pix3d"]
