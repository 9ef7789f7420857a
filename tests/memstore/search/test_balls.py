"""Proven answers by balls are a scan's, to the last bit, whatever keys and filters are."""

from dataclasses import replace

import numpy as np
import pytest

from memstore import Memory, MemoryConfig
from memstore.search import balls, ivf
from memstore.search.balls import Balls
from memstore.search.cosine import unit
from memstore.search.index import KeyIndex
from memstore.search.ivf import IvfIndex

ROWS = 400


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Lists and balls of few slots, at once; each answer that balls can give is theirs."""
    numbers = {"LEAST_ROWS": 100, "STEP": 4096, "SCANS": 1, "SOME": 1, "SOME_OF_BATCH": 1}
    for name, number in numbers.items():
        monkeypatch.setattr(ivf, name, number)


def keys_of(kind, rng, n, channels):
    """Unit keys (n, channels)."""
    wide = rng.standard_normal((n, channels))
    if kind == "clusters":
        wide = rng.standard_normal((12, channels))[rng.integers(12, size=n)] + 0.2 * wide
    elif kind == "twins":  # ties at any threshold
        wide = wide[rng.integers(min(40, n), size=n)]
    elif kind == "antipodal":
        wide = wide[0] * rng.choice([-1, 1], (n, 1)) + rng.choice([0, 1e-4], (n, 1)) * wide
    elif kind == "equal":
        wide = np.repeat(wide[:1], n, axis=0)
    elif kind == "alike":
        wide = 1 + 1e-6 * wide
    elif kind == "norms":  # as far off as a folder's may be
        return unit(wide) * (1 + rng.uniform(-9e-6, 9e-6, (n, 1))).astype(np.float32)
    return unit(wide)


KINDS = ["random", "clusters", "twins", "antipodal", "equal", "alike", "norms"]


def with_balls(keys):
    """An index of keys, and one that scans; the first has lists."""
    index, plain = IvfIndex(keys.shape[1]), KeyIndex(keys.shape[1])
    for each in (index, plain):
        each.put(np.arange(len(keys)), keys)
    everything = np.ones(len(keys), np.bool_)
    while index._lists is None:
        index.search(keys[:1], 1, everything)
    return index, plain


def assert_same(index, plain, queries, k, allowed, above=-2.0):
    """Both give the same bits, and say that they are proven."""
    for some, mask in ((queries, allowed), (queries[:1], allowed if allowed.ndim == 1 else None)):
        mask = allowed[0] if mask is None else mask
        hits = index.search(some, k, mask, above, exact=True)
        truth = plain.search(some, k, mask, above)
        np.testing.assert_array_equal(hits.slots, truth.slots)
        assert hits.cosines.tobytes() == truth.cosines.tobytes()
        assert hits.exact.all()


@pytest.mark.parametrize("channels", [2, 24])  # on a circle bounds are as tight as can be
@pytest.mark.parametrize("kind", KINDS)
def test_balls_answer_as_a_scan_does(kind, channels):
    rng = np.random.default_rng([channels, KINDS.index(kind)])
    keys = keys_of(kind, rng, ROWS, channels)
    index, plain = with_balls(keys)
    for turn in range(3):
        rows = len(plain.keys)
        queries = np.concatenate(
            [keys[rng.integers(ROWS, size=3)], keys_of(kind, rng, 4, channels), -keys[:1]]
        )
        queries = unit(queries)
        masks = rng.random((len(queries), rows)) < rng.choice([1, 0.5, 0.03])
        for k in (1, 8):
            index._pause = index._misses = 0
            assert_same(index, plain, queries, k, np.ones(rows, np.bool_))
            assert_same(index, plain, queries, k, masks)
            nearest = float(plain.search(queries[:1], 1, masks[0]).cosines.max(initial=-0.5))
            for above in (nearest, float(rng.choice([-0.5, 0.5]))):  # no cosine is above itself
                assert_same(index, plain, queries, k, masks[0], max(above, -1.0))
        slots = rng.choice(rows + 5, 1 if turn % 2 else 90, replace=False)
        changed = keys_of(rng.choice(KINDS), rng, len(slots), channels)
        changed[:1] = 0  # a slot that is empty now
        for each in (index, plain):
            each.put(slots, changed)
    assert index._balls is not None


@pytest.mark.parametrize("rows", [1, 2, 9])
def test_few_keys_and_lists_of_one(rows):
    """Balls of one key, none at all, slots in no list and in several, and no slot in reach."""
    rng = np.random.default_rng(rows)
    keys = unit(rng.standard_normal((rows, 5)))
    plain = KeyIndex(5)
    plain.put(np.arange(rows), keys)
    everything = np.ones(rows, np.bool_)
    for lists in ([], [np.array([0])], [np.array([0, rows - 1]), np.arange(rows)]):
        balls = Balls(keys, lists)
        for each in (balls, balls.refilled(keys)):
            queries = unit(rng.standard_normal((6, 5)))
            for k in (1, 3):
                truth = plain.search(queries, k, everything)
                allowed = ivf.Allowed.of(everything)
                answers = each.search(queries, keys, k, allowed, -2.0, rows)
                for b, (slots, cosines) in enumerate(answers):
                    assert slots.tolist() == [s for s in truth.slots[b].tolist() if s >= 0]
                    assert cosines.tolist() == truth.cosines[b, : len(slots)].tolist()
            assert each.search(queries[:1], keys, 1, allowed, -2.0, 0) == [None]


@pytest.mark.parametrize("gap", [0, 1e-7, 1e-6, 1e-5, 1e-4])
@pytest.mark.parametrize("sign", [-1, 1])
def test_another_balls_key_that_is_just_as_near(sign, gap):
    """On a circle, between the query and its center, where the bound is tight."""
    angles = np.array([0.4, 0.5, 0.6, -0.4 + gap, -0.5, -0.6]) * sign
    keys = unit(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    for order in (np.arange(6), np.arange(6)[::-1]):
        lists = [np.flatnonzero(order < 3), np.flatnonzero(order >= 3)]
        plain = KeyIndex(2)
        plain.put(np.arange(6), keys[order])
        allowed = np.ones(6, np.bool_)
        for turn in (0.0, gap / 4, -gap / 4):
            query = unit(np.array([[np.cos(turn), np.sin(turn)]]))
            truth = plain.search(query, 1, allowed)
            answers = Balls(keys[order], lists).search(
                query, keys[order], 1, ivf.Allowed.of(allowed), -2.0, 6
            )
            assert answers[0][0].tolist() == truth.slots[0].tolist()


def test_what_lies_in_clusters_is_passed_over(monkeypatch):
    """Else the other tests would hold of a scan as well."""
    rng = np.random.default_rng(0)
    keys = keys_of("clusters", rng, ROWS, 24)
    index, plain = with_balls(keys)
    for name in ("SOME", "SOME_OF_BATCH"):
        monkeypatch.setattr(ivf, name, 4)
    everything = np.ones(ROWS, np.bool_)
    assert_same(index, plain, keys[:9], 8, everything)
    with monkeypatch.context() as patch:
        patch.setattr(KeyIndex, "search", None)  # nothing is scanned
        index.search(keys[:9], 8, everything, exact=True)
        index.search(keys[:9], 8, rng.random((9, ROWS)) < 0.5, exact=True)
    changed = keys_of("clusters", rng, 40, 24)  # other clusters
    for each in (index, plain):
        each.put(np.arange(40), changed)
    before = index._balls
    assert_same(index, plain, np.concatenate([changed, keys[:3]]), 8, everything)
    assert index._balls is not before  # they were put in balls
    assert index.derived_bytes > index._balls.nbytes > ROWS * 16


def test_random_keys_are_scanned_for_and_tried_ever_less(monkeypatch):
    rng = np.random.default_rng(0)
    index, plain = with_balls(keys_of("random", rng, ROWS, 24))
    for name in ("SOME", "SOME_OF_BATCH"):
        monkeypatch.setattr(ivf, name, 60)
    tries, search = [], Balls.search
    monkeypatch.setattr(Balls, "search", lambda *args: tries.append(1) or search(*args))
    everything = np.ones(ROWS, np.bool_)
    for _ in range(120):
        query = unit(rng.standard_normal((1, 24)))
        truth = plain.search(query, 8, everything)
        hits = index.search(query, 8, everything, exact=True)
        np.testing.assert_array_equal(hits.slots, truth.slots)
        assert hits.exact.all()
    assert 3 < len(tries) < 10


def test_lists_of_many_keys_are_taken_in_parts(monkeypatch):
    monkeypatch.setattr(balls, "LARGEST", 24 * 50)
    rng = np.random.default_rng(0)
    keys = keys_of("equal", rng, ROWS, 24)
    index, plain = with_balls(keys)
    assert_same(index, plain, keys[:2], 8, np.ones(ROWS, np.bool_))
    assert len(index._balls._centers) >= ROWS // 50


CONFIG = MemoryConfig(
    capacity=300,
    key_dim=24,
    resolution=2,
    beta=-1.0,
    delta=0.9,
    when_full="evict",
    search="ivf",
    columns={"kind": int},
)


def test_a_memory_that_changes_and_filters():
    """Proven reads beside those of a memory that scans."""
    memories = Memory(CONFIG), Memory(replace(CONFIG, search="exact"))
    for turn in range(4):
        for memory in memories:
            rng = np.random.default_rng(turn)
            features = keys_of("clusters", np.random.default_rng(turn // 3), 120, 24)
            grids = rng.random((120, 2, 2, 2)) < 0.5
            columns, names = {"kind": np.arange(120) % 3}, [f"s{i % 10}" for i in range(120)]
            memory.write(features, grids, names, columns, warn=False)
            memory.remove(memory.slots[turn::40])
            memory.search(features[:2], 3)
        for filters in (
            {},
            {"where": {"kind": 1}},
            {"where": {"kind": {">=": 1}}, "exclude": ["s1", None, "s2", "s9", "no"]},
            {"slots": memories[1].slots[::3], "exclude": ["s0"] * 5},
        ):
            ours, theirs = (
                memory.read(features[:5], 8, exact=True, **filters) for memory in memories
            )
            np.testing.assert_array_equal(ours.slots, theirs.slots)
            np.testing.assert_array_equal(ours.cosines, theirs.cosines)
            assert ours.exact.all()
    assert memories[0]._state.index._balls is not None
