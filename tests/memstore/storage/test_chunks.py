"""Chunks that would unpack to much more than they are, and links out of the folder."""

import json
import os
import shutil
import tracemalloc
from dataclasses import replace

import icechunk
import numpy as np
import pytest
import zarr
from google_crc32c import value as crc32c
from numcodecs import Zstd
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec
from zarr.core.buffer import cpu, default_buffer_prototype

from memstore import PAPER, FormatError, Memory, history, verify_folder
from memstore.storage.chunks import ChunkStore, Draft, Layout

CONFIG = replace(PAPER, capacity=8, key_dim=64, resolution=4, delta=1)
RNG = np.random.default_rng(0)
PROTOTYPE = default_buffer_prototype()
LARGE = 2**28  # bytes that a bomb unpacks to


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A memory with rows in its base and its log."""
    path = tmp_path_factory.mktemp("chunks") / "memory"
    with Memory.create(path, CONFIG) as memory:
        for count in (6, 1):
            memory.write(RNG.standard_normal((count, 64)), RNG.random((count, 4, 4, 4)) < 0.5)
            memory.commit(f"{count} more")
    return path


@pytest.fixture
def path(good, tmp_path):
    return shutil.copytree(good, tmp_path / "memory")


def change(path, edit):
    """Apply `edit` to store and group and commit, as a foreign program could."""
    repo = icechunk.Repository.open(icechunk.local_filesystem_storage(str(path)))
    session = repo.writable_session("main")
    edit(session.store, zarr.open_group(session.store))
    session.commit("changed")


def put(store, key, data):
    zarr.core.sync.sync(store.set(key, cpu.Buffer.from_bytes(data)))


def sealed(data):
    """With the checksum that Zarr looks at first."""
    return data + crc32c(data).to_bytes(4, "little")


@pytest.fixture(scope="module")
def bomb():
    return Zstd(level=19).encode(bytes(LARGE))


def assert_refused(path, match):
    """In little RAM, also by those that want to say what is wrong."""
    tracemalloc.start()
    try:
        for mode in ("r", "r+"):
            with pytest.raises(FormatError, match=match):
                Memory.open(path, mode)
        problems = verify_folder(path).problems
        assert any(str(path) in problem for problem in problems)
        assert tracemalloc.get_traced_memory()[1] < LARGE / 4
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["log", "values", "touched", "source", "checks", "reads"])
def test_a_chunk_that_unpacks_to_more_than_it_declares(path, bomb, name):
    """Before: 100 KB took 2 GB until the seal refused what came out."""

    def edit(store, group):
        chunk = ".".join("0" * group[name].ndim).replace(".", "/")
        put(store, f"{name}/c/{chunk}", sealed(bomb))

    change(path, edit)
    assert len(bomb) < 2**15
    assert_refused(path, rf"{name}: got a chunk of 268,435,456 bytes, want [0-9,]+ bytes")
    assert [commit.message for commit in history(path)][-1] == "create"


def test_a_chunk_that_does_not_say_how_much_it_is(path):
    frame = bytes.fromhex("28b52ffd 00 58 010000")  # no size; window; an empty last block
    change(path, lambda store, group: put(store, "log/c/0/0", sealed(frame)))
    assert_refused(path, "log: got a chunk of no zstd frame of known size, want")


@pytest.mark.parametrize(
    "compressors",
    [
        (GzipCodec(), Crc32cCodec()),
        (BloscCodec(),),
        (ZstdCodec(), ZstdCodec()),
        (Crc32cCodec(), ZstdCodec()),
    ],
    ids=["gzip", "blosc", "twice", "turned round"],
)
def test_other_codecs_are_refused(path, compressors):
    def edit(store, group):
        data = group["values"][:]
        group.create_array("values", data=data, overwrite=True, compressors=compressors)

    change(path, edit)
    assert_refused(path, "values: got codecs .*, want bytes, then zstd, crc32c or none")


def test_shards_and_filters_are_refused(path):
    def shards(store, group):
        data = group["keys"][:]
        group.create_array("keys", data=data, overwrite=True, chunks=(2, 64), shards=(8, 64))

    change(path, shards)
    assert_refused(path, "keys: got codecs")


@pytest.mark.parametrize(
    "options",
    [
        {"compressors": ()},
        {"compressors": (Crc32cCodec(),), "chunks": (3, 5)},
        {"compressors": (ZstdCodec(checksum=True),), "chunks": (100, 100)},
    ],
    ids=["bare", "checked", "zstd"],
)
def test_other_layouts_are_read(path, options):
    def edit(store, group):
        data = group["keys"][:]
        layout = {"shape": data.shape, "dtype": data.dtype, "fill_value": 0, **options}
        group.create_array("keys", overwrite=True, **layout)[:] = data

    with Memory.open(path) as memory:
        keys = memory.keys(memory.slots)
    change(path, edit)
    with Memory.open(path) as memory:
        assert (memory.keys(memory.slots) == keys).all()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("separator", ["/", "."])
@pytest.mark.parametrize("compressors", [(), (ZstdCodec(),), (Crc32cCodec(),)], ids=str)
@pytest.mark.parametrize("chunks", [(1, 3), (4, 3), (7, 3), (30, 3), (4, 2), (30, 9)], ids=str)
def test_chunks_are_read_as_zarr_reads_them(chunks, compressors, separator, order, tmp_path):
    """Whatever the layout, with chunks that are not there, and an end amid one."""
    store = zarr.storage.LocalStore(tmp_path)
    array = zarr.create_group(store).create_array(
        "rows",
        shape=(23, 3),
        chunks=chunks,
        dtype=f"{order}f4",
        compressors=compressors,
        chunk_key_encoding={"name": "default", "separator": separator},
        fill_value=7,
    )
    array[:9], array[15:] = RNG.standard_normal((9, 3)), RNG.standard_normal((8, 3))
    checked = ChunkStore(zarr.storage.LocalStore(tmp_path, read_only=True))
    checked.accept("rows", array, lambda: 2**20)
    for n in (0, 1, 4, 9, 12, 22, 23):
        rows = np.full((n, 3), -1, np.float32)
        checked.fill(zarr.open_group(checked, mode="r")["rows"], rows)
        assert (rows == array[:n]).all()


@pytest.mark.parametrize("at", [0, 7, -1])
def test_a_chunk_that_does_not_fit_its_checksum(path, at):
    def edit(store, group):
        data = bytearray(zarr.core.sync.sync(store.get("keys/c/0/0", PROTOTYPE)).to_bytes())
        data[at] ^= 1
        put(store, "keys/c/0/0", bytes(data))

    change(path, edit)
    with pytest.raises(FormatError, match="keys: got a chunk that does not fit its checksum"):
        Memory.open(path)


def test_a_chunk_that_is_too_short(path):
    change(path, lambda store, group: put(store, "keys/c/0/0", sealed(bytes(100))))
    with pytest.raises(FormatError, match="keys: got a chunk of 100 bytes, want 2,048"):
        Memory.open(path)


@pytest.mark.parametrize("chunks", [(64, None), (16, None), (32, 7)], ids=str)
@pytest.mark.parametrize("name", ["log", "reads"])
def test_other_layouts_are_written(path, name, chunks):
    """Before: a commit wrote chunks of 32 rows to a log of any chunks, and could not be opened."""

    def edit(store, group):
        data = group[name][:]
        shape = (chunks[0], chunks[1] or data.shape[-1])[: data.ndim]
        options = {"shape": data.shape, "dtype": data.dtype, "chunks": shape, "fill_value": 0}
        group.create_array(name, overwrite=True, compressors=Crc32cCodec(), **options)[:] = data

    change(path, edit)
    with Memory.open(path, "r+") as memory:
        for _ in range(2):
            memory.update([0], values=RNG.random((1, 4, 4, 4)) < 0.5)
            memory.read(memory.keys([0, 3]), 2)
            memory.commit("goes on")
            with Memory.open(path) as reader:
                assert (reader.values([0]) == memory.values([0])).all()
                assert reader.reads.tolist() == memory.reads.tolist()
                assert reader.verify().problems == ()


@pytest.mark.parametrize("chunks", [(2**20, 500), (2**28, 1)], ids=["wide", "many beside"])
def test_chunks_of_the_moon_are_refused(path, chunks):
    def edit(store, group):
        data = group["log"][:]
        log = group.create_array("log", shape=data.shape, dtype="u1", chunks=chunks, overwrite=True)
        key = "log/c/0/0"
        put(store, key, Zstd().encode(bytes(1000)))
        assert log.nchunks_initialized

    change(path, edit)
    assert_refused(path, "bytes on disk that ask for [0-9,]+ in RAM")


@pytest.mark.parametrize("part", ["snapshots", "manifests"])
def test_icechunk_s_own_files_that_unpack_to_much(path, bomb, part):
    """Before: a snapshot of 65 KB took 2 GB."""
    for file in (path / part).iterdir():
        data = file.read_bytes()
        file.write_bytes(data[:39] + 9 * bomb)
    for call in (Memory.open, history, verify_folder):
        tracemalloc.start()
        with pytest.raises(FormatError, match=rf"{path / part}/.* bytes that unpack to 2,4"):
            call(path)
        tracemalloc.stop()


def test_large_grids_open_again(tmp_path):
    """Of 512^3 a chunk of the log would be 512 MB, which so small a folder may not ask for."""
    grids = np.zeros((4, 512, 512, 512), bool)
    for grid, thickness in zip(grids, (3, 5, 7, 9), strict=True):
        grid[:thickness] = True
    config = replace(PAPER, capacity=8, key_dim=8, resolution=512, delta=1)
    with Memory.create(tmp_path / "memory", config) as memory:
        memory.write(np.eye(8)[:3], grids[:3])
        memory.commit("three")
        memory.write(np.eye(8)[3:4], grids[3:])
        memory.commit("one more")
    with Memory.open(tmp_path / "memory") as memory:
        assert memory.values([3]).sum() == 9 * 512**2 and len(memory) == 4


@pytest.mark.parametrize("part", ["snapshots", "chunks", "refs/branch.main", "manifests"])
def test_folders_that_are_links_are_refused(path, part, tmp_path):
    shutil.move(path / part, tmp_path / "elsewhere")
    (path / part).symlink_to(tmp_path / "elsewhere")
    for call in (Memory.open, lambda path: Memory.open(path, "r+"), verify_folder, history):
        with pytest.raises(FormatError, match=f"{path / part}: got a link, want "):
            call(path)


def test_files_that_are_links_or_pipes_are_refused(path, tmp_path):
    file = next((path / "snapshots").iterdir())
    shutil.move(file, tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FormatError, match=f"{file}: got a link, want "):
        Memory.open(path)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(FormatError, match=f"{file}: got neither a file nor a folder"):
        Memory.open(path)


def test_a_lock_that_is_a_link_writes_nowhere(path, tmp_path):
    (tmp_path / "precious").write_text("precious")
    (path / "writer.lock").unlink()
    (path / "writer.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(FormatError, match=r"writer\.lock: got a link"):
        Memory.open(path, "r+")
    assert (tmp_path / "precious").read_text() == "precious"


def test_the_folder_itself_may_be_a_link(path, tmp_path):
    (tmp_path / "link").symlink_to(path)
    assert len(Memory.open(tmp_path / "link")) == 7


@pytest.mark.parametrize("packed", [[], [ZstdCodec(level=3)], [ZstdCodec(level=7, checksum=True)]])
@pytest.mark.parametrize("length", [64, 70, 96])
def test_a_draft_writes_chunks_and_attributes_as_zarr_does(packed, length, tmp_path):
    """Chunks to the last byte, that at the array's end too; attributes as JSON."""
    rows = np.random.default_rng(0).integers(0, 4, (length, 10)).astype(np.uint8)
    stores = [zarr.storage.LocalStore(tmp_path / name) for name in ("by_zarr", "by_draft")]
    facts = {"memstore_format": 1, "config": {"beta": 0.5}, "message": "é"}
    for number, store in enumerate(stores):
        group = zarr.create_group(store, attributes={"memstore_format": 0})
        log = group.create_array(
            "log",
            shape=(32 + length, 10),
            chunks=(32, 10),
            dtype="uint8",
            compressors=[*packed, Crc32cCodec()],
        )
        if number:
            draft = Draft(store)
            assert draft.layout("log") == Layout(32 + length, (32, 10), tuple(log.compressors))
            draft.put("log", rows, 32)
            draft.finish(facts)
        else:
            log[32:] = rows
            group.update_attributes(facts)
    ours, theirs = (
        {
            str(file.relative_to(store.root)): (
                json.loads(file.read_bytes()) if file.suffix == ".json" else file.read_bytes()
            )
            for file in sorted(store.root.rglob("*"))
            if file.is_file()
        }
        for store in stores
    )
    assert ours == theirs
