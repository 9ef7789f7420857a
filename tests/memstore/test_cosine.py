"""Unit vectors and cosines, to the last bit."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from memstore.cosine import BLOCK, MARGIN, cosines, merge, scores, shortlist, unit
from tests import naive


def test_unit_by_hand():
    assert_array_equal(unit(np.array([[3.0, 4.0], [0.0, -2.0]])), np.float32([[0.6, 0.8], [0, -1]]))


@pytest.mark.parametrize("scale", [1e300, 1e154, 1.0, 1e-162, 1e-300])
def test_unit_of_any_norm(scale):
    """2**k times a row has the same direction, to the bit; powers of ten to rounding."""
    rows = np.array([[1.0, 2.0, 2.0]])
    exact = 2.0 ** np.floor(np.log2(scale))
    assert_array_equal(unit(rows * exact), unit(rows))
    np.testing.assert_allclose(unit(rows * scale), [[1 / 3, 2 / 3, 2 / 3]], rtol=1e-6)


def test_unit_of_the_smallest_number():
    assert_array_equal(unit(np.array([[5e-324, 0.0]])), [[1, 0]])


@pytest.mark.parametrize("dim", [1, 2, 7, 8, 9, 127, 128, 129, 1000, 4096])
@pytest.mark.parametrize("rows", [1, 2, 63, 64, 65])
def test_a_cosine_depends_on_its_two_vectors_only(dim, rows):
    rng = np.random.default_rng(dim)
    keys, query = unit(rng.standard_normal((rows, dim))), unit(rng.standard_normal((1, dim)))[0]
    together = cosines(query, keys).tolist()
    assert together == [cosines(query, keys[i : i + 1]).item() for i in range(rows)]
    assert together == [naive.cosine(query, key) for key in keys]


def test_cosines_are_clipped():
    """float32(0.6)^2 + float32(0.8)^2 is above 1."""
    key = np.float32([0.6, 0.8])
    assert cosines(key, np.stack([key, -key])).tolist() == [1, -1]


@pytest.mark.parametrize("dim", [1, BLOCK - 1, BLOCK, 3 * BLOCK + 5, 12544])
def test_scores_err_by_less_than_half_the_margin(dim):
    """All channels equal: the sums whose float32 rounding piles up most."""
    rng = np.random.default_rng(0)
    for spread in (0, 0.1, 10):
        keys = unit(1 + spread * rng.standard_normal((20, dim)))
        queries = unit(1 + spread * rng.standard_normal((3, dim)))
        exact = np.stack([cosines(query, keys) for query in queries])
        assert np.abs(scores(queries, keys) - exact).max() < MARGIN / 2


def test_shortlist_by_hand():
    row = np.array([0.5, -np.inf, 0.9, 0.9 - MARGIN / 2, 0.1])
    assert shortlist(row, 1).tolist() == [2, 3]
    assert shortlist(row, 3).tolist() == [0, 2, 3]
    assert shortlist(row, 9).tolist() == [0, 2, 3, 4]
    assert shortlist(np.array([-np.inf]), 1).tolist() == []
    assert shortlist(np.array([]), 1).tolist() == []


def test_merge_by_hand():
    x, y = np.float32([1, 0]), np.float32([0, 1])
    assert_array_equal(merge(x, y), np.float32([np.sqrt(0.5), np.sqrt(0.5)]))
    assert_array_equal(merge(x, -x), x)
