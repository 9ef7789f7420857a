"""Ctrl-C at every step: what is left is a memory that can be changed, or says no, and closed."""

import random
import shutil
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import memstore
from memstore import PAPER, Memory, TornError
from memstore.rwlock import ReadWriteLock

ROOT = str(Path(memstore.__file__).parent)
CONFIG = replace(PAPER, capacity=8, key_dim=16, resolution=2, beta=-1)
RNG = np.random.default_rng(0)
FEATURES, GRIDS = RNG.standard_normal((4, 16)), RNG.random((4, 2, 2, 2)) < 0.5


def steps(call, at=None, by_instruction=False):
    """Run a call, interrupted at one of its steps in memstore; (file, line or instruction) of all.

    A real interrupt strikes between instructions, of which a line has many, and some of them are
    under no `try` or `with`, though the lines around them are.
    """
    taken = []

    def trace(frame, event, argument):
        path, name = frame.f_code.co_filename, frame.f_code.co_name
        if not path.startswith(ROOT) or name == "__del__":  # whence no error gets out
            return None
        frame.f_trace_opcodes = by_instruction
        if event in ("call", "opcode" if by_instruction else "line"):
            if len(taken) == at:
                raise KeyboardInterrupt
            place = (name, frame.f_lasti) if by_instruction else (frame.f_lineno,)
            taken.append((path.removeprefix(ROOT), *place))
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(previous)
    return taken


def interrupt(call, at, by_instruction=False):
    """Run a call and interrupt it; the error with all frames, as a prompt keeps the last one."""
    with pytest.raises(KeyboardInterrupt) as error:
        steps(call, at, by_instruction)
    return error


def first_of_each(places):
    """Indices of the first step at each place."""
    return [places.index(place) for place in dict.fromkeys(places)]


def elsewhere(*calls):
    """Run calls in another thread, which is not to wait for ever."""
    errors = []

    def run():
        try:
            for call in calls:
                call()
            errors.append(None)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(5)
    assert errors, "another thread is locked out"
    if errors[0]:
        raise errors[0]


def read(lock):
    with lock.reading():
        pass


def read_within(lock):
    with lock.reading(), lock.reading():
        pass


def write(lock):
    with lock.writing():
        pass


def write_at_once(lock):
    with lock.writing(wait=False):
        pass


@pytest.mark.parametrize("call", [read, read_within, write, write_at_once])
def test_every_instruction_of_the_lock(call):
    count = len(steps(partial(call, ReadWriteLock()), by_instruction=True))
    for at in range(count):
        lock = ReadWriteLock()
        error = interrupt(partial(call, lock), at, by_instruction=True)
        write_at_once(lock)  # nobody is in, though nobody went out
        elsewhere(partial(read, lock), partial(write, lock))
        del error


@pytest.mark.parametrize("call", [read, write])
def test_instructions_of_one_who_waits(call):
    """Another thread writes, until it sees that somebody waits."""

    def attempt(at):
        lock, is_in, is_over = ReadWriteLock(), threading.Event(), threading.Event()

        def hold():
            with lock.writing():
                is_in.set()
                while not lock._bells and not is_over.is_set():
                    time.sleep(0.0005)

        holder = threading.Thread(target=hold)
        holder.start()
        is_in.wait()
        places, error = [], None
        try:
            places = steps(partial(call, lock), at, by_instruction=True)  # now and then fewer
        except KeyboardInterrupt as interrupted:
            error = interrupted
        is_over.set()
        holder.join()
        write_at_once(lock)
        elsewhere(partial(read, lock), partial(write, lock))
        del error
        return places

    for at in first_of_each(attempt(None)):
        attempt(at)


def in_ram(path):
    memory = Memory(CONFIG)
    memory.write(FEATURES[:2], GRIDS[:2])
    return memory


def on_disk(path):
    """A memory with a history, a tag and a change that is not committed."""
    if not path.exists():
        origin = path.with_name("origin")
        if not origin.exists():
            with Memory.create(origin, CONFIG) as memory:
                for step in range(3):
                    memory.write(FEATURES[step : step + 1], GRIDS[step : step + 1])
                    memory.commit(f"step {step}")
                memory.tag("old")
        shutil.copytree(origin, path)
    memory = Memory.open(path, "r+")
    memory.write(FEATURES[:2], GRIDS[:2])
    return memory


def search_within(memory):
    with memory.frozen():
        memory.search(FEATURES, 2)


def check_usable(memory):
    """Writes work here and in another thread, or say that the memory is torn; so does `close`."""
    works = memory.mode == "r+"
    if works:
        try:
            memory.write(FEATURES, GRIDS)
            elsewhere(lambda: memory.write(FEATURES, GRIDS))
            if memory.path:
                memory.commit("after")
        except TornError:
            works = False
    elsewhere(lambda: memory.read(FEATURES, 2))
    memory.close(discard=True)
    assert memory.mode == "closed"
    if memory.path:
        with Memory.open(memory.path, "r+") as again:
            assert again.verify().problems == ()
            assert not works or again.history()[0].message == "after"


CALLS = {
    "read": (in_ram, lambda memory: memory.read(FEATURES, 2)),
    "search within": (in_ram, search_within),
    "write": (in_ram, lambda memory: memory.write(FEATURES, GRIDS)),
    "remove": (in_ram, lambda memory: memory.remove([0])),
    "replace_keys": (in_ram, lambda memory: memory.replace_keys([0], FEATURES[:1])),
    "close in RAM": (in_ram, lambda memory: memory.close()),
    "commit": (on_disk, lambda memory: memory.commit("change")),
    "tag": (on_disk, lambda memory: memory.tag("new")),
    "untag": (on_disk, lambda memory: memory.untag("old")),
    "expire": (on_disk, lambda memory: memory.expire(1)),
    "close": (on_disk, lambda memory: memory.close(discard=True)),
}


OWN = {
    in_ram: ("/memory.py", "/rwlock.py", "/slots/state.py", "/search/index.py"),
    on_disk: ("/memory.py", "/storage/lock.py"),
}
SAMPLE = {in_ram: 20, on_disk: 4}  # lines of other files that are tried per call


@pytest.mark.parametrize(("make", "call"), CALLS.values(), ids=CALLS)
def test_lines_of_a_call(make, call, tmp_path):
    """All of the memory's own and of its locks', and some of what they call."""
    for _ in range(2):  # the first time more is done: imports, what is made once
        memory = fresh(make, tmp_path)
        places = steps(partial(call, memory))
        memory.close(discard=True)
    firsts = first_of_each(places)
    own = [at for at in firsts if places[at][0] in OWN[make]]
    others = sorted({*firsts} - {*own})
    assert own
    for at in [*own, *random.Random(0).sample(others, min(SAMPLE[make], len(others)))]:
        memory = fresh(make, tmp_path)
        error = interrupt(partial(call, memory), at)
        check_usable(memory)
        del error


def fresh(make, folder):
    shutil.rmtree(folder / "memory", ignore_errors=True)
    return make(folder / "memory")
