"""A memory's working copy on a device: what it does, the memory itself does."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mem3d.data.loader import TrainingViews, loader
from mem3d.data.readers.r2n2 import R2N2
from mem3d.memory.device import DeviceMemory
from mem3d.memory.host import contrast_keys, recall, remember
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY
from mem3d.training.state import Run
from mem3d.training.step import train_step
from memstore import FeatureError, Memory, MemoryConfig
from tests.helpers.random_memories import assert_same

C = 16


def config(similarity="iou", resolution=4, capacity=9, beta=0.2):
    return MemoryConfig(
        capacity=capacity,
        key_dim=C,
        resolution=resolution,
        beta=beta,
        delta=0.6,
        value_similarity=similarity,
    )


def pairs(rng, count, resolution, kinds=4):
    """Features and grids of a few kinds, so that writes merge, insert and evict; sources."""
    kind = rng.integers(kinds, size=count)
    shapes = np.random.default_rng(5).random((kinds, resolution, resolution, resolution)) < 0.4
    grids = shapes[kind] ^ (rng.random((count,) + (resolution,) * 3) < rng.choice([0, 0.1, 0.3]))
    centers = np.random.default_rng(6).standard_normal((kinds, C))
    features = centers[kind] + rng.standard_normal((count, C))
    features[rng.random(count) < 0.1] = 0
    names = [f"s/{k}" if rng.random() < 0.8 else "" for k in kind]
    return torch.tensor(features, dtype=torch.float32), grids, names


def assert_close(ours, theirs):
    """Two memories whose keys may differ in the last digits, and in nothing else."""
    assert_array_equal(ours.slots, theirs.slots)
    slots = ours.slots
    assert_allclose(ours.keys(slots), theirs.keys(slots), atol=2e-6)
    assert_array_equal(ours.values(slots), theirs.values(slots))
    assert_array_equal(ours.ages, theirs.ages)
    assert ours.sources == theirs.sources
    assert_array_equal(ours.reads, theirs.reads)
    assert ours.clock == theirs.clock
    for name in ("merges", "inserts", "evictions", "removals"):
        assert getattr(ours.stats(), name) == getattr(theirs.stats(), name)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from(["iou", "mse"]),
    st.sampled_from([2, 3, 4, 8]),
    st.integers(1, 30),
)
def test_does_what_the_memory_does(seed, similarity, resolution, capacity):
    rng = np.random.default_rng(seed)
    ours, theirs = (Memory(config(similarity, resolution, capacity)) for _ in range(2))
    for memory in (ours, theirs):
        remember(memory, *pairs(np.random.default_rng(seed), 3, resolution))
    if len(ours) and rng.random() < 0.5:
        for memory in (ours, theirs):
            memory.remove(memory.slots[:1])
    resident = DeviceMemory(ours, "cpu")
    assert len(resident) == len(ours)
    for _ in range(4):
        features, grids, names = pairs(rng, int(rng.integers(1, 7)), resolution)
        exclude = [name if rng.random() < 0.5 else None for name in names]
        want, got = (recall(memory, features, 3, exclude) for memory in (theirs, resident))
        assert torch.equal(got.counts, want.counts)
        assert_array_equal(got.slots, want.slots)
        assert_allclose(got.cosines, want.cosines, atol=1e-5)
        assert torch.equal(got.priors, want.priors)
        assert got.priors.dtype == features.dtype

        voxels = torch.from_numpy(grids)
        for mine, its in zip(
            resident.contrast_keys(features, voxels),
            contrast_keys(theirs, features, grids),
            strict=True,
        ):
            assert_allclose(mine.numpy(), its.numpy(), atol=2e-6)

        report = resident.remember(features, voxels, names)
        wanted = remember(theirs, features, grids, names)
        assert_array_equal(report.slots, wanted.slots)
        assert_array_equal(report.kinds, wanted.kinds)
        assert_allclose(report.value_similarities, wanted.value_similarities, rtol=1e-12)
        if rng.random() < 0.5:
            resident.flush()
            assert_close(ours, theirs)
    resident.flush()
    assert_close(ours, theirs)
    assert_close(DeviceMemory(ours, "cpu").memory, theirs)


def test_a_flush_is_committed_like_any_change(tmp_path):
    rng = np.random.default_rng(0)
    with Memory.create(tmp_path / "m", config()) as memory:
        resident = DeviceMemory(memory, "cpu")
        features, grids, names = pairs(rng, 8, 4)
        resident.remember(features, torch.from_numpy(grids), names)
        assert len(memory) == 0  # not yet
        resident.flush()
        memory.commit("flushed")
        with Memory.open(tmp_path / "m") as opened:
            assert_same(opened, memory)
        assert not memory.verify(every=True).problems
        before = memory.snapshot
        resident.flush()  # nothing new
        assert memory.commit("again") == before


def test_its_bytes_are_told_before_they_are_taken():
    resident = DeviceMemory(Memory(config(capacity=50)), "cpu")
    taken = sum(one.nbytes for one in vars(resident).values() if isinstance(one, torch.Tensor))
    told = DeviceMemory.bytes_for(resident.config)
    assert told <= taken <= told + 50 * 32  # numbers beside the rows


def test_a_feature_that_is_not_finite_is_refused():
    memory = Memory(config())
    resident = DeviceMemory(memory, "cpu")
    features, grids, names = pairs(np.random.default_rng(0), 4, 4)
    bad = features.clone()
    bad[1, 2] = torch.nan
    with pytest.raises(FeatureError):
        resident.remember(bad, torch.from_numpy(grids), names)
    resident.remember(features, torch.from_numpy(grids), names)
    with pytest.raises(FeatureError):
        resident.recall(bad, 2)
    with pytest.raises(FeatureError):
        resident.recall(bad * torch.inf, 2)


def test_opposite_keys_are_merged_as_the_memory_merges_them():
    ours, theirs = Memory(config()), Memory(config())
    grid = np.ones((1, 4, 4, 4), bool)
    feature = torch.zeros(1, C)
    feature[0, 0] = 1
    resident = DeviceMemory(ours, "cpu")
    for sign in (1, -1):
        resident.remember(sign * feature, torch.from_numpy(grid), ["a"])
        remember(theirs, sign * feature, grid, ["a"])
    resident.flush()
    assert_close(ours, theirs)


@pytest.mark.parametrize("exclude_self", [False, True])
def test_a_step_with_it_is_a_step_with_the_memory(made_up_data, exclude_self):
    data = R2N2.open(made_up_data, "train")
    train = dict(TINY.train.__dict__, exclude_self=exclude_self)
    settings_ = type(TINY.train)(**train)
    found = []
    for is_resident in (False, True):
        torch.manual_seed(0)
        model = Mem3D(TINY.model)
        run = Run(model, torch.optim.SGD(model.parameters(), 1e-3), Memory(TINY.memory))
        resident = DeviceMemory(run.memory, "cpu") if is_resident else None
        views = TrainingViews(data, TINY.model.image_size, seed=0, augment=True)
        rows = []
        for epoch in range(2):  # from the third on, what a last digit decides decides more
            order = [[(epoch, model) for model in range(len(data))]]
            for batch in loader(views, order, 0):
                row = train_step(run, batch, data, settings_, "cpu", resident=resident)
                rows.append({k: v for k, v in row.items() if not k.endswith("_ms")})
                assert all(row[f"{phase}_ms"] > 0 for phase in ("read", "contrast", "write"))
        if resident:
            resident.flush()
        found.append((rows, run))
    for mine, its in itertools.zip_longest(found[1][0], found[0][0]):
        assert mine == pytest.approx(its, abs=1e-5)
    assert_array_equal(found[0][1].memory.slots, found[1][1].memory.slots)
    assert found[0][1].memory.sources == found[1][1].memory.sources
