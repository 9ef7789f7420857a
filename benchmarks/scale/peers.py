"""memstore beside other stores: python -m benchmarks.scale.peers [--json] [KIND or .npy ...].

Needs `pip install -e ".[bench]"`; a peer that is not installed is left out by name. All hold the
same 4,000 keys and values (32^3 voxels, packed) and are asked in turn, by one thread each, in one
process; the least CPU time of each counts. Peers are approximate where their line says so: recall@8
is of the first 64 queries. With KINDs (clusters, CNN-like views, random), only those; a word that
ends in .npy is a file of real features (n, C), the last 96 of which ask for the others. TMPDIR is
to be a folder of a real disk.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memstore.files import sync

K, BATCH = 8, 32
QUERIES = 64  # of which recall is told
ROUNDS = 12
ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "RAYON_NUM_THREADS",
        "LANCE_CPU_THREADS",
        "TOKIO_WORKER_THREADS",
    ),
    "1",
)

Slots = NDArray[np.int64]
Keys = NDArray[np.float32]
Bits = NDArray[np.uint8]
Grids = NDArray[np.bool_]


class Peer(ABC):
    """A store of keys (n, C) and packed values (n, 4096), by slot."""

    package: str  # whose version is told
    promise: str  # what `write` has done when it returns

    @staticmethod
    @abstractmethod
    def build(folder: Path, keys: Keys, bits: Bits) -> None:
        """Make the store in an empty folder."""

    @abstractmethod
    def __init__(self, folder: Path) -> None:
        """Open what `build` has left."""

    @abstractmethod
    def read(self, queries: Keys) -> tuple[Slots, Grids]:
        """Slots (B, 8) and values (B, 8, 32, 32, 32) of the nearest keys."""

    @abstractmethod
    def write(self, slots: Slots, keys: Keys, grids: Grids) -> None:
        """Replace 32 rows, and return when that is as durable as it gets."""

    def close(self) -> None:
        """Let go of all that is open."""
        self.__dict__.clear()


def unpacked(bits: Bits, batch: int) -> Grids:
    """(batch, 8, 32, 32, 32) grids of packed values."""
    return np.unpackbits(bits, axis=-1).view(bool).reshape(batch, K, 32, 32, 32)


def packed(grids: Grids) -> Bits:
    """(n, 4096) packed values of grids."""
    return np.packbits(grids.reshape(len(grids), -1), axis=1)


def save_synced(path: Path, save: Callable[[Path], object]) -> None:
    """Write a file beside, sync it, then rename it."""
    beside = path.with_name(f"beside-{path.name}")
    save(beside)
    sync([beside])
    os.replace(beside, path)
    sync([path.parent])


class Memstore(Peer):
    """This library: exact; a write also decides what goes, by the write rule."""

    package, promise = "mem3d", "a snapshot of all, synced; older ones stay"

    @staticmethod
    def build(folder: Path, keys: Keys, bits: Bits) -> None:
        """As the base says."""
        from dataclasses import replace

        from memstore import PAPER, Memory

        config = replace(PAPER, capacity=len(keys), key_dim=keys.shape[1], beta=-1, delta=1)
        with Memory.create(folder / "memory", config) as memory:
            for start in range(0, len(keys), 250):
                part = slice(start, start + 250)
                grids = np.unpackbits(bits[part], axis=1).view(bool).reshape(-1, 32, 32, 32)
                memory.write(keys[part], grids, warn=False)
            memory.commit("built")

    def __init__(self, folder: Path) -> None:
        from memstore import Memory

        self.memory = Memory.open(folder / "memory", "r+")

    def read(self, queries: Keys) -> tuple[Slots, Grids]:
        """As the base says."""
        priors = self.memory.read(queries, K)
        return priors.slots, priors.values

    def write(self, slots: Slots, keys: Keys, grids: Grids) -> None:
        """The slots are the rule's to choose: the oldest."""
        self.memory.write(keys, grids, warn=False)
        self.memory.commit("changed")

    def close(self) -> None:
        """As the base says."""
        self.memory.close(discard=True)  # reads that were counted


class Faiss(Peer):
    """Two .npy files, and FAISS's exact index over the keys."""

    package, promise = "faiss-cpu", "both files written anew, synced, renamed"

    @staticmethod
    def build(folder: Path, keys: Keys, bits: Bits) -> None:
        """As the base says."""
        np.save(folder / "keys.npy", keys)
        np.save(folder / "bits.npy", bits)

    def __init__(self, folder: Path) -> None:
        import faiss

        self.folder = folder
        self.bits = np.load(folder / "bits.npy")
        keys = np.load(folder / "keys.npy")
        self.index = faiss.IndexFlatIP(keys.shape[1])
        self.index.add(keys)
        self.keys = faiss.rev_swig_ptr(self.index.get_xb(), keys.size).reshape(keys.shape)

    def read(self, queries: Keys) -> tuple[Slots, Grids]:
        """As the base says."""
        slots = self.index.search(queries, K)[1]
        return slots, unpacked(self.bits[slots], len(queries))

    def write(self, slots: Slots, keys: Keys, grids: Grids) -> None:
        """As the base says."""
        self.keys[slots], self.bits[slots] = keys, packed(grids)
        for name, rows in (("keys.npy", self.keys), ("bits.npy", self.bits)):
            save_synced(self.folder / name, lambda path, rows=rows: np.save(path, rows))


class Usearch(Peer):
    """A graph (HNSW) over keys as int8, approximate; values in a .npy file."""

    package, promise = "usearch", "both files written anew, synced, renamed (it has no log)"

    @staticmethod
    def build(folder: Path, keys: Keys, bits: Bits) -> None:
        """As the base says."""
        from usearch.index import Index

        index = Index(ndim=keys.shape[1], metric="cos", dtype="i8")
        index.add(np.arange(len(keys)), keys, threads=1)
        index.save(folder / "index")
        np.save(folder / "bits.npy", bits)

    def __init__(self, folder: Path) -> None:
        from usearch.index import Index

        self.folder, self.bits = folder, np.load(folder / "bits.npy")
        self.index: Any = Index.restore(folder / "index")

    def read(self, queries: Keys) -> tuple[Slots, Grids]:
        """As the base says."""
        slots = self.index.search(queries, K, threads=1).keys.astype(np.int64).reshape(-1, K)
        return slots, unpacked(self.bits[slots], len(queries))

    def write(self, slots: Slots, keys: Keys, grids: Grids) -> None:
        """As the base says."""
        self.index.remove(slots)
        self.index.add(slots, keys, threads=1)
        self.bits[slots] = packed(grids)
        save_synced(self.folder / "index", self.index.save)
        save_synced(self.folder / "bits.npy", lambda path: np.save(path, self.bits))


class Turbovec(Peer):
    """4 bits a number, approximate, nothing ranked again; values in a .npy file."""

    package, promise = "turbovec", "keys: appended and synced; values: the file mapped and synced"

    @staticmethod
    def build(folder: Path, keys: Keys, bits: Bits) -> None:
        """As the base says."""
        from turbovec import IdMapIndex

        index = IdMapIndex(keys.shape[1], 4)
        index.add_with_ids(keys, np.arange(len(keys), dtype=np.uint64))
        index.sync(str(folder / "index"))
        np.save(folder / "bits.npy", bits)

    def __init__(self, folder: Path) -> None:
        from turbovec import IdMapIndex

        self.folder, self.bits = folder, np.load(folder / "bits.npy", mmap_mode="r+")
        self.index: Any = IdMapIndex.load(str(folder / "index"))

    def read(self, queries: Keys) -> tuple[Slots, Grids]:
        """As the base says."""
        slots = self.index.search(queries, K)[1].astype(np.int64)
        return slots, unpacked(self.bits[slots], len(queries))

    def write(self, slots: Slots, keys: Keys, grids: Grids) -> None:
        """As the base says."""
        ids = slots.astype(np.uint64)
        for slot in ids.tolist():
            self.index.remove(slot)
        self.index.add_with_ids(keys, ids)
        self.bits[slots] = packed(grids)
        self.bits.flush()
        self.index.sync(str(self.folder / "index"))


class LanceDB(Peer):
    """A table of slot, key and value; exact, as no index is made for so few rows."""

    package, promise = "lancedb", "a version of the table, renamed; nothing is synced"

    @staticmethod
    def table(slots: Slots, keys: Keys, bits: Bits) -> Any:
        """Rows as Arrow has them."""
        import pyarrow as pa

        vectors = pa.FixedSizeListArray.from_arrays(pa.array(keys.ravel()), keys.shape[1])
        values = pa.array([row.tobytes() for row in bits], pa.binary(bits.shape[1]))
        return pa.table({"slot": pa.array(slots), "vector": vectors, "value": values})

    @staticmethod
    def build(folder: Path, keys: Keys, bits: Bits) -> None:
        """As the base says."""
        import lancedb

        rows = LanceDB.table(np.arange(len(keys)), keys, bits)
        lancedb.connect(folder).create_table("memory", rows)

    def __init__(self, folder: Path) -> None:
        import lancedb

        self.rows = lancedb.connect(folder).open_table("memory")

    def read(self, queries: Keys) -> tuple[Slots, Grids]:
        """As the base says."""
        search = self.rows.search(queries if len(queries) > 1 else queries[0])
        columns = ["slot", "value", "_distance"]
        hits = search.distance_type("dot").limit(K).select(columns).to_arrow()
        if len(queries) > 1:
            hits = hits.sort_by([("query_index", "ascending"), ("_distance", "ascending")])
        bits = np.frombuffer(b"".join(hits["value"].to_pylist()), np.uint8)
        slots = hits["slot"].to_numpy().reshape(len(queries), K)
        return slots, unpacked(bits.reshape(len(queries), K, -1), len(queries))

    def write(self, slots: Slots, keys: Keys, grids: Grids) -> None:
        """As the base says."""
        rows = self.table(slots, keys, packed(grids))
        self.rows.merge_insert("slot").when_matched_update_all().execute(rows)


class Chroma(Peer):
    """A graph (HNSW) beside SQLite, approximate; values as text in the metadata."""

    package, promise = "chromadb", "in SQLite's log, synced; the graph later"

    @staticmethod
    def client(folder: Path) -> Any:
        """A client that writes into a folder and calls nobody."""
        import chromadb
        from chromadb.config import Settings

        return chromadb.PersistentClient(str(folder), Settings(anonymized_telemetry=False))

    @staticmethod
    def put(collection: Any, slots: Sequence[int], keys: Keys, bits: Bits) -> None:
        """Set rows."""
        texts = [{"value": base64.b64encode(row.tobytes()).decode()} for row in bits]
        collection.upsert(ids=[str(slot) for slot in slots], embeddings=keys, metadatas=texts)

    @staticmethod
    def build(folder: Path, keys: Keys, bits: Bits) -> None:
        """As the base says."""
        collection = Chroma.client(folder).create_collection(
            "memory", embedding_function=None, configuration={"hnsw": {"space": "ip"}}
        )
        for start in range(0, len(keys), 500):
            part = slice(start, start + 500)
            Chroma.put(collection, range(len(keys))[part], keys[part], bits[part])

    def __init__(self, folder: Path) -> None:
        self.rows = self.client(folder).get_collection("memory", embedding_function=None)

    def read(self, queries: Keys) -> tuple[Slots, Grids]:
        """As the base says."""
        hits = self.rows.query(query_embeddings=queries, n_results=K, include=["metadatas"])
        slots = np.array(hits["ids"]).astype(np.int64)
        values = [base64.b64decode(row["value"]) for rows in hits["metadatas"] for row in rows]
        bits = np.frombuffer(b"".join(values), np.uint8).reshape(len(queries), K, -1)
        return slots, unpacked(bits, len(queries))

    def write(self, slots: Slots, keys: Keys, grids: Grids) -> None:
        """As the base says."""
        self.put(self.rows, slots.tolist(), keys, packed(grids))


PEERS: dict[str, type[Peer]] = {
    "memstore": Memstore,
    "faiss flat, .npy": Faiss,
    "turbovec, 4 bit": Turbovec,
    "usearch, int8": Usearch,
    "LanceDB": LanceDB,
    "Chroma": Chroma,
}


@dataclass
class Result:
    """One store with one kind of keys; milliseconds of CPU, the least of all rounds."""

    keys: str
    store: str
    version: str
    read_1: float
    read_32: float
    recall: float  # at 8
    write_32: float
    open: float  # cold process, to the first answer, imports apart
    imports: float
    megabytes: float  # on disk, once built
    promise: str


def installed() -> dict[str, type[Peer]]:
    """The stores that are there; the others are told by name."""
    there = {}
    for name, peer in PEERS.items():
        try:
            version(peer.package)
        except PackageNotFoundError:
            print(f"left out: {name}, as {peer.package} is not installed", file=sys.stderr)
        else:
            there[name] = peer
    return there


COLD = """
import sys
from pathlib import Path
from time import process_time
import numpy as np
start = process_time()
from benchmarks.scale.peers import PEERS, warm_up
peer = PEERS[sys.argv[1]]
warm_up(peer)
began = process_time()
store = peer(Path(sys.argv[2]))
slots, _ = store.read(np.load(sys.argv[3])[:1])
print("cold", began - start, process_time() - began, *slots[0])
store.close()
"""


def warm_up(peer: type[Peer]) -> None:
    """Import what a store needs, by making a tiny one and asking it."""
    with TemporaryDirectory() as root:
        keys = np.eye(16, 64, dtype=np.float32)
        peer.build(Path(root), keys, np.zeros((16, 4096), np.uint8))
        store = peer(Path(root))
        store.read(keys[:1])
        store.close()


def open_cold(name: str, folder: Path, queries: Path) -> tuple[float, float, list[int]]:
    """A process of its own: milliseconds of imports and of opening and asking; the answer."""
    command = [sys.executable, "-W", "ignore", "-c", COLD, name, str(folder), str(queries)]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    [line] = [line for line in process.stdout.splitlines() if line.startswith("cold ")]
    imports, opened, *slots = line.split()[1:]
    return 1e3 * float(imports), 1e3 * float(opened), [int(slot) for slot in slots]


def nearest(keys: Keys, queries: Keys) -> Slots:
    """(B, 8) slots by definition: sums in float64."""
    products = queries.astype(np.float64) @ keys.astype(np.float64).T
    return np.argsort(-products, axis=1, kind="stable")[:, :K]


def compare(kind: str, keys: Keys, queries: Keys, fresh: Keys, root: Path) -> list[Result]:
    """Measure all stores on keys (n, C), queries (96, C) and keys to come (32 x rounds, C).

    All of norm 1.
    """
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 256, (len(keys), 4096), np.uint8) & rng.integers(0, 256, 4096, np.uint8)
    np.save(root / "queries.npy", queries)
    exact = nearest(keys, queries[:QUERIES])
    peers, stores, results = installed(), {}, {}
    for name, peer in peers.items():
        folder = root / name
        folder.mkdir()
        peer.build(folder, keys, bits)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        cold = [open_cold(name, folder, root / "queries.npy") for _ in range(3)]
        stores[name] = store = peer(folder)
        slots = np.concatenate([store.read(query[None])[0] for query in queries[:QUERIES]])
        check_values(store, queries[:BATCH], bits)
        hits = [len(set(ours) & set(best)) for ours, best in zip(slots, exact, strict=True)]
        results[name] = Result(
            kind,
            name,
            version(peer.package),
            *3 * [np.inf],
            write_32=np.inf,
            open=min(opened for _, opened, _ in cold),
            imports=min(imports for imports, _, _ in cold),
            megabytes=size / 1e6,
            promise=peer.promise,
        )
        results[name].recall = float(np.mean(hits)) / K
    for turn in range(ROUNDS):
        one, many = queries[turn][None], queries[turn:][:BATCH]
        take_turns("read_1", stores, results, lambda store, one=one: store.read(one))
        take_turns("read_32", stores, results, lambda store, many=many: store.read(many))
    for turn in range(ROUNDS):
        slots = np.sort(rng.permutation(len(keys))[:BATCH])
        rows = slots, fresh[turn * BATCH :][:BATCH], rng.random((BATCH, 32, 32, 32)) < 0.1
        take_turns("write_32", stores, results, lambda store, rows=rows: store.write(*rows))
    for store in stores.values():
        store.close()
    return list(results.values())


def check_values(store: Peer, queries: Keys, bits: Bits) -> None:
    """Have a batch bring the values of the slots that it names."""
    slots, grids = store.read(queries)
    np.testing.assert_array_equal(grids, unpacked(bits[slots], len(queries)))


def take_turns(
    column: str,
    stores: dict[str, Peer],
    results: dict[str, Result],
    call: Callable[[Peer], object],
) -> None:
    """Have each store do the same; the least times are kept."""
    for name, store in stores.items():
        start = process_time()
        call(store)
        spent = 1e3 * (process_time() - start)
        setattr(results[name], column, min(spent, getattr(results[name], column)))


def main() -> None:
    """Print one table, or one JSON object per row."""
    if any(os.environ.get(name) != number for name, number in ONE_THREAD.items()):
        os.environ.update(ONE_THREAD)  # libraries read it when they are loaded
        os.execv(
            sys.executable,
            [sys.executable, "-W", "ignore", "-m", "benchmarks.scale.peers", *sys.argv[1:]],
        )
    from benchmarks import keys as made

    kinds: dict[str, Callable[[int, int], Keys]] = {
        "clusters": made.clusters,
        "CNN-like views": made.views,
        "random": made.noise,
    }
    words = [word for word in sys.argv[1:] if word != "--json"]
    for kind in words or kinds:
        if kind.endswith(".npy"):
            rows = np.load(kind).astype(np.float32)
            asking = 128 - BATCH
            parts = rows[: -128 - BATCH * ROUNDS][:4000], rows[-asking:], rows[: BATCH * ROUNDS]
        else:
            make = kinds[kind]
            parts = make(4000, 0), make(QUERIES + BATCH, 1000), make(BATCH * ROUNDS, 2000)
        units = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
        root = Path(mkdtemp())
        try:
            show(compare(kind, units[0], units[1], units[2], root))
        finally:
            shutil.rmtree(root)


def show(results: list[Result]) -> None:
    """Print rows."""
    if "--json" in sys.argv:
        for result in results:
            print(json.dumps(asdict(result)), flush=True)
        return
    columns = ("read 1", "recall@8", "read 32", "write 32", "open", "imports", "MB")
    print(f"{results[0].keys:24}{''.join(f'{column:>10}' for column in columns)}  a write, then")
    for row in results:
        numbers = row.read_1, row.recall, row.read_32, row.write_32, row.open, row.imports
        line = "".join(f"{number:10.2f}" for number in (*numbers, row.megabytes))
        print(f"{row.store:24}{line}  {row.promise}", flush=True)


if __name__ == "__main__":
    main()
