"""Reading in worker processes, as a DataLoader does.

Two traps, both of them hangs: a forked child that enters an OpenMP region although its parent did
(a FAISS search is one, no call of Memory is), and a forked child that opens a folder although its
parent did (icechunk's threads stay behind). So: fork with an open memory, or spawn and open.
"""

import multiprocessing
from dataclasses import replace

import faiss
import numpy as np
import pytest

from memstore import PAPER, ForkError, Memory
from memstore.search import pruning

CONFIG = replace(PAPER, capacity=300, key_dim=256, resolution=8, beta=-1, delta=0.99)
TIMEOUT = 60


def keys(count):
    return np.random.default_rng(0).standard_normal((count, 256), np.float32)


def grids(count):
    return np.random.default_rng(1).random((count, 8, 8, 8)) < 0.5


def answers(memory):
    """What a worker may ask for; also writes, to its own copy."""
    priors = memory.read(keys(40), 4)
    contrast = memory.contrast(keys(4), grids(4))
    writer = Memory(CONFIG)
    report = writer.write(keys(8), grids(8))
    return [array.tolist() for array in (*priors[:4], *contrast, *report[:2])]


def open_and_answer(path, queue):
    with Memory.open(path) as memory:
        queue.put(answers(memory))


def answer(memory, queue):
    queue.put(answers(memory))


@pytest.fixture
def path(tmp_path):
    with Memory.create(tmp_path / "memory", CONFIG) as memory:
        memory.write(keys(300), grids(300))
        memory.commit("full")
    return tmp_path / "memory"


def in_child(method, work, given):
    """What the child puts in a queue, unless it hangs."""
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=work, args=(given, queue), daemon=True)
    child.start()
    try:
        return queue.get(timeout=TIMEOUT)
    finally:
        child.kill()
        child.join()


@pytest.fixture
def busy_openmp():
    """OpenMP's threads are there, as after any FAISS search or torch operation."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    index = faiss.IndexFlatIP(256)
    index.add(keys(300))
    index.search(keys(300), 4)
    yield
    faiss.omp_set_num_threads(before)


FORKS = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def test_a_spawned_child_opens_the_memory(path, busy_openmp):
    with Memory.open(path) as memory:
        expected = answers(memory)
    assert in_child("spawn", open_and_answer, path) == expected


@FORKS
def test_a_forked_child_reads_its_parents_memory(path, busy_openmp):
    with Memory.open(path) as memory:
        expected = answers(memory)
        assert in_child("fork", answer, memory) == expected


def use_the_disk(memory, queue):
    calls = (
        lambda: Memory.open(memory.path),
        lambda: Memory.create(memory.path.with_name("other"), CONFIG),
        lambda: memory.copy_to(memory.path.with_name("copy")),
        lambda: memory.commit("in the child"),
        memory.history,
        memory.tags,
        lambda: memory.tag("child"),
        memory.expire,
        memory.verify,
    )
    told = []
    for call in calls:
        try:
            call()
        except ForkError as error:
            told.append(str(error))
    queue.put((len(calls), told))


@FORKS
def test_a_forked_child_is_kept_from_the_disk(path, busy_openmp):
    """It would wait for ever."""
    with Memory.open(path, "r+") as memory:
        memory.write(keys(1), grids(1))
        calls, told = in_child("fork", use_the_disk, memory)
        assert len(told) == calls and "by spawn" in told[0]
        memory.commit("the parent goes on")
    assert Memory.open(path).verify().problems == ()


@FORKS
def test_a_forked_child_makes_a_shortcut(busy_openmp, monkeypatch):
    """Its linear algebra runs in BLAS's threads, which survive a fork."""
    for name, value in {"LEAST": 0, "SHARE": 1, "PRICE": 0}.items():
        monkeypatch.setattr(pruning, name, value)
    memory = Memory(CONFIG)
    memory.write(keys(300), grids(300))
    expected = in_child("fork", answer, memory)
    assert answers(memory) == expected


@FORKS
def test_data_loader_workers_read(path, busy_openmp):
    torch = pytest.importorskip("torch")

    class Recalled(torch.utils.data.Dataset):
        """Item i: the slots recalled for key i."""

        def __init__(self, memory):
            self.memory = memory

        def __len__(self):
            return 20

        def __getitem__(self, i):
            return self.memory.read(keys(20)[i : i + 1], 4).slots[0]

    torch.ones(300, 300) @ torch.ones(300, 300)  # OpenMP in the parent
    with Memory.open(path) as memory:
        loader = torch.utils.data.DataLoader(
            Recalled(memory), 5, num_workers=2, timeout=TIMEOUT, multiprocessing_context="fork"
        )
        found = np.concatenate([batch.numpy() for batch in loader])
        np.testing.assert_array_equal(found, memory.read(keys(20), 4).slots)
