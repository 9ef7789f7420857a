"""Columns and what a search may find by them, beside a scan in plain Python."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memstore import ArgumentError, DtypeError, Memory, MemoryConfig, ShapeError
from tests.helpers.naive_memory import cosine, unit

COLUMNS = {"category": str, "grasp": float, "ok": bool, "view": int}
CONFIG = MemoryConfig(capacity=12, key_dim=4, resolution=2, beta=-1, columns=COLUMNS)
GRIDS = np.random.default_rng(0).random((12, 2, 2, 2)) < 0.5
ENTRIES = {
    "category": ["chair", "table", "chaise é", "chair"] * 3,
    "grasp": [i / 10 for i in range(12)],
    "ok": [i % 2 == 0 for i in range(12)],
    "view": [2**62 + i % 3 for i in range(12)],  # no float tells them apart
}


def filled():
    memory = Memory(CONFIG)
    keys = np.random.default_rng(1).standard_normal((12, 4))
    memory.write(keys, GRIDS, [f"s{i % 5}" for i in range(12)], ENTRIES)
    memory.remove([4])
    return memory


def rows():
    """The entries of each slot."""
    return [{name: ENTRIES[name][i] for name in ENTRIES} for i in range(12)]


conditions = st.fixed_dictionaries(
    {},
    optional={
        "category": st.one_of(
            st.sampled_from(["chair", "chaise é", "lamp"]),
            st.sets(st.sampled_from(["table", "chair", "x"])),
        ),
        "ok": st.booleans(),
        "grasp": st.dictionaries(
            st.sampled_from(["<", "<=", ">", ">="]),
            st.sampled_from([0, 0.3, 0.35, np.float32(0.5)]),
            min_size=1,
        ),
        "view": st.one_of(
            st.just(2**62 + 1), st.just([2**62, 2**62 + 2]), st.just({">": 2**62 + 1})
        ),
    },
)
HOLDS = {"<": lambda a, b: a < b, "<=": lambda a, b: a <= b}
HOLDS |= {">": lambda a, b: a > b, ">=": lambda a, b: a >= b}


def is_met(entry, want):
    if isinstance(want, dict):
        return all(HOLDS[sign](entry, limit) for sign, limit in want.items())
    return entry in want if isinstance(want, set | list) else entry == want


@given(conditions, st.sampled_from([None, [0, 3, 7, 8, 11]]), st.sampled_from([None, "s3"]))
def test_a_search_is_a_scan_of_what_is_left(where, slots, exclude):
    memory, query = filled(), np.array([[0.3, -1, 2, 0.5]])
    allowed = [
        slot
        for slot, row in enumerate(rows())
        if slot != 4
        and (slots is None or slot in slots)
        and f"s{slot % 5}" != exclude
        and all(is_met(row[name], want) for name, want in where.items())
    ]
    units = memory.keys(memory.slots)
    near = {
        slot: cosine(unit(query[0]), units[memory.slots.tolist().index(slot)]) for slot in allowed
    }
    want = sorted(allowed, key=lambda slot: (-near[slot], slot))
    slots = None if slots is None else [slot for slot in slots if slot != 4]
    hits = memory.search(query, 12, exclude=[exclude], slots=slots, where=where)
    priors = memory.read(query, 12, exclude=[exclude], slots=slots, where=where)
    for found in (hits.slots[0], priors.slots[0]):
        assert found[: len(want)].tolist() == want and (found[len(want) :] == -1).all()
    assert priors.sources[0, : len(want)].tolist() == [f"s{slot % 5}" for slot in want]
    for name in ENTRIES:
        assert priors.columns[name][0, : len(want)].tolist() == [rows()[s][name] for s in want]


def test_past_the_last_prior_a_column_is_blank():
    priors = filled().read(np.eye(4)[:1], 3, where={"view": []})
    assert priors.counts.tolist() == [0]
    assert priors.sources.tolist() == priors.columns["category"].tolist() == [["", "", ""]]
    assert np.isnan(priors.columns["grasp"]).all()
    assert priors.columns["view"].tolist() == [[0, 0, 0]]
    assert priors.columns["ok"].tolist() == [[False] * 3]


@pytest.mark.parametrize(
    ("where", "error", "match"),
    [
        (
            {"kind": "chair"},
            ArgumentError,
            r"got 'kind', want one of .*\(category, grasp, ok, view\)",
        ),
        ({"category": 3}, DtypeError, r"where\['category'\]: got int, want str"),
        ({"category": "x" * 129}, ArgumentError, "129 bytes"),
        ({"category": {">": "a"}}, DtypeError, "got bounds"),
        ({"ok": 1}, DtypeError, "got int, want bool"),
        ({"ok": {">": False}}, DtypeError, "got bounds"),
        ({"view": 1.0}, DtypeError, "got float, want int"),
        ({"view": True}, DtypeError, "got bool, want int"),
        ({"view": 2**63}, ArgumentError, "64 bits"),
        ({"grasp": "high"}, DtypeError, "got str, want float"),
        ({"grasp": np.nan}, ArgumentError, "want a finite number"),
        ({"grasp": {"=>": 1}}, ArgumentError, "got '=>', want <, <=, >, >="),
        ({"grasp": {}}, ArgumentError, "no bounds"),
        ({"grasp": {">": None}}, DtypeError, "got NoneType"),
        ({"view": np.array("chair")}, DtypeError, "got str, want int"),
        ({"view": np.array(1.5)}, DtypeError, "got float, want int"),
        ({"view": np.ones((1, 2), int)}, ShapeError, r"where\['view'\]: got an array .*\(1, 2\)"),
        ({"view": [np.ones(2, int)]}, DtypeError, "got ndarray, want int"),
        ("ok", DtypeError, "got str, want conditions by column"),
        ({3: 4}, ArgumentError, "got 3, want one of"),
    ],
)
def test_what_is_no_condition_is_named(where, error, match):
    with pytest.raises(error, match=match):
        filled().read(np.eye(4)[:1], where=where)


@pytest.mark.parametrize(
    ("name", "value"), [("category", "chair"), ("grasp", 0.5), ("ok", True), ("view", 2**62 + 1)]
)
def test_an_array_of_one_value_is_that_value(name, value):
    memory = filled()
    slots = memory.find(where={name: value}).tolist()
    assert slots
    for want in (np.array(value), [np.array(value)]):
        assert memory.find(where={name: want}).tolist() == slots
    if name in ("grasp", "view"):
        some = memory.find(where={name: {">": value}}).tolist()
        assert memory.find(where={name: {">": np.array(value)}}).tolist() == some


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"ok": None}, ArgumentError, "got no 'ok', want all"),
        ({"mass": [1.0]}, ArgumentError, "got 'mass', want the memory's columns"),
        ({"ok": [1]}, DtypeError, "got dtype int64, want bool"),
        ({"view": [1.5]}, DtypeError, "got dtype float64, want int64"),
        ({"view": [True]}, DtypeError, "got dtype bool, want int64"),
        ({"view": np.array([2**63], np.uint64)}, ArgumentError, "64 bits"),
        ({"grasp": ["1"]}, DtypeError, "want float64"),
        ({"grasp": [np.inf]}, ArgumentError, "got inf, want a finite number"),
        ({"grasp": [0.1, 0.2]}, ShapeError, r"got shape \(2,\)"),
        ({"category": "chair"}, DtypeError, "got a str"),
        ({"category": [1]}, DtypeError, "got int, want str"),
        ({"category": ["x" * 129]}, ArgumentError, "129 bytes"),
        ({"category": ["a\0b"]}, ArgumentError, "NUL"),
    ],
)
def test_what_is_no_column_is_named(change, error, match):
    entries = {"category": ["chair"], "grasp": [1], "ok": [True], "view": [3]}
    memory = Memory(CONFIG)
    given = {name: value for name, value in {**entries, **change}.items() if value is not None}
    with pytest.raises(error, match=match):
        memory.write(np.eye(4)[:1], GRIDS[:1], columns=given)
    assert len(memory) == 0
    memory.write(np.eye(4)[:1], GRIDS[:1], columns=entries)
    assert {name: column.tolist() for name, column in memory.columns().items()} == entries


def test_a_merge_keeps_the_columns_of_the_value_that_stays():
    """As it keeps the source; the newest pair that set the value says what the columns are."""
    config = MemoryConfig(
        capacity=1, key_dim=2, resolution=2, delta=1, when_full="evict", columns={"view": int}
    )
    memory, full = Memory(config), np.ones((1, 2, 2, 2), bool)

    def written(grid, source, view):
        memory.write([[1.0, 0.0]], grid, [source], {"view": [view]})
        return memory.sources, memory.columns()["view"].tolist()

    assert written(full, "a", 1) == (["a"], [1])
    assert written(full, "b", 2) == (["a"], [1])
    assert written(~full, "c", 3) == (["c"], [3])
    batch = np.concatenate([full, ~full, ~full])
    memory.write([[1.0, 0.0]] * 3, batch, ["d", "e", "f"], {"view": [4, 5, 6]})
    assert (memory.sources, memory.columns()["view"].tolist()) == (["e"], [5])


def test_a_memory_without_columns_takes_none():
    memory = Memory(MemoryConfig(capacity=1, key_dim=2, resolution=2))
    with pytest.raises(ArgumentError, match=r"got 'ok', want the memory's columns \(none\)"):
        memory.write(np.eye(2)[:1], GRIDS[:1], columns={"ok": [True]})
    assert memory.columns() == {}
