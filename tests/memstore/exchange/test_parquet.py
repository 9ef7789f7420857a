"""Exports in Parquet."""

import json
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from pyarrow import parquet

from memstore import ExtraMissingError
from memstore.exchange import export
from tests.helpers.random_memories import busy_memory


def test_pyarrow_alone_reads_an_export(tmp_path):
    memory = busy_memory()
    export(memory, tmp_path / "a.parquet")
    table = parquet.read_table(tmp_path / "a.parquet")
    rows = table.to_pydict()
    assert rows["slot"] == memory.slots.tolist()
    assert rows["source"] == memory.sources
    assert (rows["age"], rows["reads"]) == (memory.ages.tolist(), memory.reads.tolist())
    assert_array_equal(np.array(rows["key"], np.float32), memory.keys(memory.slots))
    packed = np.frombuffer(b"".join(rows["value"]), np.uint8).reshape(-1, 3, 3, 1)
    grids = np.unpackbits(packed, axis=-1, count=3)
    assert_array_equal(grids, memory.values(memory.slots))
    assert json.loads(table.schema.metadata[b"config"])["capacity"] == 6


def test_row_groups_follow_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr("memstore.exchange.parquet._ROWS", 2)
    memory = busy_memory()
    export(memory, tmp_path / "a.parquet")
    assert parquet.read_table(tmp_path / "a.parquet")["slot"].to_pylist() == memory.slots.tolist()


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ExtraMissingError, match=r"^parquet: got no pyarrow.* -e '\.\[parquet\]'"):
        export(busy_memory(), tmp_path / "a.parquet")
    assert list(tmp_path.iterdir()) == []
