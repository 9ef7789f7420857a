"""Memory at the paper's 4,000 slots: reading, writing, committing, and bytes per slot.

C = 4,096, 32^3 grids. Run with OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 and --benchmark-enable.
"""

from pathlib import Path

import faiss
import numpy as np
import pytest

from memstore import Memory, MemoryConfig

SLOTS, DIM = 4_000, 4_096
CONFIG = MemoryConfig(capacity=SLOTS, key_dim=DIM, beta=-1)
SLOT_BYTES = DIM * 4 + 32**3 // 8  # one slot's key and packed value


def features(batch, seed):
    return np.random.default_rng(seed).standard_normal((batch, DIM), np.float32)


def grids(batch, seed):
    """Random bits: unlike each other, so that every pair is new."""
    bits = np.random.default_rng(seed).integers(0, 256, (batch, 32, 32, 4), np.uint8)
    return np.unpackbits(bits, axis=-1).view(bool)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A full, committed memory on disk."""
    path = tmp_path_factory.mktemp("full") / "memory"
    with Memory.create(path, CONFIG) as memory:
        for seed in range(SLOTS // 250):
            memory.write(features(250, seed), grids(250, seed))
        memory.commit("full")
        yield memory


@pytest.mark.parametrize("batch", [1, 32], ids="batch={}".format)
def test_read(benchmark, full, batch):
    """Top-8 values of noisy copies of stored keys."""
    slots = np.arange(batch) * 100
    queries = full.keys(slots) + 0.001 * features(batch, 99)
    priors = benchmark(full.read, queries, k=8)
    assert priors.slots[:, 0].tolist() == slots.tolist()
    assert priors.counts.tolist() == [8] * batch
    np.testing.assert_array_equal(priors.values[:, 0], full.values(slots))


@pytest.mark.parametrize("batch", [1, 32], ids="batch={}".format)
def test_read_baseline(benchmark, full, batch):
    """The same by hand: FAISS IndexFlatIP, then np.unpackbits."""
    index = faiss.IndexFlatIP(DIM)
    index.add(full.keys(full.slots))
    packed = np.packbits(full.values(full.slots), axis=-1)
    queries = full.keys(np.arange(batch) * 100) + 0.001 * features(batch, 99)

    def read():
        unit = queries / np.linalg.norm(queries, axis=1, keepdims=True)
        _, slots = index.search(unit, 8)
        return slots, np.unpackbits(packed[slots], axis=-1).view(bool)

    slots, values = benchmark(read)
    priors = full.read(queries, k=8)
    np.testing.assert_array_equal(slots, priors.slots)
    np.testing.assert_array_equal(values, priors.values)


def test_contrast(benchmark, full):
    """Batch 32 in which each grid is known: to the slot of another pair's key."""
    slots = np.arange(32) * 100
    found = benchmark(full.contrast, full.keys(slots), full.values(slots[::-1]))
    assert found.positive.tolist() == slots[::-1].tolist()
    assert found.negative.tolist() == slots.tolist()


def test_write(benchmark, full):
    """Batch 32 of new pairs into a full memory: 32 evictions."""
    pairs = iter([(features(32, seed), grids(32, seed)) for seed in range(1000, 1010)])
    report = benchmark.pedantic(full.write, setup=lambda: (next(pairs), {}), rounds=10)
    assert report.kinds.tolist() == ["evict"] * 32
    np.testing.assert_array_equal(full.ages[report.slots], np.arange(31, -1, -1))


