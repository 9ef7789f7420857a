"""Files appear whole or not at all."""

import pytest

from memstore.files import write_atomic


def test_a_file_is_replaced(tmp_path):
    for data in (b"first", b"second"):
        write_atomic(tmp_path / "a.bin", data)
    assert (tmp_path / "a.bin").read_bytes() == b"second"
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomic(path, b"new")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]
