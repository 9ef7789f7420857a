"""A log that comes to the base a few chunks a commit gives what one gives that does so at once."""

import os
from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pytest
import zarr
from numpy.testing import assert_array_equal

import memstore
from memstore import PAPER, FormatError, Memory, MemoryConfig
from memstore.storage import fold, rowfile, schema
from memstore.storage.fold import ABSENT, NEW, OLD, Step, Window, plan
from memstore.storage.local.repository import Repository
from tests.helpers.fault_injection import content
from tests.memstore.storage.test_schema import change

COLUMNS = {"kind": str, "view": int}
CONFIG = replace(PAPER, capacity=64, key_dim=3, resolution=2, delta=0.9, columns=COLUMNS)
WEIGHTS = {"write": 6, "update": 3, "keys": 3, "remove": 1, "read": 1, "commit": 8}
WEIGHTS |= {"reopen": 2, "rewind": 0.3, "refresh": 1, "back": 1, "expire": 0.3, "verify": 0.2}


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Chunks of 4 rows of keys, 8 of the rest, and a log of 40 rows, 4 in a chunk."""
    for name, number in {
        "CHUNK_BYTES": 48,
        "SMALL_CHUNK": 8,
        "LOG_CHUNK": 4,
        "LOG_LEAST": 40,
    }.items():
        monkeypatch.setattr(schema, name, number)
    monkeypatch.setattr(fold, "ROWS_A_CHUNK", 2)
    monkeypatch.setattr(rowfile, "LEAST_PRIVATE", 2**17)


class Trio:
    """A memory whose folds are spread, one that folds at once, and one in RAM, the oracle."""

    def __init__(self, folder, seed, monkeypatch):
        self.rng, self.counts, self._patch = np.random.default_rng(seed), Counter(), monkeypatch
        self.paths = {0: folder / "spread", 2**60: folder / "at once"}
        self.memories = {
            most: Memory.create(path, CONFIG, durability="process")
            for most, path in self.paths.items()
        }
        self.oracle = Memory(CONFIG)
        self.saved = []  # (snapshots of both, content)
        self.looker = None
        self.apply(lambda memory: memory.write(*self.pairs(0, 50), warn=False))
        self.commit()

    def pairs(self, seed, n):
        """Features, grids, sources and columns."""
        rng = np.random.default_rng(seed)
        columns = {"kind": [f"k{i}" for i in range(n)], "view": rng.integers(0, 9, n)}
        grids = rng.random((n, 2, 2, 2)) < 0.5
        return rng.standard_normal((n, 3)), grids, [f"s{i}" for i in range(n)], columns

    def apply(self, call):
        answers = {str(call(memory)) for memory in (*self.memories.values(), self.oracle)}
        assert len(answers) == 1

    def some(self, most):
        """A few used slots, of one region or of all."""
        used = self.oracle.slots
        if self.rng.random() < 0.5:
            used = used[used // 16 == self.rng.choice(used) // 16]
        return self.rng.choice(used, min(len(used), int(self.rng.integers(1, most))), replace=False)

    def write(self):
        seed, n = int(self.rng.integers(2**31)), int(self.rng.integers(1, 5))
        self.apply(lambda memory: memory.write(*self.pairs(seed, n), warn=False))

    def update(self):
        slots, view = self.some(5), int(self.rng.integers(99))
        columns = {"view": [view] * len(slots)}
        self.apply(lambda memory: memory.update(slots, columns=columns))

    def keys(self):
        slots = self.some(5)
        keys = self.rng.standard_normal((len(slots), 3))
        self.apply(lambda memory: memory.replace_keys(slots, keys))

    def remove(self):
        slots = self.some(3)
        self.apply(lambda memory: memory.remove(slots))

    def read(self):
        queries = self.rng.standard_normal((2, 3))
        self.apply(lambda memory: memory.read(queries, 3, beta=-1).slots)

    def commit(self):
        for most, memory in self.memories.items():
            self._patch.setattr(fold, "AT_ONCE", most)
            before = memory._repository._ledger.log
            is_new = bool(memory._state.dirty)
            memory.commit("commit")
            log = memory._repository._ledger.log
            self.counts[most, kind_of(before, log)] += is_new
            assert_as_on_disk(memory)
        snapshots = [memory.snapshot for memory in self.memories.values()]
        if not self.saved or snapshots != self.saved[-1][0]:
            self.saved.append((snapshots, content(self.oracle)))

    def reopen(self):
        """Close and open; counts of reads that no commit has saved are gone."""
        self.commit()
        self._open([None, None])

    def rewind(self):
        """Go on from an earlier commit."""
        self.commit()
        del self.saved[max(1, len(self.saved) - 3) :]
        self._open(self.saved[-1][0])

    def _open(self, snapshots):
        for (most, path), snapshot in zip(self.paths.items(), snapshots, strict=True):
            self.memories[most].close(discard=True)
            place = str(self.rng.choice(["ram", "disk"]))
            self.memories[most] = Memory.open(
                path, "r+", rows=place, at=snapshot, durability="process"
            )
            assert_as_on_disk(self.memories[most])
            assert content(self.memories[most]) == self.saved[-1][1]
        self.oracle = Memory(CONFIG)
        self.oracle._held = Memory.open(path, at=self.memories[most].snapshot)._held
        assert content(self.oracle) == self.saved[-1][1]
        if snapshots[0]:
            self.update()  # the rewound memory is the last one from the next commit on
            self.commit()

    def refresh(self):
        """A reader that follows, now and then, and starts anew in another place."""
        if self.looker is None or self.rng.random() < 0.3:
            place = str(self.rng.choice(["ram", "disk"]))
            self.looker = Memory.open(self.paths[0], rows=place)
        self.looker.refresh()
        assert content(self.looker) == self.saved[-1][1]

    def back(self):
        """Any earlier commit."""
        snapshots, want = self.saved[self.rng.integers(len(self.saved))]
        for path, snapshot in zip(self.paths.values(), snapshots, strict=True):
            place = str(self.rng.choice(["ram", "disk"]))
            with Memory.open(path, at=snapshot, rows=place) as memory:
                assert content(memory) == want

    def expire(self):
        self.commit()
        for memory in self.memories.values():
            memory.expire(5)
        self.saved = self.saved[-5:]

    def verify(self):
        for path in self.paths.values():
            assert memstore.verify_folder(path).problems == ()


def kind_of(before, after):
    """What a commit did with the log."""
    if not after.rows:
        return "at once"
    if after.first > before.first:
        return "ended"
    return "plain" if not after.folding else "on" if before.folding else "begun"


def assert_as_on_disk(memory):
    """What the writer keeps in mind is what a reader finds."""
    ours = memory._repository._ledger
    theirs = Repository(memory.path).read(memory.snapshot)[1]
    for field in fields(ours):
        if field.name != "changes":
            assert_array_equal(getattr(ours, field.name), getattr(theirs, field.name))


@pytest.mark.parametrize("seed", range(2))
def test_random_operations(tmp_path, monkeypatch, seed):
    trio = Trio(tmp_path, seed, monkeypatch)
    weights = np.array([*WEIGHTS.values()]) / sum(WEIGHTS.values())
    for step in trio.rng.choice([*WEIGHTS], 45, p=weights):
        getattr(trio, step)()
    trio.commit()
    trio.back()
    trio.verify()
    for memory in trio.memories.values():
        memory.close()
    assert trio.counts[0, "ended"] and trio.counts[0, "on"] and trio.counts[2**60, "at once"]


def marks(capacity, old=(), new=()):
    marked = np.full(capacity, ABSENT, np.uint8)
    marked[list(old)], marked[list(new)] = OLD, NEW
    return marked


def test_a_plan_by_hand(monkeypatch):
    """A log of at most 40 rows; chunks of 4 slots, of which 0, 2, 3 and 5 are out of date."""
    old = marks(24, [0, 1, 9, 15, 22])
    assert plan(Window(0, 28), old, 4, 40, 4, 100) == Step(Window(0, 32))  # AT_ONCE
    monkeypatch.setattr(fold, "AT_ONCE", 0)
    assert plan(Window(0, 16), old, 4, 40, 4, 100) == Step(Window(0, 20))  # 4 chunks, 20 rows left
    begun = plan(Window(8, 28), old, 4, 40, 4, 100)  # a third of the way: 2 chunks of 4
    assert begun == Step(Window(8, 32, 28, 12), 0, 12)
    assert begun.ranges(old, 4) == [(0, 4), (8, 12)]
    assert begun.ranges(old, 8) == [(0, 8)]  # that of slot 8 is not passed
    assert begun.ranges(old, 24) == []
    since = marks(24, [0, 1, 9, 22], [15, 3])
    ended = plan(begun.log, since, 4, 40, 4, 100)
    assert ended == Step(Window(36, 8), 12, 24)  # 1 chunk of 1
    assert ended.ranges(since, 4) == [(20, 24)]
    assert ended.ranges(since, 8) == [(8, 24)]
    assert ended.ranges(since, 24) == [(0, 24)]


def test_a_commit_for_which_there_is_no_room_ends_the_fold():
    old = marks(24, range(24))
    step = plan(Window(0, 30, 20, 8), old, 16, 40, 4, 100)
    assert step == Step(Window(20, 26), 8, 24)
    assert step.ranges(old, 4) == [(8, 24)]


KNOWN = marks(8, [0, 1], [2])
BEFORE = Window(4, 12, 8, 2)


@pytest.mark.parametrize(
    ("log", "want"),
    [
        (Window(4, 20, 8, 6), None),  # further on in the same fold: which rows are new?
        (Window(12, 12), marks(8, [2])),  # it has ended
        (Window(12, 12, 4), marks(8, [2])),  # and the next has begun: at 16, the end before
        (Window(12, 12, 2), None),  # at 14
        (Window(16, 12), None),  # two have
        (Window(20, 12), None),
        (Window(0, 12), None),  # another log
    ],
)
def test_what_is_known_of_a_log_that_has_gone_on(log, want):
    assert_array_equal(log.carried(BEFORE, KNOWN), want)
    plain = Window(4, 12)
    assert_array_equal(Window(4, 20, 12).carried(plain, marks(8, [3])), marks(8, [3]))


def test_rows_that_the_log_lets_go_of_leave_the_disk(tmp_path, monkeypatch):
    """As many chunks of the log as its rows need, whatever came before."""
    monkeypatch.setattr(fold, "AT_ONCE", 0)
    rng, most = np.random.default_rng(0), 0
    config = replace(CONFIG, columns={})
    with Memory.create(tmp_path / "memory", config, durability="process") as memory:
        memory.write(rng.standard_normal((64, 3)), rng.random((64, 2, 2, 2)) < 0.5, warn=False)
        memory.commit("full")
        for _ in range(60):
            slots = rng.choice(memory.slots, 4, replace=False)
            memory.replace_keys(slots, rng.standard_normal((4, 3)))
            memory.commit("four")
            log = memory._repository._ledger.log
            session = memory._repository.past.repo.readonly_session(snapshot_id=memory.snapshot)
            most = max(most, log.rows)
            assert chunks_of_log(session) == log.rows // 4
    assert log.first > 100 and 20 < most <= 40


def chunks_of_log(session):
    """How many there are."""

    async def count():
        return sum([1 async for path in session.store.list_prefix("log") if "/c/" in path])

    return zarr.core.sync.sync(count())


def test_damage_of_what_is_mapped_is_not_folded(tmp_path, monkeypatch):
    """Slot 0 was never changed, and the fold comes to its chunk."""
    monkeypatch.setattr(fold, "AT_ONCE", 0)
    rng, path = np.random.default_rng(0), tmp_path / "memory"
    config = replace(CONFIG, columns={})
    with Memory.create(path, config, durability="process") as memory:
        memory.write(rng.standard_normal((64, 3)), rng.random((64, 2, 2, 2)) < 0.5, warn=False)
        key, sound = memory.keys([0]), memory.slots[16:20]
    with Memory.open(path, "r+", rows="disk", durability="process") as memory:
        (file,) = (file for file in (path / "rows").iterdir() if not file.suffix)
        time = file.stat().st_mtime_ns
        with file.open("r+b") as rows:
            rows.write(memory.keys([5]).tobytes())
        os.utime(file, ns=(time, time))  # else every call would refuse
        while memory._repository._ledger.log.first == 0:  # a fold of other chunks
            memory.replace_keys(sound, rng.standard_normal((4, 3)))
            memory.commit("sound")
        memory.replace_keys([1], rng.standard_normal((1, 3)))
        with pytest.raises(FormatError, match=r"slots \[0\]: got other rows"):
            while memory.commit("that of slot 0"):
                memory.replace_keys(sound, rng.standard_normal((4, 3)))
        memory.close(discard=True)
    with Memory.open(path, rows="ram") as memory:
        assert_array_equal(memory.keys([0]), key)
        assert memory.verify(every=True).problems[1:] == ()  # the row file's, if it has one


@pytest.mark.parametrize("stage", ["before", "meanwhile"])
@pytest.mark.parametrize("kind", ["split rows", "big-endian"])
def test_arrays_of_another_make_are_folded_at_once(tmp_path, monkeypatch, kind, stage):
    """Whole chunks are written by a way of our own, which knows our own layout."""
    monkeypatch.setattr(fold, "AT_ONCE", 0)
    rng, path, config = np.random.default_rng(0), tmp_path / "memory", replace(CONFIG, columns={})
    oracle, kinds = Memory(config), []

    def commits(memory, until):
        log = memory._repository._ledger.log
        while not until(log, kinds):
            before, slots = log, rng.choice(oracle.slots, 4, replace=False)
            keys = rng.standard_normal((4, 3))
            for one in (memory, oracle):
                one.replace_keys(slots, keys)
            memory.commit("four")
            log = memory._repository._ledger.log
            kinds.append(kind_of(before, log))

    pairs = rng.standard_normal((64, 3)), rng.random((64, 2, 2, 2)) < 0.5
    with Memory.create(path, config, durability="process") as memory:
        for one in (memory, oracle):
            one.write(*pairs, warn=False)
        memory.commit("full")
        commits(memory, lambda log, _: log.folding or stage == "before")
    change(path, lambda group: rechunk(group, kind))
    kinds.clear()
    with Memory.open(path, "r+", rows="ram", durability="process") as memory:
        assert content(memory) == content(oracle)
        commits(memory, lambda _, kinds: kinds.count("at once") == 2)
        assert {*kinds} == {"plain", "at once"}
        assert_as_on_disk(memory)
    with Memory.open(path) as memory:
        assert content(memory) == content(oracle)
        assert memory.verify().problems == ()


def rechunk(group, kind):
    """Lay out keys anew."""
    keys, options = group["keys"][:], {"shape": (64, 3), "dtype": "float32", "fill_value": 0}
    if kind == "split rows":
        options["chunks"] = 4, 2
    else:
        options |= {"chunks": (4, 3), "serializer": zarr.codecs.BytesCodec(endian="big")}
    group.create_array("keys", **options, compressors=[], overwrite=True)[:] = keys


def test_marks_carried_from_another_log_are_no_fault(tmp_path, monkeypatch):
    """It began anew and is as long as the row file's: slot 9 is taken to be in it still."""
    monkeypatch.setattr(rowfile, "LEAST_PRIVATE", 2**17)
    rng, path = np.random.default_rng(0), tmp_path / "memory"
    config = MemoryConfig(capacity=64, key_dim=8, resolution=8)

    def change(memory, slots):
        memory.replace_keys(slots, rng.standard_normal((len(slots), 8)))
        memory.commit("changed")

    with Memory.create(path, config, durability="process") as memory:
        memory.write(rng.standard_normal((40, 8)), rng.random((40, 8, 8, 8)) < 0.5)
        memory.commit("base")
        change(memory, [9])
        Memory.open(path, rows="disk").close()
        for slots in (range(20, 40), [1], [1]):
            change(memory, list(slots))
    with Memory.open(path, "r+", rows="disk", durability="process") as memory:
        assert memory._repository._ledger.marks[9]
        for _ in range(3):
            change(memory, [1, 2, 3, *range(14, 20)])
            change(memory, [4, 5, 6, 7, 10, 11, 12, 13])
            assert memory.verify(every=True).problems == ()
        keys = memory.keys(range(40))
    with Memory.open(path, rows="ram") as memory:
        assert_array_equal(memory.keys(range(40)), keys)
