"""Memories to test with: written, merged, evicted, removed and read at random."""

from dataclasses import replace

import numpy as np
from numpy.testing import assert_array_equal

from memstore import PAPER, Memory

COLUMNS = {"kind": str, "mass": float, "ok": bool, "view": int}
SMALL = replace(PAPER, capacity=6, key_dim=5, resolution=3, delta=0.7)


def busy_memory(seed=0, writes=9, config=SMALL):
    """A memory that pairs were written to one by one, some of them like earlier ones."""
    rng = np.random.default_rng(seed)
    memory = Memory(config)
    side = config.resolution
    for i in range(writes):
        grid = rng.random((1, side, side, side)) < rng.choice([0.1, 0.5, 0.9])
        columns = {"kind": [f"ö{i % 3}"], "mass": [i / 7], "ok": [i % 2 == 0], "view": [-i]}
        key, given = rng.standard_normal((1, config.key_dim)), columns if config.columns else None
        memory.write(key, grid, [f"shäpes/{i}"], given)
        if rng.random() < 0.2:
            memory.remove(rng.choice(memory.slots, 1))
        memory.read(rng.standard_normal((2, config.key_dim)), k=2, beta=-1)
    return memory


def assert_same_rows(ours, theirs, slots):
    """Everything a slot holds, bit for bit."""
    assert_array_equal(ours.keys(slots), theirs.keys(slots), strict=True)
    assert_array_equal(ours.values(slots), theirs.values(slots), strict=True)
    columns = ours.columns(slots), theirs.columns(slots)
    assert [*columns[0]] == [*columns[1]]
    for name, column in columns[0].items():
        assert_array_equal(column, columns[1][name], strict=True)
    for name in ("ages", "sources", "reads"):
        mine, its = (
            [getattr(memory, name)[memory.slots.tolist().index(slot)] for slot in slots]
            for memory in (ours, theirs)
        )
        assert mine == its


def assert_same(ours, theirs):
    """Two memories that nobody can tell apart."""
    assert ours.config == theirs.config
    assert ours.clock == theirs.clock
    assert ours.slots.tolist() == theirs.slots.tolist()
    assert_same_rows(ours, theirs, ours.slots.tolist())
    counts = ("merges", "inserts", "evictions", "removals")
    for name in counts:
        assert getattr(ours.stats(), name) == getattr(theirs.stats(), name)
