"""A snapshot is read in pieces: little RAM, and what is wrong is what the plain way finds."""

import shutil
from collections import Counter
from dataclasses import replace

import icechunk
import numpy as np
import pytest
import zarr
from zarr.core.buffer import cpu

import memstore
from memstore import PAPER, Memory, verify_folder
from memstore.slots import state as states
from memstore.slots.state import Rows
from memstore.storage import reader, schema, verify
from memstore.storage.chunks import ChunkStore, Strip
from memstore.storage.local.repository import Repository
from tests.helpers import verify_whole
from tests.helpers.peak_ram import at_most, held
from tests.helpers.random_memories import COLUMNS, SMALL, assert_same

CONFIG = replace(SMALL, capacity=60, columns=COLUMNS)
ARRAYS = ("keys", "values", "touched", "source", "checks", "reads", "log", "column_ok")
ARRAYS += ("column_kind", "column_mass", "column_view")
ROW_BYTES = schema.log_dtype(CONFIG).itemsize
LARGE = replace(PAPER, capacity=2**14, key_dim=1024, delta=None)
LARGE_BYTES = 2**27  # of keys and values
PIECES = (1, 5 * ROW_BYTES, 7 * ROW_BYTES, 2**24)


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A memory with empty slots, and a log that holds some of its slots twice."""
    monkeypatch.setattr(schema, "SMALL_CHUNK", 16)
    monkeypatch.setattr(schema, "CHUNK_BYTES", 11 * 4 * CONFIG.key_dim)
    with Memory.create(tmp_path / "memory", CONFIG) as memory:
        rng = np.random.default_rng(0)
        for count in (48, 8, 8):
            fill(memory, rng, count)
            memory.remove(rng.choice(memory.slots, 3, replace=False))
            memory.read(rng.standard_normal((4, CONFIG.key_dim)), k=3, beta=-1)
            memory.commit(f"{count}")
        assert memory._repository._ledger.log.rows == 64
    return tmp_path / "memory"


def fill(memory, rng, count):
    columns = {
        "kind": [f"ö{i}" for i in range(count)],
        "mass": rng.random(count),
        "ok": rng.random(count) < 0.5,
        "view": np.arange(count),
    }
    grids = rng.random((count, 3, 3, 3)) < 0.5
    memory.write(
        rng.standard_normal((count, CONFIG.key_dim)), grids, ["shäpe"] * count, columns, warn=False
    )


def damage(group, rng, kinds=("lost", "swapped", "bytes", "byte", "attributes")):
    """Change an array, or the attributes, as a faulty disk or program might; what was done."""
    name = rng.choice(ARRAYS)
    array = group[name]
    start, length = int(rng.integers(array.shape[0])), int(rng.integers(1, 20))
    if name == "log":
        start, length = int(rng.integers(64)), int(rng.integers(1, 12))
    part = slice(start, min(start + length, array.shape[0]))
    kind = rng.choice(kinds)
    rows = None if kind == "chunk" else array[part]  # two may hit the same
    if kind == "lost":
        array[part] = np.full_like(rows, array.fill_value)
    elif kind == "swapped":
        array[part] = rows[::-1]
    elif kind == "bytes":
        array[part] = np.frombuffer(rng.bytes(rows.nbytes), rows.dtype).reshape(rows.shape)
    elif kind == "byte":
        flat = np.ascontiguousarray(rows).view(np.uint8).reshape(-1).copy()
        flat[rng.integers(len(flat))] ^= 1 << rng.integers(8)
        array[part] = flat.view(rows.dtype).reshape(rows.shape)
    elif kind == "chunk":
        chunk = start // array.chunks[0]
        key = f"{name}/c/{chunk}" + "/0" * (array.ndim - 1)
        store = group.store
        zarr.core.sync.sync(store.set(key, cpu.Buffer.from_bytes(rng.bytes(40))))
    else:
        change = {"clock": int(rng.integers(70)), "log_rows": int(rng.integers(-1, 97))}
        group.attrs.update(dict([sorted(change.items())[rng.integers(2)]]))
    return f"{kind} {name}"


@pytest.mark.parametrize("seed", range(4))
def test_what_is_wrong_is_what_the_plain_way_finds(path, monkeypatch, seed):
    monkeypatch.setattr(verify, "ROWS", 8)
    monkeypatch.setattr(verify_whole, "TOGETHER", 8)
    for module in (states, reader):
        monkeypatch.setattr(module, "CHECKED", 16)
    rng, found = np.random.default_rng(seed), Counter()
    with Memory.open(path) as memory:
        memory._mode = "r+"
        memory.remove(memory.slots[[4, 20]])  # differs from the disk, as it may
        if seed % 2:
            memory._state.dirty.clear()  # ... as it may not
        first = memory.snapshot
        for _ in range(12):
            repo = icechunk.Repository.open(icechunk.local_filesystem_storage(str(path)))
            repo.reset_branch("main", first)
            session = repo.writable_session("main")
            group = zarr.open_group(session.store)
            told = [damage(group, rng) for _ in range(rng.integers(1, 4))]
            told += [damage(group, rng, ["chunk"]) for _ in range(rng.integers(1, 3) * (seed == 2))]
            if not session.has_uncommitted_changes:
                continue
            session.commit("8")
            repository = Repository(path, writable=False, at=None)
            for state in (None, memory._state):
                monkeypatch.setattr(reader, "PIECE_BYTES", 2**24)
                want = verify_whole.snapshot_problems(repository, state)
                if state:
                    want = [f"in RAM: {text}" for text in verify._state_problems(state)] + want
                monkeypatch.setattr(reader, "PIECE_BYTES", int(rng.choice(PIECES)))
                problems = list(verify.verify(state, repository, every=False).problems)
                assert problems == want, told
                found[min(len(problems), 2)] += 1
        memory._state.dirty.clear()
    assert found[1] > 3 and (found[2] or seed == 2), found  # a chunk hides the rest


def test_slots_are_told_in_order_wherever_their_rows_lie(path):
    with Memory.open(path) as memory:
        logged = memory._repository._ledger.logged[memory.slots]
        slots = [*memory.slots[logged][:2].tolist(), *memory.slots[~logged][-2:].tolist()]
    repo = icechunk.Repository.open(icechunk.local_filesystem_storage(str(path)))
    session = repo.writable_session("main")
    group = zarr.open_group(session.store)
    log, values = group["log"][:64], group["values"][:]
    records = log.view(schema.log_dtype(CONFIG))[:, 0]
    for slot in slots[:2]:
        records["values"][np.flatnonzero(records["slots"] == slot)[-1]] ^= 0b10000000
    values[slots] ^= 0b10000000  # of the logged ones, nothing that counts
    group["log"][:64], group["values"][:] = log, values
    session.commit("8")
    problems = verify_folder(path, every=False).problems
    numbers = [int(problem.split("slot ")[1].split(":")[0]) for problem in problems]
    assert numbers == slots == sorted(slots)


def test_reads_of_an_empty_slot_are_none(path):
    """Others may have written them; a row file has zeros there."""
    with Memory.open(path, "r+") as memory:
        slot = memory.slots[0]
        memory.remove([slot])
        memory._state.reads[slot] = 7
    Memory.open(path, rows="disk").close()
    assert (path / "rows").exists() and verify_folder(path).problems == ()


@pytest.mark.parametrize("piece_bytes", PIECES[:3])
@pytest.mark.parametrize("rows", ["ram", "disk"])
def test_a_log_is_laid_over_in_pieces(path, monkeypatch, piece_bytes, rows):
    with Memory.open(path, rows="ram") as whole:
        monkeypatch.setattr(reader, "PIECE_BYTES", piece_bytes)
        with Memory.open(path, rows=rows) as memory:
            assert memory.rows == rows
            assert_same(memory, whole)
            assert memory.verify(every=True).problems == ()
    with Memory.open(path, "r+", rows="ram") as memory:  # the file is of the snapshot before
        for slot in memory.slots[:2]:  # twice
            fill(memory, np.random.default_rng(int(slot)), 3)
            memory.commit("more")
        with Memory.open(path, rows=rows) as again:
            assert again.rows == rows
            assert_same(again, memory)


@pytest.mark.parametrize("array", ["a column's bytes", "rows", "one chunk of all", "split"])
def test_strips_are_slices(array):
    """Of any chunks, in steps that do not fit them, from any row on."""
    rng = np.random.default_rng(0)
    shape, chunks = {
        "a column's bytes": ((50,), (16,)),
        "rows": ((50, 3), (7, 3)),
        "one chunk of all": ((50, 3), (50, 3)),
        "split": ((50, 4), (8, 2)),
    }[array]
    stored = zarr.create_array(
        zarr.storage.MemoryStore(), shape=shape, chunks=chunks, dtype="i8", name="a"
    )
    stored[:] = content = rng.integers(0, 99, shape)
    store = ChunkStore(stored.store)
    store.accept("a", stored, lambda: 2**20)
    for step, first in ((1, 0), (5, 3), (16, 0), (50, 0), (9, 40)):
        strip = Strip(store, stored, 47, step)
        parts = [strip.take(at, min(at + step, 47)) for at in range(first, 47, step)]
        assert np.array_equal(np.concatenate(parts), content[first:47])


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """64 MB of keys and of values, a quarter of which in the log."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("large") / "memory"
    with Memory.create(path, LARGE, durability="process") as memory:
        for slots in (np.arange(2**14), np.arange(0, 2**14, 4)):
            keys = rng.standard_normal((len(slots), LARGE.key_dim), np.float32)
            keys /= np.linalg.norm(keys, axis=1, keepdims=True)
            values = rng.integers(0, 256, (64, 32, 32, 4), np.uint8)[slots % 64]
            zeros = np.zeros(len(slots), np.int64)
            memory._state.put(Rows(slots, keys, values, zeros, zeros.astype("S128"), zeros))
            memory.commit("so many")
        assert memory._repository._ledger.log.rows == 2**12
    return path


def test_no_second_memory_in_ram(large, monkeypatch):
    """Nor for each snapshot of the history, nor for damage to be told."""
    monkeypatch.setattr(reader, "PIECE_BYTES", 2**20)
    with at_most(LARGE_BYTES / 3):
        assert verify_folder(large) == (3, 2 * 2**14, ())
    repo = icechunk.Repository.open(icechunk.local_filesystem_storage(str(large)))
    session = repo.writable_session("main")
    zarr.open_group(session.store)["keys"][-1] = 1
    damaged = session.commit("so many")
    with at_most(LARGE_BYTES / 3):
        [problem] = verify_folder(large).problems
    assert problem == f"snapshot {damaged}: {large}: keys: got a key that is no unit vector"
    repo.reset_branch("main", memstore.history(large)[1].id)


def test_nor_a_log_while_a_row_file_is_made(large, monkeypatch):
    log_bytes = 2**12 * schema.log_dtype(LARGE).itemsize
    amounts, extra, take = [], [], Strip.take
    monkeypatch.setattr(Strip, "take", lambda *args: (take(*args), amounts.append(held()))[0])
    for piece_bytes in (2**20, 2**30, 2**20, 2**20):  # other threads hold and free RAM, too
        monkeypatch.setattr(reader, "PIECE_BYTES", piece_bytes)
        amounts, before = [], held()
        Memory.open(large, rows="disk").close()
        extra.append(max(amounts) - before)
        shutil.rmtree(large / "rows")
    whole = extra.pop(1)
    assert min(extra) < 0.75 * log_bytes < log_bytes <= whole, (extra, whole)


def test_progress_in_a_long_snapshot(path, monkeypatch):
    monkeypatch.setattr(reader, "PIECE_BYTES", 7 * ROW_BYTES)
    calls = []
    verify_folder(path, every=False, progress=lambda *done: calls.append(done))
    assert calls == sorted(calls) and calls[0] == (0, 100) and calls[-1] == (100, 100)
    assert len(calls) > 5
