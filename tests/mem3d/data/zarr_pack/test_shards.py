"""Shard files, against zarr as the other implementation, and damaged ones."""

import json
import os
import pickle

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from mem3d.data.zarr_pack.schema import items_metadata
from mem3d.data.zarr_pack.shards import ShardFiles, pack_item, pack_shard, unpack_item

SHAPE, PER_SHARD, COUNT = (3, 5), 4, 10


def items():
    return np.random.default_rng(0).integers(0, 5, (COUNT, *SHAPE), np.uint8)


@pytest.fixture
def folder(tmp_path):
    """An array of which item 6 is missing."""
    (tmp_path / "zarr.json").write_text(json.dumps(items_metadata(COUNT, SHAPE, PER_SHARD)))
    packed = [None if i == 6 else pack_item(item, 3) for i, item in enumerate(items())]
    for shard in range(3):
        path = tmp_path / "c" / str(shard) / "0" / "0"
        path.parent.mkdir(parents=True)
        some = packed[shard * PER_SHARD : (shard + 1) * PER_SHARD]
        path.write_bytes(pack_shard(some, PER_SHARD))
    return tmp_path


def reader(folder):
    return ShardFiles(folder, SHAPE, COUNT, PER_SHARD)


def test_zarr_reads_what_we_write(folder):
    want = items()
    want[6] = 1  # the fill value
    assert_array_equal(zarr.open_array(folder, mode="r")[:], want)


def test_we_read_what_zarr_writes(tmp_path):
    array = zarr.create_array(
        tmp_path / "a",
        shape=(COUNT, *SHAPE),
        shards=(PER_SHARD, *SHAPE),
        chunks=(1, *SHAPE),
        dtype="uint8",
        compressors=[zarr.codecs.ZstdCodec(level=1), zarr.codecs.Crc32cCodec()],
    )
    array[:] = items() + 1  # no item of zeros: zarr leaves out what equals its fill value
    ours = reader(tmp_path / "a")
    assert_array_equal(np.stack([ours.read(i) for i in range(COUNT)]), items() + 1)


def test_every_item_but_the_missing_one(folder):
    ours = pickle.loads(pickle.dumps(reader(folder)))
    for i in set(range(COUNT)) - {6}:
        assert_array_equal(ours.read(i), items()[i])
    for i in (6, -1, COUNT):
        with pytest.raises(ValueError, match=f"got (no )?item {i}"):
            ours.read(i)


@given(st.data())
def test_a_flipped_bit_is_noticed_or_is_in_another_item(tmp_path_factory, data):
    packed = [pack_item(item, 3) for item in items()[:PER_SHARD]]
    whole = bytearray(pack_shard(packed, PER_SHARD))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.mktemp("shard") / "c" / "0" / "0" / "0"
    path.parent.mkdir(parents=True)
    path.write_bytes(whole)
    ours = ShardFiles(path.parents[3], SHAPE, PER_SHARD, PER_SHARD)
    noticed = 0
    for i in range(PER_SHARD):
        try:
            assert_array_equal(ours.read(i), items()[i])
        except ValueError as error:
            assert str(path) in str(error)
            noticed += 1
    assert noticed in (1, PER_SHARD)  # one item, or the index


@pytest.mark.parametrize("keep", [0, 10, 60, -1])
def test_a_shard_cut_short_is_named(folder, keep):
    path = folder / "c" / "0" / "0" / "0"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="c/0/0/0"):
        reader(folder).read(0)


def test_a_shard_cut_short_after_its_index_was_read(folder):
    ours, path = reader(folder), folder / "c" / "0" / "0" / "0"
    ours.read(0)
    os.truncate(path, 5)
    with pytest.raises(ValueError, match="c/0/0/0: got 5 bytes"):
        ours.read(0)


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 2**63), (2**64 - 2, 10), (0, 2**64 - 1), (10**6, 1), (2**64 - 1, 0)]
)
def test_an_index_that_points_outside_is_refused(folder, offset, length):
    import google_crc32c

    index = np.zeros((PER_SHARD, 2), "<u8")
    index[2] = offset, length
    data = index.tobytes()
    end = google_crc32c.value(data).to_bytes(4, "little")
    (folder / "c" / "0" / "0" / "0").write_bytes(b"x" * 50 + data + end)
    with pytest.raises(ValueError, match="points outside"):
        reader(folder).read(0)


def test_a_missing_file_and_a_pipe_are_named(folder):
    path = folder / "c" / "0" / "0" / "0"
    path.unlink()
    with pytest.raises(ValueError, match="c/0/0/0"):
        reader(folder).read(0)
    os.mkfifo(path)
    with pytest.raises(ValueError, match="c/0/0/0"):
        reader(folder).read(0)


@pytest.mark.parametrize("size", [1, 255, 256, 257, 65_791, 65_792, 70_000])
def test_the_size_a_frame_claims_is_held_against_the_arrays(size):
    data = pack_item(np.arange(size, dtype=np.uint8), 3)
    assert unpack_item(data, size, "x").tolist() == (np.arange(size) % 256).tolist()
    with pytest.raises(ValueError, match=f"x: got {size} bytes of content, want {size + 1}"):
        unpack_item(data, size + 1, "x")


@given(st.binary(max_size=60))
def test_any_bytes_give_an_error(data):
    with pytest.raises(ValueError, match="x: "):
        unpack_item(data, 15, "x")
    import google_crc32c

    whole = data + google_crc32c.value(data).to_bytes(4, "little")
    with pytest.raises(ValueError, match="x: "):
        unpack_item(whole, 15, "x")
