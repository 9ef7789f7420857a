"""Rounded keys give what a scan gives, also where they could never pay; their bounds hold."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memstore import PAPER, Memory
from memstore.search import index as search_index
from memstore.search import rounded
from memstore.search.cosine import cosines, unit
from memstore.search.index import KeyIndex
from memstore.search.rounded import RoundedKeys
from tests.helpers.naive_memory import NaiveMemory, assert_found
from tests.memstore import test_memory

CONFIG = replace(PAPER, capacity=60, key_dim=40, resolution=2, beta=0.5, delta=0.9)


def clusters(rng, rows, dim, noise):
    centers = unit(rng.standard_normal((5, dim)))
    return unit(
        centers[rng.integers(5, size=rows)] + noise * unit(rng.standard_normal((rows, dim)))
    )


KINDS = {
    "random": lambda rng, rows, dim: unit(rng.standard_normal((rows, dim))),
    "clusters": lambda rng, rows, dim: clusters(rng, rows, dim, 0.5),
    "tight clusters": lambda rng, rows, dim: clusters(rng, rows, dim, 1e-4),
    "equal": lambda rng, rows, dim: unit(np.ones((rows, dim))),
    "opposite": lambda rng, rows, dim: unit(np.ones((rows, dim)) * rng.choice([-1, 1], (rows, 1))),
    "plane": lambda rng, rows, dim: unit(rng.standard_normal((rows, 2)) @ np.ones((2, dim))),
    "axes": lambda rng, rows, dim: np.eye(dim, dtype=np.float32)[rng.integers(dim, size=rows)],
    "positive": lambda rng, rows, dim: unit(rng.standard_normal((rows, dim)).clip(0) + 0.1),
    "some zero": lambda rng, rows, dim: (
        clusters(rng, rows, dim, 0.5) * rng.integers(2, size=(rows, 1))
    ),
}


@pytest.fixture(scope="module", autouse=True)
def always():
    """Keys rounded from the first query on; then all ways of going on from their bounds."""
    forced = {"SCANS": 0, "LEAST": 0, "NARROW": 0, "RESTS": 0}
    forced |= {"OPEN": 10**9, "FEW": 2, "MANY": 5}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in forced.items():
            patch.setattr(search_index, name, value)
        patch.setattr(rounded, "PIECE", 100)
        patch.setattr(rounded, "ROWS", 7)
        patch.setattr(rounded, "BLOCK", 9)
        yield


class ShortMachine(test_memory.MemoryMachine):
    """Any sequence of calls, commits and reopenings, with rounded keys throughout."""


ShortMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)
TestShortMachine = ShortMachine.TestCase


@given(st.lists(test_memory.pairs, max_size=30), st.integers(1, 5))
def test_a_batch_equals_one_by_one(written, capacity):
    config = replace(PAPER, capacity=capacity, key_dim=3, resolution=2, beta=0.5, delta=0.75)
    memory, oracle = Memory(config), NaiveMemory(config)
    for half in (written[: len(written) // 2], written[len(written) // 2 :]):
        test_memory.assert_write_matches(memory, oracle, half)
    test_memory.assert_same_state(memory, oracle)


def features(rng, kind, count):
    """Keys that bounds tell apart well, badly, or not at all."""
    centers = np.random.default_rng(1).standard_normal((6, CONFIG.key_dim))
    noise = rng.standard_normal((count, CONFIG.key_dim))
    noise *= {"clusters": 0.1, "duplicates": 1e-7, "equal": 0, "random": 9}[kind]
    return centers[rng.integers(6, size=count)] + noise


@given(
    st.integers(0, 2**32 - 1),
    st.lists(
        st.sampled_from(["clusters", "duplicates", "equal", "random"]), min_size=1, max_size=4
    ),
    st.integers(1, 70),
    st.booleans(),
)
@example(469, ["duplicates", "clusters"], 8, False)  # all are left to be scanned, the last first
def test_reads_among_writes_and_removals(seed, kinds, k, by_source):
    rng = np.random.default_rng(seed)
    memory, oracle = Memory(CONFIG), NaiveMemory(CONFIG)
    for kind in kinds:
        keys, grids = features(rng, kind, 25), rng.random((25, 2, 2, 2)) < 0.5
        sources = rng.choice(["", "a", "b"], 25).tolist()
        report = memory.write(keys, grids, sources)
        expected = [oracle.write(*pair) for pair in zip(keys, grids, sources, strict=True)]
        assert report.slots.tolist() == [slot for slot, _, _ in expected]
        removed = rng.choice(memory.slots, 2, replace=False)
        memory.remove(removed)
        oracle.remove(removed)
        for batch in (1, 3):
            queries = features(rng, kind, batch)
            exclude = ["a"] * batch if by_source else None
            priors = memory.read(queries, k, exclude=exclude)
            hits, contrast = memory.search(queries, k), memory.contrast(queries, grids[:batch])
            for b, query in enumerate(queries):
                wanted = oracle.read(query, k, exclude="a" if by_source else None)
                assert_found(priors.slots[b], priors.cosines[b], wanted)
                assert_found(hits.slots[b], hits.cosines[b], oracle.search(query, k))
                nearest = contrast.positive[b], contrast.negative[b]
                assert nearest == oracle.contrast(query, grids[b])


def clustered_index(rows=400, dim=64):
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((8, dim))
    keys = unit(centers[np.arange(rows) % 8] + 0.1 * rng.standard_normal((rows, dim)))
    index = KeyIndex(dim)
    index.put(np.arange(rows), keys)
    return index, keys


@pytest.mark.parametrize("batch", [1, 5])
def test_clusters_need_no_scan(batch, monkeypatch):
    """The bounds alone answer; otherwise the tests above would say nothing."""
    monkeypatch.setattr(search_index, "FEW", 4)
    index, keys = clustered_index()
    monkeypatch.setattr("memstore.search.cosine.scores", None)
    hits = index.search(keys[:batch], 3, np.ones(400, bool))
    assert hits.slots[:, 0].tolist() == list(range(batch))
    assert (hits.slots % 8 == np.arange(batch)[:, None]).all()


def test_batches_whose_bounds_rule_out_little_are_scanned_for_a_while(monkeypatch):
    """Random keys of few channels: all are as near as their bounds are wide."""
    monkeypatch.setattr(search_index, "RESTS", 3)
    keys = unit(np.random.default_rng(0).standard_normal((400, 64)) + 9)
    index, tried = KeyIndex(64), []
    index.put(np.arange(400), keys)
    bounds = RoundedKeys.bounds
    monkeypatch.setattr(
        RoundedKeys, "bounds", lambda self, queries: tried.append(1) or bounds(self, queries)
    )
    counts = []
    for _ in range(9):
        hits = index.search(keys[:5], 300, np.ones(400, bool))
        counts.append(len(tried))
        assert hits.slots[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert counts == [1, 1, 1, 1, 2, 2, 2, 2, 3]


def test_a_few_scans_come_first(monkeypatch):
    """Who asks one question does not pay for rounding all keys."""
    monkeypatch.setattr(search_index, "SCANS", 32)
    index, keys = clustered_index()
    sizes = []
    for key in keys[:40]:
        index.search(key[None], 1, np.ones(400, bool))
        sizes.append(index.derived_bytes)
    assert np.flatnonzero(sizes)[0] == 31


def test_rounded_keys_take_a_quarter_of_the_keys():
    index, keys = clustered_index(400, 2048)
    index.search(keys[:1], 1, np.ones(400, bool))
    assert index.derived_bytes < 0.3 * keys.nbytes


def test_threads_find_what_one_finds():
    """Four readers, none of which waits for the keys that one of them rounds."""
    rng = np.random.default_rng(0)
    memory = Memory(replace(PAPER, capacity=400, key_dim=64, resolution=2, beta=-1, delta=1))
    queries = clustered_index()[1]
    memory.write(queries, rng.random((400, 2, 2, 2)) < 0.5)
    expected = [memory.read(query[None], 5).slots[0].tolist() for query in queries]
    counted = memory.reads
    memory._state.index.fill()  # drops the rounded keys
    found = {}

    def read(part):
        for b in range(part, 400, 4):
            found[b] = memory.read(queries[b : b + 1], 5).slots[0].tolist()

    threads = [threading.Thread(target=read, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[b] for b in range(len(queries))] == expected
    assert (memory.reads == 2 * counted).all()


def assert_bounds_hold(made, keys, queries):
    """Returns how far the bounds are above the cosines."""
    exact = np.stack([cosines(query, keys) for query in queries])
    together = made.bounds(queries)[0]
    assert (together >= exact).all()
    for b in range(len(queries)):
        assert (made.bounds(queries[b : b + 1])[0] >= exact[b]).all()
    return (together - exact).mean()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dim", [1, 30, 2500])
def test_no_cosine_is_above_its_bound(kind, dim):
    """Stored keys and the directions themselves as queries: where the bounds are tightest."""
    rng = np.random.default_rng(0)
    keys = KINDS[kind](rng, 60, dim)
    made = RoundedKeys(keys)
    used = keys[keys.any(axis=1)]
    queries = np.concatenate([used[:10], -used[:2], unit(rng.standard_normal((5, dim)))])
    assert_bounds_hold(made, keys, queries)
    assert_bounds_hold(made, keys, unit(made._directions))


def test_bounds_follow_changes_and_growth():
    rng = np.random.default_rng(0)
    keys, later = clusters(rng, 60, 40, 0.1), unit(rng.standard_normal((75, 40)))
    later[10:60] = keys[10:]
    made, changed = RoundedKeys(keys), np.array([*range(10), *range(60, 75)])
    made.forget(changed)
    queries = np.concatenate([keys[:5], later[:5], later[60:]])
    assert_bounds_hold(made, later, queries)  # as after an interrupt: the new ones are unknown
    made.put(changed, later[changed])
    assert_bounds_hold(made, later, queries)
    np.testing.assert_allclose(made.bounds(keys)[0], _fresh(made, later, keys), atol=1e-6)


def _fresh(made, keys, queries):
    """Bounds by the same directions, all keys rounded anew."""
    made.put(np.arange(len(keys)), keys)
    return made.bounds(queries)[0]


def test_bounds_are_close():
    """Bounds that rule out nothing would hold as well."""
    keys = unit(np.random.default_rng(0).standard_normal((300, 4096)))
    assert 0.01 < assert_bounds_hold(RoundedKeys(keys), keys, keys[:5]) < 0.02


def test_what_keys_have_in_common_costs_nothing():
    """Cosines around .98: rounded as they are, these keys would be off by .02."""
    rng = np.random.default_rng(0)
    keys = unit(1 + 0.14 * rng.standard_normal((300, 2048)))
    assert assert_bounds_hold(RoundedKeys(keys), keys, keys[:5]) < 2e-3


@pytest.mark.parametrize("dim", [1, 15, 64, 129, 4096, rounded.WIDEST])
@pytest.mark.parametrize("batch", [1, 3])
def test_products_of_integers_are_exact(dim, batch):
    """The library's, on this machine: at the ends of the range, and of any numbers."""
    rng = np.random.default_rng(0)
    keys = rng.integers(-127, 128, (5, dim)).astype(np.int8)
    keys[0], keys[1] = 127, -127
    queries = np.concatenate([keys[:1], -keys[2:4]])[:batch]
    expected = queries.astype(np.int64) @ keys.astype(np.int64).T
    np.testing.assert_array_equal(
        rounded._products(queries, keys), expected if batch > 1 else expected.astype(np.float32)
    )


def test_more_channels_than_integers_have_room_for():
    """Scanned."""
    rng = np.random.default_rng(0)
    index = KeyIndex(rounded.WIDEST + 1)
    keys = unit(rng.standard_normal((3, rounded.WIDEST + 1)))
    index.put(np.arange(3), keys)
    hits = index.search(keys, 1, np.ones(3, bool))
    assert hits.slots[:, 0].tolist() == [0, 1, 2] and index.derived_bytes == 0


def test_batches_of_narrow_keys_are_rounded_where_there_are_many(monkeypatch):
    rng = np.random.default_rng(0)
    keys, queries = (unit(rng.standard_normal((n, 64))) for n in (400, 6))
    monkeypatch.setattr(search_index, "NARROW", 1024)
    plain = KeyIndex(64)
    plain.put(np.arange(400), keys)
    want = plain.search(queries, 5, np.ones(400, bool))
    assert plain._rounded is None
    for name in ("LARGE", "NARROWEST"):
        monkeypatch.setattr(search_index, name, 0)
    large = KeyIndex(64)
    large.put(np.arange(400), keys)
    hits = large.search(queries, 5, np.ones(400, bool))
    assert large._rounded is not None
    np.testing.assert_array_equal(hits.slots, want.slots)
    np.testing.assert_array_equal(hits.cosines, want.cosines)
