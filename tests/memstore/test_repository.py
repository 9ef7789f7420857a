"""The folder: commits, history, tags, rewinding, and what is in the way."""

from datetime import UTC, datetime, timedelta

import icechunk
import numpy as np
import pytest
import zarr

import memstore
from memstore import Memory, MemoryConfig
from memstore.repository import REWIND

TINY = MemoryConfig(capacity=4, key_dim=3, resolution=2, delta=1)
AXES = np.eye(3, dtype=np.float32)
GRIDS = np.stack(
    [np.full((2, 2, 2), False), np.full((2, 2, 2), True), np.eye(4).reshape(4, 2, 2)[:2] > 0]
)


@pytest.fixture
def path(tmp_path):
    """A memory with commits of one, two and three slots; the first is tagged."""
    with Memory.create(tmp_path / "memory", TINY) as memory:
        for i in range(3):
            memory.write(AXES[i : i + 1], GRIDS[i : i + 1])
            memory.commit(f"slot {i}")
            if i == 0:
                memory.tag("first")
    return tmp_path / "memory"


def test_history(path):
    with Memory.open(path) as memory:
        history = memory.history()
        assert [entry.message for entry in history] == ["slot 2", "slot 1", "slot 0", "create"]
        assert history[0].id == memory.snapshot
        assert memory.tags() == {"first": history[2].id}
    assert all(entry.time.utcoffset() == timedelta(0) for entry in history)
    assert history == sorted(history, key=lambda entry: entry.time, reverse=True)
    assert datetime.now(UTC) - history[-1].time < timedelta(minutes=5)


def test_time_travel_by_tag_and_id(path):
    with Memory.open(path, at="first") as memory:
        assert (len(memory), memory.clock, len(memory.history())) == (1, 1, 2)
        snapshot = memory.snapshot
    with Memory.open(path, at=snapshot) as memory:
        assert len(memory) == 1


def test_rewinding_changes_nothing_before_the_commit(path):
    tip = Memory.open(path).snapshot
    with Memory.open(path, "r+", at="first") as memory:
        memory.write(AXES[2:], GRIDS[1:2])
        assert Memory.open(path).snapshot == tip
        snapshot = memory.commit("another second")
    with Memory.open(path) as memory:
        assert memory.snapshot == snapshot
        messages = [entry.message for entry in memory.history()]
        assert messages == ["another second", "slot 0", "create"]
        np.testing.assert_array_equal(memory.keys([0, 1]), AXES[[0, 2]])
    assert len(Memory.open(path, at=tip)) == 3  # left the history, not the disk


def test_rewinding_survives_a_writer_that_died_rewinding(path):
    storage = icechunk.local_filesystem_storage(str(path))
    icechunk.Repository.open(storage).create_branch(REWIND, Memory.open(path).snapshot)
    with Memory.open(path, "r+", at="first") as memory:
        memory.write(AXES[2:], GRIDS[1:2])
        memory.commit("another second")
    assert len(Memory.open(path)) == 2
    assert icechunk.Repository.open(storage).list_branches() == {"main"}


def test_commit_of_nothing(path):
    with Memory.open(path, "r+") as memory:
        assert memory.commit("nothing") == memory.snapshot
        assert len(memory.history()) == 4
    with Memory.open(path, "r+", at="first") as memory:
        memory.commit("back to the first")
    assert len(Memory.open(path)) == 1


def test_commit_writes_changed_chunks_only(tmp_path):
    config = MemoryConfig(capacity=96, key_dim=1024, resolution=2, delta=1)
    rng = np.random.default_rng(0)
    with Memory.create(tmp_path / "memory", config) as memory:
        grids = np.unpackbits(np.arange(96, dtype=np.uint8)).reshape(-1, 2, 2, 2).astype(bool)
        memory.write(rng.standard_normal((96, 1024)), grids)
        memory.commit("three chunks of 32 keys")
        before = sum(file.stat().st_size for file in (tmp_path / "memory" / "chunks").iterdir())
        memory.write(memory.keys([40]), memory.values([40]))
        memory.commit("one slot")
    after = sum(file.stat().st_size for file in (tmp_path / "memory" / "chunks").iterdir())
    one_chunk = 32 * 1024 * 4
    assert one_chunk <= after - before < 1.1 * one_chunk


def test_tags_are_for_good(path):
    with Memory.open(path, "r+") as memory:
        with pytest.raises(memstore.ArgumentError, match="already exists"):
            memory.tag("first")
        memory.tag("last-1.0")
        assert memory.tags()["last-1.0"] == memory.snapshot


@pytest.mark.parametrize("at", ["nothing", "", "../x", "0" * 20, "1CECHNKREP0F1RSTCMT0"])
def test_unknown_snapshots(path, at):
    """The last is Icechunk's own first snapshot, which holds no memory."""
    with pytest.raises(memstore.SnapshotError, match="no snapshot or tag"):
        Memory.open(path, at=at)


def test_paths_in_the_way(tmp_path, path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken").symlink_to(tmp_path / "nothing")
    for name in ("file", "folder", "broken", "memory"):
        with pytest.raises(memstore.PathExistsError, match=name):
            Memory.create(tmp_path / name, TINY)
    for name in ("file", "folder"):
        with pytest.raises(memstore.NotAMemoryError, match=name):
            Memory.open(tmp_path / name)
    for name in ("nothing", "broken"):
        with pytest.raises(memstore.PathMissingError, match=name):
            Memory.open(tmp_path / name)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [
        "broken",
        "file",
        "folder",
        "memory",
    ]


def test_a_foreign_icechunk_repository_is_left_alone(tmp_path):
    repo = icechunk.Repository.create(icechunk.local_filesystem_storage(str(tmp_path / "foreign")))
    for _ in range(2):
        before = sorted((tmp_path / "foreign").rglob("*"))
        with pytest.raises(memstore.NotAMemoryError, match="foreign"):
            Memory.open(tmp_path / "foreign", "r+")
        assert sorted((tmp_path / "foreign").rglob("*")) == before
        session = repo.writable_session("main")
        zarr.create_group(session.store, overwrite=True)
        session.commit("a group that is no memory")


def test_a_failed_create_leaves_nothing(tmp_path):
    with pytest.raises(AttributeError):
        Memory.create(tmp_path / "memory", "not a config")
    assert list(tmp_path.iterdir()) == []
    Memory.create(tmp_path / "deep" / "down" / "memory", TINY).close()


def test_a_moved_folder_opens(path):
    moved = path.rename(path.with_name("elsewhere"))
    with Memory.open(moved, "r+") as memory:
        memory.remove([0])
        memory.commit("moved")
    assert len(Memory.open(moved)) == 2


def test_a_commit_without_the_lock_is_noticed(path):
    with Memory.open(path, "r+") as memory:
        (path / "writer.lock").unlink()
        with Memory.open(path, "r+") as intruder:
            intruder.remove([0])
            intruder.commit("intruder")
        memory.remove([1])
        with pytest.raises(memstore.LockedError, match="without the lock"):
            memory.commit("too late")
