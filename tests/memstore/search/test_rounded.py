"""Keys in few numbers give what a scan gives, also where that could never pay; bounds hold."""

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

PAYING = rounded._paying
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
        clusters(rng, rows, dim, 0.5) * rng.integers(2, size=(rows, 1)).astype(np.float32)
    ),
    "denormal": lambda rng, rows, dim: unit(
        np.where(rng.random((rows, dim)) < 0.9, 1e-41, rng.standard_normal((rows, dim)))
    ),
    "one besides": lambda rng, rows, dim: np.concatenate(
        [unit(np.ones((rows - 1, dim))), unit(rng.standard_normal((1, dim)))]
    ),
}


@pytest.fixture(scope="module", autouse=True)
def always():
    """Keys taken apart from the first query on; then all ways of going on from their bounds."""
    forced = {"SCANS": 0, "LEAST": 0, "NARROW": 0, "RESTS": 0}
    forced |= {"OPEN": 10**9, "FEW": 2, "MANY": 5, "ALONE": 400, "GROUP": 2}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in forced.items():
            patch.setattr(search_index, name, value)
        # Coarse bounds with any number of directions, and now and then without.
        patch.setattr(rounded, "PER_DIRECTION", 4)
        patch.setattr(
            rounded,
            "_paying",
            lambda keys, directions: (1 + len(keys) % len(directions), len(keys) % 4 > 0),
        )
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


@settings(max_examples=40)
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


@pytest.mark.parametrize("is_coarse", [True, False])
@pytest.mark.parametrize("batch", [1, 5])
def test_clusters_need_no_scan(batch, is_coarse, monkeypatch):
    """The bounds alone answer, either of them; otherwise the tests above would say nothing."""
    monkeypatch.setattr(search_index, "FEW", 4)
    monkeypatch.setattr(search_index, "MANY", 64)
    monkeypatch.setattr(rounded, "_paying", lambda keys, directions: (16, is_coarse))
    index, keys = clustered_index()
    monkeypatch.setattr("memstore.search.cosine.scores", None)
    monkeypatch.setattr(RoundedKeys, "bounds" if is_coarse else "coarse_bounds", None)
    hits = index.search(keys[:batch], 3, np.ones(400, bool))
    assert hits.slots[:, 0].tolist() == list(range(batch))
    assert (hits.slots % 8 == np.arange(batch)[:, None]).all()


def test_batches_whose_bounds_rule_out_little_are_scanned_for_a_while(monkeypatch):
    """Random keys of few channels: all are as near as their bounds are wide."""
    monkeypatch.setattr(search_index, "RESTS", 3)
    monkeypatch.setattr(search_index, "FEW", 1)
    keys = unit(np.random.default_rng(0).standard_normal((400, 64)) + 9)
    index, tried = KeyIndex(64), []
    index.put(np.arange(400), keys)
    bounds = RoundedKeys.bounds
    monkeypatch.setattr(RoundedKeys, "bounds", lambda *args: tried.append(1) or bounds(*args))
    counts = []
    for _ in range(9):
        hits = index.search(keys[:5], 300, np.ones(400, bool))
        counts.append(len(tried))
        assert hits.slots[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert counts == [1, 1, 1, 1, 2, 2, 2, 2, 3]


def test_batches_that_coordinates_do_not_tell_apart_do_without_for_a_while(monkeypatch):
    """Random keys, and directions that tell of none."""
    monkeypatch.setattr(search_index, "RESTS", 3)
    monkeypatch.setattr(rounded, "_paying", lambda keys, directions: (1, True))
    keys = unit(np.random.default_rng(0).standard_normal((400, 64)))
    index, tried, coarse = KeyIndex(64), [], RoundedKeys.coarse_bounds
    index.put(np.arange(400), keys)
    monkeypatch.setattr(
        RoundedKeys, "coarse_bounds", lambda *args: tried.append(1) or coarse(*args)
    )
    counts = []
    for _ in range(5):
        hits = index.search(keys[:5], 4, np.ones(400, bool))
        counts.append(len(tried))
        assert hits.slots[:, 0].tolist() == [0, 1, 2, 3, 4]
        index._rests = 0  # with integers, which are what else there is
    assert counts == [1, 1, 1, 1, 2]


def test_a_few_scans_come_first(monkeypatch):
    """Who asks one question does not pay for rounding all keys."""
    monkeypatch.setattr(search_index, "SCANS", 32)
    index, keys = clustered_index()
    sizes = []
    for key in keys[:40]:
        index.search(key[None], 1, np.ones(400, bool))
        sizes.append(index.derived_bytes)
    assert np.flatnonzero(sizes)[0] == 31


def test_ram_beside_the_keys(monkeypatch):
    """Integers are a quarter of them, coordinates along all directions a sixteenth."""
    monkeypatch.setattr(rounded, "PER_DIRECTION", 16)
    monkeypatch.setattr(rounded, "_paying", lambda keys, directions: (len(directions), True))
    rng = np.random.default_rng(0)
    keys = unit(rng.standard_normal((4000, 256)))
    assert RoundedKeys(keys).nbytes < (0.25 + 1 / 16 + 0.02) * keys.nbytes + 256 * 16 * 4


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


def rounded_keys(keys):
    bounder = RoundedKeys(keys)
    bounder.make_integers(keys)
    return bounder


def bounds_of(bounder, queries, is_coarse):
    along = bounder.coordinates(queries)
    return bounder.coarse_bounds(along) if is_coarse else bounder.bounds(queries, along)[0]


def assert_bounds_hold(bounder, keys, queries):
    """Returns how far the bounds are above the cosines: coarse ones, and those by integers."""
    exact = np.stack([cosines(query, keys) for query in queries])
    above = []
    for is_coarse in (True, False):
        together = bounds_of(bounder, queries, is_coarse)
        assert (together >= exact).all()
        for b in range(len(queries)):
            assert (bounds_of(bounder, queries[b : b + 1], is_coarse)[0] >= exact[b]).all()
            if is_coarse and (halves := bounder.bounds_in_halves(queries[b])) is not None:
                assert (halves[0] >= exact[b]).all()
        above.append(float((together - exact).mean()))
    return above


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dim", [1, 30, 2500])
def test_no_cosine_is_above_its_bound(kind, dim):
    """Stored keys, the directions themselves, and what has no part in them, as queries."""
    rng = np.random.default_rng(0)
    keys = KINDS[kind](rng, 60, dim)
    bounder = rounded_keys(keys)
    used = keys[keys.any(axis=1)]
    queries = np.concatenate([used[:10], -used[:2], unit(rng.standard_normal((5, dim)))])
    assert_bounds_hold(bounder, keys, queries)
    directions = bounder._directions.astype(np.float64)
    assert_bounds_hold(bounder, keys, unit(directions))
    across = queries - queries @ directions.T @ directions
    if (wide := np.linalg.norm(across, axis=1) > 1e-3).any():
        assert_bounds_hold(bounder, keys, unit(across[wide]))


@pytest.mark.parametrize("scale", [0.996, 1.004])
@pytest.mark.parametrize("kind", ["clusters", "positive", "axes"])
def test_directions_need_not_be_orthonormal(kind, scale, monkeypatch):
    """They are so to rounding only: off by far more, bounds are wider, and hold."""
    rng = np.random.default_rng(0)
    keys = KINDS[kind](rng, 60, 300)
    straight = assert_bounds_hold(rounded_keys(keys), keys, keys[:9])
    choose = rounded._directions
    monkeypatch.setattr(
        rounded,
        "_directions",
        lambda keys: np.float32(scale) * choose(keys) + np.float32(1e-4) * choose(keys)[::-1],
    )
    bounder = rounded_keys(keys)
    skewed = assert_bounds_hold(bounder, keys, np.concatenate([keys[:9], -keys[:3]]))
    assert skewed[1] > straight[1]
    along = unit(bounder._directions)
    bounder.put(np.arange(len(along)), along)
    assert_bounds_hold(bounder, np.concatenate([along, keys[len(along) :]]), along)


def test_queries_that_lie_almost_along_the_directions():
    """What is across them is lost in 1 - |a|^2, and is all that a key has."""
    keys = unit(np.ones((60, 200)))
    keys[30:] = unit(np.random.default_rng(0).standard_normal((30, 200)))
    bounder = rounded_keys(keys)
    along = bounder._directions[0].astype(np.float64)
    across = keys[30].astype(np.float64)
    across -= across @ bounder._directions.T @ bounder._directions
    keys[0] = unit(across[None])[0]
    bounder.put(np.array([0]), keys[:1])
    parts = 10.0 ** np.arange(-7, -1, 0.1)
    assert_bounds_hold(bounder, keys, unit(along + parts[:, None] * keys[0]))


def test_bounds_follow_changes_and_growth():
    rng = np.random.default_rng(0)
    keys, later = clusters(rng, 60, 40, 0.1), unit(rng.standard_normal((75, 40)))
    later[10:60] = keys[10:]
    bounder, changed = rounded_keys(keys), np.array([*range(10), *range(60, 75)])
    bounder.forget(changed)
    queries = np.concatenate([keys[:5], later[:5], later[60:]])
    assert_bounds_hold(bounder, later, queries)  # as after an interrupt: the new ones are unknown
    bounder.put(changed, later[changed])
    assert_bounds_hold(bounder, later, queries)
    before = [bounds_of(bounder, keys, is_coarse) for is_coarse in (True, False)]
    bounder.put(np.arange(75), later)  # by the same directions, all anew
    for is_coarse, bounds in zip((True, False), before, strict=True):
        np.testing.assert_allclose(bounds, bounds_of(bounder, keys, is_coarse), atol=1e-6)


def test_bounds_are_close(monkeypatch):
    """Bounds that rule out nothing would hold as well."""
    monkeypatch.setattr(rounded, "_paying", lambda keys, directions: (16, False))
    keys = unit(np.random.default_rng(0).standard_normal((300, 4096)))
    assert 0.01 < assert_bounds_hold(rounded_keys(keys), keys, keys[:5])[1] < 0.02


def test_what_keys_have_in_common_costs_nothing():
    """Cosines around .98: rounded as they are, these keys would be off by .02."""
    rng = np.random.default_rng(0)
    keys = unit(1 + 0.14 * rng.standard_normal((300, 2048)))
    coarse, by_integers = assert_bounds_hold(rounded_keys(keys), keys, keys[:5])
    assert by_integers < 2e-3 < coarse < 0.03


def test_as_many_directions_as_pay():
    """Of random keys few, for a mean; of clusters as many as there are, for these tell them."""
    rng = np.random.default_rng(0)
    centers = unit(rng.standard_normal((90, 2048)))
    noise = unit(rng.standard_normal((2000, 2048)))
    clustered = unit(centers[np.arange(2000) % 90] + np.float32(0.5) * noise)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounded, "_paying", PAYING)
        patch.setattr(rounded, "PER_DIRECTION", 16)
        bounder = RoundedKeys(clustered)
        assert bounder.is_telling and len(bounder._directions) == 128
        assert np.count_nonzero(bounds_of(bounder, clustered[:8], True) > 0.75) < 8 * 50
        bounder = RoundedKeys(noise)
        assert not bounder.is_telling and len(bounder._directions) == rounded.FEWEST


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.booleans())
def test_no_cosine_of_the_best_is_below_the_threshold(seed, k, is_coarse):
    """Whatever slots are not to be found; and it is that of slots which are."""
    rng = np.random.default_rng(seed)
    index, keys = clustered_index(24, 64)
    queries = unit(rng.standard_normal((3, 64)) + 9 * keys[rng.integers(24, size=3)])
    bounds = bounds_of(rounded_keys(keys), queries, is_coarse)
    closed = rng.random(bounds.shape) < rng.choice([0, 0.3, 0.9])
    bounds[closed] = -np.inf
    exact = np.stack([cosines(query, keys) for query in queries])
    exact[closed] = -np.inf
    top = search_index._with_highest(bounds, k)
    for b, query in enumerate(queries):
        assert len(set(top[b].tolist())) == k
        least = index._least(query, bounds[b], top[b])
        assert least <= np.sort(exact[b])[-k]
        assert least > -1 or closed.any()


def test_integers_are_made_for_what_coordinates_do_not_tell(monkeypatch):
    monkeypatch.setattr(rounded, "_paying", lambda keys, directions: (16, True))
    monkeypatch.setattr(search_index, "FEW", 8)
    monkeypatch.setattr(search_index, "MANY", 60)
    index, keys = clustered_index()
    every, rng = np.ones(index.rows, bool), np.random.default_rng(0)
    for query in keys[:200]:
        index.search(query[None], 3, every)
    bounder = index._rounded
    assert bounder.is_telling and bounder._integers is None
    small = bounder.nbytes
    strange = unit(rng.standard_normal((200, keys.shape[1])))
    for query in strange:
        index.search(query[None], 3, every)
    assert bounder._integers and bounder.nbytes > small + keys.size
    changed = rng.choice(len(keys), 40, replace=False)
    index.put(changed, strange[:40])
    exact = np.stack([cosines(query, index.keys) for query in strange])
    along = bounder.coordinates(strange)
    assert (bounder.bounds(strange, along)[0] >= exact).all()


def test_directions_are_chosen_anew_as_a_memory_grows():
    index, keys = clustered_index(400, 64)
    grown, sizes = KeyIndex(64), []
    for start in range(0, 400, 20):
        grown.put(np.arange(start, start + 20), keys[start : start + 20])
        grown.search(keys[:1], 1, np.ones(start + 20, bool))
        sizes.append(grown._rounded.made_of)
    assert sorted(set(sizes)) == [
        20,
        80,
        260,
    ]  # once twice as many have changed; then as there are
    for _ in range(6):
        grown.put(np.arange(100), keys[:100])
        hits = grown.search(keys[:5], 3, np.ones(400, bool))
        np.testing.assert_array_equal(hits.slots, index.search(keys[:5], 3, np.ones(400, bool))[0])
    assert grown._rounded.made_of == 400


@pytest.mark.parametrize("dim", [1, 15, 64, 129, 4096, rounded.WIDEST])
@pytest.mark.parametrize("batch", [1, 3])
def test_products_of_integers_are_exact(dim, batch):
    """The library's, on this machine: at the ends of the range, and of any numbers."""
    rng = np.random.default_rng(0)
    keys = rng.integers(-127, 128, (5, dim)).astype(np.int8)
    keys[0], keys[1] = 127, -127
    queries = np.concatenate([keys[:1], -keys[2:4]])[:batch]
    expected = keys.astype(np.int64) @ queries.astype(np.int64).T
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
    monkeypatch.setattr(search_index, "LEAST", 10**9)
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
