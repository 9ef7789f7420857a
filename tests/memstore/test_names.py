"""Slots by name: find, in, [], iteration, remove, update, refresh; tensors in and out."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from memstore import (
    ArgumentError,
    DtypeError,
    Memory,
    MemoryConfig,
    ReadOnlyError,
    ShapeError,
    SlotError,
    SnapshotError,
)

CONFIG = MemoryConfig(
    capacity=5, key_dim=3, resolution=2, beta=-1, columns={"kind": str, "mass": float}
)
GRIDS = np.arange(8).reshape(2, 2, 2) < np.arange(4)[:, None, None, None]
COLUMNS = {"kind": ["a", "b", "c", "d"], "mass": [0.0, 0.5, 1.0, 1.5]}
KEYS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, -1]], np.float32)


def filled(memory=None):
    memory = Memory(CONFIG) if memory is None else memory
    memory.write(KEYS, GRIDS, ["chair", "", "chair", "été"], COLUMNS)
    memory.remove([1])
    return memory


def test_find_and_in():
    memory = filled()
    assert memory.find("chair").tolist() == [0, 2]
    assert memory.find("été").tolist() == [3]
    assert memory.find("").tolist() == memory.find("lamp").tolist() == []
    assert "chair" in memory and "chai" not in memory and "" not in memory
    with pytest.raises(DtypeError, match=r"source.*got int, want str"):
        3 in memory  # noqa: B015


def test_an_item_is_all_that_a_slot_holds():
    memory = filled()
    memory.read(KEYS[2:3], 1)
    item = memory[np.uint8(2)]
    assert_array_equal(item.key, KEYS[2])
    assert_array_equal(item.value, GRIDS[2])
    assert item[:1] + item[3:] == (2, "chair", {"kind": "c", "mass": 1.0}, 1, 1)
    item.key[:] = 7  # a copy
    assert_array_equal(memory.keys([2]), KEYS[2:3])
    assert [item.slot for item in memory] == [0, 2, 3]
    assert [item.source for item in memory] == memory.sources
    for slot, error in ((1, SlotError), (5, SlotError), (-1, SlotError), ("chair", DtypeError)):
        with pytest.raises(error, match=r"^slots?: got"):
            memory[slot]


def test_remove_by_source():
    memory = filled()
    assert memory.remove(source="chair").tolist() == [0, 2]
    assert memory.slots.tolist() == [3]
    with pytest.raises(SlotError, match="source: got 'chair', want that of a used slot"):
        memory.remove(source="chair")
    for arguments in ({}, {"slots": [3], "source": "été"}):
        with pytest.raises(ArgumentError, match="want one of them"):
            memory.remove(**arguments)
    assert memory.remove([3]).tolist() == [3]


def test_update_sets_what_is_given(tmp_path):
    memory = filled(Memory.create(tmp_path / "memory", CONFIG))
    memory.read(KEYS[:1], 1)
    memory.commit("filled")
    memory.update([0, 3], ~GRIDS[[0, 3]], {"mass": [7, 8]})
    memory.update([2], sources=["sofa"])
    assert_array_equal(memory.values([0, 2, 3]), [~GRIDS[0], GRIDS[2], ~GRIDS[3]])
    assert memory.columns()["mass"].tolist() == [7, 1, 8]
    assert memory.columns()["kind"].tolist() == ["a", "c", "d"]
    assert (memory.sources, memory.ages.tolist()) == (["chair", "sofa", "été"], [3, 1, 0])
    assert (memory.clock, memory.reads.tolist()) == (4, [1, 0, 0])
    assert memory.value_similarities(~GRIDS[3]).tolist() == [5 / 8, 0, 1]  # full voxels anew
    assert memory.verify().problems == ()
    memory.commit("updated")
    memory.close()
    with Memory.open(tmp_path / "memory") as again:
        assert again.columns()["mass"].tolist() == [7, 1, 8]
        assert again.verify(every=True).problems == ()


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (([0],), ArgumentError, "got nothing to set"),
        (([1], GRIDS[:1]), SlotError, "got 1, which is empty"),
        (([0, 0], GRIDS[:2]), SlotError, "a slot twice"),
        (([0], GRIDS[:2]), ShapeError, r"values: got shape \(2, 2, 2, 2\)"),
        (([0], None, {"mass": [1, 2]}), ShapeError, r"\['mass'\]: got shape \(2,\)"),
        (([0], None, {"color": ["red"]}), ArgumentError, "got 'color', want the memory's"),
    ],
)
def test_what_cannot_be_updated_is_named(arguments, error, match):
    memory = filled()
    with pytest.raises(error, match=match):
        memory.update(*arguments)
    assert memory.columns()["mass"].tolist() == [0, 1, 1.5]


def test_a_reader_refreshes(tmp_path):
    path = tmp_path / "memory"
    writer = Memory.create(path, CONFIG)
    with Memory.open(path) as reader, Memory.open(path, at=writer.snapshot) as pinned:
        assert not reader.refresh()
        filled(writer)
        assert not reader.refresh()  # not committed
        writer.commit("filled")
        for step in range(9):
            writer.update([0], columns={"mass": [step]})
            writer.commit(str(step))
        writer.expire(1)  # also what the reader has open
        assert len(reader) == 0
        assert reader.refresh() and not reader.refresh()
        assert reader.snapshot == writer.snapshot
        assert reader.columns()["mass"].tolist() == [8, 1, 1.5]
        assert [entry.message for entry in reader.history()] == ["8"]
        with pytest.raises(SnapshotError, match="opened at"):
            pinned.refresh()
        assert not writer.refresh() and not Memory(CONFIG).refresh()
    with pytest.raises(ReadOnlyError, match="closed"):
        reader.refresh()
    writer.close()


class Tensor:
    """What other libraries have: an array on a device, which dlpack alone tells."""

    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **options):
        assert options.pop("dl_device", (1, 0)) == (1, 0)
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return (1, 0)


@pytest.mark.parametrize(
    "kind",
    [
        torch.from_numpy,
        lambda array: torch.from_numpy(array.copy()).requires_grad_(array.dtype == np.float32),
        Tensor,
        np.ndarray.tolist,
    ],
    ids=["torch", "torch with gradients", "dlpack", "lists"],
)
def test_tensors_go_in(kind):
    memory, own = filled(), Memory(CONFIG)
    own.write(kind(KEYS), kind(GRIDS.copy()), ["chair", "", "chair", "été"], COLUMNS)
    assert_array_equal(own.keys([0, 2]), memory.keys([0, 2]))
    hits = own.search(kind(KEYS[:2]), 1, slots=kind(np.array([0, 2])))
    assert hits.slots.tolist() == [[0], [0]]


def test_bfloat16_goes_in_and_what_is_none_is_named():
    memory = Memory(CONFIG)
    memory.write(torch.from_numpy(KEYS).bfloat16(), GRIDS, columns=COLUMNS)
    assert_array_equal(memory.keys(range(4)), KEYS)
    with pytest.raises(DtypeError, match="features: got a Tensor that is no array"):
        memory.search(torch.zeros(1, 3, device="meta"), 1)


def test_tensors_come_out():
    memory = filled()
    priors, tensors = memory.read(KEYS[:2], 4), memory.read(KEYS[:2], 4, out="torch")
    for array, tensor in zip(priors[:4], tensors[:4], strict=True):
        assert isinstance(tensor, torch.Tensor)
        assert_array_equal(tensor.numpy(), array, strict=True)
    assert tensors.sources.tolist() == priors.sources.tolist()
    assert_array_equal(tensors.columns["mass"].numpy(), priors.columns["mass"])
    assert tensors.columns["kind"].tolist() == priors.columns["kind"].tolist()
    with pytest.raises(ArgumentError, match="out: got 'jax', want 'numpy' or 'torch'"):
        memory.read(KEYS[:1], out="jax")


def test_without_torch_it_is_named_and_nothing_else_needs_it():
    code = """
import sys
sys.modules["torch"] = None
import numpy as np, memstore
memory = memstore.Memory(memstore.MemoryConfig(capacity=2, key_dim=3, resolution=2))
memory.write(np.eye(3)[:1], np.ones((1, 2, 2, 2), bool))
assert memory.read(np.eye(3)[:1]).counts[0] == 1
try:
    memory.read(np.eye(3)[:1], out="torch")
except memstore.ExtraMissingError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.startswith("out='torch': got no torch, want the extra 'mem3d'"), done.stderr
