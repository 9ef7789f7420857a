"""What is held in RAM."""

import numpy as np

from memstore import MemoryConfig
from memstore.grids import pack
from memstore.state import State

TINY = MemoryConfig(capacity=4, key_dim=3, resolution=2, delta=1)
AXES = np.eye(3, dtype=np.float32)
GRIDS = pack(np.unpackbits(np.arange(3, dtype=np.uint8)).reshape(3, 2, 2, 2))


def test_rows_grow_with_use():
    state = State.empty(TINY)
    assert state.index.rows == 0
    state.write(AXES[:2], GRIDS[:2], np.zeros(2, "S128"))
    assert state.index.rows == 2
    assert state.used_rows.tolist() == [True, True]


def test_counts_and_dirty_slots():
    state = State.empty(TINY)
    state.write(AXES[[0, 1, 0]], GRIDS[[0, 1, 0]], np.zeros(3, "S128"))
    assert state.counts == {"merge": 1, "insert": 2, "evict": 0, "remove": 0}
    assert (state.dirty, state.clock) == ({0, 1}, 3)


def test_removing_leaves_nothing():
    state = State.empty(TINY)
    state.write(AXES, GRIDS, np.array([b"a", b"b", b"c"], "S128"))
    state.dirty.clear()
    state.remove(np.array([1]))
    assert state.used.tolist() == [0, 2]
    assert (state.sources[1], state.touched[1], state.dirty) == (b"", -1, {1})
    assert not state.index.keys[1].any()
    assert not state.values[1].any()
