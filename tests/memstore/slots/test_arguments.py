"""Every bad argument of Memory's methods: the error, its message, and that nothing changed."""

from dataclasses import replace

import numpy as np
import pytest

import memstore
from memstore import PAPER, Memory

TINY = replace(PAPER, capacity=4, key_dim=3, resolution=2)
AXES = np.eye(3, dtype=np.float32)
FULL = np.ones((2, 2, 2), bool)
ONE = AXES[:1]
ERRORS = [
    (lambda m: m.search(ONE, 0), "ArgumentError", "k: got 0, want >= 1"),
    (lambda m: m.search(ONE, 1.0), "DtypeError", "k: got float"),
    (lambda m: m.search(ONE, True), "DtypeError", "k: got bool"),
    (lambda m: m.search(ONE > 0, 1), "DtypeError", "features: got dtype bool"),
    (lambda m: m.search(ONE.astype(int), 1), "DtypeError", "features: got dtype int64"),
    (lambda m: m.search(ONE[0], 1), "ShapeError", "features: got shape (3,)"),
    (lambda m: m.search([[1.0], [1.0, 2.0]], 1), "ShapeError", "features: got rows"),
    (lambda m: m.search(np.zeros((2, 4)), 1), "ShapeError", "want (any, 3)"),
    (lambda m: m.search(np.array([[1.0, 0, 0], [np.nan, 0, 1]]), 1), "FeatureError", "[1]"),
    (lambda m: m.search(np.array([[np.inf, 0, 0]]), 1), "FeatureError", "features[0]"),
    (lambda m: m.search(np.zeros((1, 3)), 1), "FeatureError", "all zeros"),
    (lambda m: m.read(ONE, 1, beta=2), "ArgumentError", "beta: got 2"),
    (lambda m: m.read(ONE, 1, beta=np.nan), "ArgumentError", "beta: got nan"),
    (lambda m: m.read(ONE, 1, beta="x"), "DtypeError", "beta: got str"),
    (lambda m: m.read(ONE, 1, exclude=["a", None]), "ShapeError", "exclude: got 2"),
    (lambda m: m.read(ONE, 1, exclude="a"), "DtypeError", "exclude: got a str"),
    (lambda m: m.write(ONE, FULL[None].astype(float)), "DtypeError", "grids: got dtype float64"),
    (lambda m: m.write(ONE, FULL), "ShapeError", "grids: got shape"),
    (lambda m: m.write(AXES, FULL[None]), "ShapeError", "grids: got shape"),
    (lambda m: m.write(ONE, FULL[None], ["a", "b"]), "ShapeError", "sources: got 2"),
    (lambda m: m.write(ONE, FULL[None], "a"), "DtypeError", "sources: got a str"),
    (lambda m: m.write(ONE, FULL[None], [3]), "DtypeError", "sources[0]: got int"),
    (lambda m: m.write(ONE, FULL[None], ["é" * 65]), "ArgumentError", "130 bytes"),
    (lambda m: m.write(ONE, FULL[None], ["a\0"]), "ArgumentError", "NUL"),
    (lambda m: m.write(ONE, FULL[None], ["\ud800"]), "ArgumentError", "surrogate"),
    (lambda m: m.write(np.stack([AXES[0], 0 * AXES[0]]), np.stack([FULL] * 2)), "FeatureError", ""),
    (lambda m: m.contrast(ONE, FULL), "ShapeError", "grids"),
    (lambda m: m.remove([0, 0]), "SlotError", "twice"),
    (lambda m: m.remove([1]), "SlotError", "got 1, which is empty"),
    (lambda m: m.remove([4]), "SlotError", "want a slot in [0, 4)"),
    (lambda m: m.values([-1]), "SlotError", "got -1"),
    (lambda m: m.keys([0.0]), "DtypeError", "slots: got dtype float64"),
    (lambda m: m.keys([[0]]), "ShapeError", "slots"),
    (lambda m: m.commit(3), "DtypeError", "message: got int"),
    (lambda m: m.tag("a/b"), "ArgumentError", "name: got 'a/b'"),
    (lambda m: m.tag(""), "ArgumentError", "name: got ''"),
]


@pytest.fixture(scope="module")
def one_slot(tmp_path_factory):
    """A memory on disk of one used slot, not committed; no call in ERRORS may change it."""
    with Memory.create(tmp_path_factory.mktemp("errors") / "memory", TINY) as memory:
        memory.write(ONE, FULL[None], ["s"])
        yield memory


@pytest.mark.parametrize(("call", "error", "message"), ERRORS, ids=range(len(ERRORS)))
def test_errors_change_nothing(one_slot, call, error, message):
    with pytest.raises(getattr(memstore, error)) as raised:
        call(one_slot)
    assert message in str(raised.value)
    assert (one_slot.slots.tolist(), one_slot.ages.tolist()) == ([0], [0])
    assert (one_slot.sources, one_slot.clock) == (["s"], 1)
    assert one_slot.keys([0]).tolist() == [[1, 0, 0]]
    assert one_slot.values([0]).all()


def test_no_pairs_do_nothing():
    memory = Memory(TINY)
    nothing, no_grids = np.empty((0, 3)), np.empty((0, 2, 2, 2), bool)
    assert memory.write(nothing, no_grids, []).slots.shape == (0,)
    assert memory.search(nothing, 5).slots.shape == (0, 5)
    assert memory.read(nothing, 5, exclude=[]).values.shape == (0, 5, 2, 2, 2)
    assert memory.contrast(nothing, no_grids).positive.shape == (0,)
    assert memory.values([]).shape == (0, 2, 2, 2)
    assert memory.keys([]).shape == (0, 3)
    memory.remove([])
    assert (len(memory), memory.clock) == (0, 0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_any_float_dtype(dtype):
    memory = Memory(TINY)
    memory.write(np.array([[3, 0, 4]], dtype), FULL[None])
    assert memory.keys([0]).tolist() == np.float32([[0.6, 0, 0.8]]).tolist()


def test_sources_of_128_bytes_fit():
    memory = Memory(TINY)
    memory.write(AXES[:1], FULL[None], ["é" * 64])
    assert memory.sources == ["é" * 64]
    assert memory.read(AXES[:1], 1, exclude=["é" * 64]).counts.tolist() == [0]
    assert memory.read(AXES[:1], 1, exclude=["é" * 63]).counts.tolist() == [1]
    assert memory.read(AXES[:1], 1, exclude=[None]).counts.tolist() == [1]


def test_more_neighbors_than_any_memory_has():
    memory = Memory(TINY)
    assert memory.search(AXES[:1], 4096).slots.shape == (1, 4096)
    for k in (4097, 10**12, 10**30):
        for call in (memory.search, memory.read):
            with pytest.raises(memstore.ArgumentError, match="want >= 1 and <= 4096"):
                call(AXES[:1], k)
