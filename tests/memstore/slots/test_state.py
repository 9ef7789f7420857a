"""What is held in RAM."""

from dataclasses import replace

import numpy as np

from memstore import PAPER, Memory
from memstore.slots.state import State
from memstore.voxels.grids import block_voxels, pack
from tests.helpers.random_memories import busy_memory

TINY = replace(PAPER, capacity=4, key_dim=3, resolution=2, delta=1)
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


def test_counts_per_block_keep_up_with_the_values():
    """Asked for before there is any, between writes of all kinds, after a removal and a put."""
    state, names = State.empty(TINY), np.zeros(3, "S128")
    full = pack(np.unpackbits(np.uint8([255, 254, 253])).reshape(3, 2, 2, 2))

    def check(rows):
        assert state.blocks.shape == (rows, 4)  # bytes are not cut along z
        np.testing.assert_array_equal(state.blocks, block_voxels(state.values[:rows]))
        np.testing.assert_array_equal(state.blocks.sum(1), state.full[:rows])

    check(0)
    state.write(AXES, GRIDS, names)
    check(3)
    state.write(AXES, full, names)  # inserts and evicts
    check(4)
    state.remove(np.array([2]))
    check(4)
    other = State.empty(TINY)
    other.write(AXES[::-1], full, names)
    state.put(other.rows(np.array([0, 1])))
    check(4)
    assert state.blocks[:2].sum() == 8 + 7
    assert len(state.enlarged(9, TINY).blocks) == 4


def test_a_larger_copy_has_all_that_is_known_of_a_slot(tmp_path):
    memory = busy_memory()
    memory.copy_to(tmp_path / "larger.memory", capacity=memory.config.capacity + 5)
    with Memory.open(tmp_path / "larger.memory", "r+") as larger:
        assert larger.config == replace(memory.config, capacity=memory.config.capacity + 5)
        for item, other in zip(memory, larger, strict=True):
            for name, fact in item._asdict().items():
                np.testing.assert_array_equal(fact, getattr(other, name), err_msg=name)
        assert (larger.clock, larger.stats().merges) == (memory.clock, memory.stats().merges)
        assert larger.verify().problems == ()


def test_slots_from_a_source_follow_changes():
    """Also of sources that are nearly the same, of none, and of the longest."""
    rng = np.random.default_rng(0)
    config = replace(PAPER, capacity=8, key_dim=4, resolution=2, delta=1)
    memory = Memory(config)
    names = ["a", "b", "a", "", "a" * 128, "a" * 127]

    def write(sources):
        keys, grids = rng.standard_normal((len(sources), 4)), rng.random((len(sources), 2, 2, 2))
        memory.write(keys, grids < 0.5, sources)

    def slots_from(source):
        with memory.frozen() as state:
            return state.slots_from(source.encode()).tolist()

    write(names)
    assert [slots_from(name) for name in ("a", "b", "", "a" * 128, "c")] == [
        [0, 2],
        [1],
        [3],
        [4],
        [],
    ]
    memory.remove([0])
    write(["b", "c", "c"])
    assert [slots_from(name) for name in ("a", "b", "c")] == [[2], [0, 1], [6, 7]]
