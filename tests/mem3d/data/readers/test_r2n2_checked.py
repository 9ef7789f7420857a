"""The note of models that were once read from end to end."""

import os

import pytest

from mem3d.data.readers.r2n2 import NAME, fingerprint, read_checked, write_checked
from tests.helpers.r2n2_folder import make_r2n2


@pytest.fixture
def model(tmp_path):
    make_r2n2(tmp_path, train=1, val=0, test=0)
    place = "03001627/train0"
    return (
        tmp_path / "ShapeNetRendering" / place / "rendering",
        tmp_path / "ShapeNetVox32" / place / "model.binvox",
    )


def test_a_fingerprint_changes_with_any_file(model):
    rendering, binvox = model
    seen = [fingerprint(rendering, binvox)]
    assert fingerprint(rendering, binvox) == seen[0]
    os.utime(binvox, ns=(0, 1))
    seen.append(fingerprint(rendering, binvox))
    (rendering / "01.png").write_bytes(b"other")
    seen.append(fingerprint(rendering, binvox))
    (rendering / "02.png").write_bytes(b"new")
    seen.append(fingerprint(rendering, binvox))
    assert len(set(seen)) == 4
    binvox.unlink()
    assert fingerprint(rendering, binvox) is None


def test_a_note_comes_back(tmp_path):
    assert read_checked(tmp_path) == {}
    write_checked(tmp_path, {"a/b": "c"})
    assert read_checked(tmp_path) == {"a/b": "c"}


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000, b'{"version": 0, "whole": {"a": "b"}}']
)
def test_a_damaged_note_counts_as_none(tmp_path, data):
    (tmp_path / NAME).write_bytes(data)
    assert read_checked(tmp_path) == {}


def test_a_note_that_cannot_be_written_is_done_without(tmp_path):
    write_checked(tmp_path / "absent", {"a/b": "c"})
    (tmp_path / NAME).mkdir()
    write_checked(tmp_path, {"a/b": "c"})
    assert read_checked(tmp_path) == {}
