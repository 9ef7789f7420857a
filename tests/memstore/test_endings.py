"""How a memory ends: a with block commits or discards, a close that loses something warns."""

import gc
import subprocess
import sys
import warnings
import weakref

import numpy as np
import pytest

from memstore import Memory, MemoryConfig, TornError, UncommittedWarning

CONFIG = MemoryConfig(capacity=4, key_dim=3, resolution=2)
PAIR = np.eye(3)[:1], np.ones((1, 2, 2, 2), bool)


@pytest.fixture
def path(tmp_path):
    Memory.create(tmp_path / "memory", CONFIG).close()
    return tmp_path / "memory"


def messages(path):
    with Memory.open(path) as memory:
        return len(memory), [entry.message for entry in memory.history()]


def test_a_block_commits_what_was_not(path):
    with Memory.open(path, "r+") as memory:
        memory.write(*PAIR)
    assert memory.mode == "closed"
    assert messages(path) == (1, ["end of a with block", "create"])


def test_a_block_that_raises_discards(path):
    with pytest.raises(KeyError), Memory.open(path, "r+") as memory:
        memory.write(*PAIR)
        raise KeyError
    assert memory.mode == "closed"
    assert messages(path) == (0, ["create"])


def test_a_block_without_changes_commits_nothing(path):
    with Memory.open(path, "r+") as memory:
        memory.write(*PAIR)
        memory.commit("a pair")
        memory.read(PAIR[0])  # a statistic is no change
    with Memory.open(path, "r+", at=memory.history()[1].id):
        pass  # nor is an earlier snapshot
    with Memory.open(path), Memory(CONFIG) as memory:
        memory.write(*PAIR)
    assert messages(path) == (1, ["a pair", "create"])


def test_a_block_that_cannot_commit_lets_go_of_the_lock(path):
    with pytest.raises(TornError), Memory.open(path, "r+") as memory:
        memory.write(*PAIR)
        with memory.frozen() as state:
            state.torn = True
    Memory.open(path, "r+").close()
    assert messages(path) == (0, ["create"])


def test_a_close_that_loses_changes_warns(path):
    memory = Memory.open(path, "r+")
    memory.write(*PAIR)
    with pytest.warns(UncommittedWarning, match=r"memory: closed with changes") as caught:
        memory.close()
    assert caught[0].filename == __file__
    memory.close()
    assert messages(path) == (0, ["create"])


def test_a_close_that_loses_nothing_does_not(path):
    memory = Memory.open(path, "r+")
    memory.write(*PAIR)
    memory.close(discard=True)
    memory = Memory.open(path, "r+")
    memory.write(*PAIR)
    memory.commit("a pair")
    memory.close()
    ram = Memory(CONFIG)
    ram.write(*PAIR)
    ram.close()
    with warnings.catch_warnings(record=True) as caught:
        Memory.open(path).close()
    assert not caught


def test_a_writer_that_is_dropped_warns_and_is_not_kept_alive(path):
    memory = Memory.open(path, "r+")
    memory.write(*PAIR)
    alive = weakref.ref(memory)
    with pytest.warns(UncommittedWarning, match="never closed, and changes") as caught:
        del memory
        gc.collect()
    assert alive() is None and len(caught) == 1 and str(path) in str(caught[0].message)


@pytest.mark.parametrize("end", ["commit", "close", "with", "reader", "RAM"])
def test_one_that_loses_nothing_says_nothing(path, end):
    memory = Memory(CONFIG) if end == "RAM" else Memory.open(path, "r" if end == "reader" else "r+")
    if end != "reader":
        memory.write(*PAIR)
    if end == "commit":
        memory.commit("a pair")
    elif end == "close":
        memory.close(discard=True)
    elif end == "with":
        memory.__exit__(None, None, None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del memory
        gc.collect()
    assert caught == []


PROGRAM = """
import os, sys
import numpy as np
from memstore import Memory
memory = Memory.open(sys.argv[1], "r+")
memory.write(np.eye(3)[:1], np.ones((1, 2, 2, 2), bool))
if not os.fork():  # a child loses nothing of its own
    sys.exit()
os.wait()
"""


def test_the_end_of_python_warns_once(path):
    end = subprocess.run([sys.executable, "-c", PROGRAM, path], capture_output=True, text=True)
    assert end.returncode == 0
    assert end.stderr.count("UncommittedWarning") == 1 and "never closed" in end.stderr
