"""Guard: readers side by side, writers alone."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from memstore import PAPER, BusyError, Memory, TornError
from memstore.rwlock import ReadWriteLock


def test_readers_side_by_side():
    guard, both = ReadWriteLock(), threading.Barrier(2, timeout=5)

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
    guard, told = ReadWriteLock(), []

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


def test_a_writer_goes_before_readers_that_never_stop():
    guard, stop, waits = ReadWriteLock(), threading.Event(), []

    def read():
        while not stop.is_set():
            with guard.reading():
                time.sleep(0.002)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        start = time.perf_counter()
        with guard.writing():
            waits.append(time.perf_counter() - start)
    stop.set()
    for thread in threads:
        thread.join()
    assert sorted(waits)[10] < 0.5  # at most the readers that were in; it was seconds


def test_reading_nests_and_nothing_else_does():
    guard = ReadWriteLock()
    refused = pytest.raises(BusyError, match="signal handler")
    with guard.reading(), guard.reading(), refused, guard.writing():
        pass
    with guard.writing(), refused, guard.reading():
        pass
    with guard.writing(), refused, guard.writing():
        pass
    with guard.reading():
        pass


def test_a_signal_handler_cannot_save_half_a_write(tmp_path, monkeypatch):
    """It calls commit in the middle of a write."""
    config = replace(PAPER, capacity=8, key_dim=64, resolution=4)
    with Memory.create(tmp_path / "memory", config) as memory:
        put = memory._state.index.put
        told = []

        def interrupted(*arguments):
            put(*arguments)
            with pytest.raises(BusyError):
                memory.commit("from a handler")
            told.append("refused")

        monkeypatch.setattr(memory._state.index, "put", interrupted)
        memory.write(np.eye(64)[:2], np.ones((2, 4, 4, 4), bool))
        assert told == ["refused"]


def test_an_interrupted_write_is_not_committed(tmp_path, monkeypatch):
    config = replace(PAPER, capacity=8, key_dim=64, resolution=4)
    with Memory.create(tmp_path / "memory", config) as memory:

        def interrupted(*arguments):
            raise KeyboardInterrupt

        monkeypatch.setattr(memory._state.index, "put", interrupted)
        with pytest.raises(KeyboardInterrupt):
            memory.write(np.eye(64)[:2], np.ones((2, 4, 4, 4), bool))
        with pytest.raises(TornError, match="open it again"):
            memory.commit("half")
        monkeypatch.undo()
        for change in (
            lambda: memory.write(np.eye(64)[:2], np.ones((2, 4, 4, 4), bool)),
            lambda: memory.remove([]),
            lambda: memory.replace_keys([], np.eye(64)[:0]),
        ):  # it would be whole again by the mark, and hold half of the first write
            with pytest.raises(TornError):
                change()
        with pytest.raises(TornError, match="open it again"):
            memory.commit("half")
        with pytest.raises(TornError):
            memory.copy_to(tmp_path / "half")
        assert not (tmp_path / "half").exists()
    assert len(Memory.open(tmp_path / "memory")) == 0


@pytest.mark.parametrize("noted", ["_readers", "_writers"])
def test_who_was_interrupted_and_never_went_out_is_not_in(noted):
    """What it noted down stays, as when Ctrl-C strikes before the first step of `__exit__`."""
    guard = ReadWriteLock()

    def go_in_only():
        (guard.reading() if noted == "_readers" else guard.writing()).__enter__()
        with pytest.raises(BusyError), guard.writing(wait=False):
            pass

    go_in_only()
    assert getattr(guard, noted)
    thread = threading.Thread(target=lambda: guard.writing().__enter__(), daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    with guard.writing(wait=False):
        pass
    with guard.reading():
        pass


def test_a_handler_that_strikes_between_noting_and_going_in_is_refused():
    guard = ReadWriteLock()
    hold = guard.reading()
    with hold:
        hold.inside = False
        with pytest.raises(BusyError), guard.reading():
            pass


def test_an_error_lets_go():
    guard = ReadWriteLock()
    with pytest.raises(ZeroDivisionError), guard.writing():
        _ = 1 / 0
    with pytest.raises(ZeroDivisionError), guard.reading():
        _ = 1 / 0
    with guard.writing():
        pass


def test_threads_share_a_memory():
    """Readers never see half of a write: the value of a slot always belongs to its source."""
    rng = np.random.default_rng(0)
    config = replace(PAPER, capacity=8, key_dim=64, resolution=4, beta=-1)
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
