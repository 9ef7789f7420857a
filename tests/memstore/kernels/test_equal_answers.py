"""A memory gives the same answers with compiled loops as without, to the last bit."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from memstore import PAPER, Memory
from memstore.kernels import compiled
from memstore.search import index as search_index
from memstore.search.cosine import unit

if not compiled.is_there():
    pytest.skip("no compiled loops: built without a C compiler", allow_module_level=True)

SIZES = {  # slots and channels
    "few numbers": (300, 24),  # one query is scanned for in one call
    "narrow": (
        search_index.LEAST // 500 + 60,
        500,
    ),  # keys are rounded, for a query alone
    "wide": (search_index.LEAST // 1100 + 60, 1100),  # and for batches
}
RESOLUTION = 8


def random_keys(rng, rows, dim):
    return rng.standard_normal((rows, dim))


def clusters(rng, rows, dim):
    centers = unit(rng.standard_normal((20, dim)))
    return centers[rng.integers(20, size=rows)] + 0.5 * unit(rng.standard_normal((rows, dim)))


def duplicates(rng, rows, dim):
    """Every key in several slots, some of them with another norm."""
    keys = clusters(rng, 1 + rows // 5, dim)[rng.integers(1 + rows // 5, size=rows)]
    return keys * rng.choice([1, 2, 4], (rows, 1))


KINDS = {"random": random_keys, "clusters": clusters, "duplicates": duplicates}


class Counting:
    """The compiled loops, which counts how often each is called."""

    def __init__(self, loops):
        self.loops, self.calls = loops, Counter()

    def __getattr__(self, name):
        self.calls[name] += 1
        return getattr(self.loops, name)


def full_memory(rng, rows, dim, kind):
    """A full memory, its values, and what became of them when they were written."""
    config = replace(
        *(PAPER,),
        **{"capacity": rows, "key_dim": dim, "resolution": RESOLUTION, "beta": 0.3},
        **{"columns": {"kind": str, "mass": float}},
    )
    grids = rng.random((rows, *3 * (RESOLUTION,))) < rng.choice([0.2, 0.5], (rows, 1, 1, 1))
    columns = {"kind": [f"k{i % 5}" for i in range(rows)], "mass": np.arange(rows) / rows}
    memory, sources = Memory(config), [f"s{i % 7}" for i in range(rows)]
    report = memory.write(KINDS[kind](rng, rows, dim), grids, sources, columns, warn=False)
    return memory, grids, report


def all_answers(memory, rng, grids, queries, batch):
    """Of searches, recalls, contrasts and writes, of queries alone or together."""
    used, answers = memory.slots, []
    some = np.sort(rng.choice(used, len(used) // 3, replace=False))
    for start in range(0, len(queries) - batch + 1, batch):
        part, k = queries[start : start + batch], (1, 8, 40)[start // batch % 3]
        excluded = [(f"s{i % 7}", "", None)[i % 3] for i in range(batch)]
        answers += [
            *memory.search(part, k),
            *memory.search(part, k, where={"mass": {"<": 0.7}}, exclude=excluded),
            *memory.search(part, 8, where={"mass": {">=": 0.95}}),
        ]
        if start // batch % 4 == 0:
            nearest = memory.search(part, 3).cosines[:, -1].max()
            for how in (
                {"k": k, "beta": -1},
                {"k": k, "beta": nearest},  # which is not above itself
                {"k": 5, "slots": some, "exclude": excluded},
                {"k": 5, "where": {"kind": ["k1", "k3"], "mass": {"<": 0.9}}},
                {"k": 3, "slots": used[:2], "beta": -1},
            ):
                *arrays, columns, exact = memory.read(part, **how)
                answers += [*arrays, *columns.values(), exact]
            which = rng.integers(len(grids), size=batch)
            answers += [*memory.contrast(part, grids[which])]
    which = rng.integers(len(grids), size=batch)
    columns = {"kind": ["new"] * batch, "mass": np.zeros(batch)}
    answers += [*memory.write(queries[:batch], grids[which], ["w"] * batch, columns, warn=False)]
    answers += [memory.reads, memory.ages, memory.sources, memory.keys(memory.slots)]
    return answers


def run(size, kind):
    """All answers, and whether keys have been rounded."""
    rng, (rows, dim) = np.random.default_rng(len(size)), SIZES[size]
    memory, grids, report = full_memory(rng, rows, dim, kind)
    queries = KINDS[kind](rng, 64, dim)
    queries[::2] = memory.keys(memory.slots[:32]) + 0.02 * rng.standard_normal((32, dim))
    queries = queries.astype(np.float32)
    answers = [*report, memory.keys(memory.slots), *memory.search(queries[:33], 5)]
    for batch in (1, 32):
        answers += all_answers(memory, rng, grids, queries[: 8 if batch == 1 else 64], batch)
    with memory.frozen() as state:
        return answers, state.index.derived_bytes > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_answers_are_equal(size, kind, monkeypatch):
    counting = Counting(compiled._loops)
    monkeypatch.setattr(compiled, "_loops", counting)
    answers, is_rounded = run(size, kind)
    calls = {"units", "rank_bounds", "unpack_rows", "count_slots"}
    calls |= {"search_few"} if size == "few numbers" else {"products"}
    assert calls <= counting.calls.keys()
    assert is_rounded == (size != "few numbers")

    monkeypatch.setattr(compiled, "_loops", None)
    expected, _ = run(size, kind)
    assert len(answers) == len(expected)
    for ours, theirs in zip(answers, expected, strict=True):
        assert_array_equal(ours, theirs, strict=isinstance(ours, np.ndarray))
