"""Folders that lie: whatever the arrays and attributes say, the answer is one of our errors."""

import shutil
from dataclasses import replace

import icechunk
import numpy as np
import pytest
import zarr

from memstore import PAPER, FormatError, Memory, NotAMemoryError

TEN = replace(PAPER, capacity=4, key_dim=3, resolution=10, delta=1)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("layout") / "memory"
    with Memory.create(path, TEN) as memory:
        memory.write(
            np.eye(3), np.arange(3).reshape(3, 1, 1, 1) > np.zeros((10, 10, 10)), ["é", "", "c"]
        )
        memory.remove([1])
        memory.commit("three written, one removed")
    return path


@pytest.fixture
def path(good, tmp_path):
    return shutil.copytree(good, tmp_path / "memory")


def change(path, edit):
    """Apply `edit` to the Zarr group and commit, as a foreign program could."""
    repo = icechunk.Repository.open(icechunk.local_filesystem_storage(str(path)))
    session = repo.writable_session("main")
    edit(zarr.open_group(session.store))
    session.commit("changed")


def new_array(name, **options):
    """An edit that replaces an array."""
    return lambda group: group.create_array(name, overwrite=True, **options)


def attribute(**attributes):
    """An edit of attributes."""
    return lambda group: group.attrs.update(attributes)


def config(**fields):
    """An edit of fields of the config."""
    return lambda group: group.attrs.update(config={**group.attrs["config"], **fields})


def element(name, index, value):
    """An edit of one element."""
    return lambda group: group[name].__setitem__(index, value)


LIES = {
    "newer format": attribute(memstore_format=4),
    "format 3 that does not say where its log is": attribute(memstore_format=3),
    "format 3 of a log that has not moved": attribute(
        memstore_format=3, log_first=0, fold_rows=0, fold_next=0
    ),
    "a log that has moved before 0": attribute(
        memstore_format=3, log_first=-32, fold_rows=0, fold_next=0
    ),
    "a log that has moved": attribute(memstore_format=3, log_first=32, fold_rows=0, fold_next=0),
    "a fold of more than the log": attribute(
        memstore_format=3, log_first=32, fold_rows=999, fold_next=0
    ),
    "a fold past the end": attribute(memstore_format=3, log_first=32, fold_rows=1, fold_next=9),
    "format 2 of format 1's rules": attribute(memstore_format=2),
    "format true": attribute(memstore_format=True),
    "no delta in format 1": config(delta=None),
    "odd format": attribute(memstore_format="1"),
    "no config": lambda group: group.attrs.__delitem__("config"),
    "config is a list": attribute(config=[1, 2]),
    "unknown field": config(color="red"),
    "capacity 0": config(capacity=0),
    "capacity 3": config(capacity=3),
    "huge capacity": config(capacity=2**24),
    "monstrous capacity": config(capacity=10**30),
    "capacity is text": config(capacity="4"),
    "delta above 1": config(delta=1.5),
    "clock is text": attribute(clock="3"),
    "clock in the past": attribute(clock=1),
    "clock is negative": attribute(clock=-1),
    "no counts": attribute(counts={}),
    "counts is a number": attribute(counts=3),
    "count is a float": attribute(
        counts=dict.fromkeys(("merge", "insert", "evict", "remove"), 0.5)
    ),
    "no keys": lambda group: group.__delitem__("keys"),
    "keys is a group": lambda group: group.create_group("keys", overwrite=True),
    "keys of another shape": new_array("keys", shape=(4, 4), dtype="float32"),
    "keys of another dtype": new_array("keys", shape=(4, 3), dtype="float64"),
    "values of another shape": new_array("values", shape=(4, 10, 10), dtype="uint8"),
    "touched is float": new_array("touched", shape=(4,), dtype="float64"),
    "touched below -1": element("touched", 0, -2),
    "touched in the future": element("touched", 0, 99),
    "key is nan": element("keys", (0, 0), np.nan),
    "key is not of length one": element("keys", (0, 0), 3.0),
    "key of a used slot is zero": element("touched", 3, 1),
    "padding bits": element("values", (0, 0, 0, 1), 1),
    "source is not UTF-8": element("source", (0, 0), 0xFF),
    "source with a hole": element("source", (0, 5), ord("x")),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("mode", ["r", "r+"])
def test_lies_are_format_errors(path, lie, mode):
    change(path, LIES[lie])
    with pytest.raises(FormatError, match=str(path)):
        Memory.open(path, mode)


def test_what_empty_slots_hold_is_ignored(path):
    change(path, element("keys", (1, 0), np.nan))
    with Memory.open(path) as memory:
        assert memory.slots.tolist() == [0, 2]
        assert memory.search(np.eye(3), 1).slots.tolist() == [[0], [0], [2]]


@pytest.mark.parametrize("folder", ["chunks", "manifests", "snapshots", "refs"])
@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
def test_damaged_files(path, folder, damage):
    """Any one kind of file cut short, overwritten or lost; small chunks may live in manifests."""
    files = [file for file in path.joinpath(folder).rglob("*") if file.is_file()]
    for file in files:
        content = file.read_bytes()
        if damage == "remove":
            file.unlink()
        else:
            half = len(content) // 2
            file.write_bytes(content[:half] + (b"" if damage == "cut" else b"\xff" * half))
    if files:
        with pytest.raises((FormatError, NotAMemoryError), match=str(path)):
            Memory.open(path, "r+")


def test_round_trip(good):
    with Memory.open(good) as memory:
        assert memory.config == TEN
        assert memory.sources == ["é", "c"]
        assert memory.ages.tolist() == [2, 0]
        assert memory.keys([0, 2]).tolist() == [[1, 0, 0], [0, 0, 1]]
        assert memory.values([0, 2]).mean(axis=(1, 2, 3)).tolist() == [0, 1]
        stats = memory.stats()
        assert (stats.inserts, stats.removals, stats.clock) == (3, 1, 3)


def test_other_chunk_shapes_are_fine(path):
    """The format fixes names, shapes and dtypes, not chunks."""

    def rechunk(group):
        keys = group["keys"][:]
        group.create_array("keys", data=keys, chunks=(3, 2), overwrite=True)

    change(path, rechunk)
    with Memory.open(path, "r+") as memory:
        memory.write(-np.eye(3)[:1], np.eye(10, dtype=bool).repeat(10).reshape(1, 10, 10, 10))
        memory.commit("with odd chunks")
    assert len(Memory.open(path)) == 3


@pytest.mark.parametrize("rules", [{"delta": None}, {"when_full": "error"}])
def test_format_1_is_written_where_it_can_say_the_rules(tmp_path, good, rules):
    with Memory.create(tmp_path / "memory", replace(TEN, **rules)) as memory:
        memory.write(np.eye(3)[:1], np.ones((1, 10, 10, 10), bool), ["x"])
        memory.commit("one")
    for path, version in ((good, 1), (tmp_path / "memory", 2)):
        repo = icechunk.Repository.open(icechunk.local_filesystem_storage(str(path)))
        group = zarr.open_group(repo.readonly_session("main").store, mode="r")
        assert group.attrs["memstore_format"] == version
        assert ("when_full" in group.attrs["config"]) == (version == 2)
    with Memory.open(tmp_path / "memory") as memory:
        assert memory.config == replace(TEN, **rules)
        assert memory.verify().problems == ()
    fields = {**group.attrs["config"], "when_full": "error", "delta": 0.5}
    change(tmp_path / "memory", attribute(config=fields))  # a rule that nobody has committed
    with pytest.raises(FormatError, match="seal"):
        Memory.open(tmp_path / "memory")
