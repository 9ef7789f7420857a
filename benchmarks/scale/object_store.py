"""A memory in a folder beside the same on an object store of this machine.

`python -m benchmarks.scale.object_store --slots 4000` prints a table: wall and CPU time of this
process, the least of several rounds, the two called in turn. `--delay .02` makes the store take
that much longer for each answer, as one that is farther away does. The store is moto's, in a
process of its own: it says what memstore asks of a store, not how quick a real one is.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scale.shards import pairs
from memstore import Memory, MemoryConfig
from tests.helpers.object_server import BUCKET, KEY, REGION, SECRET

Row = dict[str, tuple[float, float]]  # least wall and CPU seconds by operation


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slots", type=int, default=4000)
    parser.add_argument("--channels", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds")
    args = parser.parse_args()
    command = [sys.executable, "-m", "tests.helpers.object_server", str(args.delay)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as server, tempfile.TemporaryDirectory() as folder:
        assert server.stdout and server.stdin
        endpoint = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        keys = {"access_key_id": KEY, "secret_access_key": SECRET}
        options = {"endpoint_url": endpoint, "region": REGION, **keys}
        places: dict[str, tuple[str, dict[str, Any]]] = {
            "folder": (str(Path(folder) / "memory"), {}),
            "store": (f"s3://{BUCKET}/memory", {"storage_options": options}),
        }
        table = measure(places, args.slots, args.channels, args.rounds)
        server.stdin.close()
    print(f"{'ms, wall / CPU':<22}" + "".join(f"{name:>18}" for name in table))
    for operation in table["folder"]:
        cells = (
            f"{1e3 * row[operation][0]:8.1f} /{1e3 * row[operation][1]:8.1f}"
            for row in table.values()
        )
        print(f"{operation:<22}" + "".join(cells))


def measure(
    places: dict[str, tuple[str, dict[str, Any]]], slots: int, channels: int, rounds: int
) -> dict[str, Row]:
    """Rows by place."""
    config = MemoryConfig(capacity=slots, key_dim=channels, when_full="evict")
    table: dict[str, Row] = {name: {} for name in places}

    def timed(name: str, operation: str, call: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        answer = call()
        took = time.perf_counter() - wall, time.process_time() - cpu
        least = table[name].get(operation, (np.inf, np.inf))
        table[name][operation] = min(least[0], took[0]), min(least[1], took[1])
        return answer

    full = Memory(config)
    full.write(*pairs(0, slots, channels))
    for number in range(max(3, rounds // 3)):
        for name, (path, options) in places.items():
            empty = f"{path}-{number}"
            timed(name, "create", lambda p=empty, o=options: Memory.create(p, config, **o).close())
            timed(name, "copy_to, full", lambda p=empty, o=options: full.copy_to(f"{p}-c", **o))
    for path, options in places.values():
        full.copy_to(path, **options)
    memories = {name: Memory.open(path, "r+", **o) for name, (path, o) in places.items()}
    for number in range(rounds):
        for name, memory in memories.items():
            memory.write(*pairs(1 + number, 32, channels), warn=False)
            timed(name, "commit 32", lambda m=memory, n=number: m.commit(f"commit {n}"))
            path, options = places[name]
            timed(name, "open", lambda p=path, o=options: Memory.open(p, **o))
            timed(name, "history", memory.history)
            timed(name, "tag", lambda m=memory, n=number: m.tag(f"tag-{n}"))
            timed(name, "verify, one commit", memory.verify)
            timed(name, "stats", memory.stats)
    for memory in memories.values():
        memory.close()
    return table


if __name__ == "__main__":
    main()
