"""A pruned scan gives what a scan gives, also where it could never pay; its bounds hold."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memstore import PAPER, Memory
from memstore.search import pruning
from memstore.search.cosine import cosines, unit
from memstore.search.index import KeyIndex
from memstore.search.pruning import KeySketch
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
    """A sketch at every size and price, and a look at it for every query."""
    forced = {"LEAST": 0, "SHARE": 0.01, "PRICE": 0, "WIDE": 0, "FEW": 1, "LONGEST": 0}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in forced.items():
            patch.setattr(pruning, name, value)
        patch.setattr(pruning, "LEAD", 1)
        yield


class ShortMachine(test_memory.MemoryMachine):
    """Any sequence of calls, commits and reopenings, with a sketch throughout."""


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
    """Keys that a sketch tells apart well, badly, or not at all."""
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
    """The look alone answers; otherwise the tests above would say nothing."""
    index, keys = clustered_index()
    monkeypatch.setattr("memstore.search.cosine.scores", None)
    hits = index.search(keys[:batch], 3, np.ones(400, bool))
    assert hits.slots[:, 0].tolist() == list(range(batch))
    assert (hits.slots % 8 == np.arange(batch)[:, None]).all()


def test_a_scan_comes_first_and_again_when_looks_fail(monkeypatch):
    """Made once scans have cost as much; looked at ever less often where it is of no use."""
    rng = np.random.default_rng(0)
    index, all_slots = KeyIndex(64), np.ones(400, bool)
    index.put(np.arange(400), unit(rng.standard_normal((400, 64))))
    for name, value in {"PRICE": 1, "SHARE": 8, "FEW": 8, "LONGEST": 3}.items():
        monkeypatch.setattr(pruning, name, value)
    searches, looks = [], []

    def look(made, queries):
        looks.append(len(searches))
        return np.ones((1, 400), np.float32)

    monkeypatch.setattr(pruning.KeySketch, "bounds", look)
    for _ in range(60):
        index.search(unit(rng.standard_normal((1, 64))), 1, all_slots)
        searches.append(1)
    assert looks[0] > 1
    assert np.diff(looks)[:5].tolist() == [3, 5, 9, 9, 9]


def test_threads_find_what_one_finds():
    """Four readers, none of which waits for the sketch that one of them makes."""
    rng = np.random.default_rng(0)
    memory = Memory(replace(PAPER, capacity=400, key_dim=64, resolution=2, beta=-1, delta=1))
    queries = clustered_index()[1]
    memory.write(queries, rng.random((400, 2, 2, 2)) < 0.5)
    expected = [memory.read(query[None], 5).slots[0].tolist() for query in queries]
    counted = memory.reads
    memory._state.index.fill()  # drops the sketch
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
    exact = np.stack([cosines(query, keys) for query in queries])
    assert (made.bounds(queries) + made.slack >= exact).all()
    for b in range(len(queries)):
        loose = made.loose_bounds(queries[b : b + 1])
        assert (loose + made.slack >= exact[b : b + 1]).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [1, 3, 20])
@pytest.mark.parametrize("dim", [30, 2500])
def test_no_cosine_is_above_its_bound(kind, width, dim, monkeypatch):
    """Stored keys and the directions themselves as queries: where the bounds are tightest."""
    monkeypatch.setattr(pruning, "LEAD", 1)
    rng = np.random.default_rng(0)
    keys = KINDS[kind](rng, 60, dim)
    made = KeySketch(keys, width)
    assert made.width <= width
    used = keys[keys.any(axis=1)]
    queries = np.concatenate([used[:10], -used[:2], unit(rng.standard_normal((5, dim)))])
    assert_bounds_hold(made, keys, queries)
    assert_bounds_hold(made, keys, unit(made._basis))


def test_bounds_follow_changes_and_growth(monkeypatch):
    monkeypatch.setattr(pruning, "LEAD", 1)
    rng = np.random.default_rng(0)
    keys, later = clusters(rng, 60, 40, 0.1), unit(rng.standard_normal((75, 40)))
    later[10:60] = keys[10:]
    made = KeySketch(keys, 6)
    made.refresh(later, np.array([*range(10), 70]))
    fresh = KeySketch(keys, 6)
    fresh.refresh(later, np.arange(60))
    np.testing.assert_allclose(made.bounds(keys), fresh.bounds(keys), atol=1e-6)
    assert_bounds_hold(made, later, np.concatenate([keys[:5], later[:5], later[60:]]))


def test_clusters_are_told_apart():
    """A bound that rules out nothing would hold as well."""
    keys = clusters(np.random.default_rng(0), 200, 500, 0.3)
    made = KeySketch(keys, 12)
    assert made.width == 5
    far = keys @ keys.T < 0.5
    assert (made.bounds(keys)[far] + made.slack < 0.5).all()


def test_random_keys_are_worth_few_directions():
    keys = unit(np.random.default_rng(0).standard_normal((3000, 2000)))
    assert KeySketch(keys, 100).width < 10
