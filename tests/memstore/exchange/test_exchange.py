"""export and import_memory: what goes out comes back, and damage is named."""

import json
import os
import random
import shutil
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from memstore import (
    PAPER,
    ArgumentError,
    FormatError,
    Memory,
    MemstoreError,
    PathError,
    PathExistsError,
    PathMissingError,
    SlotError,
)
from memstore.exchange import EXPORT_FORMATS, export, import_memory, table
from tests.helpers.random_memories import COLUMNS, SMALL, assert_same, assert_same_rows, busy_memory

LOSSLESS = ["npz", "safetensors", "zarr", "binvox"]


@pytest.mark.parametrize("kind", LOSSLESS)
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), writes=st.integers(1, 12))
def test_what_goes_out_comes_back(kind, seed, writes):
    memory = busy_memory(seed, writes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{kind}"
        export(memory, path)
        again = import_memory(path)
    assert_same(memory, again)
    rng = np.random.default_rng(seed)
    more = rng.standard_normal((4, 5)), rng.random((4, 3, 3, 3)) < 0.5
    assert memory.write(*more).slots.tolist() == again.write(*more).slots.tolist()
    assert_same(memory, again)


@pytest.mark.parametrize("kind", LOSSLESS)
def test_a_part_comes_back_at_its_own_slots(kind, tmp_path):
    memory = busy_memory(1, writes=12)
    some = memory.slots[[3, 1]]
    export(memory, tmp_path / "part", kind, some)
    part = import_memory(tmp_path / "part", kind)
    assert part.slots.tolist() == sorted(some.tolist())
    assert (part.config, part.clock) == (memory.config, memory.clock)
    assert_same_rows(memory, part, some.tolist())


@pytest.mark.parametrize("kind", EXPORT_FORMATS)
def test_nothing_in_it_is_no_trouble(kind, tmp_path):
    export(Memory(SMALL), tmp_path / f"a.{kind}")
    if kind in LOSSLESS:
        assert_same(Memory(SMALL), import_memory(tmp_path / f"a.{kind}"))


@pytest.mark.parametrize("kind", EXPORT_FORMATS)
def test_an_export_replaces_nothing_and_leaves_nothing_half(kind, tmp_path, monkeypatch):
    memory, path = busy_memory(), tmp_path / f"a.{kind}"
    path.write_text("mine")
    with pytest.raises(PathExistsError, match="exists already"):
        export(memory, path)
    assert path.read_text() == "mine"
    path.unlink()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(PathError, match="disk full"):
        export(memory, path)
    assert list(tmp_path.iterdir()) == []


def test_rows_are_whole_while_a_thread_writes(tmp_path):
    memory = Memory(replace(PAPER, capacity=2, key_dim=8, resolution=2, delta=1))

    def write():
        for i in range(2000):
            bits = np.unpackbits(np.array([i % 255], np.uint8)).astype(bool)
            memory.write(np.float32([bits]) + 0.5, bits.reshape(1, 2, 2, 2), [str(i % 255)])

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        for i in range(30):
            export(memory, tmp_path / f"{i}.npz")
            found = import_memory(tmp_path / f"{i}.npz")
            numbers = np.packbits(found.values(found.slots).reshape(-1, 8), axis=1)[:, 0]
            assert found.sources == [str(number) for number in numbers]
        writing.result()


def test_progress_counts_slots(tmp_path):
    memory, told = busy_memory(), []
    n = len(memory)
    export(memory, tmp_path / "a.npz", progress=lambda *done: told.append(done))
    export(memory, tmp_path / "a.binvox", progress=lambda *done: told.append(done))
    import_memory(tmp_path / "a.npz", progress=lambda *done: told.append(done))
    assert told[-n - 1 :] == [*((i, n) for i in range(1, n + 1)), (n, n)]
    by_bytes = told[: -n - 1]  # of arrays, one after the other
    assert by_bytes == sorted(set(by_bytes)) and by_bytes[-1] == (n, n)


@pytest.mark.parametrize("kind", LOSSLESS)
@pytest.mark.parametrize("block", [1, 100])
def test_an_export_in_pieces_is_the_same_file(kind, block, tmp_path, monkeypatch):
    memory = busy_memory()
    slots = memory.slots[::-1]
    whole, pieces = tmp_path / f"whole.{kind}", tmp_path / f"pieces.{kind}"
    export(memory, whole, slots=slots)
    monkeypatch.setattr(table, "BLOCK_BYTES", block)
    export(memory, pieces, slots=slots)
    if whole.is_file():
        assert unzipped(whole) == unzipped(pieces)
    for path in (whole, pieces):
        assert_same(import_memory(path), memory)


def unzipped(path):
    """What is in a file, less the times of a zip's members."""
    if path.suffix != ".npz":
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_an_npz_has_the_bytes_that_savez_writes(tmp_path):
    export(busy_memory(), tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        np.savez(tmp_path / "b.npz", **arrays)
    assert unzipped(tmp_path / "a.npz") == unzipped(tmp_path / "b.npz")


def test_safetensors_reads_what_is_written(tmp_path):
    memory = busy_memory()
    export(memory, tmp_path / "a.safetensors")
    tensors = load_file(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(tensors["keys"], memory.keys(memory.slots))
    np.testing.assert_array_equal(tensors["slots"], memory.slots)


@pytest.mark.parametrize("kind", ["zarr", "parquet"])
def test_progress_tells_of_every_block(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("memstore.exchange.zarr.BLOCK_BYTES", 2 * 128)  # sources are the widest
    monkeypatch.setattr("memstore.exchange.parquet._ROWS", 2)
    memory, told = busy_memory(3, writes=12), []
    n = len(memory)
    assert n > 3
    export(memory, tmp_path / "a", kind, progress=lambda *done: told.append(done))
    assert told == [(min(i + 2, n), n) for i in range(0, n, 2)]


def test_a_folder_without_suffix_tells_its_kind(tmp_path):
    memory = busy_memory()
    for kind in ("zarr", "binvox"):
        export(memory, tmp_path / "deep" / kind, kind)
        assert_same(memory, import_memory(tmp_path / "deep" / kind))


def test_wrong_arguments_are_named(tmp_path):
    memory = busy_memory()
    with pytest.raises(ArgumentError, match="got format 'txt', want one of npz"):
        export(memory, tmp_path / "a.txt")
    with pytest.raises(SlotError, match="slot twice"):
        export(memory, tmp_path / "a.npz", slots=[0, 0])
    with pytest.raises(SlotError, match="want a slot in"):
        export(memory, tmp_path / "a.npz", slots=[99])
    with pytest.raises(PathMissingError, match="nothing there"):
        import_memory(tmp_path / "a.npz")
    export(memory, tmp_path / "a.parquet")
    with pytest.raises(ArgumentError, match="got format 'parquet'"):
        import_memory(tmp_path / "a.parquet")


@pytest.mark.parametrize("rule", [{"capacity": 9}, {"delta": 0.5}, {"policy": True}])
def test_an_export_brings_its_own_rules(rule, tmp_path):
    export(busy_memory(), tmp_path / "a.npz")
    with pytest.raises(ArgumentError, match="brings its own"):
        import_memory(tmp_path / "a.npz", **rule)


def test_max_bytes_bounds_what_is_read(tmp_path):
    memory = busy_memory()
    for kind in LOSSLESS:
        export(memory, tmp_path / f"a.{kind}")
        with pytest.raises(FormatError, match=r"a\.\w+.*want <= 50 \(max_bytes\)"):
            import_memory(tmp_path / f"a.{kind}", max_bytes=50)
        assert_same(memory, import_memory(tmp_path / f"a.{kind}", max_bytes=10_000))


def damage(data, rng):
    """Cut, lengthen, overwrite a stretch, or change single bytes; digits make numbers larger."""
    how = rng.randrange(4)
    if how == 0:
        return data[: rng.randrange(len(data))]
    if how == 1:
        return data + rng.randbytes(rng.randrange(1, 50))
    damaged = bytearray(data)
    for at in (rng.randrange(len(data)) for _ in range(rng.randrange(1, 4))):
        damaged[at : at + 1] = rng.choice([b"9", rng.randbytes(1)])
        if how == 3:
            damaged[at : at + 8] = rng.randbytes(8)
    return bytes(damaged)


@pytest.mark.parametrize(("kind", "times"), {**dict.fromkeys(LOSSLESS, 300), "zarr": 120}.items())
def test_any_damage_gives_a_memory_or_our_error(kind, times, tmp_path):
    export(busy_memory(), tmp_path / "whole", kind)
    whole, rng, refused = tmp_path / "whole", random.Random(0), 0
    files = [file for file in whole.rglob("*") if file.is_file()] or [whole]
    for _ in range(times):
        file = rng.choice(files)
        before = file.read_bytes()
        file.write_bytes(damage(before, rng))
        try:
            assert isinstance(import_memory(whole, kind), Memory)
        except MemstoreError as error:
            refused += 1
            assert str(error).startswith(str(whole))
        file.write_bytes(before)
    assert refused > times / 2


@pytest.mark.parametrize("kind", ["zarr", "binvox"])
def test_a_lost_file_is_noticed(kind, tmp_path):
    export(busy_memory(), tmp_path / "whole", kind)
    for file in [file for file in (tmp_path / "whole").rglob("*") if file.is_file()]:
        if file.name == "index.json":
            continue  # without it, a folder of binvox files is one from elsewhere
        shutil.copytree(tmp_path / "whole", tmp_path / "less")
        (tmp_path / "less" / file.relative_to(tmp_path / "whole")).unlink()
        with pytest.raises(MemstoreError, match="less"):
            import_memory(tmp_path / "less", kind)
        shutil.rmtree(tmp_path / "less")


@pytest.mark.parametrize("kind", LOSSLESS)
def test_exports_of_format_1_are_still_read(kind):
    """Made once, by release 0.1: never remake these, add those of format 2 beside them."""
    memory = import_memory(Path(__file__).parents[2] / "golden" / "exports" / f"one.{kind}")
    assert memory.config == replace(PAPER, capacity=4, key_dim=3, resolution=2, delta=1)
    assert (memory.clock, memory.slots.tolist()) == (3, [0, 1, 2])
    assert (memory.ages.tolist(), memory.reads.tolist()) == ([2, 1, 0], [0, 0, 1])
    assert memory.sources == ["chair/a", "", "tisch/ü"]
    assert memory.keys(range(3)).tolist() == np.eye(3).tolist()
    assert memory.values(range(3)).reshape(3, 8).argmax(axis=1).tolist() == [0, 3, 7]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["npz", "safetensors"])
def test_a_pipe_or_a_folder_is_no_file(kind, tmp_path):
    os.mkfifo(tmp_path / "a")
    (tmp_path / "b").mkdir()
    for name, match in (("a", "no regular file"), ("b", f"got a folder, want a file of .* {kind}")):
        with pytest.raises(PathError, match=match):
            import_memory(tmp_path / name, kind)


@pytest.mark.parametrize(
    ("kind", "match"),
    [("binvox", r"a\.binvox: got one file, want a folder .*features\.npy"), ("zarr", "Zarr group")],
)
def test_a_file_is_no_folder(kind, match, tmp_path):
    (tmp_path / f"a.{kind}").write_bytes(b"#binvox 1")
    with pytest.raises(PathError, match=match):
        import_memory(tmp_path / f"a.{kind}")


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
def test_others_may_read_what_they_may_read_elsewhere(kind, tmp_path):
    (tmp_path / "plain").touch()
    export(Memory(replace(PAPER, capacity=2, key_dim=4, resolution=2)), tmp_path / f"out.{kind}")
    assert (tmp_path / f"out.{kind}").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("kind", LOSSLESS)
def test_rules_come_back(kind, tmp_path):
    memory = Memory(replace(SMALL, delta=None, when_full="error"))
    memory.write(np.eye(5)[:2], np.ones((2, 3, 3, 3), bool))
    export(memory, tmp_path / "out", kind)
    assert_same(memory, import_memory(tmp_path / "out", kind))


@pytest.mark.parametrize("kind", LOSSLESS)
def test_columns_come_back(kind, tmp_path):
    memory = busy_memory(2, 12, replace(SMALL, columns=COLUMNS))
    export(memory, tmp_path / "out", kind)
    assert_same(memory, import_memory(tmp_path / "out", kind))


def test_columns_of_pairs_from_elsewhere(tmp_path):
    columns = {"kind": np.array(["a", "é"]), "mass": np.array([1, 2], np.float32)}
    columns |= {"ok": np.array([True, False]), "view": np.array([3, 4], np.uint8)}
    arrays = {f"column_{name}": column for name, column in columns.items()}
    pairs = {"keys": np.eye(3)[:2], "values": np.ones((2, 2, 2, 2), bool)}
    np.savez(tmp_path / "pairs.npz", **pairs, **arrays)
    for policy in (False, True):
        memory = import_memory(tmp_path / "pairs.npz", policy=policy, delta=1 if policy else None)
        kinds = {"kind": "str", "mass": "float", "ok": "bool", "view": "int"}
        assert memory.config.columns == kinds
        for name, column in memory.columns().items():
            assert column.tolist() == columns[name].tolist()[: len(memory)]


@pytest.mark.parametrize(
    ("name", "column", "match"),
    [
        ("column_a-b", np.zeros(2), "name 'a-b'"),
        ("column_mass", np.array([0, np.nan]), "got nan"),
        ("column_mass", np.zeros(3), r"got float64 \(3,\), want 2"),
        ("column_mass", np.zeros((2, 3)), r"got float64 \(2, 3\), want 2 texts"),
        ("column_kind", np.array(["x" * 129, ""]), "129 bytes"),
    ],
)
def test_columns_that_do_not_fit_are_named(tmp_path, name, column, match):
    pairs = {"keys": np.eye(3)[:2], "values": np.ones((2, 2, 2, 2), bool)}
    np.savez(tmp_path / "pairs.npz", **pairs, **{name: column})
    with pytest.raises(FormatError, match=match):
        import_memory(tmp_path / "pairs.npz")


def test_a_table_and_meshes_have_the_columns(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    memory = busy_memory(2, 12, replace(SMALL, columns=COLUMNS))
    wanted = {name: column.tolist() for name, column in memory.columns().items()}
    export(memory, tmp_path / "a.parquet")
    table = parquet.read_table(tmp_path / "a.parquet").to_pydict()
    assert {name: table[name] for name in wanted} == wanted
    export(memory, tmp_path / "a.stl")
    entries = json.loads((tmp_path / "a.stl" / "index.json").read_text())["slots"]
    assert {name: [entry["columns"][name] for entry in entries] for name in wanted} == wanted


def test_the_policy_is_the_papers_and_without_it_nothing_is_lost(tmp_path):
    keys, values = np.eye(3)[[0, 0]], np.ones((2, 2, 2, 2), bool)
    np.savez(tmp_path / "pairs.npz", keys=keys, values=values)
    memory = import_memory(tmp_path / "pairs.npz")
    assert (memory.config.delta, memory.config.when_full, len(memory)) == (None, "error", 2)
    memory = import_memory(tmp_path / "pairs.npz", policy=True)
    config = replace(PAPER, capacity=2, key_dim=3, resolution=2)
    assert (memory.config, len(memory)) == (config, 1)
