"""Memories on users' disks are a promise: what an earlier release wrote opens for ever.

Never remake a golden folder; a new format gets one beside it.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest

import memstore
from memstore import Memory, MemoryConfig

GOLDEN = Path(__file__).parents[1] / "golden" / "memory-v1"


def first_voxels(n):
    return (np.arange(64) < n).reshape(4, 4, 4)


def test_format_1_opens():
    """Four slots written along the axes; (3, 4, 0, ...) merged into slot 1; slot 2 removed."""
    with Memory.open(GOLDEN) as memory:
        sizes = {"capacity": 6, "key_dim": 64, "resolution": 4}
        rules = {"beta": 0.5, "delta": 0.9, "value_similarity": "iou", "when_full": "evict"}
        assert memory.config == MemoryConfig(**sizes, **rules)
        assert memory.slots.tolist() == [0, 1, 3]
        assert (memory.clock, memory.ages.tolist()) == (5, [4, 0, 1])
        assert memory.sources == ["modèle 0", "modèle 1", "modèle 3"]
        assert memory.reads.tolist() == [0, 1, 0]
        axes = np.eye(64)
        merged = (0.6 * axes[0] + 1.8 * axes[1]) / np.hypot(0.6, 1.8)
        expected = [axes[0], merged, axes[3]]
        np.testing.assert_allclose(memory.keys([0, 1, 3]), expected, rtol=1e-6)
        expected = [first_voxels(8), first_voxels(16), first_voxels(32)]
        np.testing.assert_array_equal(memory.values([0, 1, 3]), expected)
        messages = [entry.message for entry in memory.history()]
        assert messages == ["a removal", "a merge", "four slots", "create"]
        assert memory.verify(every=True).problems == ()


@pytest.mark.parametrize(("at", "slots"), [("four", [0, 1, 2, 3])])
def test_format_1_goes_back(at, slots):
    with Memory.open(GOLDEN, at=at) as memory:
        assert memory.slots.tolist() == slots
        np.testing.assert_array_equal(memory.keys(slots), np.eye(64)[:4])


def test_format_1_goes_on(tmp_path):
    with Memory.open(shutil.copytree(GOLDEN, tmp_path / "memory"), "r+") as memory:
        memory.write(np.eye(64)[2:3], first_voxels(64)[None], ["new"])
        memory.commit("one more")
        memory.expire(1)
    with Memory.open(tmp_path / "memory") as memory:
        assert memory.sources == ["modèle 0", "modèle 1", "new", "modèle 3"]
        assert memory.verify(every=True).problems == ()


def test_format_2_opens():
    """Three slots with columns, written in two commits; slot 2 was removed."""
    with Memory.open(GOLDEN.parent / "memory-v2") as memory:
        columns = {"grasp": "float", "kind": "str", "ok": "bool", "view": "int"}
        sizes = {"capacity": 6, "key_dim": 64, "resolution": 4}
        assert memory.config == MemoryConfig(**sizes, columns=columns)
        assert (memory.slots.tolist(), memory.ages.tolist()) == ([0, 1, 3], [3, 2, 0])
        assert memory.sources == ["modèle 0", "modèle 1", "modèle 3"]
        assert {name: column.tolist() for name, column in memory.columns().items()} == {
            "grasp": [0.0, 0.1, 0.3],
            "kind": ["chaise", "été", "chaise"],
            "ok": [True, False, False],
            "view": [0, -1, -3],
        }
        np.testing.assert_array_equal(memory.keys([0, 1, 3]), np.eye(64)[[0, 1, 3]])
        expected = [first_voxels(8), first_voxels(16), first_voxels(32)]
        np.testing.assert_array_equal(memory.values([0, 1, 3]), expected)
        assert [entry.message for entry in memory.history()] == ["removed", "four", "create"]
        assert memory.verify(every=True).problems == ()


@pytest.mark.parametrize(("ago", "turns"), [(0, 6), (1, 6), (2, 5)])
def test_format_3_opens(tmp_path, ago, turns):
    """24 slots along the axes; each turn renamed the next three; at last slot 23 was removed.

    The log has let go of rows, begins again at its array's start, and a fold is under way.
    """
    path = shutil.copytree(GOLDEN.parent / "memory-v3", tmp_path / "memory")
    slots = list(range(24 if ago else 23))
    names = [
        f"tour {slot // 3}" if 3 <= slot < 3 * turns + 3 else f"modèle {slot}" for slot in slots
    ]
    with Memory.open(path) as memory:
        assert [entry.message for entry in memory.history()] == ["removed", "turn 6", "turn 5"]
        at = memory.history()[ago].id
        assert memory.verify(every=True).problems == ()
    for place in ("ram", "disk"):
        with Memory.open(path, "r+", at=at, rows=place) as memory:
            assert (memory.slots.tolist(), memory.sources) == (slots, names)
            np.testing.assert_array_equal(memory.keys(slots), np.eye(64)[slots])
            expected = [first_voxels(slot + 1) for slot in slots]
            np.testing.assert_array_equal(memory.values(slots), expected)
            names[0] = f"new {place}"
            memory.update([0], sources=names[:1])
            at = memory.commit("goes on")
    assert memstore.verify_folder(path).problems == ()
