"""What a long row of commits costs: python -m benchmarks.scale.folds [--slots N] [--commits N].

A full memory of 512 channels and values of 32^3 voxels (random bits, which do not compress); each
commit has 32 rows of random slots. Before them, larger commits fill most of the log. Set
OMP_NUM_THREADS=1. A million slots take 15 GB of disk and 20 minutes; 7 GB with `--resolution 16`.
"""

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import numpy as np

from benchmarks.scale.million import LARGER, Source, folder_of, rows_of
from memstore import Memory

AT_ONCE = 4096  # rows of a commit that fills the log
FILLED = 0.65  # part of a quarter of the slots that is logged before


def written() -> int:
    """Bytes that the process has written."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])


def change(memory: Memory, source: Source, rng: np.random.Generator, count: int) -> None:
    """Give random slots other rows."""
    slots = np.sort(rng.choice(memory.config.capacity, count, replace=False))
    rows = rows_of(source, slots, memory.config.resolution)
    memory.replace_rows(rows, {"merge": count})


def commits(path: Path, count: int, place: Any) -> list[tuple[float, float, float]]:
    """CPU and wall milliseconds, and megabytes, of each commit of 32 rows."""
    rng, spent = np.random.default_rng(1), []
    with Memory.open(path, "r+", rows=place) as memory:
        slots, source = memory.config.capacity, Source(memory.config.capacity, 1)
        for _ in range(int(FILLED * slots / 4 / AT_ONCE)):
            change(memory, source, rng, AT_ONCE)
            memory.commit("fill")
        for number in range(count):
            change(memory, source, rng, 32)
            before = process_time(), perf_counter(), written()
            memory.commit(str(number))
            after = process_time(), perf_counter(), written()
            cpu, wall, size = (late - early for late, early in zip(after, before, strict=True))
            spent.append((1e3 * cpu, 1e3 * wall, size / 1e6))
    return spent


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slots", type=int, default=100_000)
    parser.add_argument("--commits", type=int, default=600)
    parser.add_argument("--resolution", type=int, default=LARGER, help="voxels per side of values")
    parser.add_argument("--folder", type=Path, help="of a memory that is made if it is not there")
    parser.add_argument("--rows", choices=["ram", "disk"], default="ram", help="where rows lie")
    options = parser.parse_args()
    with TemporaryDirectory() as beside:
        path = options.folder or Path(beside) / "memory"
        if not path.exists():
            folder_of(path, options.slots, "disk", options.resolution)
        spent = np.array(commits(path, options.commits, options.rows))
    for name, column in zip(("CPU ms", "wall ms", "MB"), spent.T, strict=True):
        marks = {"mean": column.mean(), "median": np.median(column), "worst": column.max()}
        marks["99 of 100"] = np.quantile(column, 0.99)
        print(json.dumps({"what": name, **{k: round(float(v), 2) for k, v in marks.items()}}))


if __name__ == "__main__":
    main()
