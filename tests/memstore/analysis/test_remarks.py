"""What is wrong with a memory, each fault alone and none where all is well."""

import numpy as np

from memstore import Memory, MemoryConfig, near_duplicates, remarks

CONFIG = MemoryConfig(capacity=20, key_dim=64, resolution=4, beta=-1)
RNG = np.random.default_rng(0)
KEYS, GRIDS = RNG.standard_normal((20, 64)), RNG.random((20, 4, 4, 4)) < 0.5


def told(memory):
    return remarks(memory, near_duplicates(memory))


def filled(keys=KEYS, grids=GRIDS):
    memory = Memory(CONFIG)
    memory.write(keys, grids)
    return memory


def test_nothing_is_wrong():
    memory = filled()
    assert told(memory) == ()
    for _ in range(5):  # each slot is read, by its own key
        memory.read(KEYS, 1)
    assert told(memory) == ()
    assert told(Memory(CONFIG)) == ()


def test_keys_that_have_collapsed():
    """One direction and noise of .05 of its length: cosines of 1 / (1 + .05**2) = .998."""
    keys = np.eye(64)[0] + 0.05 * KEYS / np.linalg.norm(KEYS, axis=1, keepdims=True)
    [line] = told(filled(keys))
    assert line.startswith("keys have collapsed: the median cosine between two slots is 0.998, ")
    assert "subtract the mean" in line
    few = Memory(CONFIG)
    few.write(keys[:4], GRIDS[:4])
    assert told(few) == ()


def test_near_duplicates():
    grids = GRIDS.copy()
    grids[:3] = grids[0]
    assert told(filled(grids=grids)) == ()  # 3 of 20
    grids[3:5] = grids[5]
    [line] = told(filled(grids=grids))  # 6 of 20
    assert line.startswith("near-duplicates: 30% of the slots compared hold a value at least 0.9 ")
    assert "write with a delta" in line
    assert remarks(filled(grids=grids)) == ()  # not asked


def test_never_read():
    memory = filled()
    for _ in range(20):
        memory.read(KEYS[:9], 1)
    [line] = told(memory)
    assert line.startswith("never read: 11 of 20 slots, while the others were read 180 times; ")


def test_stale():
    config = MemoryConfig(capacity=10, key_dim=64, resolution=4, delta=1, when_full="evict")
    memory = Memory(config)
    memory.write(KEYS[:10], GRIDS[:10])
    memory.write(KEYS[[0, 1, 2] * 4], GRIDS[[0, 1, 2] * 4])  # merges: seven are not touched
    [line] = told(memory)
    assert line.startswith("stale: 70% of the slots were not touched by the last 10 pairs; ")
