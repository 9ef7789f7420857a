"""What changed between two memories."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from memstore import PAPER, Memory, ShapeError
from memstore.analysis.diff import diff
from memstore.voxels.grids import unpack

CONFIG = replace(PAPER, capacity=6, key_dim=6, resolution=2, delta=1)
EYE = np.eye(6)
BITS = unpack(np.arange(6, dtype=np.uint8)[:, None], 8)  # six rows that differ
GRIDS = BITS.reshape(6, 2, 2, 2).astype(bool)


def five():
    memory = Memory(CONFIG)
    memory.write(EYE[:5], GRIDS[:5])
    return memory


def test_by_hand():
    before, after = five(), five()
    after.remove([0, 1])
    after.write(EYE[5:], GRIDS[5:])  # into slot 0
    after.write(EYE[2:3] + 0.1 * EYE[3:4], GRIDS[2:3])  # merged: rekeyed
    after.write(EYE[3:4], GRIDS[3:4])  # merged with its own key: touched
    after.read(EYE, k=1)
    found = diff(before, after)
    assert (found.added, found.removed) == ((), (1,))
    assert (found.replaced, found.rekeyed, found.touched) == ((0,), (2,), (3,))
    assert found.unchanged == 1
    back = diff(after, before)
    assert (back.added, back.removed, back.replaced) == ((1,), (), (0,))
    json.dumps(asdict(found))


def test_another_source_is_a_replacement():
    before, after = Memory(CONFIG), Memory(CONFIG)
    before.write(EYE[:1], GRIDS[:1], ["a"])
    after.write(EYE[:1], GRIDS[:1], ["b"])
    assert diff(before, after).replaced == (0,)


def test_between_two_snapshots(tmp_path):
    with Memory.create(tmp_path / "m", CONFIG) as memory:
        memory.write(EYE[:2], GRIDS[:2])
        first = memory.commit("two")
        memory.write(EYE[2:4], GRIDS[2:4])
        memory.commit("four")
    found = diff(Memory.open(tmp_path / "m", at=first), Memory.open(tmp_path / "m"))
    assert (found.added, found.unchanged) == ((2, 3), 2)


def test_a_memory_does_not_differ_from_itself():
    assert diff(five(), five()).unchanged == 5
    assert diff(Memory(CONFIG), Memory(CONFIG)).unchanged == 0
    assert diff(Memory(CONFIG), five()).added == (0, 1, 2, 3, 4)


@pytest.mark.parametrize("name", ["key_dim", "resolution"])
def test_memories_of_other_sizes_are_not_compared(name):
    with pytest.raises(ShapeError, match=f"{name}: got"):
        diff(Memory(CONFIG), Memory(replace(CONFIG, **{name: 3})))
