"""Exports and hostile folders in plain Zarr."""

import json
import os

import numpy as np
import pytest
import zarr
from numpy.testing import assert_array_equal

from memstore import FormatError, PathError
from memstore.exchange import export, import_memory
from tests.helpers.random_memories import assert_same, busy_memory


@pytest.fixture
def folder(tmp_path):
    export(busy_memory(), tmp_path / "a.zarr")
    return tmp_path / "a.zarr"


def edit(path, change):
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))


def test_zarr_alone_reads_an_export(folder):
    memory, group = busy_memory(), zarr.open_group(folder, mode="r")
    assert group["slots"][:].tolist() == memory.slots.tolist()
    assert_array_equal(group["keys"][:], memory.keys(memory.slots))
    assert [row.tobytes().rstrip(b"\0").decode() for row in group["sources"][:]] == memory.sources
    assert group.attrs["config"]["capacity"] == 6


def test_several_chunks_are_joined(tmp_path, monkeypatch):
    monkeypatch.setattr("memstore.exchange.zarr.BLOCK_BYTES", 50)
    memory = busy_memory(3, writes=12)
    export(memory, tmp_path / "a.zarr")
    assert len(list((tmp_path / "a.zarr" / "keys" / "c").iterdir())) == len(memory)
    assert_same(memory, import_memory(tmp_path / "a.zarr"))


def test_a_value_in_no_chunk_is_not_taken_for_empty(folder):
    (folder / "values" / "c" / "0" / "0" / "0" / "0").unlink()
    with pytest.raises(FormatError, match="values: got 0 of its 1 chunks"):
        import_memory(folder)


def test_chunks_that_unpack_are_refused(tmp_path):
    group = zarr.create_group(tmp_path / "a.zarr")
    group.create_array("keys", data=np.eye(2, 3))
    with pytest.raises(FormatError, match="keys: got packed chunks"):
        import_memory(tmp_path / "a.zarr")


def test_pairs_come_from_anybodys_folder(tmp_path):
    group = zarr.create_group(tmp_path / "a.zarr")
    group.create_array("keys", data=np.eye(2, 3), compressors=None)
    group.create_array("values", data=np.ones((2, 2, 2, 2), np.bool_), compressors=None)
    memory = import_memory(tmp_path / "a.zarr")
    assert_array_equal(memory.keys([0, 1]), np.eye(2, 3, dtype=np.float32))


@pytest.mark.parametrize("shape", [[2**40], [2**62]])
def test_a_shape_of_the_moon_is_refused(folder, shape):
    edit(folder / "slots" / "zarr.json", lambda facts: facts.update(shape=shape))
    with pytest.raises(FormatError, match="arrays: got"):
        import_memory(folder)


def test_a_chunk_of_the_moon_is_refused(folder):
    def change(facts):
        facts["chunk_grid"]["configuration"]["chunk_shape"] = [2**40]

    edit(folder / "slots" / "zarr.json", change)
    with pytest.raises(FormatError, match="slots: got chunks"):
        import_memory(folder)


def test_long_metadata_is_not_parsed(folder):
    (folder / "keys" / "zarr.json").write_bytes(bytes(2**20 + 1))
    with pytest.raises(FormatError, match=r"zarr\.json: got 1048577 bytes"):
        import_memory(folder)


@pytest.mark.timeout(20)
def test_more_chunks_than_files_are_not_listed(tmp_path):
    group = zarr.create_group(tmp_path / "a.zarr")
    group.create_array("keys", data=np.eye(1, 3), compressors=None)
    shape, chunks = (2**19, 8, 8, 8), (1, 1, 1, 1)
    group.create_array("values", shape=shape, chunks=chunks, dtype=np.bool_, compressors=None)
    edit(tmp_path / "a.zarr" / "keys" / "zarr.json", lambda facts: facts.update(shape=[2**19, 3]))
    with pytest.raises(FormatError, match=r"values: got 268435456 chunks in \d files"):
        import_memory(tmp_path / "a.zarr")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("file", ["zarr.json", "keys/zarr.json", "keys/c/0/0"])
def test_a_pipe_is_not_waited_for(folder, file):
    (folder / file).unlink()
    os.mkfifo(folder / file)
    with pytest.raises(PathError, match="no regular file"):
        import_memory(folder, "zarr")


def test_a_link_to_a_folder_is_not_followed(folder):
    (folder / "keys").rename(folder.parent / "keys")
    (folder / "keys").symlink_to(folder.parent / "keys")
    with pytest.raises(FormatError, match="keys: got a link to a folder"):
        import_memory(folder)
