"""What many slots cost: python -m benchmarks.scale.million [--slots N] [--fill N] [--json].

Keys of 512 channels in clusters, values of 16^3 voxels, `search="ivf"`. Rows are put in at once, as
a working copy's are; what `write` takes to fill a memory is measured apart, up to `--fill` slots,
for either search. Milliseconds are medians of CPU time; set OMP_NUM_THREADS=1. A million slots take
about 5 GB of RAM and 10 minutes.
"""

import argparse
import json
import re
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

    def packed(self, n: int) -> np.ndarray:
        """(n, R, R, R / 8) packed values."""
        return self._rng.integers(0, 256, (n, RESOLUTION, RESOLUTION, RESOLUTION // 8), np.uint8)

    def grids(self, n: int) -> np.ndarray:
        """(n, R, R, R) bool."""
        return np.unpackbits(self.packed(n), axis=-1).view(np.bool_)


def columns_of(slots: np.ndarray) -> dict[str, np.ndarray]:
    """What slots have beside their values."""
    names = np.char.add(b"name", (slots % 50).astype("S8"))
    return {"kind": slots % KINDS, "name": names.astype("S128")}


def filled(slots: int, source: Source) -> Memory:
    """A full memory, put in at once."""
    memory = Memory(replace(CONFIG, capacity=slots))
    for start in range(0, slots, STEP):
        some = np.arange(start, min(start + STEP, slots))
        rows = Rows(
            slots=some,
            keys=source.keys(len(some)),
            values=source.packed(len(some)),
            touched=some + 1,
            sources=np.char.add(b"s", (some % SOURCES).astype("S8")).astype("S128"),
            reads=np.zeros(len(some), np.int64),
            columns=columns_of(some),
        )
        memory.replace_rows(rows, {"insert": len(some)})
    return memory


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
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    if options.fill:
        rows += [fill(options.fill, search) for search in ("ivf", "exact")]
    if options.slots:
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
