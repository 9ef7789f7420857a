"""The nearest similar value may be far down the order."""

import numpy as np
import pytest

from memstore import Memory, MemoryConfig
from memstore.contrast import NEAR
from tests.naive import NaiveMemory

CONFIG = MemoryConfig(capacity=3 * NEAR, key_dim=8, resolution=8, delta=0.99)


@pytest.mark.parametrize("far", [0, NEAR - 1, NEAR, NEAR + 1, 3 * NEAR - 1])
def test_one_of_a_kind_wherever_it_ranks(far):
    """Keys at growing angles to the query, whose grid is like that of the one ranked `far`."""
    angles = np.linspace(0.1, 1.5, CONFIG.capacity)
    features = np.zeros((CONFIG.capacity, 8))
    features[:, 0], features[:, 1] = np.cos(angles), np.sin(angles)
    rng = np.random.default_rng(0)
    grids = rng.random((CONFIG.capacity, 8, 8, 8)) < 0.5
    order = rng.permutation(CONFIG.capacity)
    memory = Memory(CONFIG)
    memory.write(features[order], grids[order])
    slot_of = np.argsort(order)
    found = memory.contrast(np.eye(8)[:1], grids[[far]])
    assert found.positive.item() == slot_of[far]
    assert found.negative.item() == slot_of[1 if far == 0 else 0]


@pytest.mark.parametrize("spread", [0, 1e-6, 1e-2])
def test_against_the_oracle(spread):
    """More near-equal keys than are looked at first; two kinds of grids."""
    rng = np.random.default_rng(0)
    memory, oracle = Memory(CONFIG), NaiveMemory(CONFIG)
    features = 1 + spread * rng.standard_normal((3 * NEAR, 8))
    grids = rng.random((3 * NEAR, 8, 8, 8)) < 0.5
    memory.write(features, grids)
    for feature, grid in zip(features, grids, strict=True):
        oracle.write(feature, grid)
    for grid in (grids[0], grids[-1], ~grids[0]):
        found = memory.contrast(features[:4], np.stack([grid] * 4))
        pairs = list(zip(found.positive.tolist(), found.negative.tolist(), strict=True))
        assert pairs == [oracle.contrast(feature, grid) for feature in features[:4]]
