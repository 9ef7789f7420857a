"""How memstore compares, pair by pair in one run: python -m benchmarks.ratios [--json] [WORD...].

Each row times two or more ways in turn, on the same data, and compares the least CPU time of each
(of a commit, which waits for the disk, the least time that passed besides); what one leaves in the
caches is as foreign to the next as in a program that does other things as well. Answers are checked
after timing. Set OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1, and TMPDIR to a folder of a real disk.
With words, only rows whose name has one of them; a word that ends in .npy is a file of real
features (n, C), the last 128 of which ask for the others.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import faiss
import numpy as np

from benchmarks import keys
from benchmarks import test_storage as storage
from memstore import PAPER, Memory
from memstore.voxels.grids import full_voxels, pack, value_similarity

SLOTS = 4_000
WARM_UP = 40  # reads before timing: by then a memory has rounded its keys
BUSY = 1.25  # times the CPU time that passes on a machine that has other things to do


@dataclass
class Row:
    """One comparison. `ours` and the baselines take the number of the round."""

    what: str
    ours: Callable[[int], object]
    baselines: dict[str, Callable[[int], object]]
    check: Callable[[], None]
    target: float | None = None
    rounds: int = 60
    before: Callable[[], object] = tuple  # each round, not timed
    clock: Callable[[], float] = process_time


@dataclass
class Result:
    """Least milliseconds; the ratio is to the fastest baseline."""

    what: str
    ours: float
    baselines: dict[str, float]
    ratio: float
    target: float | None
    busy: float  # time that passed, to CPU time

    @property
    def met(self) -> str:
        """What to print."""
        return "" if self.target is None else "yes" if self.ratio <= self.target else "NO"


def measure(row: Row) -> Result:
    """Time the ways in turn, then check the answers."""
    ways = {"ours": row.ours, **row.baselines}
    times: dict[str, list[float]] = {name: [] for name in ways}
    passed, used = perf_counter(), process_time()
    for turn in range(row.rounds):
        row.before()
        for name, way in ways.items():
            start = row.clock()
            way(turn)
            times[name].append(1e3 * (row.clock() - start))
    busy = (perf_counter() - passed) / (process_time() - used)
    row.check()
    least = {name: min(rounds[2:]) for name, rounds in times.items()}
    ours = least.pop("ours")
    busy = busy if row.clock is process_time else 1.0
    return Result(row.what, ours, least, ours / min(least.values()), row.target, busy)


@cache
def full(kind: str) -> Memory:
    """A full memory in RAM."""
    make, slots = KINDS[kind]
    dim = make(1, 0).shape[1]
    memory = Memory(replace(PAPER, capacity=slots, key_dim=dim, beta=-1, delta=1))
    for start in range(0, slots, 250):
        count = min(250, slots - start)
        memory.write(make(250, start // 250)[:count], keys.grids(count, start))
    assert len(memory) == slots
    return memory


@cache
def flat(kind: str) -> tuple[faiss.IndexFlatIP, np.ndarray, np.ndarray]:
    """The baseline: the same keys in FAISS and as they are, the same values as bits in RAM."""
    memory = full(kind)
    stored = memory.keys(memory.slots)
    index = faiss.IndexFlatIP(stored.shape[1])
    index.add(stored)
    return index, stored, pack(memory.values(memory.slots)).reshape(len(stored), -1)


def exact(memory: Memory, features: np.ndarray, k: int) -> np.ndarray:
    """(B, k) slots by definition: float64 sums, rounded to float32, ties to the lowest slot."""
    stored = memory.keys(memory.slots).astype(np.float64)
    slots = []
    for row in features.astype(np.float64):
        query = (row / np.sqrt(np.square(row).sum())).astype(np.float32).astype(np.float64)
        cosines = (stored * query).sum(axis=1).astype(np.float32).clip(-1, 1)
        slots.append(np.argsort(-cosines, kind="stable")[:k])
    return np.array(slots)


def read(kind: str, batch: int, target: float | None = None) -> Row:
    """Top-8 values of new keys of the same kind, as bool grids."""
    memory, (index, stored, bits) = full(kind), flat(kind)
    pool = KINDS[kind][0](64 + batch, 1_000)

    def grids(slots: np.ndarray) -> np.ndarray:
        return np.unpackbits(bits[slots], axis=-1).view(bool).reshape(batch, 8, 32, 32, 32)

    def units(turn: int) -> np.ndarray:
        queries = pool[turn % 64 :][:batch]
        return queries / np.linalg.norm(queries, axis=1, keepdims=True)

    def ours(turn: int) -> object:
        return memory.read(pool[turn % 64 :][:batch], 8)

    def product(turn: int) -> object:
        cosines = units(turn) @ stored.T
        best = np.argpartition(cosines, -8, axis=1)[:, -8:]
        order = np.argsort(-np.take_along_axis(cosines, best, axis=1), axis=1)
        return grids(np.take_along_axis(best, order, axis=1))

    def check() -> None:
        priors = memory.read(pool[:8], 8)
        np.testing.assert_array_equal(priors.slots, exact(memory, pool[:8], 8))
        np.testing.assert_array_equal(priors.values[3], memory.values(priors.slots[3]))

    for turn in range(WARM_UP):
        memory.read(pool[turn % 64 :][:1], 8)
    ways: dict[str, Callable[[int], object]] = {
        "faiss flat + unpackbits": lambda turn: grids(index.search(units(turn), 8)[1])
    }
    if batch > 1:
        ways["numpy product + unpackbits"] = product
    name = f"read, batch {batch}, {kind}"
    return Row(name, ours, ways, check, target, 20 + 100 // batch)


def similarity(kind: str) -> Row:
    """Value similarity of one grid to all values."""
    bits = flat("clusters")[2].reshape(SLOTS, 32, 32, 4)
    grid = bits[7].copy()
    words, word = bits.reshape(SLOTS, -1).view(np.uint64), grid.reshape(-1).view(np.uint64)
    ours = partial(value_similarity, bits, grid, 32, kind, full_voxels(bits))  # a memory keeps it

    def check() -> None:
        apart = np.bitwise_count(words ^ word).sum(1)
        joint = np.bitwise_count(words | word).sum(1)
        expected = (32**3 - apart) / 32**3 if kind == "mse" else (joint - apart) / joint
        np.testing.assert_array_equal(ours(), expected)

    return Row(
        f"value similarity, {kind}",
        lambda _: ours(),
        {"np.bitwise_count(xor).sum(1)": lambda _: np.bitwise_count(words ^ word).sum(1)},
        check,
        0.30,
    )


def write(kind: str, target: float | None = 2.0) -> Row:
    """32 new pairs into a full memory, against one search for the nearest keys of 32 others.

    Those that were just written would find themselves, which coarse bounds tell at once.
    """
    memory, make, rounds = full(kind), KINDS[kind][0], 16
    pairs = [(make(32, seed), keys.grids(32, seed)) for seed in range(9000, 9001 + rounds)]
    reports = []

    def check() -> None:
        assert all((report.kinds == "evict").all() for report in reports)
        np.testing.assert_array_equal(memory.ages[reports[-1].slots], np.arange(31, -1, -1))
        np.testing.assert_array_equal(memory.values(reports[-1].slots), pairs[len(reports) - 1][1])

    for turn in range(WARM_UP):
        memory.read(pairs[0][0][turn % 32 :][:1], 8)
    return Row(
        f"write, batch 32, {kind}",
        lambda turn: reports.append(memory.write(*pairs[turn])),
        {"own search, k=1": lambda turn: memory.search(pairs[turn + 1][0], 1)},
        check,
        target,
        rounds,
    )


def contrast(place: str) -> Row:
    """Nearest slot with and without a similar value, 32 pairs; baseline: all cosines, all bits."""
    memory, (index, _, bits) = full("clusters"), flat("clusters")
    features, words = KINDS["clusters"][0](32, 3_000), bits.view(np.uint64)
    at = {"near": memory.search(features, 1).slots[:, 0], "far": np.arange(32) * 100}
    packed = np.packbits(keys.grids(32, 9_000), axis=-1) if place == "none" else bits[at[place]]
    grids = np.unpackbits(packed.reshape(32, -1), axis=-1).view(bool).reshape(32, 32, 32, 32)

    def baseline(_: int) -> None:
        index.search(features, 1)
        for grid in packed.reshape(32, -1).view(np.uint64):
            np.bitwise_count(words ^ grid).sum(1)

    def check() -> None:
        slots = memory.contrast(features, grids)
        assert slots.positive.tolist() == (at[place].tolist() if place in at else [-1] * 32)
        nearest = exact(memory, features, 2)
        expected = np.where(nearest[:, 0] == slots.positive, nearest[:, 1], nearest[:, 0])
        np.testing.assert_array_equal(slots.negative, expected)

    ours = partial(memory.contrast, features, grids)
    way = {"faiss flat + all bitwise_count": baseline}
    return Row(f"contrast, batch 32, similar value {place}", lambda _: ours(), way, check, None, 12)


def of_file(path: str) -> None:
    """Make a kind of the real features (n, C) of a .npy file."""
    features = np.load(path)
    slots = min(SLOTS, len(features) - 128)

    def make(count: int, seed: int) -> np.ndarray:
        """Of the slots, by seed, or, from 1,000 on, of those that ask."""
        rows = seed * count % slots + np.arange(count)
        asking = seed % 4 * 32 + np.arange(count)
        pick = len(features) - 128 + asking % 128 if seed >= 1_000 else rows % slots
        return features[pick]

    KINDS[path] = make, slots
    ROWS[:0] = [partial(read, path, 1), partial(read, path, 32), partial(write, path)]


# Keys (count, C) by count and seed; and slots.
KINDS: dict[str, tuple[Callable[[int, int], np.ndarray], int]] = {
    "clusters": (keys.clusters, SLOTS),
    "noise 0.8": (partial(keys.clusters, noise=0.8), SLOTS),
    "power law": (keys.power_law, SLOTS),
    "CNN-like views": (keys.views, SLOTS),
    "CNN-like blur": (keys.blur, SLOTS),
    "twins": (keys.twins, SLOTS),
    "random": (keys.noise, SLOTS),
    "512 channels": (lambda count, seed: keys.views(count, seed)[:, :512], SLOTS),
    "540 x 256": (lambda count, seed: keys.views(count, seed)[:, :256], 540),
    "bundled model": (keys.recalled, SLOTS),
}
# By kind: of a read of one query, and of 32; see docs/memstore.md for what has been reached.
TARGETS = {
    "clusters": (0.22, 0.40),
    "noise 0.8": (0.22, 0.40),
    "power law": (0.30, 0.45),
    "random": (0.80, 0.60),
    "512 channels": (1.1, 1.0),
    "540 x 256": (1.1, 1.0),
    "bundled model": (1.1, 1.0),
}

ROWS: list[Callable[[], Row]] = [
    *(
        partial(read, kind, batch, TARGETS[kind][column] if kind in TARGETS else None)
        for kind in KINDS
        for column, batch in enumerate((1, 32))
    ),
    partial(similarity, "mse"),
    partial(similarity, "iou"),
    *(partial(contrast, place) for place in ("near", "far", "none")),
    *(partial(write, kind) for kind in KINDS if kind != "twins"),  # last: `flat` does not follow
]


def commit(folder: Path, clock: Callable[[], float]) -> Row:
    """32 changed slots all over the memory; baseline: a log of as many bytes and syncs."""
    memory, rng = storage.full_memory(folder / "memory"), np.random.default_rng(1)
    storage.change(memory, rng)
    memory.commit("first")  # syncs all that it finds
    storage.change(memory, rng)
    log = storage.BareLog(folder / "log", storage.syncs_of(lambda: memory.commit("second")))

    def check() -> None:
        with Memory.open(folder / "memory") as reader:
            np.testing.assert_array_equal(reader.ages, memory.ages)
            np.testing.assert_array_equal(reader.keys(reader.slots), memory.keys(memory.slots))

    return Row(
        f"commit, 32 changed slots, {'CPU' if clock is process_time else 'passed'}",
        lambda _: memory.commit("changed"),
        {"a bare log of its bytes and syncs": lambda _: log.commit()},
        check,
        20,
        80,
        lambda: storage.change(memory, rng),
        clock,
    )


def facts(folder: Path) -> dict[str, tuple[float, float]]:
    """What is no ratio of two times: measured, and the target."""
    memory = storage.full_memory(folder / "memory")
    storage.save_plain(folder / "plain", memory)
    size = storage.folder_bytes(folder / "memory") / SLOTS - 4 * keys.DIM
    memory.copy_to(folder / "mapped")
    Memory.open(folder / "mapped", rows="disk").close()
    ways = [
        *((storage.OPEN, folder / name) for name in ("memory", "mapped")),
        (storage.OPEN_PLAIN, folder / "plain"),
    ]
    times = [[storage.open_cold(*way) for way in ways] for _ in range(7)]
    assert times[0][0][2] == times[0][1][2] == times[0][2][2]
    opened, mapped, plain = (
        min(seconds for seconds, _, _ in turns) for turns in zip(*times, strict=True)
    )
    ram = median(storage.ram_per_slot(memory, folder / str(i)) for i in range(5))
    before, rng = storage.folder_bytes(folder / "memory"), np.random.default_rng(1)
    for _ in range(10):
        storage.change(memory, rng)
        memory.commit("changed")
    growth = (storage.folder_bytes(folder / "memory") - before) / 10 / storage.BATCH
    return {
        "open to first answer, cold process, s": (opened, np.nan),
        "  the same with a row file, s": (mapped, np.nan),
        "  the same from .npy files with FAISS, s": (plain, np.nan),
        "  the first / the third": (opened / plain, np.nan),
        "  the second / the third": (mapped / plain, 1.5),
        "disk per slot beyond the key, bytes": (size, 400),
        "RAM per slot / (key + packed value)": (ram / (4 * keys.DIM + 4096), 1.25),
        "a commit's syncs / those of a bare log of its bytes": (
            storage.sync_ratio(memory, rng, folder / "log"),
            3,
        ),
        "disk growth per changed slot / (key + packed value)": (
            growth / (4 * keys.DIM + 4096),
            np.nan,
        ),
    }


def on_disk(words: list[str]) -> None:
    """Print what the disk has to do with."""
    for clock in (process_time, perf_counter) if not words or "commit" in words else ():
        with TemporaryDirectory() as root:
            print_row(measure(commit(Path(root), clock)))
    with TemporaryDirectory() as root:
        if not words or "disk" in words:
            for what, (value, target) in facts(Path(root)).items():
                if "--json" in sys.argv:
                    print(json.dumps({"what": what, "value": value, "target": target}))
                    continue
                met = "" if np.isnan(target) else "yes" if value <= target else "NO"
                print(f"{what:58}{value:16.3f}{'' if np.isnan(target) else target:>8}  {met}")


def main() -> None:
    """Print one table, or one JSON object per row."""
    words = [word for word in sys.argv[1:] if word != "--json"]
    for word in words:
        if word.endswith(".npy"):
            of_file(word)
    busy = []
    if "--json" not in sys.argv:
        print(f"{'what':48}{'ours ms':>9}{'base ms':>9}{'ratio':>8}{'target':>8}  met")
    for make in ROWS:
        name = " ".join(str(part) for part in (make.func.__name__, *make.args))
        if words and not any(word in name for word in words):
            continue
        result = measure(make())
        busy.append(result.busy)
        print_row(result)
    if busy and median(busy) > BUSY and "--json" not in sys.argv:
        print(f"the machine is busy: {median(busy):.1f} times the CPU time has passed")
    on_disk(words)


def print_row(result: Result) -> None:
    """Print a row."""
    if "--json" in sys.argv:
        print(json.dumps(asdict(result)), flush=True)
        return
    base, target = min(result.baselines.values()), result.target or ""
    line = f"{result.what:48}{result.ours:9.3f}{base:9.3f}{result.ratio:8.3f}{target:>8}"
    each = ", ".join(f"{name} {ms:.3f}" for name, ms in result.baselines.items())
    print(f"{line}  {result.met:4}{each if len(result.baselines) > 1 else ''}", flush=True)


if __name__ == "__main__":
    main()
