"""Memory at the paper's 4,000 slots on disk: committing, opening, and bytes per slot.

C = 4,096, 32^3 grids. Run with OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 and --benchmark-enable.
"""

from pathlib import Path

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


def test_commit(benchmark, full):
    """32 changed slots spread over the memory."""
    slots = np.arange(32) * 125

    def change():
        full.write(full.keys(slots), full.values(slots))  # merges
        return ("32 slots",), {}

    snapshot = benchmark.pedantic(full.commit, setup=change, rounds=5)
    with Memory.open(full.path) as reader:
        assert reader.snapshot == snapshot
        np.testing.assert_array_equal(reader.ages, full.ages)


def test_open(benchmark, full):
    """From disk to RAM, all checks included; bytes per slot on the side."""
    full.commit("for the files below")
    files = [file for file in Path(full.path).rglob("*") if file.is_file()]
    memory = benchmark.pedantic(Memory.open, (full.path,), rounds=3)
    stats = memory.stats()
    benchmark.extra_info["ram_bytes_per_slot"] = (stats.key_bytes + stats.value_bytes) / SLOTS
    benchmark.extra_info["disk_bytes_all_history"] = sum(file.stat().st_size for file in files)
    assert len(memory) == SLOTS
    assert stats.key_bytes + stats.value_bytes == SLOTS * SLOT_BYTES
