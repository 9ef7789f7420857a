"""Exact search, whatever float32 thinks."""

import itertools
import weakref
from dataclasses import replace

import numpy as np
import pytest

from memstore import PAPER, Memory
from memstore.search.cosine import unit
from memstore.search.index import KeyIndex, _kth_highest
from tests.helpers.naive_memory import NaiveMemory, assert_found
from tests.helpers.naive_memory import cosine as naive_cosine


@pytest.mark.parametrize("spread", [1, 1e-3, 1e-5, 1e-7, 0])
def test_wide_keys_however_close(spread):
    """Channels beyond one float32 block; at small spreads float32 alone cannot rank them."""
    rng = np.random.default_rng(0)
    config = replace(PAPER, capacity=300, key_dim=700, resolution=2, beta=0.5, delta=1)
    memory, oracle = Memory(config), NaiveMemory(config)
    features = 1 + spread * rng.standard_normal((330, 700))
    grids = np.stack(
        [np.unpackbits(np.uint8([i % 256])).reshape(2, 2, 2).astype(bool) for i in range(330)]
    )
    report = memory.write(features, grids)
    expected = [oracle.write(f, g) for f, g in zip(features, grids, strict=True)]
    assert report.slots.tolist() == [slot for slot, _, _ in expected]

    queries = 1 + spread * rng.standard_normal((5, 700))
    hits = memory.search(queries, 20)
    contrast = memory.contrast(queries, grids[:5])
    for b, query in enumerate(queries):
        assert_found(hits.slots[b], hits.cosines[b], oracle.search(query, 20))
        assert (contrast.positive[b], contrast.negative[b]) == oracle.contrast(query, grids[b])


def test_equal_keys_come_by_slot_in_any_batch():
    """One key in many slots: one cosine, to the last bit, wherever it lies and whoever asks."""
    rng = np.random.default_rng(0)
    index = KeyIndex(777)
    keys = unit(rng.standard_normal((101, 777)))
    twins = [3, 17, 18, 64, 100]
    keys[twins] = keys[0]
    index.put(np.arange(101), keys)
    query = index.keys[:1] + np.float32(0.001)
    alone = index.search(unit(query), 6, np.ones(101, bool))
    assert alone.slots.tolist() == [[0, *twins]]
    assert len(set(alone.cosines[0].tolist())) == 1
    others = unit(rng.standard_normal((37, 777)))
    crowd = index.search(np.concatenate([others, unit(query)]), 6, np.ones(101, bool))
    assert crowd.slots[-1].tolist() == alone.slots[0].tolist()
    assert crowd.cosines[-1].tolist() == alone.cosines[0].tolist()


def test_only_allowed_slots_are_found():
    index = KeyIndex(2)
    index.put(np.arange(3), np.float32([[1, 0], [0, 1], [-1, 0]]))
    hits = index.search(np.float32([[1, 0]]), 3, np.array([False, True, True]))
    assert hits.slots.tolist() == [[1, 2, -1]]
    assert hits.cosines.tolist() == [[0, -1, -np.inf]]


def test_growing_keeps_keys_and_adds_zeros():
    index = KeyIndex(2)
    assert index.keys.shape == (0, 2)
    index.put(np.array([0]), np.float32([[0, 1]]))
    index.grow(3)
    index.grow(2)
    assert index.keys.tolist() == [[0, 1], [0, 0], [0, 0]]


def test_more_queries_than_are_scored_at_once():
    rng = np.random.default_rng(0)
    index = KeyIndex(5)
    index.put(np.arange(10), unit(rng.standard_normal((10, 5))))
    queries = unit(rng.standard_normal((600, 5)))
    many = index.search(queries, 2, np.ones(10, bool))
    one = [index.search(query[None], 2, np.ones(10, bool)).slots[0].tolist() for query in queries]
    assert many.slots.tolist() == one


def test_keys_change_by_put_alone():
    """What is derived from the keys must hear of a change."""
    index = KeyIndex(2)
    index.put(np.array([0]), np.float32([[0, 1]]))
    with pytest.raises(ValueError, match="read-only"):
        index.keys[0] = 1


def test_only_cosines_above():
    index = KeyIndex(2)
    index.put(np.arange(3), np.float32([[1, 0], [0, 1], [-1, 0]]))
    hits = index.search(np.float32([[1, 0]]), 3, np.ones(3, bool), above=0.0)
    assert hits.slots.tolist() == [[0, -1, -1]]
    assert hits.cosines.tolist() == [[1, -np.inf, -np.inf]]


def test_rows_keep_what_they_lie_in_alive():
    """A reader that goes on filling them must not write where others' bytes lie by then."""
    index = KeyIndex(64)
    index.put(np.arange(9), np.eye(9, 64, dtype=np.float32))
    rows, held = index.fill(), weakref.ref(index._faiss)
    part = rows[2:5]
    del index, rows
    assert held() is not None and part.sum() == 3
    del part
    assert held() is None


@pytest.mark.parametrize("rows", [1, 5, 200, 3000])
def test_about_the_kth_highest_is_no_more_than_that(rows):
    """And scores, which are looked at again, stay as they are."""
    scores = np.random.default_rng(rows).standard_normal((rows, 3), np.float32)
    before = scores.copy()
    for k in (1, 8, rows):
        kth = np.sort(scores, axis=0)[-min(k, rows)]
        assert (_kth_highest(scores, k) <= kth).all()
        assert _kth_highest(scores[:, 0], k) <= kth[0]
    np.testing.assert_array_equal(scores, before)


@pytest.mark.parametrize("kind", ["random", "alike", "equal"])
@pytest.mark.parametrize("rows", [1, 9, 300])
def test_few_numbers_beside_the_definition(kind, rows):
    """Alone and in a batch, with slots that may not be found, ties, and fewer hits than wanted."""
    rng = np.random.default_rng(rows)
    spread = {"random": 1, "alike": 1e-6, "equal": 0}[kind]
    common = rng.standard_normal(24) * (kind != "random")
    keys = unit(common + spread * rng.standard_normal((rows, 24)))
    queries = unit(common + rng.standard_normal((5, 24)))
    index = KeyIndex(24)
    index.put(np.arange(rows), keys)
    cosines = np.array([[naive_cosine(query, key) for key in keys] for query in queries])
    for k, share, above in itertools.product((1, 8, rows + 1), (1, 0.9, 0.05), (-2, 0.3)):
        masks = rng.random((5, rows)) < share
        for allowed in (masks, masks[0]):
            batch = index.search(queries, k, allowed, above)
            for b, query in enumerate(queries):
                mask = np.broadcast_to(allowed, masks.shape)[b]
                alone = index.search(query[None], k, mask, above)
                near = np.flatnonzero(mask & (cosines[b] > above))
                best = near[np.argsort(-cosines[b, near], kind="stable")][:k]
                for slots, values in (
                    (batch.slots[b], batch.cosines[b]),
                    (alone.slots[0], alone.cosines[0]),
                ):
                    assert slots.tolist() == [*best, *[-1] * (k - len(best))]
                    expected = [*cosines[b, best], *[-np.inf] * (k - len(best))]
                    assert values.tolist() == expected
                assert alone.exact.all() and batch.exact.all()
