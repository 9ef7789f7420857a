"""replace_rows: whole rows of a working copy, and every way to get them wrong."""

import numpy as np
import pytest

from memstore import (
    ArgumentError,
    DtypeError,
    FeatureError,
    Memory,
    ReadOnlyError,
    Rows,
    ShapeError,
    SlotError,
)
from memstore.voxels.grids import pack
from tests.helpers.random_memories import SMALL, assert_same, busy_memory


def rows_of(memory, slots):
    """What a copy that changed nothing would hand back."""
    at = np.array([memory.slots.tolist().index(slot) for slot in slots], np.int64)
    return Rows(
        slots=np.array(slots, np.int64),
        keys=memory.keys(slots),
        values=pack(memory.values(slots)),
        touched=(memory.clock - memory.ages)[at],
        sources=np.array([memory.sources[i].encode() for i in at], "S128"),
        reads=memory.reads[at],
    )


def test_rows_handed_back_unchanged_change_nothing():
    ours, theirs = busy_memory(), busy_memory()
    ours.replace_rows(rows_of(ours, ours.slots.tolist()), {})
    assert_same(ours, theirs)


def test_an_empty_memory_becomes_the_copy(tmp_path):
    theirs = busy_memory(seed=3)
    stats = theirs.stats()
    written = {"merge": stats.merges, "insert": stats.inserts, "evict": stats.evictions}
    with Memory.create(tmp_path / "m", SMALL) as ours:
        rows = rows_of(theirs, theirs.slots.tolist())
        ours.replace_rows(rows._replace(keys=7 * rows.keys.astype(np.float64)), written)
        assert ours.clock == theirs.clock
        np.testing.assert_allclose(ours.keys(ours.slots), theirs.keys(theirs.slots), atol=1e-7)
        np.testing.assert_array_equal(ours.values(ours.slots), theirs.values(theirs.slots))
        assert (ours.sources, ours.reads.tolist()) == (theirs.sources, theirs.reads.tolist())
        assert ours.stats().merges == stats.merges
        ours.commit("replaced")
        with Memory.open(tmp_path / "m") as opened:
            assert_same(opened, ours)
            with pytest.raises(ReadOnlyError):
                opened.replace_rows(rows, {})


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"slots": [0, 0]}, SlotError),
        ({"slots": [0, 6]}, SlotError),
        ({"slots": [-1, 0]}, SlotError),
        ({"slots": [0.0, 1.0]}, DtypeError),
        ({"slots": [[0, 1]]}, ShapeError),
        ({"slots": [0]}, ShapeError),
        ({"keys": np.zeros((2, 5))}, FeatureError),
        ({"keys": np.full((2, 5), np.nan)}, FeatureError),
        ({"keys": np.ones((2, 4))}, ShapeError),
        ({"keys": np.ones((3, 5))}, ShapeError),
        ({"keys": np.ones((2, 5), int)}, DtypeError),
        ({"values": np.zeros((2, 3, 3, 2), np.uint8)}, ShapeError),
        ({"values": np.zeros((2, 3, 3, 1), np.uint16)}, DtypeError),
        ({"values": np.zeros((2, 3, 3, 1), bool)}, DtypeError),
        ({"values": np.full((2, 3, 3, 1), 1, np.uint8)}, ArgumentError),  # a bit of no voxel
        ({"touched": [0, 1]}, ArgumentError),
        ({"touched": [1, 10**6]}, ArgumentError),
        ({"reads": [-1, 0]}, ArgumentError),
        ({"sources": np.array([b"x" * 129, b""])}, DtypeError),
        ({"sources": ["a", "b"]}, DtypeError),
    ],
)
def test_what_is_wrong_is_told_and_changes_nothing(wrong, error):
    memory, before = busy_memory(), busy_memory()
    rows = rows_of(memory, memory.slots[:2].tolist())
    with pytest.raises(error):
        memory.replace_rows(rows._replace(**wrong), {})
    assert_same(memory, before)


@pytest.mark.parametrize("written", [{"remove": 1}, {"merge": -1}, {"merge": 1.0}, {"merge": True}])
def test_counts_are_checked(written):
    memory, before = busy_memory(), busy_memory()
    with pytest.raises((ArgumentError, DtypeError)):
        memory.replace_rows(rows_of(memory, []), written)
    assert_same(memory, before)
