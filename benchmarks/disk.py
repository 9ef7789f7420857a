"""What a memory on disk costs: committing, opening, bytes on disk and in RAM.

For the benchmarks and the table of ratios. Baselines: for commits, the layout that first comes to
mind, a chunk per key and per value in Icechunk; for opening, two .npy files and a FAISS index.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import zarr

from memstore import Memory, MemoryConfig

SLOTS, DIM = 4_000, 4_096
BATCH = 32
CONFIG = MemoryConfig(capacity=SLOTS, key_dim=DIM, beta=-1, delta=1)


def shapes(rng: np.random.Generator, n: int) -> np.ndarray:
    """Ellipsoids in 32^3 grids, about 10 % full, all different."""
    axes = np.linspace(-1, 1, 32)
    centers, radii = rng.uniform(-0.3, 0.3, (n, 3, 1)), rng.uniform(0.4, 0.75, (n, 3, 1))
    x, y, z = np.moveaxis(((axes - centers) / radii) ** 2, 1, 0)
    return x[:, :, None, None] + y[:, None, :, None] + z[:, None, None, :] < 1


def fill(path: Path) -> Memory:
    """A full memory, committed, open to be written."""
    rng = np.random.default_rng(0)
    memory = Memory.create(path, CONFIG)
    for _ in range(SLOTS // 250):
        memory.write(rng.standard_normal((250, DIM)), shapes(rng, 250))
    assert len(memory) == SLOTS
    memory.commit("full")
    return memory


def folder_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


class NaiveStore:
    """A chunk per key and per value."""

    def __init__(self, path: Path, memory: Memory) -> None:
        slots = memory.slots
        self.keys = memory.keys(slots)
        self.bits = np.packbits(memory.values(slots), axis=-1)
        self.repo = icechunk.Repository.create(icechunk.local_filesystem_storage(str(path)))
        session = self.repo.writable_session("main")
        group = zarr.create_group(session.store)
        for name, rows in (("keys", self.keys), ("values", self.bits)):
            chunks = (1, *rows.shape[1:])
            array: Any = group.create_array(name, shape=rows.shape, dtype=rows.dtype, chunks=chunks)
            array[:] = rows
        session.commit("full")

    def commit(self, slots: np.ndarray) -> None:
        session = self.repo.writable_session("main")
        group: Any = zarr.open_group(session.store)
        for slot in slots.tolist():
            group["keys"][slot] = self.keys[slot]
            group["values"][slot] = self.bits[slot]
        session.commit("changed")


def change(memory: Memory, rng: np.random.Generator) -> np.ndarray:
    """Write to 32 slots all over the memory."""
    slots = np.sort(rng.choice(SLOTS, BATCH, replace=False))
    report = memory.write(memory.keys(slots), memory.values(slots))
    assert report.kinds.tolist() == ["merge"] * BATCH
    return slots


OPEN = """
import sys, time
import numpy as np, memstore, memstore.storage.repository
def rss(name):
    return next(int(x.split()[1]) for x in open("/proc/self/status") if x.startswith(name)) * 1024
query, before = np.ones((1, int(sys.argv[2]))), rss("VmRSS")
start = time.perf_counter()
memory = memstore.Memory.open(sys.argv[1])
slots = memory.read(query, 8, beta=-1).slots[0]
print(time.perf_counter() - start, rss("VmRSS") - before, rss("VmHWM"), *slots)
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
print(time.perf_counter() - start, 0, 0, *slots[0])
"""


def open_cold(code: str, path: Path, dim: int = DIM) -> tuple[float, int, int, list[int]]:
    """A process of its own: seconds to the first answer, bytes of RAM, at the peak, the answer."""
    command = [sys.executable, "-c", code, str(path), str(dim)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, grown, peak, *slots = done.stdout.split()
    return float(seconds), int(grown), int(peak), [int(slot) for slot in slots]


def ram_per_slot(full: Memory, folder: Path) -> float:
    """Bytes: processes that open a full memory and one of a single slot, and answer, compared."""
    single = folder / "single"
    folder.mkdir(exist_ok=True)
    with Memory.create(single, full.config) as memory:
        memory.write(full.keys([0]), full.values([0]))
        memory.commit("one slot")
    assert full.path is not None
    grown = [open_cold(OPEN, path)[1] for path in (full.path, single)]
    return (grown[0] - grown[1]) / (len(full) - 1)


def save_plain(path: Path, memory: Memory) -> None:
    """Keys and packed values as .npy."""
    path.mkdir()
    np.save(path / "keys.npy", memory.keys(memory.slots))
    np.save(path / "bits.npy", np.packbits(memory.values(memory.slots), axis=-1))
