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
from memstore import PAPER, Memory, Rows, TornError
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
    try:
        elsewhere(lambda: memory.read(FEATURES, 2))
    except TornError:
        works = False
    memory.close(discard=True)
    assert memory.mode == "closed"
    if memory.path:
        with Memory.open(memory.path, "r+") as again:
            assert again.verify().problems == ()
            assert not works or again.history()[0].message == "after"


LABELED = replace(CONFIG, capacity=4, delta=None, when_full="evict", columns={"label": "int"})
NAMES, LABELS = [f"pair {i}" for i in range(4)], np.arange(4)
MATES = dict(grids=GRIDS, sources=NAMES, columns={"label": LABELS})


def labeled():
    """A full memory whose keys, values, sources and columns tell of which pair they are."""
    memory = Memory(LABELED)
    memory.write(FEATURES, **MATES)
    return memory


def contents(memory):
    """All rows, as each call that reads gives them; each by itself, for there is no torn answer."""
    priors = memory.read(FEATURES, 4)
    slots = memory.slots
    columns = memory.columns()["label"]
    items = [(item.slot, item.source, item.columns["label"], item.age) for item in memory]
    with memory.frozen() as state:
        rows = state.rows(state.used)
    told = [
        *(memory.keys(slots), memory.values(slots), memory.sources, columns, memory.ages),
        *(priors.slots, priors.values, priors.sources, priors.columns["label"], items),
        *(memory.search(FEATURES, 4).slots, memory.find(where={"label": [0, 6]})),
        *(memory.contrast(FEATURES, GRIDS) if memory.config.delta else ()),
        *(memory.value_similarities(GRIDS[0]), memory.sources_of(slots), len(memory)),
        *(rows.keys, rows.values, rows.touched, rows.sources, memory.stats().merges, memory.clock),
    ]
    return [np.asarray(part).tolist() for part in told]


READS = {
    "read": lambda memory: memory.read(FEATURES, 2),
    "search": lambda memory: memory.search(FEATURES, 2),
    "find": lambda memory: memory.find("pair 0"),
    "in": lambda memory: "pair 0" in memory,
    "len": len,
    "item": lambda memory: memory[0],
    "slots": lambda memory: memory.slots,
    "ages": lambda memory: memory.ages,
    "sources": lambda memory: memory.sources,
    "sources_of": lambda memory: memory.sources_of([0]),
    "reads": lambda memory: memory.reads,
    "keys": lambda memory: memory.keys([0]),
    "values": lambda memory: memory.values([0]),
    "columns": lambda memory: memory.columns(),
    "contrast": lambda memory: memory.contrast(FEATURES, GRIDS),
    "value_similarities": lambda memory: memory.value_similarities(GRIDS[0]),
    "stats": lambda memory: memory.stats(),
    "verify": lambda memory: memory.verify(),
    "frozen": lambda memory: memory.frozen().__enter__(),
    "write": lambda memory: memory.write(FEATURES, GRIDS),
    "remove": lambda memory: memory.remove([0]),
    "update": lambda memory: memory.update([0], GRIDS[:1]),
    "replace_keys": lambda memory: memory.replace_keys([0], FEATURES[:1]),
}


@pytest.mark.parametrize("call", READS.values(), ids=READS)
def test_a_torn_memory_answers_nothing(call):
    memory = in_ram(None)
    with memory.frozen() as state:
        state.torn = True
    for _ in range(2):
        with pytest.raises(TornError, match="interrupted"):
            call(memory)
    elsewhere(memory.close)  # and nobody is in


def replace_all(memory):
    """As a working copy leaves it: the pairs the other way round."""
    with memory.frozen() as state:
        rows = state.rows(state.used)
    turned = {name: np.array(array[::-1]) for name, array in rows.columns.items()}
    parts = rows.keys[::-1], rows.values[::-1], rows.touched, rows.sources[::-1], rows.reads
    return lambda: memory.replace_rows(
        Rows(rows.slots, *map(np.array, parts), columns=turned), {"merge": 2}
    )


LATER = dict(MATES, sources=["new 0", "new 1", "new 2", "new 3"], columns={"label": LABELS + 5})
CHANGES = {
    "write": lambda memory: lambda: memory.write(FEATURES[::-1].copy(), **LATER),
    "remove": lambda memory: lambda: memory.remove([0, 2]),
    "update": lambda memory: (
        lambda: memory.update([0, 1], GRIDS[2:], {"label": [6, 7]}, sources=["new 0", "new 1"])
    ),
    "replace_keys": lambda memory: lambda: memory.replace_keys([0, 1], FEATURES[2:]),
    "replace_rows": replace_all,
}


@pytest.mark.parametrize("prepare", CHANGES.values(), ids=CHANGES)
def test_no_reader_meets_half_a_change(prepare):
    """Interrupted at every line, a memory is as before, or as after, or says that it is torn."""
    for _ in range(2):  # the first time more is done
        memory = labeled()
        before = contents(memory)
        places = steps(prepare(memory))
        after = contents(memory)
    assert before != after
    outcomes = []
    for at in first_of_each(places):
        memory = labeled()
        contents(memory)  # what is derived when it is first asked for is there
        error = interrupt(prepare(memory), at)
        try:
            rows = contents(memory)
            assert rows in (before, after)
            outcomes.append("before" if rows == before else "after")
            if rows == before:  # and what is derived is as it was: the change can still be made
                prepare(memory)()
                assert contents(memory) == after
        except TornError:
            outcomes.append("torn")
        del error
    assert {*outcomes} == {"before", "torn", "after"}


def test_a_long_write_is_whole_in_steps():
    """Interrupted while it changes something: rows of whole steps of 256 pairs, or torn."""
    rng = np.random.default_rng(1)
    features, grids = rng.standard_normal((600, 16)), rng.random((600, 2, 2, 2)) < 0.5
    names = [f"pair {i}" for i in range(600)]

    def empty():
        return Memory(replace(LABELED, capacity=600))

    def write(memory):
        memory.write(features, grids, names, {"label": np.arange(600)})

    memory = empty()
    places = steps(partial(write, memory))
    keys = memory.keys(np.arange(600))
    own = [at for at, place in enumerate(places) if place[0] == "/slots/state.py"]
    lengths = []
    for at in own[:: len(own) // 12]:
        memory = empty()
        error = interrupt(partial(write, memory), at)
        try:
            lengths.append(len(memory))
            slots = memory.slots
            assert memory.sources == names[: len(slots)]
            assert memory.columns()["label"].tolist() == slots.tolist()
            assert (memory.values(slots) == grids[: len(slots)]).all()
            assert (memory.keys(slots) == keys[: len(slots)]).all()
        except TornError:
            lengths.append("torn")
        del error
    assert {0, "torn"} <= {*lengths} <= {0, 256, 512, 600, "torn"}


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
    on_disk: ("/memory.py", "/storage/local/lock.py"),
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
