"""Saved lists over a log that comes to the base a few chunks a commit, against a dict."""

from itertools import cycle

import numpy as np
import pytest

import memstore
from memstore import Memory, MemoryConfig
from memstore.search import ivf, watch
from memstore.search.cosine import cosines, unit
from memstore.storage import fold, reader, rowfile, schema

DIM = 16
CONFIG = MemoryConfig(
    capacity=150,
    key_dim=DIM,
    resolution=2,
    beta=-1,
    when_full="evict",
    search="ivf",
    columns={"kind": int},
)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Lists of 40 slots on, every one of which is looked through; folds of a few chunks."""
    for module, numbers in {
        ivf: {"LEAST_ROWS": 40, "STEP": 100, "SCANS": 4, "RECENT": 2, "PROBES": 500},
        schema: {"CHUNK_BYTES": 640, "SMALL_CHUNK": 8, "LOG_CHUNK": 4, "LOG_LEAST": 40},
        fold: {"AT_ONCE": 0, "ROWS_A_CHUNK": 2},
        watch: {"FIRST": 0, "EVERY": 64},
        rowfile: {"LEAST_PRIVATE": 2**17},
    }.items():
        for name, number in numbers.items():
            monkeypatch.setattr(module, name, number)
    monkeypatch.setattr(reader, "FEW", 4)  # part of the rows that may differ from a row file's
    monkeypatch.setattr(ivf, "MOST_CANDIDATES", 500)
    monkeypatch.setattr(ivf, "CANDIDATES", (500, 0))


class Model:
    """What the memory is to hold: by slot (key, grid, kind)."""

    def __init__(self, seed):
        self.rng, self.rows = np.random.default_rng(seed), {}
        self.centers = self.rng.standard_normal((8, DIM))

    def keys(self, n):
        return self.centers[self.rng.integers(8, size=n)] + 0.3 * self.rng.standard_normal((n, DIM))

    def write(self, memory, n):
        keys, grids, kinds = self.keys(n), self.rng.random((n, 2, 2, 2)) < 0.5, np.arange(n) % 3
        slots = memory.write(keys, grids, columns={"kind": kinds}, warn=False).slots.tolist()
        self.rows |= dict(zip(slots, zip(unit(keys), grids, kinds, strict=True), strict=True))

    def replace_keys(self, memory, n):
        slots = self.rng.choice(sorted(self.rows), n, replace=False).tolist()
        memory.replace_keys(slots, keys := self.keys(n))
        for slot, key in zip(slots, unit(keys), strict=True):
            self.rows[slot] = (key, *self.rows[slot][1:])

    def remove(self, memory, n):
        slots = self.rng.choice(sorted(self.rows), n, replace=False).tolist()
        memory.remove(slots)
        for slot in slots:
            del self.rows[slot]

    def best(self, query, k, kind):
        """(cosine, slot) of the k best, by a scan of the dict."""
        slots = [s for s in sorted(self.rows) if kind is None or self.rows[s][2] == kind]
        scores = cosines(unit(query[None])[0], np.stack([self.rows[slot][0] for slot in slots]))
        return sorted(zip((-scores).tolist(), slots, strict=True))[:k]

    def check(self, memory):
        """Rows, and answers by lists and by a scan."""
        slots = sorted(self.rows)
        keys, grids, kinds = map(np.stack, zip(*(self.rows[s] for s in slots), strict=True))
        assert memory.slots.tolist() == slots
        assert memory.keys(slots).tobytes() == keys.tobytes()
        np.testing.assert_array_equal(memory.values(slots), grids)
        np.testing.assert_array_equal(memory.columns()["kind"], kinds)
        for kind in (None, 1):
            where, queries = None if kind is None else {"kind": kind}, self.keys(3)
            for exact in (False, True):
                hits = memory.search(queries, 4, where=where, exact=exact)
                for query, *answer in zip(queries, hits.slots, hits.cosines, strict=True):
                    want = self.best(query, 4, kind)
                    assert answer[0].tolist() == [slot for _, slot in want]
                    assert answer[1].tolist() == [-cosine for cosine, _ in want]


def ask_until_lists_are_made(memory, model):
    for _ in range(12):
        memory.search(model.keys(1), 1)
    assert has_lists(memory)


def has_lists(memory):
    with memory.frozen() as state:
        return state.index._lists is not None


def test_lists_that_were_saved_in_the_midst_of_a_fold(tmp_path):
    model, path = Model(0), tmp_path / "memory"
    writer = Memory.create(path, CONFIG, durability="process")
    changes = cycle((model.write, model.replace_keys, model.remove))
    model.write(writer, 100)
    writer.commit("begin")
    while not writer._repository._ledger.log.folding:
        next(changes)(writer, 3)
        writer.commit("until a fold begins")
    with Memory.open(path, rows="disk") as looker:
        ask_until_lists_are_made(looker, model)
    assert len([*(path / "rows").glob("*.lists")]) == 1
    steps = []
    while "ended" not in steps:
        before = writer._repository._ledger.log
        model.write(writer, 4)  # slots that are in no list
        next(changes)(writer, 2)
        writer.commit("and on")
        steps.append("on" if writer._repository._ledger.log.first == before.first else "ended")
        with Memory.open(path, rows="disk") as looker:
            assert has_lists(looker)
            model.check(looker)
    assert "on" in steps
    writer.close()
    with Memory.open(path, "r+", rows="disk", durability="process") as writer:
        assert has_lists(writer)
        model.replace_keys(writer, 5)
        model.check(writer)
    with Memory.open(path, rows="ram") as looker:
        ask_until_lists_are_made(looker, model)
        model.check(looker)
    assert memstore.verify_folder(path).problems == ()
