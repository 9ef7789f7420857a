"""Files appear whole or not at all."""

from pathlib import Path

import pytest

from memstore import PathError, PathExistsError
from memstore.files import made_beside, write_atomic


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


def test_a_folder_appears_when_it_is_done(tmp_path):
    with made_beside(tmp_path / "deep" / "a") as beside:
        beside.mkdir()
        (beside / "x").write_text("1")
        assert not (tmp_path / "deep" / "a").exists()
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["a"]


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
@pytest.mark.parametrize(("error", "want"), [(KeyError, KeyError), (OSError("full"), PathError)])
def test_a_failure_leaves_nothing(make, error, want, tmp_path):
    with pytest.raises(want), made_beside(tmp_path / "a") as beside:
        make(beside)
        raise error
    assert list(tmp_path.iterdir()) == []


def test_what_came_meanwhile_stays(tmp_path):
    with pytest.raises(PathExistsError), made_beside(tmp_path / "a") as beside:
        beside.write_text("ours")
        (tmp_path / "a").write_text("theirs")
    assert (tmp_path / "a").read_text() == "theirs"
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(PathExistsError), made_beside(tmp_path / "link"):
        pass
    assert [file.name for file in tmp_path.iterdir() if "partial" in file.name] == []
