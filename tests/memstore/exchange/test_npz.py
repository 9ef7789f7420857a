"""Exports and hostile files in numpy's format."""

import json
import struct
import zipfile

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from memstore import FormatError
from memstore.exchange import export, import_memory
from memstore.exchange.npz import read_npy
from tests.helpers.random_memories import busy_memory

KEYS = np.eye(2, 3, dtype=np.float32)
VALUES = np.ones((2, 4, 4, 4), np.bool_)


def member(path, name, header, data=b"", compression=zipfile.ZIP_STORED):
    """Add an array with a header of any content."""
    text = header.encode() + b"\n"
    array = b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + data
    with zipfile.ZipFile(path, "a", compression) as file:
        file.writestr(f"{name}.npy", array)


def test_numpy_alone_reads_an_export(tmp_path):
    memory = busy_memory()
    export(memory, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as read:
        assert read["slots"].tolist() == memory.slots.tolist()
        assert_array_equal(read["keys"], memory.keys(memory.slots))
        grids = np.unpackbits(read["values"], axis=-1, count=3)
        assert_array_equal(grids, memory.values(memory.slots))
        assert [source.decode() for source in read["sources"]] == memory.sources
        facts = json.loads(read["attributes"].tobytes())
    assert_array_equal(facts["clock"] - memory._state.touched[memory.slots], memory.ages)


def test_pickles_stay_closed(tmp_path):
    np.savez(tmp_path / "a.npz", keys=KEYS, values=np.array([print, None], object))
    with pytest.raises(FormatError, match="values: got a header"):
        import_memory(tmp_path / "a.npz")


def test_a_bomb_is_refused_before_it_goes_off(tmp_path, monkeypatch):
    monkeypatch.setattr("memstore.exchange._ALWAYS_FINE", 10**6)
    header = "{'descr': '|b1', 'fortran_order': False, 'shape': (2, 100, 100, 100), }"
    member(tmp_path / "a.npz", "values", header, bytes(2 * 100**3), zipfile.ZIP_DEFLATED)
    member(tmp_path / "a.npz", "keys", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 0)}")
    assert (tmp_path / "a.npz").stat().st_size < 10_000
    with pytest.raises(FormatError, match=r"arrays: got 2,000,000 bytes, want <= 1,000,000"):
        import_memory(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("header", "match"),
    [
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 99999999), }", "bytes"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", "want those of float32"),
        ("{'descr': '<f4', 'fortran_order': True, 'shape': (0, 3), }", "columns first"),
        ("{'descr': '>f4', 'fortran_order': False, 'shape': (0, 3), }", "a header we do not read"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (0, 3), }", "a header we do not read"),
        ("(" * 3000, "a header we do not read"),
    ],
)
def test_a_header_that_lies_is_named(header, match, tmp_path):
    member(tmp_path / "a.npz", "keys", header)
    with pytest.raises(FormatError, match=rf"a\.npz: keys: got .*{match}"):
        import_memory(tmp_path / "a.npz")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_array_twice_is_named(tmp_path):
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3), }"
    for _ in range(2):
        member(tmp_path / "a.npz", "keys", header)
    with pytest.raises(FormatError, match="want distinct names"):
        import_memory(tmp_path / "a.npz")


def test_only_stored_and_deflated_members_are_unpacked(tmp_path):
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3), }"
    member(tmp_path / "a.npz", "keys", header, compression=zipfile.ZIP_LZMA)
    with pytest.raises(FormatError, match="got compression 14"):
        import_memory(tmp_path / "a.npz")


def test_a_directory_of_many_members_is_not_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        for i in range(2000):
            file.writestr(str(i), b"")
    with pytest.raises(FormatError, match="directory: got"):
        import_memory(tmp_path / "a.npz")


def test_blocks_are_joined(tmp_path, monkeypatch):
    monkeypatch.setattr("memstore.exchange.npz.BLOCK_BYTES", 100)
    values = np.random.default_rng(0).random((2, 4, 4, 4)) < 0.5
    np.savez_compressed(tmp_path / "a.npz", keys=KEYS, values=values)
    assert_array_equal(import_memory(tmp_path / "a.npz").values([0, 1]), values)


def test_one_array(tmp_path):
    np.save(tmp_path / "a.npy", KEYS)
    assert_array_equal(read_npy(tmp_path / "a.npy", 24), KEYS)
    with pytest.raises(FormatError, match="got 24 bytes, want <= 23"):
        read_npy(tmp_path / "a.npy", 23)
    with pytest.raises(FormatError, match=r"b\.npy: cannot be read: .*No such file"):
        read_npy(tmp_path / "b.npy", 24)
