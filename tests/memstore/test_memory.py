"""Memory against the oracle, on disk and off."""

import copy
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from numpy.testing import assert_array_equal

import memstore
from memstore import PAPER, Memory
from memstore.search.cosine import unit
from memstore.storage import schema
from tests.helpers.naive_memory import NaiveMemory, assert_found
from tests.helpers.stateful_oracle import operations

TINY = replace(PAPER, capacity=4, key_dim=3, resolution=2, beta=0.5, delta=0.75)
AXES = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
EMPTY, FULL = np.zeros((2, 2, 2), bool), np.ones((2, 2, 2), bool)

# A tiny pool, so that equal cosines, opposite keys and near-duplicates are the rule.
FEATURES = [np.array(f, float) for f in np.ndindex(3, 3, 3) if f != (1, 1, 1)]
FEATURES = [f - 1 for f in FEATURES]
FEATURES += [FEATURES[0] * 1e300, FEATURES[1] * 1e-300, FEATURES[2] + [0, 0, 1e-7]]
GRIDS = [np.array([i >> bit & 1 for bit in range(8)], bool).reshape(2, 2, 2) for i in range(256)]

pairs = st.tuples(
    st.sampled_from(range(len(FEATURES))),
    st.sampled_from([0, 1, 3, 7, 15, 255]),
    st.sampled_from(["", "a", "bé"]),
)


def arrays(written):
    """Features, grids and sources of drawn pairs."""
    features = np.array([FEATURES[f] for f, _, _ in written]).reshape(-1, 3)
    grids = np.array([GRIDS[g] for _, g, _ in written], bool).reshape(-1, 2, 2, 2)
    return features, grids, [source for _, _, source in written]


def assert_same_state(memory, oracle):
    used = oracle.used()
    entries = [oracle.slots[s] for s in used]
    assert memory.slots.tolist() == used
    assert len(memory) == len(used)
    assert memory.clock == oracle.clock
    assert memory.ages.tolist() == [entry["age"] for entry in entries]
    assert memory.sources == [entry["source"] for entry in entries]
    assert memory.reads.tolist() == [entry["reads"] for entry in entries]
    assert_array_equal(memory.keys(used), np.array([e["key"] for e in entries]).reshape(-1, 3))
    expected = np.array([e["value"] for e in entries], bool).reshape(-1, 2, 2, 2)
    assert_array_equal(memory.values(used), expected)


def assert_write_matches(memory, oracle, written):
    features, grids, sources = arrays(written)
    report = memory.write(features, grids, sources)
    expected = [oracle.write(*pair) for pair in zip(features, grids, sources, strict=True)]
    assert report.slots.tolist() == [slot for slot, _, _ in expected]
    assert report.kinds.tolist() == [kind for _, kind, _ in expected]
    assert_array_equal(report.value_similarities, [similarity for _, _, similarity in expected])


@pytest.fixture(autouse=True, scope="module")
def short_log():
    """The log of a memory on disk fills and empties every few commits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "LOG_LEAST", 64)
        yield


class MemoryMachine(RuleBasedStateMachine):
    """Any sequence of calls, commits and reopenings gives what the oracle gives."""

    @initialize(similarity=st.sampled_from(["mse", "iou"]), capacity=st.sampled_from([1, 4, 9]))
    def create(self, similarity, capacity):
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "memory"
        config = replace(TINY, value_similarity=similarity, capacity=capacity)
        self.memory, self.oracle = Memory.create(self.path, config), NaiveMemory(config)
        self.tip = self.memory.snapshot
        self.saved = {self.tip: copy.deepcopy(self.oracle)}
        self.ancestry = {self.tip: [self.tip]}
        self.changed = False

    def teardown(self):
        if hasattr(self, "folder"):
            self.memory.close(discard=True)
            self.folder.cleanup()

    @rule(written=st.lists(pairs, max_size=6))
    def write(self, written):
        assert_write_matches(self.memory, self.oracle, written)
        self.changed = self.changed or bool(written)

    @rule(data=st.data())
    def remove(self, data):
        slots = data.draw(
            st.lists(st.sampled_from([*self.oracle.used()]), unique=True, max_size=2)
            if self.oracle.used()
            else st.just([])
        )
        self.memory.remove(slots)
        self.oracle.remove(slots)
        self.changed = self.changed or bool(slots)

    @rule(data=st.data())
    def replace_keys(self, data):
        slots = data.draw(
            st.lists(st.sampled_from([*self.oracle.used()]), unique=True, max_size=3)
            if self.oracle.used()
            else st.just([])
        )
        features = [FEATURES[data.draw(st.sampled_from(range(len(FEATURES))))] for _ in slots]
        self.memory.replace_keys(slots, np.array(features).reshape(-1, 3))
        self.oracle.replace_keys(slots, features)
        self.changed = self.changed or bool(slots)

    @rule(
        queries=st.lists(pairs, max_size=3),
        k=st.integers(1, 6),
        beta=st.sampled_from([None, -1.0, 0.0, 0.8, 1.0]),
        by_source=st.booleans(),
    )
    def look_up(self, queries, k, beta, by_source):
        features, grids, sources = arrays(queries)
        exclude = [source or None for source in sources] if by_source else None
        hits = self.memory.search(features, k)
        priors = self.memory.read(features, k, beta, exclude)
        contrast = self.memory.contrast(features, grids)
        for b, feature in enumerate(features):
            assert_found(hits.slots[b], hits.cosines[b], self.oracle.search(feature, k))
            found = self.oracle.read(feature, k, beta, exclude[b] if exclude else None)
            assert_found(priors.slots[b], priors.cosines[b], found)
            assert priors.counts[b] == len(found)
            values = [self.oracle.slots[slot]["value"] for _, slot in found]
            values += [EMPTY] * (k - len(found))
            assert_array_equal(priors.values[b], values)
            nearest = contrast.positive[b], contrast.negative[b]
            assert nearest == self.oracle.contrast(feature, grids[b])

    @rule()
    def commit(self):
        base = self.memory.snapshot
        self.tip = self.memory.commit("a commit")
        assert (self.tip != base) == self.changed
        if self.changed:
            self.saved[self.tip] = copy.deepcopy(self.oracle)
            self.ancestry[self.tip] = [self.tip, *self.ancestry[base]]
        self.changed = False

    @rule()
    def reopen(self):
        self.memory.close(discard=True)
        self.memory = Memory.open(self.path, "r+")
        self.oracle, self.changed = copy.deepcopy(self.saved[self.tip]), False

    @rule(data=st.data())
    def reopen_at_any_snapshot(self, data):
        self.memory.close(discard=True)
        at = data.draw(st.sampled_from(list(self.saved)))
        self.memory = Memory.open(self.path, "r+", at=at)
        self.oracle, self.changed = copy.deepcopy(self.saved[at]), False

    @precondition(lambda self: len(self.saved) > 1)
    @rule(data=st.data())
    def travel_in_time(self, data):
        at = data.draw(st.sampled_from(list(self.saved)))
        with Memory.open(self.path, at=at) as past:
            assert past.snapshot == at
            assert_same_state(past, self.saved[at])

    @invariant()
    def same_state(self):
        if hasattr(self, "memory"):
            assert_same_state(self.memory, self.oracle)
            ids = [entry.id for entry in self.memory.history()]
            assert ids == self.ancestry[self.memory.snapshot]


MemoryMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)
TestMemoryMachine = MemoryMachine.TestCase


@given(st.lists(pairs, max_size=30), st.integers(1, 5), st.sampled_from(["mse", "iou"]))
def test_a_batch_equals_one_by_one(written, capacity, similarity):
    config = replace(TINY, capacity=capacity, value_similarity=similarity)
    memory, oracle = Memory(config), NaiveMemory(config)
    assert_write_matches(memory, oracle, written)
    assert_same_state(memory, oracle)


@given(
    st.lists(st.sampled_from(range(4)), min_size=1, max_size=25),
    st.lists(pairs, max_size=20),
    st.integers(1, 12),
)
def test_a_batch_that_changes_what_is_nearest_to_its_own_pairs(crowd, spread, capacity):
    """A full memory of near-equal keys: merges pile up on one slot, evictions hit neighbors."""
    config = replace(TINY, capacity=capacity, delta=0.9)
    memory, oracle = Memory(config), NaiveMemory(config)
    assert_write_matches(memory, oracle, [(i % 26, i % 5, "") for i in range(capacity)])
    assert_write_matches(memory, oracle, [(9 * (i % 2), i, "") for i in crowd] + spread)
    assert_same_state(memory, oracle)


def test_more_pairs_than_are_planned_at_once():
    rng = np.random.default_rng(0)
    memory, oracle = Memory(TINY), NaiveMemory(TINY)
    drawn = [(rng.integers(len(FEATURES)), rng.integers(256), "") for _ in range(600)]
    assert_write_matches(memory, oracle, drawn)
    assert_same_state(memory, oracle)


@pytest.mark.parametrize("similarity", ["mse", "iou"])
def test_a_long_life(similarity):
    done = operations(150, seed=1, similarity=similarity)
    assert min(done.values()) > 0


def test_replaced_keys_are_saved_and_all_else_stays(tmp_path):
    with Memory.create(tmp_path / "memory", TINY) as memory:
        memory.write(AXES, np.array(GRIDS)[[0, 15, 255]], ["a", "b", "c"])
        memory.read(AXES[:1], k=1)
        before = memory.commit("written")
        memory.replace_keys([2, 0], np.array([[3.0, 4, 0], [0, 0, 7]]))
        assert memory.search([[0.0, 0, 1]], k=1).slots.item() == 0
        memory.commit("other keys")
        assert memory.verify(every=True).problems == ()
    with Memory.open(tmp_path / "memory") as after, Memory.open(after.path, at=before) as old:
        found = memstore.diff(old, after)
        assert (found.rekeyed, found.unchanged) == ((0, 2), 1)
        assert_array_equal(after.keys([0, 1, 2]), unit(np.array([[0, 0, 1], [0, 1, 0], [3, 4, 0]])))
        assert (after.clock, after.ages.tolist(), after.reads.tolist()) == (3, [2, 1, 0], [1, 0, 0])
        assert after.sources == ["a", "b", "c"]
        assert_array_equal(after.values([0, 1, 2]), np.array(GRIDS)[[0, 15, 255]])
        counts = [after.stats().merges, after.stats().inserts, after.stats().evictions]
        assert counts == [0, 3, 0]
        assert after.verify().problems == ()


def test_sources_of_slots_follow_every_change():
    memory = Memory(replace(TINY, capacity=3))
    memory.write(AXES, np.stack([GRIDS[7], GRIDS[56], GRIDS[192]]), ["a", "b", "ç"])
    assert memory.sources_of([2, 0, 2]) == ["ç", "a", "ç"] and memory.sources_of([]) == []
    report = memory.write(-AXES[:1], EMPTY[None], ["d"])  # in the place of the oldest
    assert memory.sources_of(report.slots) == ["d"] and report.slots.tolist() == [0]
    memory.remove([1])
    with pytest.raises(memstore.SlotError):
        memory.sources_of([1])


@pytest.mark.parametrize(
    ("slots", "keys", "error"),
    [
        ([0, 0], AXES[:2], "twice"),
        ([0], AXES[:2], "got 2, want one per slot"),
        ([3], AXES[:1], "empty"),
        ([0], AXES[:1, :2], "keys: got shape"),
        ([0], np.zeros((1, 3)), r"keys\[0\]: got all zeros"),
        ([0], np.full((1, 3), np.nan), r"keys\[0\]: got nan"),
        ([0], [[1, 0, 0]], "keys: got dtype"),
    ],
)
def test_keys_that_cannot_replace_change_nothing(slots, keys, error):
    memory = Memory(TINY)
    memory.write(AXES[:2], np.array(GRIDS)[[0, 255]])
    with pytest.raises(memstore.MemstoreError, match=error):
        memory.replace_keys(slots, keys)
    assert_array_equal(memory.keys([0, 1]), AXES[:2])


def test_a_copy_with_more_slots_goes_on_where_the_first_stood(tmp_path):
    memory, oracle = Memory(TINY), NaiveMemory(replace(TINY, capacity=6))
    written = [(0, 0, "a"), (1, 15, "b"), (2, 255, "c")]
    assert_write_matches(memory, oracle, written)
    memory.remove([1])
    oracle.remove([1])
    memory.copy_to(tmp_path / "larger", capacity=6)
    with Memory.open(tmp_path / "larger", "r+") as larger:
        assert larger.config == replace(TINY, capacity=6)
        assert_same_state(larger, oracle)
        assert larger.stats().inserts == memory.stats().inserts
        assert_write_matches(larger, oracle, [(5 + i, 3, "") for i in range(9)])
        larger.commit("more")
        assert larger.verify().problems == ()
    for capacity in (3, 0, 2.5):
        with pytest.raises(memstore.MemstoreError, match="capacity: got"):
            memory.copy_to(tmp_path / "smaller", capacity=capacity)


def test_values_and_keys_are_copies():
    memory = Memory(TINY)
    memory.write(AXES[:1], FULL[None])
    memory.keys([0])[:] = 9
    memory.values([0])[:] = False
    assert memory.keys([0]).tolist() == [[1, 0, 0]]
    assert memory.values([0]).all()


def test_ram_only():
    memory = Memory(TINY)
    assert (memory.path, memory.snapshot, memory.mode) == (None, None, "r+")
    assert (memory.history(), memory.tags()) == ([], {})
    for call in (lambda: memory.commit("x"), lambda: memory.tag("x")):
        with pytest.raises(memstore.TransientError):
            call()


def test_modes(tmp_path):
    path = tmp_path / "memory"
    with Memory.create(path, TINY) as writer:
        assert (writer.mode, writer.path) == ("r+", path)
        with Memory.open(path) as reader:
            for call in (
                lambda: reader.write(AXES[:1], FULL[None]),
                lambda: reader.remove([]),
                lambda: reader.replace_keys([], np.empty((0, 3))),
                lambda: reader.commit("x"),
                lambda: reader.tag("x"),
            ):
                with pytest.raises(memstore.ReadOnlyError, match="got mode 'r'"):
                    call()
    with pytest.raises(memstore.ReadOnlyError, match="closed"):
        writer.commit("x")
    with pytest.raises(memstore.ArgumentError, match="mode: got 'w'"):
        Memory.open(path, "w")


def test_a_closed_memory_can_still_be_read(tmp_path):
    with Memory.create(tmp_path / "memory", TINY) as memory:
        memory.write(AXES[:1], FULL[None])
    assert memory.mode == "closed"
    assert memory.read(AXES[:1], 1).slots.tolist() == [[0]]
    assert memory.keys([0]).tolist() == AXES[:1].tolist()


def test_eight_are_read_unless_told():
    memory = Memory(replace(TINY, capacity=12, beta=-1.0, delta=1.0))
    turns = np.linspace(0, 1, 12)
    keys = np.stack([np.cos(turns), np.sin(turns), 0 * turns], axis=1)
    memory.write(keys, np.stack(GRIDS[:12]))
    found, want = memory.read(keys[:2]), memory.read(keys[:2], k=8)
    assert found.counts.tolist() == [8, 8]
    assert_array_equal(found.slots, want.slots)


def test_a_reader_keeps_its_snapshot(tmp_path):
    with Memory.create(tmp_path / "memory", TINY) as writer:
        writer.write(AXES[:1], FULL[None])
        with Memory.open(tmp_path / "memory") as reader:
            writer.commit("one slot")
            assert len(reader) == 0
        with Memory.open(tmp_path / "memory") as reader:
            assert len(reader) == 1


def test_importing_is_light():
    """Memories in RAM pay for neither zarr nor icechunk; torch and typer are nobody's."""
    code = "import sys, memstore; print({'torch', 'typer', 'mem3d', 'zarr'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


def test_a_memory_prints_where_it_is_and_how_full(tmp_path):
    config = replace(PAPER, capacity=2000, key_dim=3, resolution=2)
    grids = np.eye(8, dtype=bool).reshape(8, 2, 2, 2)[:3]
    use = "3 of 2,000 slots, keys of 3, values of 2^3>"
    memory = Memory(config)
    memory.write(np.eye(3), grids, warn=False)
    assert repr(memory) == f"<Memory in RAM, r+: {use}"
    memory.copy_to(tmp_path / "copy")
    with Memory.open(tmp_path / "copy") as reader:
        assert repr(reader) == f"<Memory at {tmp_path / 'copy'}, r: {use}"
    assert "closed" in repr(reader)
