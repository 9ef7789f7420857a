"""Unit vectors and cosines, to the last bit."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from memstore import Memory, MemoryConfig
from memstore.search.cosine import (
    best,
    cosines,
    error_bound,
    merge,
    paired_cosines,
    scores,
    shortlist,
    unit,
)
from tests.helpers import naive_memory


def test_unit_by_hand():
    assert_array_equal(unit(np.array([[3.0, 4.0], [0.0, -2.0]])), np.float32([[0.6, 0.8], [0, -1]]))


@pytest.mark.parametrize("scale", [1e300, 1e154, 1.0, 1e-162, 1e-300])
def test_unit_of_any_norm(scale):
    """2**k times a row has the same direction, to the bit; powers of ten to rounding."""
    rows = np.array([[1.0, 2.0, 2.0]])
    exact = 2.0 ** np.floor(np.log2(scale))
    assert_array_equal(unit(rows * exact), unit(rows))
    np.testing.assert_allclose(unit(rows * scale), [[1 / 3, 2 / 3, 2 / 3]], rtol=1e-6)


@pytest.mark.parametrize("dim", [1, 7, 128, 257, 4096])
def test_unit_by_definition_alone_and_in_a_batch(dim):
    rows = np.random.default_rng(dim).standard_normal((40, dim)) + 0.1
    together = unit(rows)
    for row, got in zip(rows, together, strict=True):
        expected = (row / np.sqrt(np.square(row).sum())).astype(np.float32)
        assert_array_equal(got, expected)
        assert_array_equal(unit(row[None])[0], expected)


def test_unit_of_the_smallest_number():
    assert_array_equal(unit(np.array([[5e-324, 0.0]])), [[1, 0]])


@pytest.mark.parametrize("dim", [1, 2, 7, 8, 9, 127, 128, 129, 1000, 4096])
@pytest.mark.parametrize("rows", [1, 2, 63, 64, 65])
def test_a_cosine_depends_on_its_two_vectors_only(dim, rows):
    rng = np.random.default_rng(dim)
    keys, query = unit(rng.standard_normal((rows, dim))), unit(rng.standard_normal((1, dim)))[0]
    together = cosines(query, keys).tolist()
    assert together == [cosines(query, keys[i : i + 1]).item() for i in range(rows)]
    assert together == [naive_memory.cosine(query, key) for key in keys]


@pytest.mark.parametrize("dim", [6, 64, 1000, 4096])
def test_the_order_of_a_sum_does_not_count(dim):
    """Products that cancel each other: what is left of their sum is rounding."""
    half = np.random.default_rng(dim).standard_normal((2, 50, dim // 2))
    queries = unit(np.concatenate([half[0], half[1]], axis=1))
    keys = unit(np.concatenate([half[1], -half[0]], axis=1))
    for query, key in zip(queries, keys, strict=True):
        assert cosines(query, key[None]).item() == naive_memory.cosine(query, key)


def test_paired_cosines_are_those_of_each_pair():
    rng = np.random.default_rng(0)
    queries, keys = unit(rng.standard_normal((5, 300))), unit(rng.standard_normal((35, 300)))
    keys = keys.reshape(5, 7, 300)
    for query, row, own in zip(queries, paired_cosines(queries, keys), keys, strict=True):
        assert_array_equal(row, [naive_memory.cosine(query, key) for key in own])


def test_cosines_are_clipped():
    """float32(0.6)^2 + float32(0.8)^2 is above 1."""
    key = np.float32([0.6, 0.8])
    assert cosines(key, np.stack([key, -key])).tolist() == [1, -1]


@pytest.mark.parametrize("dim", [1, 255, 256, 773, 12544])
@pytest.mark.parametrize("batch", [1, 3])
def test_scores_err_by_less_than_their_bound(dim, batch):
    """All channels equal: the sums whose float32 rounding piles up most."""
    rng = np.random.default_rng(0)
    for spread in (0, 0.1, 10):
        keys = unit(1 + spread * rng.standard_normal((20, dim)))
        queries = unit(1 + spread * rng.standard_normal((batch, dim)))
        exact = np.stack([cosines(query, keys) for query in queries])
        assert np.abs(scores(queries, keys).T - exact).max() < error_bound(dim)


def test_shortlist_by_hand():
    row = np.array([0.5, -np.inf, 0.9, 0.9 - 0.01, 0.1])
    assert shortlist(row, 1, 0.01).tolist() == [2, 3]
    assert shortlist(row, 1, 0.001).tolist() == [2]
    assert shortlist(row, 3, 0.01).tolist() == [0, 2, 3]
    assert shortlist(row, 9, 0.01).tolist() == [0, 2, 3, 4]
    assert shortlist(row, 9, 0.01, above=0.508).tolist() == [0, 2, 3]
    assert shortlist(row, 9, 0.01, above=0.512).tolist() == [2, 3]
    assert shortlist(np.array([-np.inf]), 1, 0.01).tolist() == []
    assert shortlist(np.array([]), 1, 0.01).tolist() == []


@pytest.mark.parametrize("k", [1, 3, 200])
def test_best_of_many_near_equals(k):
    """More slots than are worth one pass, of which many have the same cosine."""
    rng = np.random.default_rng(0)
    keys = unit(1 + 1e-6 * rng.integers(0, 3, (200, 1)) * rng.standard_normal((200, 600)))
    query, slots = unit(np.ones((1, 600)))[0], np.arange(1, 200, 2)
    found, found_cosines = best(query, keys, slots, k)
    exact = sorted((-naive_memory.cosine(query, keys[slot]), slot) for slot in slots.tolist())[:k]
    assert list(zip(-found_cosines, found, strict=True)) == exact


def test_merge_by_hand():
    x, y = np.float32([1, 0]), np.float32([0, 1])
    assert_array_equal(merge(x, y), np.float32([np.sqrt(0.5), np.sqrt(0.5)]))
    assert_array_equal(merge(x, -x), x)


def test_a_flag_that_blas_raises_beyond_arrays_ends_warns_of_nothing(monkeypatch):
    """As it does now and then, whatever the numbers: here each time. (Warnings are errors.)"""
    dot = np.dot

    def raising(left, right):
        assert np.isnan(np.float32(np.inf) - np.float32(np.inf))  # the flag "invalid"
        return dot(left, right)

    vectors = unit(np.random.default_rng(0).standard_normal((20, 5)))
    memory = Memory(MemoryConfig(capacity=20, key_dim=5, resolution=2, delta=0.9))
    monkeypatch.setattr(np, "dot", raising)
    for start in (0, 1, 2, 10):  # one by one, and ten at once
        some = slice(start, max(start + 1, 2 * start))
        memory.write(vectors[some], np.ones((len(vectors[some]), 2, 2, 2)) > 0)
    memory.search(vectors, k=3)
    memory.search(vectors[:1], k=3)
    cosines(vectors[0], vectors)
