"""The paper's 4,000 slots on disk: committing, opening in a cold process, bytes on disk and in RAM.

Baselines: for commits, the layout that first comes to mind, a chunk per key and per value in
Icechunk; for opening, two .npy files and a FAISS index. `ratios.py` prints the same as a table.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest.mock import patch

import icechunk
import numpy as np
import pytest
import zarr

from benchmarks.keys import DIM
from memstore import PAPER, Memory, files
from memstore.storage.local import durable, repository
from memstore.voxels.grids import pack

SLOTS, BATCH = 4_000, 32
CONFIG = replace(PAPER, capacity=SLOTS, key_dim=DIM, beta=-1, delta=1)


def ellipsoids(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 32, 32, 32) grids, about 10 % full, all different."""
    axes = np.linspace(-1, 1, 32)
    centers, radii = rng.uniform(-0.3, 0.3, (count, 3, 1)), rng.uniform(0.4, 0.75, (count, 3, 1))
    x, y, z = np.moveaxis(((axes - centers) / radii) ** 2, 1, 0)
    return x[:, :, None, None] + y[:, None, :, None] + z[:, None, None, :] < 1


def full_memory(path: Path) -> Memory:
    """A full memory, committed, open to be written."""
    rng = np.random.default_rng(0)
    memory = Memory.create(path, CONFIG)
    for _ in range(SLOTS // 250):
        memory.write(rng.standard_normal((250, DIM)), ellipsoids(rng, 250))
    assert len(memory) == SLOTS
    memory.commit("full")
    return memory


def folder_bytes(path: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def save_plain(path: Path, memory: Memory) -> None:
    """Keys and packed values as .npy."""
    path.mkdir()
    np.save(path / "keys.npy", memory.keys(memory.slots))
    np.save(path / "bits.npy", pack(memory.values(memory.slots)))


def change(memory: Memory, rng: np.random.Generator) -> None:
    """Write to 32 slots all over the memory."""
    slots = np.sort(rng.choice(SLOTS, BATCH, replace=False))
    report = memory.write(memory.keys(slots), memory.values(slots))
    assert report.kinds.tolist() == ["merge"] * BATCH


def sync_ratio(memory: Memory, rng: np.random.Generator, log: Path, rounds: int = 30) -> float:
    """What a commit of 32 slots waits for the disk, over a bare log of as many bytes; minima."""
    ours, bare = [], []

    def timed(entries: Iterable[str | Path]) -> None:
        start = perf_counter()
        files.sync(entries)
        waits.append(perf_counter() - start)

    with (
        log.open("wb") as file,
        patch.object(repository, "sync", timed),
        patch.object(durable, "sync", timed),
    ):
        for _ in range(rounds):
            waits: list[float] = []
            change(memory, rng)
            memory.commit("changed")
            ours.append(sum(waits))
            file.write(rng.bytes(BATCH * (4 * DIM + 4096)))
            file.flush()
            start = perf_counter()
            os.fsync(file.fileno())
            bare.append(perf_counter() - start)
    return min(ours) / min(bare)


class BareLog:
    """What any durable store does at least: the bytes appended to a file, and synced.

    Args:
        path: of the file.
        syncs: fsync calls of a commit; as many parts of its bytes are synced one after another.
    """

    def __init__(self, path: Path, syncs: int) -> None:
        data = np.random.default_rng(4).bytes(BATCH * (4 * DIM + 4096))
        self._parts = [data[part::syncs] for part in range(syncs)]
        self._file = path.open("wb", buffering=0)

    def commit(self) -> None:
        """Append what 32 slots take."""
        for part in self._parts:
            self._file.write(part)
            os.fsync(self._file.fileno())


def syncs_of(call: Callable[[], object]) -> int:
    """How often a call has the system sync."""
    with patch.object(os, "fsync", wraps=os.fsync) as fsync:
        call()
    return fsync.call_count


class NaiveStore:
    """A chunk per key and per value."""

    def __init__(self, path: Path, memory: Memory) -> None:
        self.rows = {"keys": memory.keys(memory.slots), "values": pack(memory.values(memory.slots))}
        self.repo = icechunk.Repository.create(icechunk.local_filesystem_storage(str(path)))
        session = self.repo.writable_session("main")
        group = zarr.create_group(session.store)
        for name, rows in self.rows.items():
            chunks = (1, *rows.shape[1:])
            array: Any = group.create_array(name, shape=rows.shape, dtype=rows.dtype, chunks=chunks)
            array[:] = rows
        session.commit("full")

    def commit(self, slots: np.ndarray) -> None:
        """Write those slots again."""
        session = self.repo.writable_session("main")
        group: Any = zarr.open_group(session.store)
        for slot in slots.tolist():
            for name, rows in self.rows.items():
                group[name][slot] = rows[slot]
        session.commit("changed")


OPEN = """
import sys, time
import numpy as np, memstore, memstore.storage.repository
def rss(name):
    return next(int(x.split()[1]) for x in open("/proc/self/status") if x.startswith(name)) * 1024
query, before = np.ones((1, int(sys.argv[2]))), rss("VmRSS")
start = time.perf_counter()
memory = memstore.Memory.open(sys.argv[1])
slots = memory.read(query, 8, beta=-1).slots[0]
print(time.perf_counter() - start, rss("VmRSS") - before, *slots)
"""
OPEN_PLAIN = """
import sys, time
import numpy as np, faiss
query = np.ones((1, int(sys.argv[2])), np.float32)
start = time.perf_counter()
keys, bits = np.load(sys.argv[1] + "/keys.npy"), np.load(sys.argv[1] + "/bits.npy")
index = faiss.IndexFlatIP(keys.shape[1])
index.add(keys)
_, slots = index.search(query, 8)
np.unpackbits(bits[slots[0]], axis=-1)
print(time.perf_counter() - start, 0, *slots[0])
"""


def open_cold(code: str, path: Path) -> tuple[float, int, list[int]]:
    """A process of its own: seconds to the first answer, bytes of RAM, the answer."""
    command = [sys.executable, "-c", code, str(path), str(DIM)]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, ram, *slots = process.stdout.split()
    return float(seconds), int(ram), [int(slot) for slot in slots]


def ram_per_slot(full: Memory, folder: Path) -> float:
    """Bytes: processes that open a full memory and one of a single slot, and answer, compared."""
    single = folder / "single"
    folder.mkdir(exist_ok=True)
    with Memory.create(single, full.config) as memory:
        memory.write(full.keys([0]), full.values([0]))
        memory.commit("one slot")
    assert full.path is not None
    many, few = (open_cold(OPEN, path)[1] for path in (full.path, single))
    return (many - few) / (len(full) - 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("disk")


@pytest.fixture(scope="module")
def full(folder):
    with full_memory(folder / "memory") as memory:
        save_plain(folder / "plain", memory)
        yield memory


def test_bytes_on_disk(full, folder):
    """Of a memory committed once: at most 400 per slot beyond the keys."""
    assert folder_bytes(folder / "memory") / SLOTS <= 4 * DIM + 400


def test_bytes_in_ram(full, folder):
    """What a slot adds to a process that opened a memory and answered.

    About 1.2 x key and packed value; what malloc keeps for itself varies from run to run.
    """
    assert ram_per_slot(full, folder) <= 1.5 * (4 * DIM + 32**3 // 8)


def test_open(benchmark, full, folder):
    """Cold process, to the first answer; imports do not count."""
    seconds, _, answer = benchmark.pedantic(open_cold, (OPEN, folder / "memory"), rounds=3)
    plain_seconds, _, plain_answer = open_cold(OPEN_PLAIN, folder / "plain")
    benchmark.extra_info.update(seconds=seconds, seconds_plain_files=plain_seconds)
    assert answer == plain_answer


def test_open_with_a_row_file(benchmark, full, folder):
    """The same, rows mapped."""
    full.copy_to(folder / "mapped")
    Memory.open(folder / "mapped", rows="disk").close()
    seconds, _, answer = benchmark.pedantic(open_cold, (OPEN, folder / "mapped"), rounds=3)
    benchmark.extra_info.update(seconds=seconds)
    assert answer == open_cold(OPEN_PLAIN, folder / "plain")[2]


def test_commit(benchmark, full):
    """32 changed slots spread over the memory."""
    rng = np.random.default_rng(2)

    def change_slots():
        change(full, rng)
        return ("32 slots",), {}

    before = folder_bytes(full.path)
    benchmark.pedantic(full.commit, setup=change_slots, rounds=5)
    growth = folder_bytes(full.path) - before
    commits = len(full.history()) - 2
    assert growth / commits <= 1.5 * BATCH * (4 * DIM + 400)
    assert full.verify().problems == ()


def test_commit_naive(benchmark, full, folder):
    """The same, with a chunk per key and per value."""
    naive, rng = NaiveStore(folder / "naive", full), np.random.default_rng(3)
    benchmark.pedantic(lambda: naive.commit(rng.choice(SLOTS, BATCH, replace=False)), rounds=3)
