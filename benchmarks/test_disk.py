"""The paper's 4,000 slots on disk: committing, opening in a cold process, bytes per slot."""

import numpy as np
import pytest

from benchmarks import disk
from benchmarks.disk import DIM, SLOTS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("disk")


@pytest.fixture(scope="module")
def full(folder):
    with disk.fill(folder / "memory") as memory:
        disk.save_plain(folder / "plain", memory)
        yield memory


def test_bytes_on_disk(full, folder):
    """Of a memory committed once: at most 400 per slot beyond the keys."""
    assert disk.folder_bytes(folder / "memory") / SLOTS <= 4 * DIM + 400


def test_bytes_in_ram(full, folder):
    """What a slot adds to a process that opened a memory and answered."""
    assert disk.ram_per_slot(full, folder) <= 1.25 * (4 * DIM + 32**3 // 8)


def test_open(benchmark, full, folder):
    """Cold process, to the first answer; imports do not count."""
    answer = benchmark.pedantic(disk.open_cold, (disk.OPEN, folder / "memory"), rounds=3)
    plain = disk.open_cold(disk.OPEN_PLAIN, folder / "plain")
    benchmark.extra_info["seconds"] = answer[0]
    benchmark.extra_info["seconds_plain_files"] = plain[0]
    assert answer[3] == plain[3]


def test_commit(benchmark, full):
    """32 changed slots spread over the memory."""
    rng = np.random.default_rng(2)

    def change():
        disk.change(full, rng)
        return ("32 slots",), {}

    before = disk.folder_bytes(full.path)
    benchmark.pedantic(full.commit, setup=change, rounds=5)
    grown = disk.folder_bytes(full.path) - before
    commits = len(full.history()) - 2
    assert grown / commits <= 1.5 * disk.BATCH * (4 * DIM + 400)
    assert full.verify().problems == ()


def test_commit_naive(benchmark, full, folder):
    """The same, with a chunk per key and per value."""
    naive, rng = disk.NaiveStore(folder / "naive", full), np.random.default_rng(3)
    benchmark.pedantic(lambda: naive.commit(rng.choice(SLOTS, 32, replace=False)), rounds=3)
