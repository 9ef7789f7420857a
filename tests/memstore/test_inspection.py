"""Stats, by hand."""

import json
from dataclasses import asdict

import numpy as np

from memstore import Memory, MemoryConfig

CONFIG = MemoryConfig(capacity=4, key_dim=3, resolution=2, delta=1)


def test_stats_by_hand():
    memory = Memory(CONFIG)
    grids = np.zeros((3, 2, 2, 2), bool)
    grids[1, 0, 0, 0] = True
    grids[2] = True
    memory.write(np.eye(3), grids)
    memory.write(np.eye(3)[2:], grids[2:])  # merged
    memory.remove([0])
    stats = memory.stats()
    assert (stats.used, stats.fill, stats.clock) == (2, 0.5, 4)
    assert (stats.merges, stats.inserts, stats.evictions, stats.removals) == (1, 3, 0, 1)
    assert (stats.age_min, stats.age_median, stats.age_max) == (0, 1.0, 2)
    assert stats.mean_occupancy == (1 / 8 + 1) / 2
    assert (stats.key_bytes, stats.value_bytes) == (3 * 3 * 4, 3 * 4)
    assert stats.snapshot is None
    assert json.loads(json.dumps(asdict(stats))) == asdict(stats)


def test_an_empty_memory():
    stats = Memory(CONFIG).stats()
    assert (stats.used, stats.age_min, stats.age_median, stats.mean_occupancy) == (
        0,
        None,
        None,
        None,
    )
    json.dumps(asdict(stats), allow_nan=False)
