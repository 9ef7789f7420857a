"""The writing rule, by hand and against the oracle."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from memstore import (
    PAPER,
    EvictionWarning,
    FullError,
    Memory,
    MemoryConfig,
    MergeWarning,
    plan_writes_from_products,
)
from memstore.search.index import KeyIndex
from memstore.slots import policy
from memstore.slots.policy import plan_writes
from memstore.voxels.grids import pack, unpack
from tests.helpers.naive_memory import NaiveMemory, unit

TINY = replace(PAPER, capacity=4, key_dim=3, resolution=2, delta=0.75)
AXES = np.eye(3, dtype=np.float32)
EMPTY, FULL = np.zeros((2, 2, 2), bool), np.ones((2, 2, 2), bool)
HALF = np.stack([EMPTY[0], FULL[0]])


def test_the_papers_rule_by_hand():
    """Insert, merge and evict on three axes; the numbers by hand."""
    memory = Memory(replace(TINY, capacity=2))
    report = memory.write(2 * AXES[:2], np.stack([EMPTY, FULL]), ["x", "y"])
    assert report.kinds.tolist() == ["insert", "insert"]
    assert_array_equal(report.value_similarities, [np.nan, 0.0])

    # (0, .8, .6) is nearest to the y axis, whose grid it brings: (0, 1.8, .6) / sqrt(3.6).
    report = memory.write(np.array([[0, 4.0, 3.0]]), FULL[None], ["z"])
    assert (report.slots.item(), report.kinds.item()) == (1, "merge")
    assert_array_equal(memory.keys([1])[0], np.float32([0, 1.8 / np.sqrt(3.6), 0.6 / np.sqrt(3.6)]))
    assert memory.sources == ["x", "y"]
    assert memory.ages.tolist() == [2, 0]

    # Nearest to slot 1, whose grid is unlike EMPTY; slot 0 is the oldest.
    report = memory.write(AXES[2:], EMPTY[None], ["z"])
    assert (report.slots.item(), report.kinds.item()) == (0, "evict")
    assert memory.sources == ["z", "y"]
    assert memory.ages.tolist() == [0, 1]


def test_an_opposite_key_is_replaced():
    memory = Memory(TINY)
    memory.write(AXES[:1], FULL[None])
    assert memory.write(-AXES[:1], FULL[None]).kinds.item() == "merge"
    assert_array_equal(memory.keys([0]), -AXES[:1])


def test_empty_slots_are_never_found():
    """A thin grid is 7/8 similar to an empty one: unused slots must not look like that."""
    thin = EMPTY.copy()
    thin[0, 0, 0] = True
    memory = Memory(TINY)
    for _ in ("never used", "used and removed"):
        assert memory.search(AXES, 2).slots.tolist() == [[-1, -1]] * 3
        assert memory.contrast(AXES[:1], thin[None]).positive.tolist() == [-1]
        assert memory.write(AXES[:1], thin[None]).kinds.item() == "insert"
        memory.remove([0])


def test_later_pairs_see_earlier_ones():
    """Inside one batch: the twin of an inserted pair is known, and merged where that went."""
    report = Memory(TINY).write(AXES[[0, 0]], np.stack([FULL, FULL]))
    assert report.slots.tolist() == [0, 0]
    assert report.kinds.tolist() == ["insert", "merge"]
    assert_array_equal(report.value_similarities, [np.nan, 1.0])


def test_removed_slots_are_filled_lowest_first():
    memory = Memory(replace(TINY, delta=1))
    grids = unpack(np.arange(6, dtype=np.uint8)[:, None], 8).reshape(6, 2, 2, 2)
    memory.write(AXES, grids[:3])
    memory.remove([2, 0])
    report = memory.write(-AXES, grids[3:])
    assert report.slots.tolist() == [0, 2, 3]
    assert report.kinds.tolist() == ["insert"] * 3


def test_planning_changes_nothing():
    index = KeyIndex(3)
    index.put(np.arange(2), AXES[:2])
    values = np.zeros((2, 2, 2, 1), np.uint8)
    touched, grids = np.array([1, 2]), np.full((2, 2, 2, 1), 0b11000000, np.uint8)
    arrays = (AXES[:2].copy(), grids, values, touched)
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    plan = plan_writes(*arrays[:2], index, *arrays[2:], replace(TINY, capacity=2))
    assert plan.kinds.tolist() == ["evict", "evict"]
    assert plan.slots.tolist() == [0, 1]
    products = np.eye(2), np.zeros((2, 2)), np.eye(2), np.eye(2)
    assert_array_equal(
        plan_writes_from_products(*products, np.ones(2, bool), touched, TINY).slots, plan.slots
    )
    for array, copy in zip(arrays, before, strict=True):
        assert_array_equal(array, copy)
    assert_array_equal(index.keys, AXES[:2])


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["mse", "iou"]),
    st.integers(1, 9),
    st.lists(st.integers(1, 12), min_size=1, max_size=4),
)
@example(1, "mse", 1, [8, 1])  # opposite keys whose sum is a rounding error
@example(0, "mse", 1, [1, 1])  # opposite keys whose cosine is rounded to -0.9999999
def test_both_plans_are_the_oracle_s(seed, similarity, capacity, batches):
    """Batches into a memory that is empty, half full, full; some features are opposite or zero."""
    rng = np.random.default_rng(seed)
    config = replace(TINY, capacity=capacity, key_dim=6, value_similarity=similarity)
    oracle, touched = NaiveMemory(config), np.full(capacity, -1)
    index, values = KeyIndex(6), np.zeros((capacity, 2, 2, 1), np.uint8)
    shapes = rng.random((3, 2, 2, 2)) < 0.5
    for size in batches:
        features = rng.standard_normal((size, 6)) + 3 * np.eye(6)[rng.integers(3, size=size)]
        if oracle.used() and rng.random() < 0.5:
            features[0] = -oracle.slots[oracle.used()[0]]["key"]
        units, grids = np.stack([unit(f) for f in features]), shapes[rng.integers(3, size=size)]
        is_written = rng.random(size) < 0.8
        units[~is_written] = 0  # a feature without direction
        pairs = units[is_written], grids[is_written]
        products = oracle.products(units, grids)
        fast = plan_writes_from_products(*products, is_written, touched, config)
        plan = plan_writes(pairs[0], pack(pairs[1]), index, values, touched, config)
        old_keys = [entry["key"] if entry else np.zeros(6) for entry in oracle.slots]
        expected = [oracle.write(*pair) for pair in zip(*pairs, strict=True)]
        for ours in (plan, fast):
            assert ours.slots.tolist() == [slot for slot, _, _ in expected]
            assert ours.kinds.tolist() == [kind for _, kind, _ in expected]
            assert_array_equal(ours.similarities, [similarity for _, _, similarity in expected])
        assert set(fast.mixtures) == set(fast.slots.tolist())
        for slot, weights in fast.mixtures.items():
            key = weights[0] * old_keys[slot] + weights[1:] @ units
            rest = np.abs(old_keys[slot] + units[0]).max()
            if 0 < rest < 1e-6:  # opposite but for rounding: the sum's direction is its noise
                continue
            assert_allclose(key, oracle.slots[slot]["key"], atol=1e-5)
        for slot, pair in fast.values.items():
            assert_array_equal(oracle.slots[slot]["value"], grids[pair])
        for slot in oracle.used():
            index.put(np.array([slot]), oracle.slots[slot]["key"][None])
            values[slot] = pack(oracle.slots[slot]["value"])
            touched[slot] = oracle.clock - oracle.slots[slot]["age"]


@pytest.mark.parametrize("when_full", ["error", "evict"])
@pytest.mark.parametrize("kind", ["mse", "iou"])
def test_a_long_batch_is_as_pairs_one_by_one(kind, when_full, monkeypatch):
    """Duplicates, ties, near-equal keys; in the midst of a block and across its end, to the bit.

    With "error" a batch of more pairs than empty slots is planned as a whole.
    """
    monkeypatch.setattr(policy, "BLOCK", 48)
    rng = np.random.default_rng(4)
    crowd = np.repeat(rng.standard_normal((60, 6)), 3, axis=0)
    crowd[::3] += rng.standard_normal((60, 6))
    crowd[1::3] += 1e-4 * rng.standard_normal((60, 6))
    among, shapes = rng.integers(len(crowd), size=400), rng.random((60, 2, 2, 2)) < 0.5
    features, grids = crowd[among], shapes[among // 3]
    features[::11] *= -1
    grids[::3] = shapes[rng.integers(60, size=134)]
    names = [f"pair {i}" for i in range(400)]
    rules = {"value_similarity": kind, "when_full": when_full}
    capacity = 60 if when_full == "evict" else 390
    config = MemoryConfig(capacity=capacity, key_dim=6, resolution=2, delta=0.9, **rules)
    whole, single = Memory(config), Memory(config)
    report = whole.write(features, grids, names)
    pairs = zip(features[:, None], grids[:, None], names, strict=True)
    reports = [single.write(feature, grid, [name]) for feature, grid, name in pairs]
    assert min(report.counts[kind] for kind in ("merge", "insert")) > 50
    assert (report.counts["evict"] > 50) == (when_full == "evict")
    for ours, others in zip(report, zip(*reports, strict=True), strict=True):
        assert_array_equal(ours, np.concatenate(others))
    slots = single.slots
    assert_array_equal(whole.slots, slots)
    assert whole.keys(slots).tobytes() == single.keys(slots).tobytes()
    assert_array_equal(whole.values(slots), single.values(slots))
    assert_array_equal(whole.ages, single.ages)
    assert whole.sources == single.sources


@pytest.mark.parametrize("size", [5, 6, 24])  # from 6 on more than the nearest slot is looked up
@pytest.mark.parametrize("delta", [1, 0.6])  # hardly any merge, and many
def test_batches_are_the_oracle_s_pairs(size, delta):
    """Full memories: pairs evict what is nearest to later ones, or are nearest themselves."""
    rng = np.random.default_rng(size)
    config = replace(PAPER, capacity=30, key_dim=16, resolution=2, delta=delta)
    memory, oracle = Memory(config), NaiveMemory(config)
    centers, shapes = rng.standard_normal((12, 16)), rng.random((200, 2, 2, 2)) < 0.5
    for _ in range(96 // size):
        features = centers[rng.integers(12, size=size)] + 0.5 * rng.standard_normal((size, 16))
        units, grids = np.stack([unit(f) for f in features]), shapes[rng.integers(200, size=size)]
        report = memory.write(features, grids)
        expected = [oracle.write(*pair) for pair in zip(units, grids, strict=True)]
        assert report.slots.tolist() == [slot for slot, _, _ in expected]
        assert report.kinds.tolist() == [kind for _, kind, _ in expected]
        assert_array_equal(report.value_similarities, [similarity for _, _, similarity in expected])
    for slot in memory.slots.tolist():
        assert_array_equal(memory[slot].key, oracle.slots[slot]["key"])
        assert_array_equal(memory[slot].value, oracle.slots[slot]["value"])


LOSSLESS = MemoryConfig(capacity=3, key_dim=3, resolution=2)


def test_by_default_each_pair_has_a_slot_of_its_own():
    """The same pair three times: PAPER would keep one."""
    memory = Memory(LOSSLESS)
    report = memory.write(AXES[[0, 0, 0]], np.stack([FULL, FULL, FULL]), ["a", "b", "c"])
    assert report.kinds.tolist() == ["insert"] * 3
    assert memory.sources == ["a", "b", "c"]


@pytest.mark.parametrize("delta", [None, 1.0], ids=["never merges", "merges"])
@pytest.mark.parametrize("pairs", [4, 600], ids=["a batch", "several"])
def test_a_full_memory_refuses_and_is_as_before(delta, pairs):
    """One pair too many, at the very end; batches are planned 256 at a time."""
    grids = np.stack([FULL] * (pairs - 1) + [EMPTY])
    keys = np.random.default_rng(0).standard_normal((pairs, 3))
    room = pairs - 1 if delta is None else 1  # all that are full merge
    memory = Memory(replace(LOSSLESS, capacity=room, delta=delta))
    with pytest.raises(FullError, match=r"capacity .*when_full='evict'"):
        memory.write(keys, grids)
    assert (len(memory), memory.clock) == (0, 0)
    memory.write(keys[:-1], grids[:-1])
    assert len(memory) == room


def test_a_full_memory_may_merge():
    memory = Memory(replace(LOSSLESS, capacity=1, delta=1))
    memory.write(AXES[:1], FULL[None])
    assert memory.write(AXES[:1], FULL[None]).counts == {"merge": 1, "insert": 0, "evict": 0}
    with pytest.raises(FullError):
        memory.write(AXES[1:2], EMPTY[None])
    touched, products = np.array([1]), (np.zeros((1, 1)), np.zeros((1, 1)), np.eye(1), np.eye(1))
    with pytest.raises(FullError):
        plan_writes_from_products(*products, np.ones(1, bool), touched, memory.config)
    lossless = replace(LOSSLESS, capacity=2)
    plan = plan_writes_from_products(
        np.ones((1, 1)),
        np.ones((1, 1)),
        *products[2:],
        np.ones(1, bool),
        [1, -1] * touched,
        lossless,
    )
    assert plan.kinds.tolist() == ["insert"]


def test_a_report_says_what_was_lost():
    memory = Memory(replace(LOSSLESS, capacity=2, delta=1, when_full="evict"))
    report = memory.write(AXES[[0, 1, 1, 2]], np.stack([EMPTY, FULL, FULL, ~HALF]))
    assert report.counts == {"merge": 1, "insert": 2, "evict": 1}
    assert repr(report) == (
        "WriteReport(4 pairs: 1 merged (a similar value is there already; theirs were not stored), "
        "2 inserted, 1 inserted in place of the oldest slots, which are gone)"
    )
    assert repr(memory.write(AXES[:0], FULL[None][:0])) == "WriteReport(0 pairs: nothing written)"


def test_the_first_merge_and_the_first_eviction_warn_once(monkeypatch):
    monkeypatch.setattr(policy, "_warned", set())
    memory = Memory(replace(LOSSLESS, capacity=1, delta=1, when_full="evict"))
    memory.write(AXES[:1], FULL[None])
    for category, grid in ((MergeWarning, FULL), (EvictionWarning, EMPTY)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            memory.write(AXES[:1], grid[None])
            memory.write(AXES[:1], grid[None])
            memory.write(AXES[:1], FULL[None] if grid is FULL else ~grid[None])
            memory.write(AXES[:1], FULL[None])
        assert [warning.category for warning in caught] == [category]
        assert caught[0].filename == __file__


def test_an_error_of_a_warning_comes_before_the_loss(monkeypatch):
    """warnings.simplefilter("error", MergeWarning) is a guard; told not to warn, none."""
    monkeypatch.setattr(policy, "_warned", set())
    memory = Memory(replace(LOSSLESS, delta=1))
    memory.write(AXES[:1], FULL[None], ["first"])
    with warnings.catch_warnings():
        warnings.simplefilter("error", MergeWarning)
        for _ in range(2):
            with pytest.raises(MergeWarning):
                memory.write(AXES[:2], np.stack([FULL, EMPTY]))
        assert (len(memory), memory.clock) == (1, 1)
        memory.write(AXES[:1], FULL[None], warn=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MergeWarning)
        memory.write(AXES[:1], FULL[None])
