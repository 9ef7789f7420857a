"""Shards that fail, are lost or damaged, and commits that die in their midst."""

import json
from dataclasses import replace

import numpy as np
import pytest

from memstore import (
    PAPER,
    FormatError,
    LockedError,
    Memory,
    PathError,
    ShardError,
    SnapshotError,
    TornError,
)
from memstore.sharded import ShardedMemory, manifest, shard
from memstore.sharded.shard import Shard
from memstore.sharded.workers import LocalWorkers
from tests.helpers.sharded_oracle import FakeWorkers, assert_equal

pytestmark = pytest.mark.filterwarnings("ignore:memory. the first")
CONFIG = replace(PAPER, capacity=600, key_dim=6, resolution=3, delta=1, beta=-1)


def pairs(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 6)), rng.random((n, 3, 3, 3)) < 0.5


@pytest.fixture
def memory(tmp_path):
    """Three shards with nine pairs and a commit."""
    made = ShardedMemory.create(tmp_path / "memory", CONFIG, 3, workers=FakeWorkers)
    made.write(*pairs(9))
    made.commit("nine")
    yield made
    made.close(discard=True)


def reopened(memory, **options):
    memory.close(discard=True)
    return ShardedMemory.open(memory.path, workers="local", **options)


def kill(memory, *args):
    memory._driver._workers.kill(*args)


@pytest.mark.parametrize("method", [None, "search", "recall"])
def test_a_lost_shard_is_named_and_comes_back(memory, method):
    expected = memory.read(pairs(2)[0], 9)
    kill(memory, 1, method)
    with pytest.raises(ShardError, match=r"^shard 1: .*nothing is lost: ask once more") as error:
        memory.read(pairs(2)[0], 9)
    assert error.value.lost == (1,)
    assert_equal(memory.read(pairs(2)[0], 9), expected)
    memory.write(*pairs(1, 2))
    memory.commit("goes on")
    assert memory.verify(every=True).problems == ()


@pytest.mark.parametrize(
    ("method", "after"),
    [(None, False), ("propose", False), ("apply", False), ("apply", True), ("commit", True)],
)
def test_changes_that_are_lost_are_told_until_somebody_rolls_back(memory, method, after):
    before = memory.snapshot, memory._gathered(memory.slots)
    memory.remove([0])
    kill(memory, 2, method, after)
    with pytest.raises(ShardError, match=r"^shard 2: .*not committed since \w{20} is gone"):
        memory.write(*pairs(4, 2))
        memory.commit("lost")
    for call in (
        lambda: memory.search(pairs(1)[0], 1),
        lambda: memory.write(*pairs(1)),
        lambda: memory.commit("lost"),
        lambda: memory.keys([0]),
    ):
        with pytest.raises(TornError, match="rollback"):
            call()
    memory.rollback()
    assert_equal((memory.snapshot, memory._gathered(memory.slots)), before)
    memory.write(*pairs(4, 2))
    memory.commit("after all")
    assert memory.verify(every=True).problems == ()
    assert [commit.message for commit in memory.history()] == ["after all", "nine", "create"]


def test_a_call_of_several_batches_is_written_whole_or_the_memory_is_torn(memory, monkeypatch):
    propose, calls = Shard.propose, []

    def failing(self, *args):
        calls.append(self)
        if len(calls) > 3:  # in the second batch
            raise MemoryError
        return propose(self, *args)

    monkeypatch.setattr(Shard, "propose", failing)
    with pytest.raises(ShardError, match=r"^shard 0: propose: MemoryError.*is gone"):
        memory.write(*pairs(300))
    with pytest.raises(TornError):
        memory.search(pairs(1)[0], 1)
    memory.rollback()
    assert len(memory) == 9


def test_a_shard_that_cannot_answer_changes_nothing(memory, monkeypatch):
    monkeypatch.setattr(Shard, "propose", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # a mistake of ours is no failure of a shard
        memory.write(*pairs(1))
    assert len(memory) == 9 and memory.commit("nothing") == memory.snapshot


def test_a_commit_that_a_shard_refuses_can_be_made_again(memory, monkeypatch):
    commit, before = Shard.commit, memory.snapshot
    refusals = [PathError("the disk is full")]

    def refusing(self, message):
        if self._opening.place.shard == 1 and refusals:
            raise refusals.pop()
        return commit(self, message)

    monkeypatch.setattr(Shard, "commit", refusing)
    memory.write(*pairs(9, 1))
    with pytest.raises(ShardError, match=r"^shard 1: commit: the disk is full$"):
        memory.commit("refused")
    assert memory.snapshot == memory._driver.manifests.last() == before
    memory.commit("accepted")
    with reopened(memory) as again:
        assert len(again) == 18 and len(again.history()) == 3
        assert again.verify(every=True).problems == ()


class Death(BaseException):
    """The process ends here."""


@pytest.mark.parametrize(
    ("step", "is_made"),
    [
        ("before shard 0", False),
        ("after shard 0", False),
        ("after shard 1", False),
        ("after shard 2", False),
        ("before file 0", False),
        ("after file 0", False),
        ("before file 1", False),
        ("after file 1", True),
    ],
)
def test_a_commit_that_dies_in_its_midst_leaves_the_last_whole_one(
    memory, monkeypatch, step, is_made
):
    def dying(act, kind, calls):
        def call(*args):
            name = f"{kind} {len(calls)}"
            calls.append(name)
            if step == f"before {name}":
                raise Death
            result = act(*args)
            if step == f"after {name}":
                raise Death
            return result

        return call

    monkeypatch.setattr(FakeWorkers, "ask", LocalWorkers.ask)  # in order
    monkeypatch.setattr(Shard, "commit", dying(Shard.commit, "shard", []))
    monkeypatch.setattr(manifest, "write_atomic", dying(manifest.write_atomic, "file", []))
    memory.write(*pairs(6, 1))
    with pytest.raises(Death):
        memory.commit("half")
    monkeypatch.undo()
    with reopened(memory, mode="r+") as again:
        assert len(again) == (15 if is_made else 9)
        assert len(again.history()) == (3 if is_made else 2)
        again.write(*pairs(2, 3))
        again.commit("goes on")
        assert again.verify(every=True).problems == ()
    with reopened(again) as last:
        assert len(last) == (17 if is_made else 11)


def test_a_commit_whose_arrival_nobody_noted_is_followed(memory, monkeypatch):
    point = manifest.Manifests.point

    def interrupted(*args):
        point(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(manifest.Manifests, "point", interrupted)
    memory.remove([3])
    with pytest.raises(KeyboardInterrupt):
        memory.commit("arrived")
    monkeypatch.undo()
    memory.commit("nothing more")
    assert [commit.message for commit in memory.history()] == ["arrived", "nine", "create"]


def test_an_interrupted_change_is_torn(memory, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Shard, "remove", interrupted)
    with pytest.raises(KeyboardInterrupt):
        memory.remove([0, 1, 2])
    with pytest.raises(TornError, match="interrupted in its midst"):
        memory.commit("half")
    memory.rollback()
    assert len(memory) == 9


def test_one_writer_at_a_time_and_readers_stay_where_they_are(memory, monkeypatch):
    monkeypatch.setattr(shard, "PATIENCE", 1)
    with pytest.raises(LockedError, match="has it open to write"):
        ShardedMemory.open(memory.path, "r+", workers="local")
    with ShardedMemory.open(memory.path, workers="local") as reader:
        memory.remove([0])
        memory.commit("eight")
        assert len(reader) == 9 and reader.slots[0] == 0
        assert len(reader.history()) == 2
    with pytest.raises(ShardError, match=r"shard 0: open: .*has it open to write"):
        # A shard that is written as a memory of its own.
        memory.close()
        with Memory.open(memory.path / "shard-0000", "r+"):
            ShardedMemory.open(memory.path, "r+", workers="local")


def test_a_shard_that_is_written_as_a_memory_of_its_own_changes_nothing(memory):
    memory.close()
    with Memory.open(memory.path / "shard-0000", "r+") as own:
        own.remove([0])
    with reopened(memory, mode="r+") as again:
        assert len(again) == 9
        again.write(*pairs(1, 5))
        again.commit("goes on")
        assert again.verify(every=True).problems == ()


@pytest.mark.parametrize("file", ["shards.json", "commits/*.json", "tags/*.json"])
def test_damage_of_any_byte_is_told(memory, file):
    """Of the files that are not in shards, whose own tests these have."""
    memory.tag("one")
    before, tags, history = memory.snapshot, memory.tags(), memory.history()
    memory.close()
    path = max(memory.path.glob(file), key=lambda path: before in path.name)
    data = path.read_bytes()
    rng, silent = np.random.default_rng(0), []
    for _ in range(15):
        spoiled = bytearray(data)
        spoiled[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        path.write_bytes(spoiled)
        try:
            with ShardedMemory.open(memory.path, workers="local") as again:
                if (again.snapshot, again.tags(), again.history()) != (before, tags, history):
                    silent.append(bytes(spoiled))
        except (FormatError, SnapshotError):
            pass
    assert not silent


def test_damaged_and_missing_shards_are_named(memory):
    memory.close()
    folder = memory.path / "shard-0001"
    folder.rename(memory.path / "elsewhere")
    with pytest.raises(ShardError, match=r"^shard 1: open: .*shard-0001: nothing there"):
        ShardedMemory.open(memory.path, workers="local")
    (memory.path / "shard-0002").rename(folder)
    (memory.path / "elsewhere").rename(memory.path / "shard-0002")
    with pytest.raises(ShardError, match=r"^shard 1: open: .*no snapshot or tag"):
        ShardedMemory.open(memory.path, workers="local")


def test_a_newer_format_and_a_wrong_number_of_shards(memory):
    memory.close()
    head = memory.path / "shards.json"
    last = json.loads(head.read_text())["last"]
    head.write_text(json.dumps({"memstore_shards": 2, "last": last}))
    with pytest.raises(FormatError, match="format 2 of memories in shards, want 1"):
        ShardedMemory.open(memory.path, workers="local")
    fields = json.loads((memory.path / "commits" / f"{last}.json").read_text())
    fields["snapshots"] = fields["snapshots"][:2]
    data = json.dumps(fields, indent=1, sort_keys=True).encode()
    name = manifest._hashed(data)
    (memory.path / "commits" / f"{name}.json").write_bytes(data)
    head.write_text(json.dumps({"memstore_shards": 1, "last": name}))
    with pytest.raises(ShardError, match="got the config of another memory"):
        ShardedMemory.open(memory.path, workers="local")
