"""Bounds that hold, whatever the keys."""

import numpy as np
import pytest

from memstore.search import pruning
from memstore.search.cosine import cosines, unit
from memstore.search.pruning import KeySketch


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
