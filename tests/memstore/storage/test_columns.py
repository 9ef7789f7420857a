"""Columns on disk, format 2."""

import shutil
from dataclasses import replace

import icechunk
import numpy as np
import pytest
import zarr

from memstore import FormatError, Memory, diff
from tests.helpers.random_memories import COLUMNS, SMALL, assert_same, busy_memory

CONFIG = replace(SMALL, capacity=20, columns=COLUMNS, delta=None, when_full="error")


def written(memory, n, start=0):
    rng = np.random.default_rng(n)
    numbers = np.arange(start, start + n)
    columns = {"kind": [f"é{i}" for i in numbers], "mass": numbers / 3, "ok": numbers % 2 == 0}
    grids = rng.random((n, 3, 3, 3)) < 0.5
    memory.write(rng.standard_normal((n, 5)), grids, None, {**columns, "view": -numbers})


def test_they_come_back_from_base_and_log(tmp_path):
    with Memory.create(tmp_path / "memory", CONFIG) as memory:
        written(memory, 12)
        memory.commit("base")
        written(memory, 2, start=12)
        memory.remove([3])
        memory.commit("log")
        with Memory.open(tmp_path / "memory") as again:
            assert_same(memory, again)
            assert again.verify(every=True).problems == ()
            entries = again.columns([0, 13])
            assert {name: column.tolist() for name, column in entries.items()} == {
                "kind": ["é0", "é13"],
                "mass": [0, 13 / 3],
                "ok": [True, False],
                "view": [0, -13],
            }
        memory.copy_to(tmp_path / "larger", capacity=30)
        with Memory.open(tmp_path / "larger") as larger:
            assert larger.columns()["kind"].tolist() == memory.columns()["kind"].tolist()


def test_they_are_part_of_a_diff(tmp_path):
    one, two = busy_memory(3, 5, CONFIG), busy_memory(3, 5, CONFIG)
    assert diff(one, two).replaced == ()
    with two.frozen() as state:
        state.columns["mass"][two.slots[1]] += 1
    assert diff(one, two).replaced == (two.slots[1],)


def changed(path, edit):
    repo = icechunk.Repository.open(icechunk.local_filesystem_storage(str(path)))
    session = repo.writable_session("main")
    edit(zarr.open_group(session.store))
    session.commit("changed")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("columns") / "memory"
    with Memory.create(path, CONFIG) as memory:
        written(memory, 12)
        memory.commit("twelve")
    return path


def config(**columns):
    return lambda group: group.attrs.update(config={**group.attrs["config"], "columns": columns})


ALL = {"kind": "str", "mass": "float", "ok": "bool", "view": "int"}
LIES = {
    "another mass": lambda group: group["column_mass"].__setitem__(2, 7),
    "a mass that is none": lambda group: group["column_mass"].__setitem__(2, np.nan),
    "another text": lambda group: group["column_kind"].__setitem__((2, 0), 65),
    "no UTF-8": lambda group: group["column_kind"].__setitem__((2, 0), 255),
    "no array": lambda group: group.__delitem__("column_ok"),
    "another type": lambda group: group.create_array(
        "column_view", shape=(20,), dtype="int32", overwrite=True
    ),
    "one column less": config(**{name: ALL[name] for name in ("kind", "mass", "ok")}),
    "one column more": config(**ALL, more="int"),
    "a column of another type": config(**{**ALL, "view": "float"}),
    "a type that is none": config(**{**ALL, "view": "object"}),
    "columns are a list": lambda group: group.attrs.update(
        config={**group.attrs["config"], "columns": ["kind"]}
    ),
    "columns in format 1": lambda group: group.attrs.update(memstore_format=1),
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_are_refused(good, tmp_path, lie):
    path = shutil.copytree(good, tmp_path / "memory")
    changed(path, LIES[lie])
    with pytest.raises(FormatError):
        Memory.open(path)


def test_columns_in_another_order_are_the_same(good, tmp_path):
    path = shutil.copytree(good, tmp_path / "memory")
    changed(path, config(**dict(reversed(ALL.items()))))
    with Memory.open(good) as ours, Memory.open(path) as theirs:
        assert_same(ours, theirs)
