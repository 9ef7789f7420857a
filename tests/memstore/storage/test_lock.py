"""One writer: refused with a name, forgotten when dead."""

import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

from memstore import PAPER, LockedError, Memory
from memstore.storage.local.lock import WriterLock

TINY = replace(PAPER, capacity=4, key_dim=3, resolution=2)
HOLD = """
import sys, memstore, numpy as np
memory = memstore.Memory.open(sys.argv[1], "r+")
memory.write(np.eye(3), np.ones((3, 2, 2, 2), bool))
memory.commit("by the other process")
memory.write(-np.eye(3), np.zeros((3, 2, 2, 2), bool))
print("holding", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has committed one batch, written another, and holds the lock."""
    Memory.create(tmp_path / "memory", TINY).close()
    command = [sys.executable, "-c", HOLD, str(tmp_path / "memory")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"holding\n"
        yield process
        process.kill()


def test_another_process_is_named_and_a_dead_one_forgotten(holder, tmp_path):
    path = tmp_path / "memory"
    with pytest.raises(LockedError, match=f"process {holder.pid} on {socket.gethostname()} "):
        Memory.open(path, "r+")
    with Memory.open(path) as reader:  # readers ask nobody
        assert len(reader) == 1
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with Memory.open(path, "r+") as memory:  # back to the last commit
        assert memory.history()[0].message == "by the other process"
        assert (len(memory), memory.clock) == (1, 3)


def test_the_same_process_is_refused_too(tmp_path):
    memory = Memory.create(tmp_path / "memory", TINY)
    with pytest.raises(LockedError, match=f"process {os.getpid()} "):
        Memory.open(tmp_path / "memory", "r+")
    memory.close(discard=True)
    Memory.open(tmp_path / "memory", "r+").close()


def test_a_forgotten_memory_lets_go(tmp_path):
    memory = Memory.create(tmp_path / "memory", TINY)
    del memory
    Memory.open(tmp_path / "memory", "r+").close()


def test_a_failed_open_lets_go(tmp_path):
    Memory.create(tmp_path / "memory", TINY).close()
    with pytest.raises(LookupError):
        Memory.open(tmp_path / "memory", "r+", at="nothing")
    Memory.open(tmp_path / "memory", "r+").close()


def test_garbage_in_the_lock_file_is_no_problem(tmp_path):
    path = tmp_path / "writer.lock"
    path.write_bytes(b"\xff\xfe" * 1000)
    lock = WriterLock(path)
    assert path.read_text() == f"{os.getpid()} {socket.gethostname()}"
    lock.close()
    lock.close()


def test_a_forked_child_does_not_give_the_lock_away(tmp_path):
    lock = WriterLock(tmp_path / "writer.lock")
    lock._pid += 1  # what a forked child's copy looks like: made by another process
    child_view, lock._file = lock._file, os.fdopen(os.dup(lock._file.fileno()), "r+b", 0)
    lock.close()
    with pytest.raises(LockedError):
        WriterLock(tmp_path / "writer.lock")
    child_view.close()
    WriterLock(tmp_path / "writer.lock").close()
