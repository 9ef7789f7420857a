"""Search by lists: what it finds is right, what it may miss is watched."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest

from memstore import Memory, MemoryConfig, export, import_memory
from memstore.errors import ConfigError, DtypeError
from memstore.search import ivf, watch
from memstore.search.allowed import Allowed
from memstore.search.cosine import unit
from memstore.search.ivf import IvfIndex
from memstore.search.watch import Watch

DIM = 16
NEAR = np.full((1, 10), np.float32(0.9))  # cosines of what a watched query finds
CONFIG = MemoryConfig(
    capacity=1200,
    key_dim=DIM,
    resolution=2,
    beta=-1.0,
    delta=1.0,
    when_full="evict",
    search="ivf",
    columns={"kind": int},
)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Lists from 200 slots on, made in a few calls; 50 slots count as changed lately."""
    monkeypatch.setattr(watch, "EVERY", 64)
    for name, number in {"LEAST_ROWS": 200, "STEP": 300, "SCANS": 4, "RECENT": 50}.items():
        monkeypatch.setattr(ivf, name, number)


@pytest.fixture
def _all_lists(monkeypatch):
    """Every list is looked through, and all in it is ranked."""
    for name in ("PROBES", "MOST_CANDIDATES"):
        monkeypatch.setattr(ivf, name, 3000)
    monkeypatch.setattr(ivf, "CANDIDATES", (3000, 0))


def clusters(rng, n, spread=0.3):
    """Unit keys (n, DIM) around twenty directions."""
    centers = unit(np.random.default_rng(0).standard_normal((20, DIM)))
    noise = rng.standard_normal((n, DIM)) / DIM**0.5
    return unit(centers[rng.integers(20, size=n)] + spread * noise)


def grids(rng, n):
    return rng.random((n, 2, 2, 2)) < 0.5


def filled(config=CONFIG, n=1000, seed=1):
    """A memory whose lists are made."""
    rng, memory = np.random.default_rng(seed), Memory(config)
    fill(memory, rng, n)
    for _ in range(12):
        memory.search(clusters(rng, 1), 3)
    return memory, rng


def fill(memory, rng, n):
    sources = [f"s{i % 10}" for i in range(n)]
    columns = {"kind": np.arange(n) % 3}
    memory.write(clusters(rng, n), grids(rng, n), sources, columns, warn=False)


def assert_same(hits, want):
    np.testing.assert_array_equal(hits.slots, want.slots)
    np.testing.assert_array_equal(hits.cosines, want.cosines)


@pytest.mark.usefixtures("_all_lists")
@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"where": {"kind": 1}},
        {"where": {"kind": {">=": 1}}, "exclude": ["s1", None, "s2", "s9", "no"]},
        {"slots": [5, 6, 7, 900, 901]},
        {"slots": list(range(0, 900, 2)), "exclude": ["s0"] * 5},
    ],
)
def test_all_lists_looked_through_find_what_a_scan_does(filters, monkeypatch):
    monkeypatch.setattr(watch, "FIRST", 0)
    memory, rng = filled()
    memory.remove([6, 8, 30])
    if "slots" in filters:
        filters = {**filters, "slots": np.setdiff1d(filters["slots"], [6, 8, 30])}
    fill(memory, rng, 70)
    memory.replace_keys(range(100, 130), clusters(rng, 30))
    queries = clusters(rng, 5)
    hits = memory.search(queries, 8, **filters)
    assert_same(hits, memory.search(queries, 8, **filters, exact=True))
    if not filters:
        assert hits.exact.sum() < 5
    np.testing.assert_array_equal(memory.read(queries, 8, **filters).slots, hits.slots)


@pytest.mark.usefixtures("_all_lists")
def test_the_write_rule_by_neighbors_that_are_all_found_is_that_of_a_scan():
    memories = filled()[0], filled(replace(CONFIG, search="exact"))[0]
    reports = []
    for memory in memories:
        rng = np.random.default_rng(7)
        steps = [memory.write(clusters(rng, 40), grids(rng, 40), columns={"kind": [0] * 40})]
        memory.remove(steps[0].slots[:3])
        for _ in range(9):
            some = grids(rng, 40)
            steps.append(memory.write(clusters(rng, 40), some, columns={"kind": [0] * 40}))
        reports.append(steps)
    for ours, want in zip(*reports, strict=True):
        for name in ("slots", "kinds", "value_similarities"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(want, name))
    assert len({kind for step in reports[0] for kind in step.kinds}) == 3
    slots = memories[0].slots
    np.testing.assert_array_equal(memories[0].keys(slots), memories[1].keys(slots))


def test_what_is_found_has_its_own_cosine_and_is_allowed():
    memory, rng = filled()
    queries = clusters(rng, 40)
    hits = memory.search(queries, 8, where={"kind": 2}, exclude=["s4"] * 40)
    truth = memory.search(queries, 1000, exact=True)
    for b in range(40):
        cosines = dict(zip(truth.slots[b].tolist(), truth.cosines[b].tolist(), strict=True))
        assert [cosines[s] for s in hits.slots[b].tolist()] == hits.cosines[b].tolist()
    assert (memory.columns(hits.slots.ravel())["kind"] == 2).all()
    assert "s4" not in memory.sources_of(hits.slots.ravel())


def test_a_slot_that_has_changed_is_found_at_once_and_its_old_key_is_not():
    memory, rng = filled()
    old = memory.keys([17])
    strange = unit(rng.standard_normal((40, DIM)))
    for row in range(40):
        memory.replace_keys([17 + row], strange[row : row + 1])
        hits = memory.search(strange[row : row + 1], 1)
        assert hits.slots.item() == 17 + row
    assert 17 not in memory.search(old, 3).slots or 17 in memory.search(old, 3, exact=True).slots
    memory.remove([20])
    assert 20 not in memory.search(strange, 8).slots


def test_recall_is_watched_and_keys_without_structure_end_in_scans():
    memory, rng = filled()
    index = memory._state.index
    memory.replace_keys(memory.slots, unit(rng.standard_normal((len(memory), DIM))))
    efforts = [(index._lists, index._effort)]
    for _ in range(60):
        memory.search(unit(rng.standard_normal((8, DIM))), 8)
        efforts.append((index._lists, index._effort))
    assert all(
        after >= before
        for (lists, before), (others, after) in pairwise(efforts)
        if lists is others  # with new ones it begins anew
    )
    assert efforts[-1][1] > 0
    queries = unit(rng.standard_normal((50, DIM)))
    hits, truth = memory.search(queries, 8), memory.search(queries, 8, exact=True)
    found = np.mean([np.isin(t, h).mean() for h, t in zip(hits.slots, truth.slots, strict=True)])
    assert found > 0.97
    recall = memory.stats().recall
    assert recall.lists == 31 and recall.low <= recall.value <= recall.high


def test_too_little_found_is_told_and_tried_harder_for(monkeypatch):
    monkeypatch.setattr(ivf, "PROBES", 1)
    memory, rng = filled()
    index = memory._state.index
    missed = np.zeros((1, 8), np.int64) - 1
    monkeypatch.setattr(index._watch, "due", lambda batch, rows: np.ones(batch, bool))
    monkeypatch.setattr(
        ivf.Lists, "candidates", lambda self, queries, n, probes, mask: np.repeat(missed, 300, 1)
    )
    monkeypatch.setattr(ivf, "PER_HIT", 0)
    monkeypatch.setattr(index, "_effort", 0)
    index._watch.reset()
    assert memory.stats().recall is None
    for asked in range(watch.FEWEST):
        assert index._effort == 0, asked
        hits = memory.search(clusters(rng, 1), 8)
        assert hits.exact.all()
    assert index._effort == 1
    assert memory.stats().recall is None  # of the new effort nothing is known yet


def test_queries_unlike_those_of_which_all_was_found_are_scanned_for():
    """By the nearest cosine: far below the median of those, as their lowest tenth tells."""
    watched, truth = Watch(), np.arange(10)[None]
    near = np.linspace(0.7, 0.9, 41, dtype=np.float32)
    for cosine in near:
        watched.note(truth, truth, np.full((1, 10), cosine))
    assert watched.familiar == pytest.approx(0.8 - 3 * 0.08)
    for _ in range(20):
        watched.note(np.arange(1, 11)[None], truth, np.full((1, 10), np.float32(0.1)))
    assert watched.familiar == pytest.approx(0.8 - 3 * 0.08)  # of these not all was found
    watched.reset()
    assert watched.familiar == -np.inf

    memory, rng = filled()[0], np.random.default_rng(3)
    for _ in range(40):
        memory.search(clusters(rng, 8), 4)
    assert not memory.search(clusters(rng, 8), 4).exact.all()
    away = -np.random.default_rng(0).standard_normal((20, DIM)).sum(0)[None]
    assert memory.search(away, 4).exact.all()


def test_the_interval_is_wilsons():
    watched = Watch()
    assert watched.recall(10, 2) is None
    truth = np.arange(10)[None]
    assert not watched.note(
        np.arange(1, 11)[None], truth, NEAR
    )  # nine of ten, but of one query alone
    recall = watched.recall(10, 2)
    assert (recall.value, recall.queries, recall.lists, recall.probed) == (0.9, 1, 10, 2)
    # By hand: (.9 + z2/20 -+ z sqrt(.09/10 + z2/400)) / (1 + z2/10), z = 1.96.
    assert (recall.low, recall.high) == (
        pytest.approx(0.5958, abs=1e-3),
        pytest.approx(0.9821, abs=1e-3),
    )
    assert not any(watched.note(truth, truth, NEAR) for _ in range(watch.FEWEST - 2))
    assert watched.note(np.full((1, 10), -1), truth, NEAR)


def test_a_miss_may_be_chance_until_enough_queries_were_watched():
    watched, truth = Watch(), np.arange(10)[None]
    assert not watched.note(np.append(truth[:, 1:], [[-1]], axis=1), truth, NEAR)
    for _ in range(5):
        assert not watched.note(truth, truth, NEAR)
    assert not watched.note(np.arange(1, 11)[None], truth, NEAR)  # 2 of 70: expected are .7 +- .84
    assert watched.note(np.arange(2, 12)[None], truth, NEAR)  # 4 of 80
    for _ in range(watch.FIRST):
        assert watched.note(np.arange(1, 11)[None], truth, NEAR)
    calm = [watched.note(truth, truth, NEAR) for _ in range(watch.WINDOW)]
    assert calm[0] and not calm[-1] and calm == sorted(calm, reverse=True)


def test_watched_queries_are_the_first_and_then_every_some():
    watched = Watch()
    due = np.concatenate([watched.due(7, 1000) for _ in range(40)])
    assert np.flatnonzero(due).tolist() == [*range(64), 64, 128, 192, 256]
    assert Watch().due(2000, 10**6).sum() == watch.FIRST  # then 2000, 4000, ...


def test_the_same_calls_have_the_same_answers():
    answers = []
    for _ in range(2):
        memory, rng = filled(seed=3)
        for _ in range(8):
            fill(memory, rng, 90)
            hits = memory.search(clusters(rng, 5), 4)
            answers.append((hits.slots.tolist(), hits.cosines.tolist(), hits.exact.tolist()))
    assert answers[:8] == answers[8:]
    assert not all(all(exact) for _, _, exact in answers)


def test_lists_are_made_anew_once_half_of_the_keys_have_changed():
    memory, rng = filled()
    before = memory._state.index._lists
    for _ in range(12):
        fill(memory, rng, 60)
        memory.search(clusters(rng, 1), 1)
    lists = memory._state.index._lists
    assert lists is not before and lists.rows == 1200
    assert memory.stats().bookkeeping_bytes > lists.nbytes > 1200 * (8 + DIM // 8)


def test_proven_answers_are_asked_for_and_told():
    memory, rng = filled()
    queries = clusters(rng, 128)
    for exact, want in ((True, True), (False, False), (None, False)):
        priors = memory.read(queries, 3, exact=exact)
        assert priors.exact.all() == want and priors.exact.shape == (128,)
        assert memory.search(queries, 3, exact=exact).exact.all() == want
    plain = Memory(replace(CONFIG, search="exact"))
    fill(plain, rng, 400)
    assert plain.read(queries, 3, exact=False).exact.all()
    assert memory.read(queries[:0], 3).exact.shape == (0,)
    with pytest.raises(DtypeError, match="exact: got int"):
        memory.read(queries, 3, exact=1)


def test_few_slots_and_many_hits_are_answered_exactly():
    memory = Memory(CONFIG)
    rng = np.random.default_rng(0)
    fill(memory, rng, 150)
    for _ in range(10):
        assert memory.search(clusters(rng, 3), 3).exact.all()
    assert memory._state.index._lists is None
    memory, rng = filled()
    assert memory.search(clusters(rng, 3), ivf.LARGEST_K + 1).exact.all()


def test_how_a_memory_searches_is_saved(tmp_path):
    memory, rng = filled()
    memory.copy_to(tmp_path / "a.memory")
    with Memory.open(tmp_path / "a.memory") as opened:
        assert opened.config == memory.config and opened.config.search == "ivf"
        queries = clusters(rng, 4)
        assert_same(opened.search(queries, 3), memory.search(queries, 3, exact=True))
        assert opened.verify().problems == ()
        opened.copy_to(tmp_path / "b.memory", search="exact")
    with Memory.open(tmp_path / "b.memory") as opened:
        assert opened.config == replace(memory.config, search="exact")
        with pytest.raises(ConfigError, match="search: got 'hnsw'"):
            opened.copy_to(tmp_path / "c.memory", search="hnsw")
    export(memory, tmp_path / "a.npz")
    assert import_memory(tmp_path / "a.npz").config == memory.config
    facts = json.loads(json.dumps(asdict(memory.stats())))
    assert facts["search"] == "ivf" and facts["recall"]["queries"] > 0


def test_candidates_are_tested_as_masks_are():
    rng = np.random.default_rng(0)
    masks = rng.random((3, 40)) < 0.5
    allowed, slots = Allowed.of(masks), rng.integers(-1, 41, (3, 25))
    passes = allowed.passes(slots)
    for b in range(3):
        for slot, passed in zip(slots[b].tolist(), passes[b].tolist(), strict=True):
            assert passed == (0 <= slot < 40 and bool(masks[b, slot]))
    places = np.array([3, -1, 17, 39])
    moved = allowed.at(places)
    for b in range(3):
        free = np.setdiff1d(np.flatnonzero(moved.mask), moved.without(b))
        assert free.tolist() == [p for p in (0, 2, 3) if masks[b, places[p]]]
    assert allowed.part(slice(1, 2)).passes(slots[1:2]).tolist() == passes[1:2].tolist()


def test_threads_that_search_while_lists_are_made_get_right_answers():
    memory = Memory(CONFIG)
    fill(memory, np.random.default_rng(0), 1000)
    queries = clusters(np.random.default_rng(1), 200)
    truth = memory.search(queries, 1000, exact=True)

    def check(b):
        hits = memory.search(queries[b : b + 1], 3)
        cosines = dict(zip(truth.slots[b].tolist(), truth.cosines[b].tolist(), strict=True))
        return [cosines[s] for s in hits.slots[0].tolist()] == hits.cosines[0].tolist()

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(check, range(200)))
    assert memory.stats().recall is not None


def test_removing_everything_finds_nothing():
    memory, rng = filled()
    memory.remove(memory.slots)
    assert (memory.search(clusters(rng, 3), 3).slots == -1).all()
    assert isinstance(memory._state.index, IvfIndex)
