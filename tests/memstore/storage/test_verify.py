"""verify: what is wrong is found, what is right is not reported."""

import hashlib
import struct
from dataclasses import replace

import icechunk
import numpy as np
import pytest
import zarr

import memstore
from memstore import PAPER, Memory
from memstore.storage import checksums
from memstore.storage.fold import NOTHING, Window
from memstore.storage.local.repository import Repository
from memstore.voxels.grids import pack

TINY = replace(PAPER, capacity=6, key_dim=3, resolution=2, delta=1)
GRIDS = np.random.default_rng(0).random((4, 2, 2, 2)) < 0.5
KEYS = np.concatenate([np.eye(3), -np.eye(3)[:1]])


@pytest.fixture
def memory(tmp_path):
    """Two commits; the second is in the log; one change more in RAM."""
    memory = Memory.create(tmp_path / "memory", TINY)
    memory.write(KEYS[:3], GRIDS[:3])
    memory.commit("three")
    memory.write(KEYS[3:], GRIDS[3:])
    memory.commit("a fourth")
    memory.write(KEYS[:1], ~GRIDS[:1])
    yield memory
    memory.close(discard=True)


def test_a_memory_whose_every_slot_has_changed(tmp_path):
    with Memory.create(tmp_path / "memory", TINY) as memory:
        memory.write(KEYS[:3], GRIDS[:3])
        memory.commit("three")
        memory.replace_keys([0, 1, 2], KEYS[1:])
        assert memory.verify().problems == ()


def change(path, edit):
    """Change arrays behind the memory's back, in a commit of its own."""
    repo = icechunk.Repository.open(icechunk.local_filesystem_storage(str(path)))
    session = repo.writable_session("main")
    edit(zarr.open_group(session.store))
    session.commit("a fourth")  # as the snapshot itself says


def test_all_is_well(memory):
    calls = []
    assert memory.verify() == (1, 5 + 4, ())
    assert memory.verify(every=True, progress=lambda *done: calls.append(done)).snapshots == 3
    assert calls == [(n, 300) for n in (0, 75, 100, 200, 300)]  # one slot in four is in the log


def test_a_message_that_changed_behind_our_back(memory):
    """The history has no checksum of its own."""
    repo = icechunk.Repository.open(icechunk.local_filesystem_storage(str(memory.path)))
    session = repo.writable_session("main")
    zarr.open_group(session.store).attrs["other"] = 1
    session.commit("not the message that was sealed")
    with Memory.open(memory.path) as reader:
        [problem] = reader.verify().problems
    assert "history's message or time is not what was written" in problem


def test_in_ram_only():
    memory = Memory(TINY)
    assert memory.verify() == (0, 0, ())
    memory.write(KEYS, GRIDS)
    assert memory.verify() == (0, 4, ())


def test_rows_that_are_whole_but_elsewhere(memory):
    """Another slot's value, with a valid chunk checksum: only the row's check can tell."""
    change(memory.path, lambda group: group["values"].__setitem__(0, group["values"][1]))
    with pytest.raises(ValueError, match=r"slots \[0\]: got rows other than those written"):
        Memory.open(memory.path)
    problems = memstore.verify_folder(memory.path, every=False).problems
    assert len(problems) == 1
    assert (
        "slot 0: its key, value, source, columns or clock value is not what was written"
        in problems[0]
    )


@pytest.mark.parametrize("attribute", ["clock", "log_rows", "counts", "config", "message", "time"])
def test_attributes_are_sealed(memory, attribute):
    changed = {
        "clock": 5,
        "log_rows": 0,
        "message": "another",
        "time": 0,
        "counts": {"merge": 1, "insert": 4, "evict": 0, "remove": 0},
        "config": {**TINY.__dict__, "beta": 0.8},
    }
    change(memory.path, lambda group: group.attrs.update({attribute: changed[attribute]}))
    with pytest.raises(ValueError, match="seal: got parts that do not belong together"):
        Memory.open(memory.path)


def test_ram_that_differs_from_the_disk(memory):
    memory._state.values[1] ^= 0b11000000
    memory._state.sources[2] = b"other"
    problems = [problem.split(": ", 1)[1] for problem in memory.verify().problems]
    assert problems == [
        "the counts of full voxels do not fit the values",
        "slot 1: values in RAM differ from those on disk",
        "slot 2: sources in RAM differ from those on disk",
    ]


def test_an_index_that_finds_the_wrong_slot(memory, monkeypatch):
    found = memory._state.index.search(memory.keys([0]), 1, memory._state.used_rows)
    monkeypatch.setattr(
        "memstore.search.index.KeyIndex.search",
        lambda index, queries, k, allowed, exact: _all(found, queries),
    )
    problems = memory.verify().problems
    assert any("a search for its key finds slot 0, want slot 1" in text for text in problems)


def _all(hits, queries):
    """The same hit for every query."""
    return type(hits)(*(np.repeat(part, len(queries), axis=0) for part in hits))


def test_missing_files_are_reported(memory):
    for part in ("manifests", "snapshots"):
        for file in (memory.path / part).iterdir():
            if file.name != "1CECHNKREP0F1RSTCMT0":  # Icechunk's own first snapshot
                data = file.read_bytes()
                file.unlink()
                memory._repository = reopened(memory)
                assert memory.verify(every=True).problems, file
                file.write_bytes(data)
    assert not memory.verify(every=True).problems


def reopened(memory):
    """The memory's repository without anything that it has read before."""
    return Repository(memory.path, writable=False, at=None)


def test_checks_by_hand(memory):
    """As docs/format.md tells it."""
    row = memory._state.rows(np.array([1]))
    text = struct.pack("<qq", 1, 2) + bytes(128) + np.float32([0, 1, 0]).tobytes()
    text += pack(GRIDS[1]).tobytes()
    expected = hashlib.blake2b(text, digest_size=16).digest()
    assert checksums.checks(row).tobytes() == expected


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_joined_checks_are_their_xor(rows):
    row_checks = np.random.default_rng(rows).integers(0, 256, (rows, 16)).astype(np.uint8)
    expected = [0] * 16
    for row in row_checks.tolist():
        expected = [mine ^ its for mine, its in zip(expected, row, strict=True)]
    assert checksums.joined(row_checks).tolist() == expected


@pytest.mark.parametrize(
    ("log", "numbers"),
    [(NOTHING, [0]), (Window(0, 9, 5), [9, 0, 5, 0]), (Window(7, 9), [9, 7, 0, 0])],
)
def test_a_seal_by_hand(log, numbers):
    """As docs/format.md tells it: an empty memory of the paper's thresholds."""
    memory = Memory(TINY)
    text = struct.pack("<3q2d", 6, 3, 2, 0.85, 1.0) + b"mse\0\0\0\0\0" + bytes(5 * 8)
    text += (
        struct.pack(f"<{len(numbers)}q", *numbers)
        + bytes(16)
        + bytes(6 * 8)
        + struct.pack("<q", 1234567)
        + "é".encode()
    )
    expected = hashlib.blake2b(text, digest_size=16).hexdigest()
    assert checksums.seal(memory._state, np.zeros(16, np.uint8), log, "é", 1234567) == expected
