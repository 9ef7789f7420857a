"""Files appear whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from memstore import PathError, PathExistsError, files
from memstore.files import made_beside, open_regular, write_atomic


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
    with pytest.raises(PathError, match=r"a\.bin: cannot be written: disk full"):
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


@pytest.mark.parametrize("name", ["", ".", "folder", "missing/a.png", "file/a.png", "n" * 300])
def test_a_path_that_takes_no_file_is_named(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(PathError, match=r"cannot be written|got no file there"):
        write_atomic(name, b"new")
    assert {file.name for file in tmp_path.iterdir()} == {"folder", "file"}


def test_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PathError, match="got no file there"):
        write_atomic(tmp_path / "pipe", b"new")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("name", ["file/a", "n" * 300])
def test_a_folder_that_cannot_be_made_is_named(name, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(PathError, match="cannot be written"), made_beside(tmp_path / name):
        pass


@pytest.mark.timeout(10)
def test_only_regular_files_are_opened(tmp_path):
    (tmp_path / "file").write_bytes(b"whole")
    (tmp_path / "link").symlink_to("file")
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"whole"
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, "/dev/zero"):
        with pytest.raises(PathError, match=f"{path}: "):
            open_regular(path)


def test_what_a_killed_process_left_goes(tmp_path):
    """The next call that writes there removes it; what a running one makes stays."""
    code = (
        "import os, sys; from pathlib import Path; from memstore import files\n"
        "with files.made_beside(Path(sys.argv[1])) as beside:\n"
        "    beside.mkdir(); (beside / 'half').touch(); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "a"], check=False)
    assert [path.name.split(".")[1] for path in tmp_path.iterdir()] == ["a"]
    with files.made_beside(tmp_path / "running") as running:
        running.mkdir()
        with files.made_beside(tmp_path / "b") as beside:
            beside.touch()
        assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "b", running])


def test_the_longest_name_that_a_system_takes(tmp_path):
    files.write_atomic(tmp_path / ("ü" * 127), b"1")
    assert (tmp_path / ("ü" * 127)).read_bytes() == b"1"


def test_a_file_is_synced_before_it_has_its_name_and_its_folder_after(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: calls.append("sync") or fsync(fd))
    monkeypatch.setattr(os, "replace", lambda *paths: calls.append("name") or replace(*paths))
    files.write_atomic(tmp_path / "a", b"1")
    assert calls == ["sync", "name", "sync"]


@pytest.mark.timeout(20)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_syncs_as_well(tmp_path):
    """It has none of the threads that wait for the disk in its parent."""
    files.sync([tmp_path, tmp_path])
    child = os.fork()
    if not child:
        files.sync([tmp_path, tmp_path])
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
