"""Exports and hostile files in the safetensors format."""

import json
import struct

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from safetensors.numpy import load_file, save_file

from memstore import FormatError
from memstore.exchange import export, import_memory
from tests.helpers.random_memories import busy_memory


def hostile(path, header, data=b""):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def test_safetensors_alone_reads_an_export(tmp_path):
    memory = busy_memory()
    export(memory, tmp_path / "a.safetensors")
    read = load_file(tmp_path / "a.safetensors")
    assert read["slots"].tolist() == memory.slots.tolist()
    assert_array_equal(read["keys"], memory.keys(memory.slots))
    assert [row.tobytes().rstrip(b"\0").decode() for row in read["sources"]] == memory.sources


@pytest.mark.parametrize(
    ("header", "match"),
    [
        ({"keys": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]}}, "keys|tensor"),
        ({"keys": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, "not fully covered"),
        ({"keys": {"dtype": "BF16", "shape": [0, 4], "data_offsets": [0, 0]}}, "got BF16"),
        ({"__metadata__": {"attributes": "[" * 9999}}, "got JSON that is 9999 deep"),
        ({"__metadata__": {"attributes": "null"}}, "got arrays"),
    ],
)
def test_a_header_that_lies_is_named(header, match, tmp_path):
    hostile(tmp_path / "a.safetensors", header)
    with pytest.raises(FormatError, match=match):
        import_memory(tmp_path / "a.safetensors")


def test_a_long_header_is_not_parsed(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", 2**30) + bytes(2**20))
    with pytest.raises(FormatError, match="header: got 1073741824 bytes"):
        import_memory(tmp_path / "a.safetensors")


def test_a_byte_that_is_no_bool_is_named(tmp_path):
    pairs = {"keys": np.eye(1, 3), "values": np.ones((1, 2, 2, 2), np.bool_)}
    save_file(pairs, tmp_path / "a.safetensors")
    whole = (tmp_path / "a.safetensors").read_bytes()
    assert whole.count(b"\1" * 8) == 1
    (tmp_path / "a.safetensors").write_bytes(whole.replace(b"\1" * 8, b"\2" * 8))
    with pytest.raises(FormatError, match="values: got 2, want 0 or 1"):
        import_memory(tmp_path / "a.safetensors")
