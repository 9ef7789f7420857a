"""How the memstore command ends: one line on stderr, never a traceback."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from mem3d_cli.memstore.app import main
from memstore import PAPER, Memory
from tests.helpers.console import run_main

MAIN = "import sys; from mem3d_cli.memstore.app import main; main()"
ONE_BY_ONE = """
import json, sys
from mem3d_cli.memstore.app import main
for sys.argv in json.loads(sys.argv[1]):
    try:
        main()
    except SystemExit as end:
        assert not end.code
    print(end="\\f")
"""
STOPPED = """
import os, signal, time
from memstore.memory import Memory

def opened(*arguments, **options):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # else ignored in a shell's background
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)

Memory.open = opened
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A memory of two slots, one of them from a hostile source."""
    path = tmp_path_factory.mktemp("endings") / "memory"
    with Memory.create(path, replace(PAPER, capacity=4, key_dim=3, resolution=2)) as memory:
        grids = np.arange(2).astype(bool)[:, None, None, None] | np.zeros((2, 2, 2, 2), bool)
        memory.write(np.eye(3)[:2], grids, ["\x1b[31mü", "椅"])
        memory.commit("first")
    return path


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Run the command in this process, in an empty folder; its end as that of a process."""
    monkeypatch.chdir(tmp_path)
    return partial(run_main, main)


def run(*arguments, before="", code=MAIN, **environment):
    """Run the command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", before + code, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        timeout=60,
    )


def assert_one_line(ended, *words):
    told = ended.stderr.decode()
    assert (ended.returncode, ended.stdout) == (1, b""), told
    assert told.startswith("memstore: ") and told.count("\n") == 1, told
    assert not words or any(word in told for word in words), told


@pytest.mark.parametrize("picture", ["missing/a.png", ".", "", "file/a.png"])
@pytest.mark.parametrize("command", [("inspect",), ("query", "--slot", 0)], ids=lambda c: c[0])
def test_a_picture_that_cannot_be_written(command, picture, path, tmp_path, call):
    (tmp_path / "file").touch()
    ended = call(command[0], path, *command[1:], "--picture", picture)
    assert_one_line(ended, "cannot be written", "got no file there")


@pytest.mark.parametrize("command", [("inspect",), ("query", "--slot", 0)], ids=lambda c: c[0])
def test_a_picture_of_another_kind(command, path, tmp_path, call):
    ended = call(command[0], path, *command[1:], "--picture", tmp_path / "a.jpg")
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert b"--picture" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk(path, tmp_path):
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
    options = ("--picture", tmp_path / "a.png")
    assert_one_line(run("inspect", path, *options, before=limit), "File too large")
    assert list(tmp_path.iterdir()) == []


def test_an_export_below_a_file(path, tmp_path, call):
    (tmp_path / "o.npz").touch()
    assert_one_line(call("export", path, "-o", tmp_path / "o.npz" / "x.npz"), "cannot be written")


@pytest.mark.parametrize("make", ["mkdir", "symlink_to"])
def test_a_folder_of_things_that_are_no_files(make, tmp_path, call):
    (tmp_path / "in").mkdir()
    getattr(tmp_path / "in" / "a.binvox", make)(*["nowhere"] * (make == "symlink_to"))
    assert_one_line(call("import", tmp_path / "in", "-o", tmp_path / "out"), "a.binvox")


@pytest.mark.parametrize("k", [10**11, 10**20])
def test_more_neighbors_than_slots(k, path, tmp_path, call):
    ended = call("query", path, "--slot", 0, "-k", k, "--picture", tmp_path / "a.png")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert len(ended.stdout.splitlines()) == 2 + 2 + 1  # head and rule, slots, picture


@pytest.mark.parametrize(
    "arguments",
    [
        ("query", "--slot", 10**20),
        ("inspect", "--at", "\x1b[31m"),
        ("export", "-o", "x.npz", "--slot", 10**30),
    ],
)
def test_arguments_out_of_range(arguments, path, call):
    ended = call(arguments[0], path, *arguments[1:])
    assert_one_line(ended)
    assert b"\x1b" not in ended.stderr


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError(5, "broken"), ValueError("a\nb")], ids=repr
)
def test_the_last_resort(error, path, call, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(Memory, "stats", fail)
    assert_one_line(call("inspect", path), "MemoryError", "broken", "a\\nb")


def test_ctrl_c(path):
    ended = run("inspect", path, before=STOPPED)
    assert (ended.returncode, ended.stdout) == (130, b"")
    assert ended.stderr == b"memstore: stopped\n"


def test_usage_errors_keep_their_status(path, call):
    for arguments in ((), ("query", path), ("nonsense",), ("query", path, "-k", "many")):
        ended = call(*arguments)
        assert ended.returncode == 2
        assert b"Usage" in ended.stdout + ended.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_encoding_will_do(encoding, path):
    """Three commands one after the other, in a process whose pipes have that encoding."""
    commands = (["inspect"], ["query", "--slot", "0"], ["history"])
    lines = [["memstore", words[0], str(path), *words[1:]] for words in commands]
    ended = run(json.dumps(lines), code=ONE_BY_ONE, PYTHONIOENCODING=encoding)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"\x1b" not in ended.stdout
    # Click takes ASCII for a setting nobody meant, and writes UTF-8.
    pages = ended.stdout.decode("latin-1" if encoding == "latin-1" else "utf-8").split("\f")
    assert len(pages) == 3 + 1 and all(pages[:3])
    assert (r"\u6905" if encoding == "latin-1" else "椅") in pages[1]
