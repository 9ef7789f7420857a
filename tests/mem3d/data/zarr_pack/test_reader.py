"""Reading a pack: fast and slow alike, in workers, damaged."""

import json
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from numpy.testing import assert_array_equal
from torch.utils.data import DataLoader

from mem3d.data.dataset import Subset
from mem3d.data.loader import BatchSampler, PackedBatch, TrainingViews
from mem3d.data.open import open_dataset
from mem3d.data.rendering.renderer import project
from mem3d.data.zarr_pack.reader import ZarrPack
from mem3d.data.zarr_pack.schema import KEY
from mem3d.data.zarr_pack.shards import ShardFiles
from mem3d.data.zarr_pack.writer import pack
from tests.helpers.r2n2_folder import CATEGORIES, blob, make_r2n2, picture

GOLDEN = Path(__file__).parents[3] / "golden" / "pack-v1"


@pytest.fixture(scope="session")
def packed_data(made_up_data, tmp_path_factory):
    """A pack of made_up_data; read-only by agreement."""
    out = tmp_path_factory.mktemp("packed") / "p"
    pack(open_dataset(made_up_data), out, per_shard=5)
    return out


@pytest.fixture
def own(packed_data, tmp_path):
    """A copy to damage."""
    return shutil.copytree(packed_data, tmp_path / "own")


def sources(data):
    return [data.shape_id(i) for i in range(len(data))]


def test_fast_equals_slow(packed_data):
    fast, slow = ZarrPack.open(packed_data), ZarrPack.open(packed_data, fast=False)
    assert isinstance(fast._images, ShardFiles)
    assert not isinstance(slow._images, ShardFiles)
    rng = np.random.default_rng(0)
    for _ in range(50):
        i, view = int(rng.integers(len(fast))), int(rng.integers(2))
        assert_array_equal(fast.image(i, view), slow.image(i, view), strict=True)
        assert_array_equal(fast.grid(i), slow.grid(i), strict=True)


def test_any_store_of_zarr_will_do(packed_data, tmp_path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as file:
        for path in packed_data.rglob("*.json"):
            file.write(path, path.relative_to(packed_data))
        for path in packed_data.glob("*/c/**/0"):
            if path.is_file():
                file.write(path, path.relative_to(packed_data))
    with zarr.storage.ZipStore(tmp_path / "p.zip", mode="r") as store:
        data, files = ZarrPack.open(store, "val"), open_dataset(packed_data, "val")
        assert sources(data) == sources(files)
        assert_array_equal(data.image(2, 1), files.image(2, 1))
    with pytest.raises(ValueError, match="want a pack"):
        ZarrPack.open(zarr.storage.MemoryStore())


def test_arrays_written_in_another_way_are_read_through_zarr(own):
    want = open_dataset(own).image(3, 1)
    pictures = zarr.open_array(own / "images", mode="r")[:]
    shutil.rmtree(own / "images")
    other = zarr.create_array(
        own / "images", shape=pictures.shape, chunks=(7, 20, 137, 4), dtype="u1"
    )
    other[:] = pictures
    assert_array_equal(open_dataset(own).image(3, 1), want)


def test_choosing(packed_data, made_up_data, tmp_path):
    files = open_dataset(made_up_data, "train", categories=["chair"])
    assert sources(open_dataset(packed_data, "train", categories=["chair"])) == sources(files)
    split = tmp_path / "other.json"
    split.write_text(json.dumps([{"taxonomy_id": "03001627", "test": ["val1", "lost", "train0"]}]))
    data = open_dataset(packed_data, "test", split)
    assert sources(data) == ["03001627/val1", "03001627/train0"]
    assert [skip.shape_id for skip in data.skipped] == ["03001627/lost"]
    assert data.split == split
    for wish in ({"subset": "training"}, {"categories": ["dog"]}):
        with pytest.raises(ValueError, match=next(iter(wish))):
            open_dataset(packed_data, **wish)
    with pytest.raises(ValueError, match=r"view: got 2, want 0\.\.1"):
        data.image(0, 2)


def test_data_without_a_split_have_no_subsets(tmp_path):
    root = make_r2n2(tmp_path / "data", train=1, val=0, test=0)
    (root / "split.json").unlink()
    assert len(pack(open_dataset(root), tmp_path / "p")) == len(CATEGORIES)
    with pytest.raises(ValueError, match="subset 'train'"):
        open_dataset(tmp_path / "p", "train")


def test_projection_is_that_of_the_files(packed_data, made_up_data):
    data, files = open_dataset(packed_data), open_dataset(made_up_data)
    grid = files.grid(0)
    assert_array_equal(data.projection(1, 0, grid), files.projection(1, 0, grid))
    assert_array_equal(data.projection(1, 0, grid), project(grid, files.cameras(1)[0], 137))


class NoCameras(Subset):
    """Data of another layout, without cameras."""

    def cameras(self, i):
        return None


def test_data_without_cameras(made_up_data, tmp_path):
    data = pack(NoCameras(open_dataset(made_up_data), range(3), ()), tmp_path / "p")
    assert np.isnan(data.cameras(0)).all()
    assert data.projection(0, 0, data.grid(0)) is None


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of fork in a process with threads
def test_workers_read_the_same(packed_data, start):
    views = TrainingViews(open_dataset(packed_data, "train"), 64, seed=0, augment=True)
    views.data.image(0, 0)
    order = BatchSampler(len(views.data), 4, 1, seed=0)
    loader = DataLoader(
        views,
        batch_sampler=order,
        num_workers=2,
        collate_fn=PackedBatch.of,
        multiprocessing_context=start,
    )
    for batch, indices in zip(loader, order, strict=True):
        want = PackedBatch.of([views[index] for index in indices])
        assert batch.shapes == want.shapes
        assert_array_equal(batch.rows, want.rows)


def test_pickling_opens_again(packed_data):
    for fast in (True, False):
        data = ZarrPack.open(packed_data, "train", fast=fast)
        again = pickle.loads(pickle.dumps(data))
        assert sources(again) == sources(data)
        assert_array_equal(again.image(5, 1), data.image(5, 1))


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("part", ["images/c/0/0/0/0", "grids/c/0/0", "cameras/c/0/0"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_damage_is_found_and_named(own, fast, part, damage):
    path = own / part
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data if damage == "flip" else data[: len(data) // 2])
    if damage == "gone":
        path.unlink()
    whole = ZarrPack.open(own, fast=fast)
    good = whole.check()
    if part.startswith("cameras") and damage == "gone":
        return  # NaN: not known, which is no damage
    assert 0 < len(good) < len(whole)
    assert len(good.skipped) == len(whole) - len(good)
    assert all(part.split("/")[0] in skip.reason for skip in good.skipped)


def test_check_counts(packed_data):
    calls = []
    data = open_dataset(packed_data, "val").check(1, lambda *call: calls.append(call))
    assert (len(data), data.skipped) == (4, ())
    assert calls == [(n, 4) for n in (1, 2, 3, 4)]


def broken_tables():
    yield "no table", lambda pack: pack.pop("models")
    yield "another version", lambda pack: pack.update(version=2)
    yield "a huge grid", lambda pack: pack.update(resolution=10**6)
    yield "another grid", lambda pack: pack.update(resolution=16)
    yield "a column too short", lambda pack: pack["models"]["views"].pop()
    yield "views outside", lambda pack: pack["models"]["first_view"].__setitem__(3, 31)
    yield "a row outside", lambda pack: pack["models"]["row"].__setitem__(3, 16)
    yield "no views", lambda pack: pack["models"]["views"].__setitem__(3, 0)
    yield "a negative row", lambda pack: pack["models"]["row"].__setitem__(3, -1)
    yield "a row that is text", lambda pack: pack["models"]["row"].__setitem__(3, "1")
    yield "a source that is none", lambda pack: pack["models"]["source"].__setitem__(3, None)
    yield "a source twice", lambda pack: pack["models"]["source"].__setitem__(3, "02691156/train0")
    yield "another subset", lambda pack: pack["models"]["subset"].__setitem__(3, "all")
    yield "skipped no list", lambda pack: pack.update(skipped={})
    yield "skipped no rows", lambda pack: pack.update(skipped=[1])


@pytest.mark.parametrize(
    "damage", [f for _, f in broken_tables()], ids=[n for n, _ in broken_tables()]
)
def test_a_damaged_table_is_refused(own, damage):
    fields = json.loads((own / "zarr.json").read_text())
    damage(fields["attributes"][KEY])
    del fields["attributes"][KEY]["check"]  # as in packs from before, and from strangers
    (own / "zarr.json").write_text(json.dumps(fields))
    with pytest.raises(ValueError, match="own"):
        ZarrPack.open(own)


@pytest.mark.parametrize("name", ["zarr.json", "images/zarr.json", "grids/zarr.json"])
@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"zarr_format": 3}', "{}"])
def test_damaged_metadata_are_refused(own, name, text):
    (own / name).write_text(text)
    with pytest.raises(ValueError, match="own"):
        ZarrPack.open(own)


@pytest.mark.parametrize("shape", [[32, 10**9, 137, 4], [32, 137, 137, 3], [10**20, 137, 137, 4]])
def test_sizes_are_believed_only_within_limits(own, shape):
    path = own / "images" / "zarr.json"
    fields = json.loads(path.read_text())
    fields["shape"] = shape
    fields["chunk_grid"]["configuration"]["chunk_shape"][1:] = shape[1:]
    fields["codecs"][0]["configuration"]["chunk_shape"][1:] = shape[1:]
    fields["attributes"] = {}  # no check
    path.write_text(json.dumps(fields))
    with pytest.raises(ValueError, match="own"):
        ZarrPack.open(own)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("zarr.json", b'"first_view": [0, 2', b'"first_view": [0, 0'),  # another model's picture
        ("zarr.json", b'"check"', b'"chebk"'),  # not taken for a pack from before
        ("images/zarr.json", b'"shape": [32, 137,', b'"shape": [32, 136,'),  # cut-off pictures
        ("images/zarr.json", b'"check"', b'"chebk"'),
        ("cameras/zarr.json", b'"separator": "/"', b'"separator": "."'),  # none is found
    ],
)
def test_damage_that_reads_well_is_refused(own, name, before, after):
    data = (own / name).read_bytes()
    assert before in data
    (own / name).write_bytes(data.replace(before, after))
    with pytest.raises(ValueError, match=rf"{name}|own.*damaged or changed entries"):
        ZarrPack.open(own)


def test_version_1_still_opens():
    """A pack on a user's disk is a promise: never remake GOLDEN, add pack-v2 beside it."""
    for fast in (True, False):
        data = ZarrPack.open(GOLDEN, fast=fast)
        assert sources(data) == [f"02691156/{n}" for n in ("train0", "val0")] + [
            f"03001627/{n}" for n in ("train0", "val0")
        ]
        for i, seed in enumerate((0, 100, 1000, 1100)):  # as made_up.make_r2n2 draws them
            assert_array_equal(data.grid(i), blob(seed))
            assert_array_equal(data.image(i, 1), picture(seed))
            assert_array_equal(data.cameras(i), [[30, 28, 0, 0.8, 25]] * 2)
        assert len(ZarrPack.open(GOLDEN, "val", fast=fast)) == 2


def test_what_is_no_pack(tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        ZarrPack.open(tmp_path / "nowhere")
    zarr.create_group(tmp_path / "group")
    with pytest.raises(ValueError, match="group"):
        open_dataset(tmp_path / "group")
