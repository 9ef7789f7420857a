"""Stats, by hand."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memstore import PAPER, Memory
from memstore.files import disk_bytes
from memstore.slots.stats import Histogram, SlotFacts, even_histogram, growing_histogram

CONFIG = replace(PAPER, capacity=4, key_dim=3, resolution=2, delta=1)
EYE = np.eye(3)
GRIDS = np.random.default_rng(0).random((90, 2, 2, 2)) < 0.5
numbers = st.lists(st.integers(0, 10**6), max_size=30)


def small():
    """Slots 1 (one voxel, age 2) and 2 (full, age 0, merged once)."""
    memory = Memory(CONFIG)
    grids = np.zeros((3, 2, 2, 2), bool)
    grids[1, 0, 0, 0] = True
    grids[2] = True
    memory.write(EYE, grids, ["zero", "one", "two"])
    memory.write(EYE[2:], grids[2:])
    memory.remove([0])
    return memory


def test_stats_by_hand():
    found = small().stats()
    assert (found.used, found.fill, found.clock) == (2, 0.5, 4)
    assert (found.merges, found.inserts, found.evictions, found.removals) == (1, 3, 0, 1)
    assert (found.age_min, found.age_median, found.age_max) == (0, 1.0, 2)
    assert (found.occupancy_min, found.occupancy_max) == (1 / 8, 1)
    assert found.mean_occupancy == found.occupancy_median == (1 / 8 + 1) / 2
    assert (found.key_bytes, found.value_bytes) == (3 * 3 * 4, 3 * 4)
    assert found.bookkeeping_bytes == 4 * (8 + 128 + 8 + 4)
    assert (found.snapshot, found.disk_bytes) == (None, None)
    json.dumps(asdict(found), allow_nan=False)


def test_reads_by_hand():
    memory = small()
    for _ in range(3):
        memory.read(EYE[2:], k=1)
    found = memory.stats()
    assert (found.reads_total, found.reads_min, found.reads_max) == (3, 0, 3)
    assert (found.reads_median, found.never_read) == (1.5, 1)
    assert found.reads == Histogram((0, 1, 2, 4), (1, 0, 1))
    assert found.ages == Histogram((0, 1, 2, 3), (1, 0, 1))
    one, two = SlotFacts(1, "one", 0, 2), SlotFacts(2, "two", 3, 0)
    assert (found.most_read, found.least_read) == ((two,), (one, two))  # what was not read is not
    assert found.oldest == one


def test_a_slot_is_stale_once_capacity_pairs_have_passed():
    memory = small()
    for expected in (0, 0.5):  # slot 1 has age 3, then 4
        memory.write(EYE[2:], memory.values([2]))
        assert memory.stats().stale == expected


def test_an_empty_memory():
    found = asdict(Memory(CONFIG).stats())
    assert (found["used"], found["reads_total"], found["never_read"]) == (0, 0, 0)
    for name in ("age_min", "age_median", "mean_occupancy", "occupancy_max", "stale", "oldest"):
        assert found[name] is None
    assert found["ages"] == found["reads"] == {"edges": (), "counts": ()}
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("histogram", [even_histogram, growing_histogram])
@given(numbers)
def test_every_number_is_in_its_bin(histogram, numbers):
    found = histogram(np.array(numbers, np.int64))
    assert len(found.counts) <= 12
    assert sum(found.counts) == len(numbers)
    bins = zip(found.edges, found.edges[1:], found.counts, strict=False)
    for low, high, count in bins:
        assert count == sum(low <= number < high for number in numbers)


def test_bins_by_hand():
    found = growing_histogram(np.array([0, 1, 3, 9]))
    assert found == Histogram((0, 1, 2, 4, 8, 16), (1, 1, 1, 0, 1))
    assert growing_histogram(np.array([2047])).edges[-2:] == (1024, 2048)
    assert growing_histogram(np.array([2048])).edges[:4] == (0, 1, 4, 16)
    assert even_histogram(np.array([0, 24])).edges == tuple(range(0, 28, 3))


def test_bytes_on_disk(tmp_path):
    config = replace(PAPER, capacity=90, key_dim=64, resolution=2, delta=1)
    with Memory.create(tmp_path / "m", config) as memory:
        memory.write(np.random.default_rng(0).random((90, 64)), GRIDS)
        memory.commit("three")
        found = memory.stats().disk_bytes
    assert {"chunks", "snapshots"} <= set(found)
    assert sum(found.values()) == sum(
        file.stat().st_size for file in (tmp_path / "m").rglob("*") if file.is_file()
    )


def test_bytes_by_hand(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x").write_bytes(b"123")
    (tmp_path / "y").write_bytes(b"45")
    assert disk_bytes(tmp_path) == {".": 2, "a": 3}
