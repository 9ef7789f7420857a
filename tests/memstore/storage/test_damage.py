"""What a damaged folder says: nothing wrong is answered, and what is whole can be had."""

import os
import shutil
from dataclasses import replace

import icechunk
import numpy as np
import pytest
import zarr

import memstore
from memstore import PAPER, Memory
from memstore.files import tree
from memstore.storage.local import durable, repository

CONFIG = replace(PAPER, capacity=40, key_dim=8)


@pytest.fixture
def path(tmp_path):
    """A memory with four commits after its creation; the first is tagged."""
    rng = np.random.default_rng(0)
    with Memory.create(tmp_path / "memory", CONFIG) as memory:
        for i in range(4):
            grids = rng.random((8, 32, 32, 32)) < 0.2
            memory.write(rng.standard_normal((8, 8)), grids, [f"{i}-{j}" for j in range(8)])
            memory.commit(f"commit {i}")
            if i == 0:
                memory.tag("first")
    return tmp_path / "memory"


def ids(path):
    return [commit.id for commit in memstore.history(path)]


@pytest.mark.parametrize("name", ["keys", "values", "touched", "source", "checks", "log"])
def test_chunks_that_the_store_no_longer_finds(path, name):
    """A flipped bit in a manifest does it: Zarr gives the fill value, without a word."""
    session = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(path))
    ).writable_session("main")
    group = zarr.open_group(session.store, mode="r+", zarr_format=3)
    array = group[name]
    array[:] = np.full_like(array[:], array.fill_value)
    session.commit("commit 3")
    with pytest.raises(memstore.FormatError):
        Memory.open(path)
    assert memstore.verify_folder(path).problems


def test_a_snapshot_under_the_name_of_another(path):
    """So is one that was rolled back: its file is an older one."""
    last, earlier, *_ = ids(path)
    shutil.copyfile(path / "snapshots" / earlier, path / "snapshots" / last)
    with pytest.raises(memstore.FormatError, match=f"the file of {earlier}"):
        Memory.open(path)
    assert memstore.verify_folder(path).problems
    assert ids(path) == [earlier, *ids(path)[1:]]  # those that can be opened
    with pytest.raises(memstore.FormatError, match=f"the file of {earlier}"):
        Memory.open(path, at=last)


@pytest.mark.timeout(60)
def test_a_history_that_goes_round_in_circles(path):
    last, *_, first, create = ids(path)
    shutil.copyfile(path / "snapshots" / last, path / "snapshots" / create)
    assert memstore.verify_folder(path).problems
    assert create not in ids(path) and first in ids(path)
    with Memory.open(path, "r+") as memory:
        with pytest.raises(memstore.FormatError):
            memory.history()
        with pytest.raises(memstore.FormatError):
            memory.expire(1)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"snapshot":"00000000000000000000"}', None])
def test_a_damaged_branch_hides_no_snapshot(path, damage):
    last, earlier, *_ = commits = ids(path)
    ref = path / "refs" / "branch.main" / "ref.json"
    ref.unlink() if damage is None else ref.write_bytes(damage)
    with pytest.raises(memstore.FormatError):
        Memory.open(path)
    assert ids(path) == commits
    assert memstore.tags(path) == {"first": commits[3]}
    found = memstore.verify_folder(path)
    assert found.problems and found.snapshots == 5
    assert len(Memory.open(path, at=last)) == 32
    with Memory.open(path, "r+", at=earlier) as memory:
        assert memory.commit("no change") == earlier  # the last again
    assert len(Memory.open(path)) == 24
    assert memstore.verify_folder(path).problems == ()


def test_a_damaged_branch_says_what_to_do(path):
    (path / "refs" / "branch.main" / "ref.json").write_bytes(b"")
    with pytest.raises(memstore.FormatError, match=r"memstore history .* lists.*at=ID"):
        Memory.open(path)
    with Memory.open(path, "r+", at=ids(path)[0]) as memory:
        memory.remove([0])
        memory.commit("on")
    assert len(Memory.open(path)) == 31


def test_a_tag_whose_file_is_gone(path):
    (path / "refs" / "tag.first" / "ref.json").unlink()
    with pytest.raises(memstore.FormatError, match=r"tag\.first"):
        memstore.tags(path)
    with Memory.open(path, "r+") as memory, pytest.raises(memstore.FormatError):
        memory.expire(1)


def test_a_reader_is_not_told_of_damage_after_an_expiry(path):
    """What it has read of the history is out of date, not damaged."""
    with Memory.open(path, "r+") as writer:
        for i in range(6):
            with Memory.open(path) as reader:
                reader.history()
                writer.remove([i])
                writer.commit("later")
                writer.expire(1 + i % 2)
                assert reader.verify(every=True).problems == ()


def test_all_is_synced_before_the_branch_moves(path, monkeypatch):
    """Also what an earlier process, or a copy, has left in the system's cache."""
    synced, moves = set(), []
    sync, replace = repository.sync, os.replace

    def record_sync(entries):
        entries = list(entries)
        synced.update(map(str, entries))
        sync(entries)

    def record_move(old, new):
        assert {str(entry) for entry in tree(path)} <= synced
        moves.append(new)
        synced.clear()
        replace(old, new)

    for module in (repository, durable):
        monkeypatch.setattr(module, "sync", record_sync)
    monkeypatch.setattr(os, "replace", record_move)
    with Memory.open(path, "r+") as memory:
        memory.remove([0])
        memory.commit("less")
        assert moves == [path / "refs" / "branch.main" / "ref.json"]
        assert synced == {str(path / "refs" / "branch.main")}


def test_durability_is_one_of_two(tmp_path):
    with pytest.raises(memstore.ArgumentError, match="want one of"):
        Memory.create(tmp_path / "memory", CONFIG, durability="half")
    with Memory.create(tmp_path / "memory", CONFIG, durability="process") as memory:
        memory.write(np.eye(1, 8), np.ones((1, 32, 32, 32), bool))
        memory.commit("one")
    with pytest.raises(memstore.ArgumentError, match="durability"):
        Memory.open(tmp_path / "memory", durability="none")
    assert len(Memory.open(tmp_path / "memory")) == 1


def test_a_disk_that_does_not_sync_keeps_the_last_commit(path, monkeypatch):
    with Memory.open(path, "r+") as memory:
        memory.remove([0])
        monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(5, "I/O error")))
        with pytest.raises(memstore.PathError, match="I/O error"):
            memory.commit("less")
        assert len(Memory.open(path)) == 32
        monkeypatch.undo()
        memory.commit("less")
    assert len(Memory.open(path)) == 31


def test_a_stray_file_among_the_refs_hides_no_snapshot(path):
    (path / "refs" / ".DS_Store").touch()
    assert len(Memory.open(path, at=ids(path)[1])) == 24
    assert len(Memory.open(path, at="first")) == 8


def test_a_damaged_snapshot_is_not_told_to_be_none(path):
    earlier = ids(path)[1]
    (path / "snapshots" / earlier).write_bytes(b"")
    with pytest.raises(memstore.FormatError, match=f"{earlier}: got a damaged file"):
        Memory.open(path, at=earlier)


def test_an_interrupt_after_a_commit_arrived_is_no_other_writer(path, monkeypatch):
    """Be it in the midst of noting that it has."""
    with Memory.open(path, "r+") as memory:
        memory.remove([0])
        repo, settle = memory._repository, memory._repository._settle
        monkeypatch.setattr(
            repo, "_settle", lambda: settle() if repo._tip() == repo.tip else interrupt()
        )
        with pytest.raises(KeyboardInterrupt):
            memory.commit("less")
        monkeypatch.undo()
        assert memory.history()[0].message == "less"
        assert memory.snapshot == ids(path)[0]
        memory.remove([1])
        memory.commit("still less")
    assert len(Memory.open(path)) == 30
    assert memstore.verify_folder(path).problems == ()


def test_an_interrupt_while_opening_lets_the_next_one_in(path, monkeypatch):
    monkeypatch.setattr(repository, "tidy", interrupt)
    try:
        Memory.open(path, "r+")
    except KeyboardInterrupt as error:
        kept = error  # as a notebook keeps it
    monkeypatch.undo()
    Memory.open(path, "r+").close()
    assert kept.__traceback__


def interrupt(*_, **__):
    raise KeyboardInterrupt
