"""What a writer keeps in mind of its last commit is what a reader of the folder finds."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from memstore import PAPER, Memory, PathError
from memstore.storage import schema
from memstore.storage.local.repository import Repository

CONFIG = replace(PAPER, capacity=12, key_dim=3, resolution=2, delta=1)
STEPS = ("write", "remove", "read", "commit", "refused", "rewind")


@pytest.fixture(autouse=True)
def short_log(monkeypatch):
    """Most sequences fold the log now and then."""
    monkeypatch.setattr(schema, "LOG_LEAST", 64)


def stored(memory):
    """Ledger of the last commit, read anew."""
    return Repository(memory.path).read(memory.snapshot)[1]


def assert_same_ledger(memory):
    ours, theirs = memory._repository._ledger, stored(memory)
    for field in fields(ours):
        if field.name != "changes":
            assert_array_equal(getattr(ours, field.name), getattr(theirs, field.name))


def change(memory, step, rng):
    """Apply a step other than a commit."""
    if step == "write":
        count = int(rng.integers(1, 3))
        memory.write(rng.standard_normal((count, 3)), rng.random((count, 2, 2, 2)) < 0.5)
    elif step == "remove" and len(memory) > 6:
        memory.remove(rng.choice(memory.slots, 1))
    elif step == "read":
        memory.read(rng.standard_normal((2, 3)), 2, beta=-1)


@settings(max_examples=25)
@given(st.lists(st.sampled_from(STEPS), max_size=25), st.integers(0, 2**32 - 1))
def test_a_ledger_is_what_is_on_disk(tmp_path_factory, steps, seed):
    rng = np.random.default_rng(seed)
    path = tmp_path_factory.mktemp("ledger") / "memory"
    memory = Memory.create(path, CONFIG, durability="process")
    memory.write(rng.standard_normal((12, 3)), rng.random((12, 2, 2, 2)) < 0.5)
    memory.commit("full")
    for step in steps:
        change(memory, step, rng)
        if step == "commit":
            memory.commit("goes on")
            assert_same_ledger(memory)
        elif step == "refused":
            refuse(memory)
            assert_same_ledger(memory)
        elif step == "rewind":
            at = memory.history()[-2].id
            memory.close(discard=True)
            memory = Memory.open(path, "r+", at=at, durability="process")
    memory.commit("end")
    assert_same_ledger(memory)
    memory.close()
    assert Memory.open(path).verify(every=True).problems == ()


def refuse(memory):
    """Have a commit fail in its last step; what it would have changed is not on disk."""
    memory.write(np.eye(3)[:1], np.ones((1, 2, 2, 2), bool))

    def fail(_):
        raise OSError("no room")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory._repository, "_move_main", fail)
        with pytest.raises(PathError, match="no room"):
            memory.commit("refused")
