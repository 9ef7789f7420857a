"""Stale keys, and fresh ones, against a loop over slots and views."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from mem3d.data.dataset import ConcatDataset, Subset
from mem3d.data.readers.r2n2 import R2N2
from mem3d.network.features import View, view_features
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY
from mem3d.runs.memorization import memorize
from mem3d.runs.staleness import (
    NO_DATA,
    NO_FEATURE,
    NO_GRID,
    families,
    fresh_keys,
    staleness,
)
from memstore import Memory, MemstoreError
from memstore.voxels.binvox import write_binvox
from tests.helpers.r2n2_folder import box, make_r2n2

LARGE = replace(TINY.memory, capacity=32, delta=1.0)  # only equals merge


def network(seed):
    torch.manual_seed(seed)
    return Mem3D(TINY.model).eval()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Six shapes of three views, the views of each unlike one another."""
    root = make_r2n2(tmp_path_factory.mktemp("rekeying"), train=3, val=0, test=0, views=3)
    for i, folder in enumerate(sorted(root.glob("ShapeNetRendering/*/*/rendering"))):
        other = sorted(root.glob("ShapeNetRendering/*/*/rendering"))[i - 1]
        (folder / "01.png").write_bytes((other / "00.png").read_bytes())
    for i, path in enumerate(sorted(root.rglob("model.binvox"))):
        write_binvox(path, box((0, 10, 10), (32, 20, 12 + i)))
    return R2N2.open(root)


@pytest.fixture
def memory(data):
    """The six shapes under another network's keys, then one mirrored, and two strangers."""
    memory = Memory(LARGE)
    memorize(network(1), memory, data)
    rng = np.random.default_rng(0)
    asymmetric = data.grid(0)
    asymmetric[0, 0, 0] = True
    grids = np.array([asymmetric, data.grid(1)])
    keys = rng.random((2, LARGE.key_dim))
    memory.write(keys, grids, [data.shape_id(2), "elsewhere/1"])
    return memory


def naive_key(model, data, models, views, mirrored=False):
    """Mean of unit features, each picture encoded alone."""
    total, seen = 0, 0
    for i in models:
        for view in range(data.views(i)):
            if seen < views:
                [[feature]] = view_features(model, data, [View(i, view, mirrored)])
                total = total + feature.astype(float) / np.linalg.norm(feature.astype(float))
                seen += 1
    return total / np.linalg.norm(total)


@pytest.mark.parametrize("views", [1, 2, 24])
def test_fresh_keys_are_means_of_unit_features(memory, data, views):
    model = network(0)
    fresh = fresh_keys(model, memory, data, views=views, batch=4)
    assert fresh.slots.tolist() == [0, 1, 2, 3, 4, 5]
    assert fresh.skipped == {NO_GRID: 1, NO_DATA: 1}
    for slot in range(6):
        want = naive_key(model, data, [slot], views)
        np.testing.assert_allclose(fresh.keys[fresh.shapes[slot]], want, atol=1e-5)


def test_a_mirrored_value_is_keyed_by_mirrored_pictures(data, monkeypatch):
    model, memory = network(0), Memory(LARGE)
    grid = data.grid(0)
    grid[0, 0, 0] = True  # no symmetry
    monkeypatch.setattr(data, "grid", lambda i: grid)
    keys = np.eye(3, LARGE.key_dim)
    grids = np.array([grid, ~grid, grid[:, :, ::-1]])
    memory.write(keys, grids, [data.shape_id(3), "x", data.shape_id(3)])
    fresh = fresh_keys(model, memory, data, views=2)
    assert (fresh.slots.tolist(), fresh.shapes.tolist()) == ([0, 2], [0, 1])
    for row, mirrored in enumerate((False, True)):
        want = naive_key(model, data, [3], 2, mirrored)
        np.testing.assert_allclose(fresh.keys[row], want, atol=1e-5)


def test_pictures_of_all_entries_of_a_shape_count(memory, data):
    """As in Pix3D, where a shape has one entry for each photo of it."""
    model, twice = network(0), Subset(data, [4, 0, 4])
    fresh = fresh_keys(model, memory, twice, np.array([4]), views=5)
    want = naive_key(model, twice, [0, 2], 5)
    np.testing.assert_allclose(fresh.keys[0], want, atol=1e-5)


class Renamed(Subset):
    """Models of a data set, some of them mirrored, under other names."""

    def __init__(self, data, positions, names, mirrored=()):
        super().__init__(data, positions)
        self.names, self.mirrored = names, mirrored

    def shape_id(self, i):
        return self.names[i]

    def grid(self, i):
        grid = super().grid(i)
        return grid[:, :, ::-1] if i in self.mirrored else grid


def test_a_slot_is_found_among_the_variants_of_its_mesh(data):
    """Three variants, one mirrored, one of them twice; a slot of none; another family."""
    model, memory = network(0), Memory(LARGE)
    names = ["a/m", "a/m-v01", "a/m-v02", "a/m-v02", "a/n-v01"]
    variants = Renamed(data, [0, 1, 2, 2, 3], names, mirrored=[0])
    asymmetric = data.grid(0)
    asymmetric[0, 0, 0] = True
    grids = np.stack([data.grid(2), data.grid(0), data.grid(1), data.grid(4), asymmetric])
    memory.write(np.eye(5, LARGE.key_dim), grids, ["a/m", "a/m", "a/m-v07", "a/m", "a/o"])
    fresh = fresh_keys(model, memory, variants, views=4)
    assert (fresh.slots.tolist(), fresh.skipped) == ([0, 1, 2], {NO_GRID: 1, NO_DATA: 1})
    for slot, models, mirrored in ((0, [2, 3], False), (1, [0], True), (2, [1], False)):
        want = naive_key(model, variants, models, 4, mirrored)
        np.testing.assert_allclose(fresh.keys[fresh.shapes[slot]], want, atol=1e-5)


def test_one_name_may_be_of_several_shapes(data):
    """As where two data sets are joined that have the same model in other voxels."""
    both = ConcatDataset([Subset(data, [0]), Renamed(data, [1], [data.shape_id(0)])])
    memory = Memory(LARGE)
    memorize(network(1), memory, both)
    fresh = fresh_keys(network(0), memory, both, views=1, members=families(both))
    assert (fresh.slots.tolist(), fresh.skipped) == ([0, 1], {})
    for slot in (0, 1):
        want = naive_key(network(0), both, [slot], 1)
        np.testing.assert_allclose(fresh.keys[fresh.shapes[slot]], want, atol=1e-5)


def test_only_shapes_that_are_asked_for_are_read(memory, data, monkeypatch):
    read, members = [], families(data)
    grid = data.grid
    monkeypatch.setattr(data, "grid", lambda i: read.append(i) or grid(i))
    monkeypatch.setattr(data, "shape_id", None)
    found = staleness(network(0), memory, data, sample=3, members=members)
    assert len(read) <= 3 and len(found.slots) + sum(found.skipped.values()) == 3


def test_families_are_named_after_their_mesh(data):
    variants = Renamed(data, [0, 1, 2], ["b", "a-v01", "a"])
    assert families(variants) == {"b": [0], "a": [1, 2]}
    assert families(Subset(data, [])) == {}


def test_memorized_views_are_not_stale(data):
    model, memory = network(0), Memory(LARGE)
    memorize(model, memory, data)
    np.testing.assert_allclose(staleness(model, memory, data).cosines, 1, atol=1e-5)


def test_staleness_is_the_cosine_of_stored_and_fresh(memory, data):
    model = network(0)
    found = staleness(model, memory, data, sample=None)
    want = [memory.keys([s])[0] @ naive_key(model, data, [s], 1) for s in found.slots]
    np.testing.assert_allclose(found.cosines, want, atol=1e-5)
    told = found.to_dict()
    assert told["mean"] == pytest.approx(np.mean(want), abs=1e-5)
    assert told["median"] == pytest.approx(np.median(want), abs=1e-5)
    assert told["p5"] == pytest.approx(np.percentile(want, 5), abs=1e-5)
    assert json.loads(json.dumps(told)) == told


def test_a_sample_is_drawn_by_its_seed_and_leaves_no_trace(memory, data):
    model = network(0).train()
    random, reads = torch.get_rng_state(), memory.reads
    first, again = (staleness(model, memory, data, sample=4, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.cosines, again.cosines)
    assert len(first.slots) + sum(first.skipped.values()) == 4
    others = [staleness(model, memory, data, sample=4, seed=seed).slots for seed in range(4)]
    assert any(other.tolist() != first.slots.tolist() for other in others)
    assert model.training and torch.equal(torch.get_rng_state(), random)
    np.testing.assert_array_equal(memory.reads, reads)


def test_nothing_to_compare(data):
    model, empty = network(0), Memory(LARGE)
    found = staleness(model, empty, data)
    assert np.isnan(found.mean) and found.to_dict()["mean"] is None
    for weight in model.encoder.head.parameters():
        torch.nn.init.zeros_(weight)
    memorize(network(1), empty, data)
    assert fresh_keys(model, empty, data).skipped == {NO_FEATURE: 6}


def test_numbers_out_of_range(memory, data):
    model = network(0)
    with pytest.raises(ValueError, match="sample: got 0"):
        staleness(model, memory, data, sample=0)
    with pytest.raises(ValueError, match="views: got 0"):
        fresh_keys(model, memory, data, views=0)
    with pytest.raises(MemstoreError, match="slots: got 99"):
        fresh_keys(model, memory, data, np.array([99]))
