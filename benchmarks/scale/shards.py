"""A memory in one piece beside the same in shards: what spreading it costs on one machine.

`python -m benchmarks.scale.shards --slots 20000 --shards 2 4` prints a table: wall time and CPU
time of this process, the least of several rounds, and CPU time of all others that hold shards,
their mean; the ways are called in turn.
`--workers local` leaves Ray out: what the protocol costs by itself.
"""

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memstore import Memory, MemoryConfig
from memstore.sharded import ShardedMemory

TICKS = os.sysconf("SC_CLK_TCK")
CLUSTERS = 200
Op = Callable[[Any, Any, Any], Any]


def keys_like_features(rng: np.random.Generator, n: int, dim: int) -> NDArray[np.float32]:
    """(n, dim) around centers, as a network's features of alike objects are."""
    centers = np.random.default_rng(9).standard_normal((CLUSTERS, dim), np.float32)
    spread = 0.5 * rng.standard_normal((n, dim), np.float32)
    return centers[rng.integers(0, CLUSTERS, n)] + spread


def pairs(seed: int, n: int, dim: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Features and grids, the same for the same seed."""
    rng = np.random.default_rng(seed)
    return keys_like_features(rng, n, dim), rng.random((n, 32, 32, 32), np.float32) < 0.1


def cpu_seconds(processes: list[int]) -> float:
    """CPU time of processes so far, their threads included, to a hundredth."""
    total = 0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def write_and_commit(memory: Any, features: Any, grids: Any) -> None:
    """One durable batch."""
    memory.write(features, grids)
    memory.commit("a batch")


OPERATIONS: dict[str, tuple[int, Op]] = {  # size of a batch, and what is done with it
    "read, batch 1": (1, lambda memory, features, _: memory.read(features)),
    "read, batch 32": (32, lambda memory, features, _: memory.read(features)),
    "write 32, full": (32, lambda memory, features, grids: memory.write(features, grids)),
    "write 32 and commit": (32, write_and_commit),
}


def processes_of(memory: Any) -> list[int]:
    """Who holds the shards, this process left out."""
    workers = memory._driver._workers if isinstance(memory, ShardedMemory) else None
    if not hasattr(workers, "_actors"):
        return []
    actors = workers._actors.values()
    return list(workers._ray.get([a.__ray_call__.remote(lambda _: os.getpid()) for a in actors]))


def measure(memories: dict[str, Any], dim: int, rounds: int) -> None:
    """Print a row per operation and memory."""
    others = {name: processes_of(memory) for name, memory in memories.items()}
    print(f"{'':22}{'':12}{'wall ms':>10}{'CPU here':>10}{'CPU in shards':>15}")
    for title, (size, operation) in OPERATIONS.items():
        walls: dict[str, list[float]] = {name: [] for name in memories}
        here: dict[str, list[float]] = {name: [] for name in memories}
        there = {name: -cpu_seconds(others[name]) for name in memories}
        for number in range(rounds):
            batch = pairs(size * 1_000_000 + number, size, dim)
            for name, memory in memories.items():
                wall, own = time.perf_counter(), time.process_time()
                operation(memory, *batch)
                walls[name].append(time.perf_counter() - wall)
                here[name].append(time.process_time() - own)
        for name in memories:
            shards = (there[name] + cpu_seconds(others[name])) / rounds * 1e3
            row = f"{min(walls[name]) * 1e3:>10.1f}{min(here[name]) * 1e3:>10.1f}"
            print(f"{title:22}{name:12}{row}{shards:>15.1f}")


def main() -> None:
    """Fill, deal, time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slots", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--shards", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--workers", choices=["ray", "local"], default="ray")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    config = MemoryConfig(capacity=args.slots, key_dim=args.dim, beta=-1, when_full="evict")
    with tempfile.TemporaryDirectory() as root:
        whole = Memory.create(f"{root}/whole", config)
        for start in range(0, args.slots, 1000):
            whole.write(*pairs(start, min(1000, args.slots - start), args.dim))
        whole.commit("full")
        begin = time.perf_counter()
        memories: dict[str, Any] = {"one piece": whole}
        for shards in args.shards:
            name = f"{shards} shards"
            memories[name] = ShardedMemory.deal(
                whole, f"{root}/{shards}", shards, workers=args.workers
            )
            print(f"{name}: dealt and open after {time.perf_counter() - begin:.1f} s")
        measure(memories, args.dim, args.rounds)
        query = pairs(1, 32, args.dim)[0]
        for memory in memories.values():
            assert all(map(np.array_equal, memory.read(query)[:4], whole.read(query)[:4]))
            memory.close(discard=True)


if __name__ == "__main__":
    main()
