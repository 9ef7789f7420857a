"""What many slots cost: python -m benchmarks.scale.million [--slots N] [--fill N] [--json].

Keys of 512 channels in clusters, values of 16^3 voxels, `search="ivf"`. Rows are put in at once, as
a working copy's are; what `write` takes to fill a memory is measured apart, up to `--fill` slots,
for either search. Milliseconds are medians of CPU time; set OMP_NUM_THREADS=1. A million slots take
about 5 GB of RAM and 10 minutes.

With `--rows disk` or `ram` a folder is filled instead, with values of 32^3 voxels, by a writer
whose rows lie there, and read by processes of their own.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import numpy as np

from memstore import Memory, MemoryConfig, Rows, export
from memstore.search.cosine import unit
from memstore.search.watch import Recall

DIM, RESOLUTION, KINDS, SOURCES, STEP = 512, 16, 100, 5000, 16384
LARGER = 32  # voxels per side of values in a folder
COMMITTED = 8  # steps of rows that have one commit
COLUMNS_OF_NEW = {"kind": [0] * 32, "name": ["new"] * 32}  # of 32 pairs
NOISE = 0.5  # length of what a key has beside its cluster's center
CONFIG = MemoryConfig(
    capacity=1,
    key_dim=DIM,
    resolution=RESOLUTION,
    beta=-1.0,
    delta=0.9,
    when_full="evict",
    search="ivf",
    columns={"kind": int, "name": str},
)


@dataclass
class Row:
    """One line of the table; an empty target is none."""

    what: str
    value: float
    unit: str
    target: str = ""


class Source:
    """Keys in clusters, and values, drawn in order."""

    def __init__(self, slots: int, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        centers = np.random.default_rng(0).standard_normal((max(200, slots // 1000), DIM))
        self._centers = unit(centers)

    def keys(self, n: int) -> np.ndarray:
        """(n, DIM) unit vectors."""
        noise = self._rng.standard_normal((n, DIM), np.float32) * np.float32(NOISE / DIM**0.5)
        return unit(self._centers[self._rng.integers(len(self._centers), size=n)] + noise)

    def packed(self, n: int, resolution: int = RESOLUTION) -> np.ndarray:
        """(n, R, R, R / 8) packed values."""
        return self._rng.integers(0, 256, (n, resolution, resolution, resolution // 8), np.uint8)

    def grids(self, n: int, resolution: int = RESOLUTION) -> np.ndarray:
        """(n, R, R, R) bool."""
        return np.unpackbits(self.packed(n, resolution), axis=-1).view(np.bool_)


def columns_of(slots: np.ndarray) -> dict[str, np.ndarray]:
    """What slots have beside their values."""
    names = np.char.add(b"name", (slots % 50).astype("S8"))
    return {"kind": slots % KINDS, "name": names.astype("S128")}


def filled(slots: int, source: Source) -> Memory:
    """A full memory, put in at once."""
    memory = Memory(replace(CONFIG, capacity=slots))
    for start in range(0, slots, STEP):
        some = np.arange(start, min(start + STEP, slots))
        memory.replace_rows(rows_of(source, some), {"insert": len(some)})
    return memory


def rows_of(source: Source, slots: np.ndarray, resolution: int = RESOLUTION) -> Rows:
    """Rows of slots (n,), written in order."""
    return Rows(
        slots=slots,
        keys=source.keys(len(slots)),
        values=source.packed(len(slots), resolution),
        touched=slots + 1,
        sources=np.char.add(b"s", (slots % SOURCES).astype("S8")).astype("S128"),
        reads=np.zeros(len(slots), np.int64),
        columns=columns_of(slots),
    )


def timed(call: Callable[[int], object], rounds: int) -> float:
    """Median milliseconds of CPU time."""
    spent = []
    for turn in range(rounds):
        start = process_time()
        call(turn)
        spent.append(process_time() - start)
    return 1e3 * median(spent)


def peak(call: Callable[[], object]) -> float:
    """Megabytes of RAM that a call takes beyond what is held before."""
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    call()
    return _status("VmHWM") - before


def held() -> float:
    """Megabytes of RAM of the process alone: not what it has mapped of files and left as it was."""
    text = Path("/proc/self/smaps_rollup").read_text()
    match = re.search(r"Anonymous: +(\d+)", text)
    return int(match[1]) / 1024 if match else float("nan")


def _status(name: str) -> float:
    """Megabytes, of /proc/self/status."""
    match = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(match[1]) / 1024 if match else float("nan")


def watched(memory: Memory) -> Recall | None:
    """What the memory knows of its recall."""
    with memory.frozen() as state:
        return state.index.recall


def warm(memory: Memory, source: Source) -> list[Row]:
    """Ask until lists are made."""
    start, calls, worst = process_time(), 0, 0.0
    while not watched(memory) or calls < 400:
        worst = max(worst, timed(lambda _: memory.search(source.keys(1), 8), 1))
        calls += 1
    spent = process_time() - start
    return [
        Row("making lists, beside scans for the first queries", spent, "s"),
        Row("the longest of these queries", worst, "ms"),
    ]


def reads(memory: Memory, source: Source) -> list[Row]:
    """Reads of the top 8, either search, with filters; and what was found."""
    queries = source.keys(2048)
    rows, names = [], [f"s{i % SOURCES}" for i in range(2048)]
    for exact, targets in ((False, ("<= 2", "<= 30")), (True, ("<= 45", "<= 300"))):
        for batch, want in zip((1, 32), targets, strict=True):
            rounds = 60 if not exact else 30 if batch == 1 else 5

            def at(turn: int, batch: int = batch) -> slice:
                return slice(turn * batch % 2016, turn * batch % 2016 + batch)

            def ask(turn: int, exact: bool = exact, **filters: object) -> object:
                return memory.read(queries[at(turn)], 8, exact=exact, **filters)

            def without(turn: int) -> object:
                return ask(turn, exclude=names[at(turn)])

            ways: dict[str, tuple[Callable[[int], object], str]] = {
                "": (ask, want),
                ", exclude": (without, "+.3 a query"),
                ", where int": (lambda turn: ask(turn, where={"kind": {"<": 50}}), "+.3 a query"),
                ", where str": (lambda turn: ask(turn, where={"name": "name7"}), "+.3 a query"),
            }
            for way, (call, target) in ways.items():
                what = f"read, batch {batch}, exact={exact}{way}"
                rows.append(
                    Row(what, timed(call, rounds if not way else rounds // 2), "ms", target)
                )
    ours, truth = (memory.search(queries[:256], 8, exact=exact).slots for exact in (False, True))
    recall = np.mean([np.isin(t, o).mean() for o, t in zip(ours, truth, strict=True)])
    rows.append(Row("recall@8 of 256 queries", float(recall), "", ">= .99"))
    if recall := watched(memory):
        rows.append(
            Row("recall as watched", recall.value, f"[{recall.low:.4f}, {recall.high:.4f}]")
        )
        rows.append(Row("lists looked through", recall.probed, f"of {recall.lists}"))
    return rows


def writes(memory: Memory, source: Source) -> list[Row]:
    """Writes into the full memory."""

    rows = []
    for batch, turns, want in ((32, 30, "<= 20"), (4096, 3, "")):
        pairs = [(source.keys(batch), source.grids(batch)) for _ in range(turns)]
        columns = {"kind": [0] * batch, "name": ["new"] * batch}

        def write(turn: int, pairs: Any = pairs, columns: Any = columns) -> object:
            return memory.write(*pairs[turn], columns=columns, warn=False)

        rows.append(Row(f"write {batch:,}, full", timed(write, turns), "ms", want))
    return rows


def on_disk(memory: Memory, source: Source) -> list[Row]:
    """RAM that checks, exports and copies take."""
    rows = [Row("RAM of keys, values and the rest", _status("VmRSS"), "MB")]
    rows.append(Row("verify in RAM: extra", peak(memory.verify), "MB", "<= 500"))
    with TemporaryDirectory() as folder:
        for format in ("npz", "safetensors"):
            path = Path(folder) / f"memory.{format}"
            extra = peak(lambda path=path: export(memory, path))
            rows.append(Row(f"export to {format}: extra", extra, "MB", "<= 500"))
            path.unlink()
    return rows


def folder_of(path: Path, slots: int, place: Any, resolution: int = LARGER) -> list[Row]:
    """Make a full memory in a folder, a few commits long, by a writer whose rows lie in a place."""
    source, most, start = Source(slots), 0.0, process_time()
    config = replace(CONFIG, capacity=slots, resolution=resolution)
    Memory.create(path, config).close()
    with Memory.open(path, "r+", rows=place) as memory:
        for at in range(0, slots, STEP):
            some = np.arange(at, min(at + STEP, slots))
            memory.replace_rows(rows_of(source, some, resolution), {"insert": len(some)})
            most = max(most, held())
            if at // STEP % COMMITTED == COMMITTED - 1:
                memory.commit(f"{at:,}")
                most = max(most, held())
    return [
        Row("fill and commit, a writer", process_time() - start, "s"),
        Row("the same: RAM of its own at most", most, "MB", "<= 2,000"),
    ]


READER = """
import sys, time
import numpy as np, memstore, memstore.storage.repository
from benchmarks.scale.million import Source, held, timed
path, place, exact = sys.argv[1], sys.argv[2], sys.argv[3] == "exact"
source, before = Source(int(sys.argv[4])), held()
query = source.keys(1)
start, cpu = time.perf_counter(), time.process_time()
memory = memstore.Memory.open(path, rows=place)
memory.read(query, 8, exact=exact)
wall, cpu = time.perf_counter() - start, time.process_time() - cpu
for _ in range(400):
    memory.read(source.keys(1), 8, exact=exact)
warm = timed(lambda _: memory.read(source.keys(1), 8, exact=exact), 30)
print(wall, cpu, warm, held() - before)
memory.close()  # lists are saved
"""
WRITER = """
import sys
import numpy as np, memstore
from benchmarks.scale.million import COLUMNS_OF_NEW, Source, held, timed
path, place = sys.argv[1:3]
source, before = Source(int(sys.argv[4])), held()
memory = memstore.Memory.open(path, "r+", rows=place)
for _ in range(400):
    memory.search(source.keys(1), 8)
pairs = [(source.keys(32), source.grids(32, 32)) for _ in range(20)]
write = timed(lambda i: memory.write(*pairs[i], columns=COLUMNS_OF_NEW, warn=False), 20)
commits = []
for _ in range(5):
    memory.write(source.keys(32), source.grids(32, 32), columns=COLUMNS_OF_NEW, warn=False)
    commits.append(timed(lambda _: memory.commit("32"), 1))
print(write, sorted(commits)[2], held() - before)
"""


def by_itself(code: str, path: Path, *options: str) -> list[float]:
    """What a process of its own prints."""
    command = [sys.executable, "-c", code, str(path), *options]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    return [float(number) for number in process.stdout.split()]


def rows_in(place: str, folder: Path, slots: int) -> list[Row]:
    """What a reader and a writer of a folder cost whose rows lie in RAM or on disk."""
    path, rows = folder / "memory", []
    if not path.exists():
        rows += folder_of(path, slots, place)
    for turn in ("first", "second"):
        wall, cpu, warm, ram = by_itself(READER, path, place, "lists", str(slots))
        what = f"open to the first answer, {turn} time"
        rows += [Row(what, wall, "s", "<= 3"), Row(f"{what}: CPU", cpu, "s")]
    rows += [Row("read, lists", warm, "ms", "<= 2"), Row("RAM of its own", ram, "MB", "<= 1,000")]
    *_, warm, ram = by_itself(READER, path, place, "exact", str(slots))
    rows += [Row("read, exact", warm, "ms", "<= 45"), Row("RAM of its own", ram, "MB", "<= 1,000")]
    write, commit, ram = by_itself(WRITER, path, place, "lists", str(slots))
    rows += [Row("write 32", write, "ms", "<= 20"), Row("commit 32", commit, "ms", "<= 40")]
    return [*rows, Row("RAM of a writer of its own", ram, "MB", "<= 2,000")]


def fill(slots: int, search: str) -> Row:
    """Write pairs into an empty memory, none of which merges."""
    source, spent = Source(slots), 0.0
    memory = Memory(replace(CONFIG, capacity=slots, search=search, delta=None, columns={}))
    for _ in range(0, slots, STEP // 4):
        keys, grids = source.keys(STEP // 4), source.grids(STEP // 4)
        start = process_time()
        memory.write(keys, grids, warn=False)
        spent += process_time() - start
    return Row(f"fill {slots:,} by write, {search}", spent, "s", "1M: <= 1,200" * (search == "ivf"))


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slots", type=int, default=100_000)
    parser.add_argument("--fill", type=int, default=0)
    parser.add_argument("--rows", choices=("ram", "disk"))
    parser.add_argument("--folder", type=Path, help="of --rows; what is there is not made again")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    if options.rows:
        with TemporaryDirectory() as folder:
            rows += rows_in(options.rows, options.folder or Path(folder), options.slots)
    if options.fill:
        rows += [fill(options.fill, search) for search in ("ivf", "exact")]
    if options.slots and not options.rows:
        source = Source(options.slots)
        memory = filled(options.slots, source)
        for part in (warm, reads, writes, on_disk):
            rows += part(memory, source)
    if options.json:
        print(json.dumps([asdict(row) for row in rows]))
        return
    print(f"{options.slots:,} slots x {DIM}")
    for row in rows:
        print(f"{row.what:<52} {row.value:>10.4g} {row.unit:<18} {row.target}")


if __name__ == "__main__":
    main()
