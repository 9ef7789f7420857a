"""Guard: readers side by side, writers alone."""

import threading
import time

import numpy as np
import pytest

from memstore import Memory, MemoryConfig
from memstore.guard import Guard


def test_readers_side_by_side():
    guard, both = Guard(), threading.Barrier(2, timeout=5)

    def read():
        with guard.reading():
            both.wait()  # only passes while both are inside

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not both.broken


def test_a_writer_waits_for_readers_and_keeps_others_out():
    guard, told = Guard(), []

    def write():
        with guard.writing():
            told.append("writer in")
            time.sleep(0.05)
            told.append("writer out")

    with guard.reading():
        thread = threading.Thread(target=write)
        thread.start()
        time.sleep(0.05)
        told.append("reader out")
    while "writer in" not in told:
        time.sleep(0.001)
    with guard.reading():
        told.append("reader in")
    thread.join()
    assert told == ["reader out", "writer in", "writer out", "reader in"]


def test_an_error_lets_go():
    guard = Guard()
    with pytest.raises(ZeroDivisionError), guard.writing():
        _ = 1 / 0
    with pytest.raises(ZeroDivisionError), guard.reading():
        _ = 1 / 0
    with guard.writing():
        pass


def test_threads_share_a_memory():
    """Readers never see half of a write: the value of a slot always belongs to its source."""
    rng = np.random.default_rng(0)
    config = MemoryConfig(capacity=8, key_dim=64, resolution=4, beta=-1)
    memory, stop, wrong = Memory(config), threading.Event(), []
    patterns = rng.random((32, 4, 4, 4)) < 0.5
    features = rng.standard_normal((32, 64))
    memory.write(features[:8], patterns[:8])

    def look():
        while not stop.is_set():
            found = memory.read(features[:4], 8)
            rows = found.values.reshape(-1, 64)[:, None] == patterns.reshape(1, 32, 64)
            if not rows.all(axis=2).any(axis=1).all():
                wrong.append(found)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        at = rng.permutation(32)[:4]
        memory.write(features[at], patterns[at])
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert memory.verify().problems == ()
