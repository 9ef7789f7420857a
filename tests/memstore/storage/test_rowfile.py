"""Rows in a mapped file: the same answers as from RAM, whatever has become of the file."""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import memstore
from memstore import PAPER, ArgumentError, FormatError, Memory
from memstore.search import ivf
from memstore.storage import reader, renewal, rowfile
from memstore.storage.local import durable
from memstore.storage.renewal import Renewal

COLUMNS = {"kind": int, "name": str, "weight": float, "is_good": bool}
CONFIG = replace(
    PAPER, capacity=64, key_dim=24, resolution=5, beta=-1.0, delta=0.9, columns=COLUMNS
)


KINDS = {"write": 0.3, "remove": 0.1, "update": 0.1, "keys": 0.1, "read": 0.1, "commit": 0.2}
KINDS["open"] = 0.1


class Pairs:
    """Pairs to write: keys in clusters, values of few kinds."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.centers = np.random.default_rng(0).standard_normal((12, CONFIG.key_dim))
        self.shapes = np.random.default_rng(1).random((12, 5, 5, 5)) < 0.4

    def draw(self, n):
        kinds = self.rng.integers(0, 12, n)
        noise = self.rng.choice([0, 0.1, 1.0], (n, 1))
        features = self.centers[kinds] + noise * self.rng.standard_normal((n, CONFIG.key_dim))
        columns = {
            "kind": kinds,
            "name": [f"n{kind}" for kind in kinds.tolist()],
            "weight": self.rng.random(n),
            "is_good": kinds > 5,
        }
        return features, self.shapes[kinds], [f"s{kind}" for kind in kinds.tolist()], columns


@pytest.fixture
def path(tmp_path):
    """A memory of 40 pairs in two commits, with empty slots between."""
    pairs = Pairs(3)
    with Memory.create(tmp_path / "memory", CONFIG) as memory:
        memory.write(*pairs.draw(30), warn=False)
        memory.commit("first")
        memory.write(*pairs.draw(30), warn=False)
        memory.remove(memory.slots[1:3])
        memory.read(pairs.draw(4)[0], 3)
        memory.commit("second")
    return tmp_path / "memory"


def assert_equal(ours, theirs, seed=0):
    """Two memories hold the same, and answer the same, to the last bit."""
    assert ours.clock == theirs.clock
    with ours.frozen() as one, theirs.frozen() as other:
        assert one.counts == other.counts
        for name, array in one.arrays.items():
            rows = min(len(array), len(other.arrays[name]))
            assert array[:rows].tobytes() == other.arrays[name][:rows].tobytes(), name
            assert not array[rows:].any() and not other.arrays[name][rows:].any(), name
        assert one.used.tolist() == other.used.tolist()
    features, grids, sources, _ = Pairs(seed).draw(5)
    for given in ({}, {"exclude": sources}, {"where": {"kind": {"<": 6}, "is_good": False}}):
        answers = [memory.read(features, 4, **given) for memory in (ours, theirs)]
        for a, b in zip(*answers, strict=True):
            if isinstance(a, dict):
                a, b = ([entries[name] for name in COLUMNS] for entries in (a, b))
            for one, other in zip(a, b, strict=True):
                np.testing.assert_array_equal(one, other)
    answers = [memory.contrast(features, grids) for memory in (ours, theirs)]
    for a, b in zip(*answers, strict=True):
        np.testing.assert_array_equal(a, b)


def assert_equal_hits(ours, theirs):
    """Two answers are the same."""
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def row_file(path):
    """The one row file of a memory."""
    [file] = (path / "rows").iterdir()
    return file


def made(path):
    """Open with a row file; its path."""
    with Memory.open(path, rows="disk") as memory:
        assert memory.rows == "disk"
    return row_file(path)


def assert_right(path, place="disk"):
    """Opened with a row file, or what is left of one, a memory is what it is without."""
    with Memory.open(path, rows="disk") as mapped, Memory.open(path, rows="ram") as memory:
        assert (mapped.rows, memory.rows) == (place, "ram")
        assert_equal(mapped, memory)


@pytest.mark.parametrize("search", ["exact", "ivf"])
@pytest.mark.parametrize("seed", range(4))
def test_random_operations(tmp_path, monkeypatch, seed, search):
    """Writers whose rows are mapped, and read; files are made anew often."""
    monkeypatch.setattr(rowfile, "LEAST_PRIVATE", 10 * 2**13)
    if seed % 2:  # in many pieces
        for name, number in {"ROWS": 24, "PER_CHANGE": 0, "BLOCKS": 9, "TURNS": 1}.items():
            monkeypatch.setattr(renewal, name, number)
        monkeypatch.setattr(rowfile, "BLOCK", 4096)
    monkeypatch.setattr("memstore.storage.reader.LOG_CHUNK", 8)  # rows that may have changed
    config, pairs = replace(CONFIG, search=search, when_full="evict"), Pairs(seed)
    paths = [tmp_path / "disk", tmp_path / "ram"]
    for path in paths:
        Memory.create(path, config).close()
    memories = [Memory.open(p, "r+", rows=p.name) for p in paths]
    renewed = set()

    def apply(call):
        answers = [call(memory) for memory in memories]
        assert str(answers[0]) == str(answers[1])

    for step in range(60):
        kind = pairs.rng.choice([*KINDS], p=[*KINDS.values()])
        used = memories[1].slots
        some = pairs.rng.choice(used, min(3, len(used)), replace=False)
        drawn = pairs.draw(len(some))
        if kind == "write":
            batch = pairs.draw(int(pairs.rng.integers(1, 30)))
            apply(lambda memory, batch=batch: memory.write(*batch, warn=False))
        elif kind == "remove":
            apply(lambda memory, some=some: memory.remove(some))
        elif kind == "update":
            apply(lambda m, s=some, d=drawn: m.update(s, d[1], d[3], sources=d[2]))
        elif kind == "keys":
            apply(lambda memory, some=some, drawn=drawn: memory.replace_keys(some, drawn[0]))
        elif kind == "read":
            assert_equal(*memories, step)
        elif kind == "commit":
            for memory in memories:
                memory.commit(f"step {step}")
            renewed.update(file.name for file in rowfile.files_of(paths[0]))
        else:
            for memory in memories:
                memory.close(discard=True)
            memories = [Memory.open(p, "r+", rows=p.name) for p in paths]
            renewed.update(file.name for file in rowfile.files_of(paths[0]))
            assert [memory.rows for memory in memories] == ["disk", "ram"]
    assert_equal(*memories)
    assert len(renewed) > 1
    for memory in memories:
        memory.commit("end")
        assert memory.verify(every=True).problems == ()
        memory.close()
    assert_right(paths[0])


@pytest.mark.parametrize("fault", [None, KeyboardInterrupt, OSError])
def test_a_file_made_anew_in_pieces(path, monkeypatch, fault):
    """Rows change, and are added, before and after they were copied; a step may be broken off."""
    monkeypatch.setattr(rowfile, "LEAST_PRIVATE", 0)
    monkeypatch.setattr(rowfile, "BLOCK", 4096)
    for name, number in {"ROWS": 3, "PER_CHANGE": 0, "BLOCKS": 2, "TURNS": 3}.items():
        monkeypatch.setattr(renewal, name, number)
    first, pairs, steps, put = made(path), Pairs(4), [], Renewal._put

    def count(*args):
        steps.append(len(args[-1]))
        if fault and len(steps) == 4:
            raise fault
        put(*args)

    monkeypatch.setattr(Renewal, "_put", count)
    with Memory.open(path, "r+", rows="disk") as memory:
        mapped = memory._repository._watch
        for turn in range(40):
            memory.update(some := memory.slots[turn % 5 :: 20], sources=[f"new {turn}"] * len(some))
            memory.write(*pairs.draw(1), warn=False)
            memory.read(pairs.draw(2)[0], 2)
            try:
                memory.commit(f"{turn}")
            except KeyboardInterrupt:
                memory.commit("again")
            if memory._repository._watch is not mapped:
                break
            assert len(list((path / "rows").iterdir())) == 2 or fault is OSError
        assert 6 <= turn < 39 and max(steps) <= 3
        file = row_file(path)
        assert file != first and file.name == memory.snapshot
        with Memory.open(path, rows="ram") as plain:
            assert_equal(memory, plain)
        memory.update(memory.slots[:1], sources=["later"])
        memory.commit("later")
    rowfile.checked(file, CONFIG)
    assert_right(path)
    assert memstore.verify_folder(path).problems == ()


def test_a_row_copied_in_part_is_copied_again_though_it_is_as_before(path, monkeypatch):
    """Changed, its copy broken off, and changed back: by its check it never changed."""

    def interrupt(*_):
        raise KeyboardInterrupt

    with Memory.open(path, "r+", rows="ram") as memory:
        with memory.frozen() as state:
            slot = memory.slots[:1]
        values = memory.values(slot)
        file = Renewal(path, state)
        assert file.go_on(state, memory._repository._ledger.checks, state.used)
        memory.update(slot, values=~values)
        memory.commit("changed")
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(renewal, "unfit", interrupt)
            file.go_on(state, memory._repository._ledger.checks, slot)
        memory.update(slot, values=values)
        memory.commit("as before")
        assert file.go_on(state, memory._repository._ledger.checks, slot)
        copies, rows = file._draft.arrays["values"], state.arrays["values"]
        np.testing.assert_array_equal(copies[state.used], rows[state.used])
        file.close()


def test_nothing_is_read_from_chunks(path):
    made(path)
    with Memory.open(path, rows="ram") as memory, memory.frozen() as state:
        want = {name: array.copy() for name, array in state.arrays.items()}
    for name in ("chunks", "manifests"):
        shutil.rmtree(path / name, ignore_errors=True)
        (path / name).mkdir()
    with Memory.open(path) as memory, memory.frozen() as state:
        assert memory.rows == "disk"
        assert all(
            (state.arrays[name] == array).all() for name, array in want.items() if name != "keys"
        )


@pytest.mark.parametrize("place", np.linspace(0, 1, 40))
def test_a_flipped_bit(path, place):
    file = made(path)
    data = bytearray(file.read_bytes())
    at = min(int(place * len(data)), len(data) - 1)
    data[at] ^= 16
    file.write_bytes(data)  # dense: rows that were never used are bytes too
    assert rowfile.files_of(path) == [file]
    try:
        rowfile.checked(file, CONFIG)
        # No array has that byte: it lies between two.
        assert all(not s.start <= at < s.stop for s in rowfile.sections(CONFIG).values())
    except ValueError:
        assert any("may be deleted" in problem for problem in memstore.verify_folder(path).problems)
    assert_right(path)
    assert memstore.verify_folder(path).problems == ()  # made anew


@pytest.mark.parametrize("kept", [0, 1, 39, 5000, -1])
def test_a_truncated_file(path, kept):
    file = made(path)
    os.truncate(file, kept if kept >= 0 else file.stat().st_size - 1)
    assert_right(path)


def test_another_memorys_file(path, tmp_path):
    file = made(path)
    with Memory.create(tmp_path / "other", CONFIG) as memory:
        memory.write(*Pairs(9).draw(30), warn=False)
    other = made(tmp_path / "other")
    shutil.copyfile(other, file)
    assert_right(path)
    file.unlink()
    shutil.copyfile(other, path / "rows" / other.name)  # under its own name: the latest there is
    assert_right(path)


def test_another_snapshots_file_under_this_ones_name(path):
    """Its trailer tells, and so does the seal where that lies too."""
    second, first = [commit.id for commit in memstore.history(path)][:2]
    with Memory.open(path, at=first, rows="disk"):
        pass
    file = row_file(path)
    data = file.read_bytes()
    file.unlink()
    (path / "rows" / second).write_bytes(data)
    assert_right(path)
    start = max(section.stop for section in rowfile.sections(CONFIG).values())
    text = data[start : -rowfile._END].replace(first.encode(), second.encode())
    trailer = text + rowfile.xxhash.xxh3_128_digest(text) + len(text).to_bytes(8, "little")
    (path / "rows" / second).write_bytes(data[:start] + trailer + rowfile.MAGIC)
    rowfile.checked(path / "rows" / second, CONFIG)  # it is whole
    assert_right(path)


def test_a_later_snapshot_needs_what_has_changed_alone(path):
    """Rows from the log and from the base, new, emptied and changed ones."""
    file = made(path)
    with Memory.open(path, "r+", rows="ram") as memory:
        memory.remove(memory.slots[:2])
        memory.write(*Pairs(5).draw(4), warn=False)
        memory.update(memory.slots[5:7], columns={"kind": [1, 2]})
        memory.read(Pairs(5).draw(2)[0], 3)
    assert_right(path)
    assert row_file(path) == file  # still the first one's
    with Memory.open(path, "r+", rows="disk") as memory:
        memory.replace_keys(memory.slots[7:9], Pairs(6).draw(2)[0])
        memory.commit("on what was mapped")
    assert row_file(path) == file
    assert_right(path)
    assert memstore.verify_folder(path).problems == ()


def test_rows_that_a_later_snapshot_has_in_its_base(path, monkeypatch):
    file = made(path)
    with Memory.open(path, "r+", rows="ram") as memory:
        memory.write(*Pairs(5).draw(4), warn=False)
        monkeypatch.setattr("memstore.storage.schema._is_for_base", lambda *_: True)
    assert_right(path)
    assert row_file(path) == file


def test_a_file_of_which_too_much_has_changed_is_made_anew(path, monkeypatch):
    monkeypatch.setattr("memstore.storage.reader.LOG_CHUNK", 8)  # rows that may have
    file = made(path)
    with Memory.open(path, "r+", rows="ram") as memory:
        memory.replace_keys(memory.slots, Pairs(6).draw(len(memory))[0])
    with Memory.open(path) as memory:
        assert memory.rows == "ram"  # none fits, and it is small
    assert_right(path)
    assert row_file(path) != file


def test_readers_keep_what_they_have_mapped(path):
    made(path)
    with Memory.open(path, rows="disk") as looker, Memory.open(path, rows="ram") as memory:
        with Memory.open(path, "r+", rows="disk") as writer:
            writer.replace_keys(writer.slots, Pairs(6).draw(len(writer))[0])
            writer.update(writer.slots, Pairs(6).draw(len(writer))[1])
            assert_equal(looker, memory)
        made(path)
        assert_equal(looker, memory)
        assert looker.refresh() and memory.refresh()
        assert (looker.rows, memory.rows) == ("disk", "ram")
        assert_equal(looker, memory)
        shutil.rmtree(path / "rows")
        assert_equal(looker, memory)


def overwrite(memory, name, slot, is_noticed):
    """Flip a bit in a row of a row file; not noticed, it is as if the disk had lost it."""
    [file] = (file for file in (memory.path / "rows").iterdir() if not file.suffix)
    section = rowfile.sections(CONFIG)[name]
    size = (section.stop - section.start) // CONFIG.capacity
    with file.open("r+b") as rows:
        rows.seek(section.start + (int(slot) + 1) * size - 1)
        [byte] = rows.read(1)
        rows.seek(-1, os.SEEK_CUR)
        rows.write(bytes([byte ^ 128]))
    ns = memory._repository._watch._time + is_noticed
    os.utime(file, ns=(ns, ns))


CHANGES = {
    "merge": lambda memory, slot: memory.write(
        memory.keys([slot]),
        memory.values([slot]),
        [""],
        {name: array for name, array in memory.columns([slot]).items()},
        warn=False,
    ),
    "update": lambda memory, slot: memory.update([slot], sources=["new"]),
    "keys": lambda memory, slot: memory.replace_keys([slot], np.ones((1, CONFIG.key_dim))),
    "export": lambda memory, slot: memstore.export(
        memory, memory.path.parent / "x.npz", slots=[slot]
    ),
    "export all": lambda memory, _: memstore.export(memory, memory.path.parent / "x.npz"),
    "copy": lambda memory, _: memory.copy_to(memory.path.parent / "copy"),
}


@pytest.mark.parametrize("is_noticed", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_rows_that_are_passed_on_are_those_written(path, change, is_noticed):
    """Of what is overwritten behind the file system's back, too."""
    with Memory.open(path, "r+", rows="disk") as memory:
        slot = int(memory.slots[0])
        before = memory.values([slot])
        overwrite(memory, "keys" if change == "update" else "values", slot, is_noticed)
        with pytest.raises(FormatError, match=rf"slots \[{slot}\]: got other rows"):
            CHANGES[change](memory, slot)
        assert not (path.parent / "x.npz").exists() and not (path.parent / "copy").exists()
        assert memory.verify().problems
        memory.close(discard=True)
    shutil.rmtree(path / "rows")
    with Memory.open(path, rows="disk") as memory:
        assert np.array_equal(memory.values([slot]), before)
        assert memory.history()[0].message == "second" and not memory.verify().problems


def test_rows_that_were_changed_are_this_processs_own(path):
    """What is written over the file later has no say in them."""
    with Memory.open(path, "r+", rows="disk") as memory:
        slots = memory.slots
        memory.update(slots, sources=["new"] * len(slots))
        keys, values, columns = memory.keys(slots), memory.values(slots), memory.columns(slots)
        with row_file(path).open("r+b") as file:
            file.write(b"\x55" * rowfile.sections(CONFIG)["logged"].stop)
        memory.commit("as it was")
        assert not memory.verify().problems
    shutil.rmtree(path / "rows")
    with Memory.open(path) as memory:
        assert memory.sources == ["new"] * len(slots)
        np.testing.assert_array_equal(memory.keys(slots), keys)
        np.testing.assert_array_equal(memory.values(slots), values)
        assert all((memory.columns(slots)[name] == columns[name]).all() for name in columns)


def test_every_call_refuses_what_was_overwritten(path):
    with Memory.open(path, rows="disk") as memory:
        slot = int(memory.slots[0])
        ns = memory._repository._watch._time + 1
        os.utime(row_file(path), ns=(ns, ns))
        assert len(memory.read(Pairs(0).draw(2)[0], 3).slots) == 2  # no row has changed
        overwrite(memory, "keys", slot, is_noticed=2)
        for call in (
            lambda: memory.read(Pairs(0).draw(2)[0], 3),
            lambda: memory.keys([slot]),
            lambda: memory[slot],
            lambda: memory.stats(),
            lambda: memstore.near_duplicates(memory),
        ):
            with pytest.raises(FormatError, match=rf"slots \[{slot}\]: got other rows"):
                call()


@pytest.mark.parametrize("size", [0, 1, 2**16, -1])
@pytest.mark.parametrize("mode", ["r", "r+"])
def test_every_call_refuses_a_file_that_was_cut_off(path, mode, size):
    """A page that is not there any more would end the process."""
    memory = Memory.open(path, mode, rows="disk")
    end = rowfile.sections(CONFIG)["logged"].stop
    slots = memory.slots
    os.truncate(row_file(path), size % end)
    calls = [lambda: memory.read(Pairs(0).draw(2)[0], 3), lambda: memory.values(slots)]
    calls += [lambda: memory.copy_to(path.parent / "copy"), lambda: memory.find("s1")]
    calls += [lambda: memstore.export(memory, path.parent / "x.npz"), lambda: next(iter(memory))]
    if mode == "r+":
        calls += [lambda: memory.update(slots[:1], sources=["new"])]
        calls += [lambda: memory.write(*Pairs(0).draw(2)), lambda: memory.remove(slots[:1])]
    for call in calls:
        with pytest.raises(FormatError, match="somebody has cut off the row file"):
            call()
    assert "cut off" in memory.verify().problems[0]
    memory.close()
    assert_right(path)


def test_a_batch_of_which_a_part_was_written_is_torn(path, monkeypatch):
    monkeypatch.setattr("memstore.slots.state.BATCH", 1)
    with Memory.open(path, "r+", rows="disk") as memory:
        slot = int(memory.slots[0])
        batch = [Pairs(8).draw(1)[0], memory.keys([slot])]
        grids = [~memory.values([slot]), memory.values([slot])]
        columns = {name: np.repeat(array, 2) for name, array in memory.columns([slot]).items()}
        overwrite(memory, "sources", slot, is_noticed=False)
        with pytest.raises(FormatError, match="got other rows"):
            memory.write(np.concatenate(batch), np.concatenate(grids), None, columns, warn=False)
        with pytest.raises(memstore.TornError):
            memory.commit("half of it")
        memory.close(discard=True)


@pytest.mark.parametrize(
    "step", ["os.posix_fallocate", "memstore.storage.rowfile.sync", "os.replace"]
)
def test_a_disk_that_refuses(path, monkeypatch, step):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(step, refuse)
        assert_right(path, "ram")
        assert list((path / "rows").iterdir()) == []
    assert_right(path)


def test_a_folder_that_is_not_to_be_written(path, monkeypatch):
    """Without a file it is read; with one that fits, mapped."""
    (path / "rows").write_bytes(b"")  # root may write anywhere, but not make a folder here
    assert_right(path, "ram")
    (path / "rows").unlink()
    made(path)
    monkeypatch.setattr(Path, "mkdir", None)
    assert_right(path)


KILLED = """
import os, sys
from memstore import Memory
step, path = sys.argv[1:]
import memstore.storage.rowfile as rowfile
def die(*_):
    os.kill(os.getpid(), 9)
setattr(os if step in ("replace", "posix_fallocate") else rowfile, step, die)
Memory.open(path, rows="disk")
"""


@pytest.mark.parametrize("step", ["posix_fallocate", "_digests", "sync", "replace", "drop"])
def test_a_process_killed_while_it_makes_the_file(path, step):
    process = subprocess.run([sys.executable, "-c", KILLED, step, str(path)], check=False)
    assert process.returncode == -9
    names = [file.name for file in (path / "rows").iterdir()]
    assert len(names) == 1 and names[0].endswith(".partial") == (step != "drop")
    with Memory.open(path) as memory:  # what is half made is nothing
        assert memory.rows == ("disk" if step == "drop" else "ram")
    assert_right(path)
    assert not row_file(path).name.endswith(".partial")


def test_several_open_at_once(path):
    with ThreadPoolExecutor(8) as pool:
        for mapped in pool.map(lambda _: Memory.open(path, rows="disk"), range(16)):
            with mapped, Memory.open(path, rows="ram") as memory:
                assert mapped.rows == "disk"
                assert_equal(mapped, memory)
    assert memstore.verify_folder(path).problems == ()


def test_which_place_is_chosen(path, monkeypatch):
    with Memory.open(path) as memory:
        assert memory.rows == "ram" and not (path / "rows").exists()
        rows = memory.slots.max() + 1
    size = int(rows) * rowfile.row_bytes(CONFIG)
    monkeypatch.setattr(rowfile, "available_ram", lambda: 2 * size)
    with Memory.open(path) as memory:
        assert memory.rows == "ram"
    monkeypatch.setattr(rowfile, "available_ram", lambda: 2 * size - 1)
    with Memory.open(path) as memory:
        assert memory.rows == "disk"
    monkeypatch.setattr(rowfile, "available_ram", lambda: 2 * size)
    with Memory.open(path) as memory, Memory.open(path, rows="ram") as other:
        assert (memory.rows, other.rows) == ("disk", "ram")  # as there is a file now
    with pytest.raises(ArgumentError, match="rows: got 'tape'"):
        Memory.open(path, rows="tape")


def test_commits_leave_it_to_those_who_make_it(path, monkeypatch):
    """It may go while a writer looks at what is to be synced."""
    synced = []
    monkeypatch.setattr(durable, "sync", lambda paths: synced.extend(map(str, paths)))
    made(path)
    with Memory.open(path, "r+", rows="disk") as memory:
        memory.write(*Pairs(5).draw(4), warn=False)
        memory.commit("third")
    assert any("snapshots" in name for name in synced)
    assert not any("/rows" in name for name in synced)


def test_free_ram():
    assert 2**20 < rowfile.available_ram() < 2**50


def test_an_earlier_snapshot_leaves_the_last_ones_file(path):
    last = made(path)
    first = memstore.history(path)[1].id
    with (
        Memory.open(path, at=first, rows="disk") as mapped,
        Memory.open(path, at=first, rows="ram") as memory,
    ):
        assert (mapped.rows, mapped.snapshot) == ("disk", first)
        assert_equal(mapped, memory)
    assert last.exists()
    assert_right(path)


def test_copies_and_exports_leave_it_out(path, tmp_path):
    made(path)
    with Memory.open(path) as memory:
        memory.copy_to(tmp_path / "copy")
        assert not (tmp_path / "copy" / "rows").exists()
        assert memory.stats().rows == "disk"
        assert memory.stats().disk_bytes["rows"] == row_file(path).stat().st_size
        with Memory.open(tmp_path / "copy") as copy:
            assert copy.rows == "ram"
            assert_equal(copy, memory)
    memstore.export(Memory.open(path), tmp_path / "a.npz")
    memstore.export(Memory.open(path, rows="ram"), tmp_path / "b.npz")
    with np.load(tmp_path / "a.npz") as a, np.load(tmp_path / "b.npz") as b:
        assert all((a[name] == b[name]).all() for name in b)


def test_expiry_drops_files_of_earlier_snapshots(path):
    file = made(path)
    with Memory.open(path, "r+", rows="disk") as memory:
        memory.write(*Pairs(5).draw(4), warn=False)
        memory.commit("third")
        freed = memory.expire(1)
        assert not file.exists()
        assert freed.bytes < 2**20 < 2**20 + file.parent.stat().st_size
    assert_right(path)


def test_verify_compares_the_file_with_the_rows(path):
    """Also one that is whole, and says something else."""
    with Memory.open(path, rows="ram") as memory, memory.frozen() as state:
        slot = int(state.used[3])
        ledger = memory._repository._ledger
        file = Renewal(path, state)
        assert file.go_on(state, ledger.checks, state.used)
        file._draft.arrays["values"][slot, 0, 0, 0] ^= 128
        file.finish(state, ledger, memory.snapshot, memory.snapshot)
        file.close()
    [problem] = memstore.verify_folder(path).problems
    assert re.search(rf"rows/\w+: slot {slot}: got another row", problem)


def test_a_link_is_refused(path, tmp_path):
    file = made(path)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(memstore.FormatError, match="got a link"):
        Memory.open(path)


@pytest.mark.parametrize("is_broken", [True, False])
def test_a_link_at_the_files_folder_is_no_cache(path, tmp_path, is_broken):
    """Nobody follows it, be it to read, to write or to remove what is there."""
    made(path)
    elsewhere = (path / "rows").rename(tmp_path / "elsewhere")
    (path / "rows").symlink_to(tmp_path / "nothing" if is_broken else elsewhere)
    names = sorted(file.name for file in elsewhere.iterdir())
    assert_right(path, place="ram")
    with Memory.open(path, "r+", rows="disk") as memory:
        assert memory.rows == "ram"
        memory.update(memory.slots[:1], sources=["new"])
        memory.commit("third")
        memory.expire(1)
    assert memstore.verify_folder(path).problems == ()
    assert sorted(file.name for file in elsewhere.iterdir()) == names
    assert (path / "rows").is_symlink() and not (tmp_path / "nothing").exists()


def near(pairs, n):
    """(n, C) keys in clusters, all different."""
    kinds = pairs.rng.integers(0, 12, n)
    return pairs.centers[kinds] + 0.3 * pairs.rng.standard_normal((n, CONFIG.key_dim))


@pytest.fixture
def with_lists(tmp_path, monkeypatch):
    """A memory of which a reader has saved lists."""
    monkeypatch.setattr(ivf, "LEAST_ROWS", 100)
    config, pairs = replace(CONFIG, capacity=600, search="ivf", delta=None), Pairs(1)
    with Memory.create(tmp_path / "memory", config) as memory:
        memory.write(near(pairs, 500), *pairs.draw(500)[1:], warn=False)
    with Memory.open(tmp_path / "memory", rows="disk") as memory:
        for _ in range(40):
            memory.search(near(pairs, 2), 3)
        assert memory.stats().recall is not None
    assert sorted(file.suffix for file in (tmp_path / "memory/rows").iterdir()) == ["", ".lists"]
    return tmp_path / "memory"


def test_lists_are_there_at_once(with_lists):
    queries = near(Pairs(7), 200)
    with Memory.open(with_lists) as memory, Memory.open(with_lists, rows="ram") as scanned:
        hits, truth = (each.search(queries, 3, exact=False) for each in (memory, scanned))
        assert not hits.exact.all()  # found by lists: of the first queries some are watched
        assert np.isin(hits.slots, truth.slots).mean() > 0.95
        proven = [each.search(queries, 3, exact=True) for each in (memory, scanned)]
        assert_equal_hits(*proven)
        with memory.frozen() as state:
            assert state.index.unsaved_lists() is None
    assert memstore.verify_folder(with_lists).problems == ()


def test_lists_follow_what_has_changed_since(with_lists):
    rng = np.random.default_rng(3)
    with Memory.open(with_lists, "r+", rows="ram") as memory:
        slots = np.arange(3, 500, 50)
        memory.replace_keys(slots, keys := rng.standard_normal((len(slots), 24)))
        added = memory.write(keys[:4] + 9, *Pairs(7).draw(4)[1:]).slots
    with Memory.open(with_lists, rows="disk") as memory:
        assert (memory.search(keys, 1, exact=False).slots[:, 0] == slots).all()
        assert (memory.search(keys[:4] + 9, 1, exact=False).slots[:, 0] == added).all()
        with memory.frozen() as state:
            assert state.index._lists is not None


@pytest.mark.parametrize("place", np.linspace(0, 1, 20))
def test_damaged_lists(with_lists, place):
    [file] = (with_lists / "rows").glob("*.lists")
    data = bytearray(file.read_bytes())
    data[min(int(place * len(data)), len(data) - 1)] ^= 1
    file.write_bytes(data)
    [problem] = memstore.verify_folder(with_lists).problems
    assert re.search(r"rows/\w+\.lists: .*may be deleted", problem)
    with Memory.open(with_lists) as memory, memory.frozen() as state:
        assert memory.rows == "disk" and state.index._lists is None


WRONG = [
    (name, change)
    for name in ("centers", "sizes", "slots", "codes", "numbers", "effort")
    for change in ("shape", "type", "low", "high", "gone")
    if not (name in ("centers", "codes") and change in ("low", "high"))  # numbers like any other
    if (name, change) != ("effort", "type")
]


@pytest.mark.parametrize(("name", "change"), WRONG)
def test_lists_that_somebody_made_up(with_lists, name, change):
    """FAISS is given nothing that leads out of its memory."""
    with Memory.open(with_lists) as memory, memory.frozen() as state:
        arrays = state.index._lists.arrays | {"effort": np.array(0)}
        keys = state.index.keys
    index = ivf.IvfIndex(24)
    index.put(np.arange(500), keys)
    array = arrays.pop(name)
    if change in ("low", "high"):
        arrays[name] = array + (-1000 if change == "low" else 1000)
    elif change != "gone":
        arrays[name] = array[..., None].repeat(2, -1) if change == "shape" else array.astype("f8")
    with pytest.raises((ValueError, KeyError, TypeError)):
        index.use_lists(arrays, np.empty(0, np.int64))
    assert index._lists is None


def test_rows_that_are_mapped_take_no_ram(tmp_path):
    config = replace(PAPER, capacity=4096, key_dim=1024, delta=None)  # 16 MB of keys and of values
    rng = np.random.default_rng(0)
    with Memory.create(tmp_path / "memory", config) as memory:
        for _ in range(8):
            grids = rng.random((512, 32, 32, 32), np.float32) < 0.2
            memory.write(rng.standard_normal((512, 1024)), grids)
    used = {place: _held(tmp_path / "memory", place) for place in ("disk", "again", "ram")}
    assert max(used["disk"], used["again"]) < 2**22 and used["ram"] > 2**24, used


HELD = """
import sys
import numpy as np
from memstore import Memory
from tests.helpers.peak_ram import held
Memory.open(sys.argv[1], rows="disk").close()  # all is loaded
before = held()
memory = Memory.open(sys.argv[1], rows="ram" if sys.argv[2] == "ram" else "disk")
memory.read(np.ones((1, 1024)), 8)
with memory.frozen() as state:
    assert state.index.keys.any() and state.values.any()  # all of it is looked at
print(held() - before)
"""


def _held(path, place):
    """Bytes of RAM that a process of its own takes to open and to answer."""
    command = [sys.executable, "-c", HELD, str(path), place]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("is_folded", [False, True])
def test_of_a_log_that_has_grown_the_new_rows_are_read(path, monkeypatch, is_folded):
    """If it was emptied and has grown since, all of it is: the seal tells."""

    def change(slots, seed):
        with Memory.open(path, "r+", rows="ram") as memory:
            memory.replace_keys(memory.slots[slots], Pairs(seed).draw(len(memory.slots[slots]))[0])

    change(slice(0, 3), 5)
    file = made(path)
    assert rowfile.checked(file, CONFIG).log.rows == 32
    if is_folded:
        with monkeypatch.context() as patch:
            patch.setattr("memstore.storage.schema._is_for_base", lambda *_: True)
            change(slice(2, 6), 6)
    for seed in (7, 8):
        change(slice(4, 7), seed)
    firsts, read = [], reader.Log

    def log(*args):
        firsts.append(args[4] if len(args) > 4 else 0)
        return read(*args)

    monkeypatch.setattr(reader, "Log", log)
    with Memory.open(path) as memory:
        assert memory.rows == "disk" and firsts == ([32, 0] if is_folded else [32])
    assert row_file(path) == file
    assert_right(path)
    with Memory.open(path, "r+", rows="disk") as memory:
        memory.replace_keys(memory.slots[:1], Pairs(9).draw(1)[0])
    assert_right(path)
    assert memstore.verify_folder(path).problems == ()
