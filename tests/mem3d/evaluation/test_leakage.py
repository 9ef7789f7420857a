"""What a memory knows of a test set."""

from dataclasses import replace

import numpy as np
import pytest

from mem3d.data.dataset import Subset
from mem3d.data.readers.r2n2 import R2N2
from mem3d.evaluation.leakage import describe, known_shapes, unlearned
from mem3d.network.presets import TINY
from memstore import Memory
from memstore.voxels.binvox import write_binvox
from tests.helpers.r2n2_folder import box, make_r2n2


@pytest.fixture
def data(tmp_path):
    """Two aeroplanes and two chairs to test on, each a shape of its own."""
    root = make_r2n2(tmp_path, train=0, val=0)
    for n, path in enumerate(sorted(root.rglob("model.binvox"))):
        grid = box((0, 10, 10), (32, 20, 12 + n))
        grid[0, 0, 31] = True  # no symmetry
        write_binvox(path, grid)
    return R2N2.open(root)


def remembering(grids, sources):
    memory = Memory(replace(TINY.memory, capacity=32, delta=1.0))  # only equals merge
    keys = np.eye(len(grids), TINY.memory.key_dim, dtype=np.float32)
    memory.write(keys, np.array(grids), sources)
    return memory


def test_names_and_grids_of_other_names(data):
    other = box((0, 0, 0), (32, 3, 3))
    memory = remembering(
        [other, data.grid(2), other | data.grid(0)], [data.shape_id(3), "x/y", "z"]
    )
    found = known_shapes(memory, data)
    assert [(one.shape, one.by, one.stored) for one in found] == [
        (2, "grid", "x/y"),
        (3, "name", data.shape_id(3)),
    ]


def test_a_mirrored_grid_is_the_same_shape(data):
    memory = remembering([data.grid(1)[:, :, ::-1], data.grid(2)[::-1]], ["a", "b"])
    assert [one.shape for one in known_shapes(memory, data)] == [1]


def test_one_voxel_apart_is_another_shape(data):
    grid = data.grid(0)
    grid[0, 0, 0] = True
    assert known_shapes(remembering([grid], ["a"]), data) == ()
    assert known_shapes(Memory(TINY.memory), data) == ()


def test_what_was_learned_and_is_no_longer_held(data):
    found = known_shapes(
        remembering([data.grid(0)], ["a"]), data, [data.shape_id(0), data.shape_id(3)]
    )
    assert [(one.shape, one.by) for one in found] == [(0, "grid"), (3, "training")]


def test_models_that_are_learned_from_under_any_name_are_left_out(data):
    class Learning:
        """One by name, one as a mirrored copy of another name."""

        def __len__(self):
            return 2

        def shape_id(self, i):
            return (data.shape_id(1), "copy")[i]

        def grid(self, i):
            return (box((0, 0, 0), (32, 3, 3)), data.grid(2)[:, :, ::-1])[i]

    assert unlearned(data, Learning()).positions == (0, 3)


def test_a_variant_of_a_known_mesh_is_known(data, monkeypatch):
    names = ["a/m", "a/m-v01", "a/n-v02", "a/o"]
    monkeypatch.setattr(data, "shape_id", lambda i: names[i])
    other = box((0, 0, 0), (32, 3, 3))
    found = known_shapes(remembering([other], ["a/m-v03"]), data, ["a/n"])
    assert [(one.shape, one.by) for one in found] == [(0, "name"), (1, "name"), (2, "training")]
    assert unlearned(Subset(data, [0, 1, 2]), Subset(data, [3])).positions == (0, 1, 2)
    assert unlearned(data, Subset(data, [1])).positions == (2, 3)


def test_all_pairs_are_found(data):
    """Against a loop over every slot and model, mirrored or not."""
    rng = np.random.default_rng(0)
    grids = [data.grid(int(i))[:, :, :: int(s)] for i, s in zip([0, 3, 3], [1, -1, 1], strict=True)]
    grids += list(rng.random((300, 32, 32, 32)) < 0.1)
    memory = remembering(grids[:16], [f"s{i}" for i in range(16)])
    stored = memory.values(memory.slots)
    want = [
        i
        for i in range(len(data))
        if any((data.grid(i)[:, :, ::s] == g).all() for g in stored for s in (1, -1))
    ]
    assert [one.shape for one in known_shapes(memory, data)] == want == [0, 3]


def test_what_is_told(data):
    memory = remembering([data.grid(1), data.grid(2)], ["", data.shape_id(2)])
    text = describe(known_shapes(memory, data), len(data))
    assert text.startswith("2 of 4 models are known: 1 in the memory by name (")
    assert f"({data.shape_id(1)} is an unnamed slot)" in text
