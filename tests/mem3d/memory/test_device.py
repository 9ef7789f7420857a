"""A memory's working copy on a device: what it does, the memory itself does."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mem3d.data.loader import TrainingViews, loader
from mem3d.data.readers.r2n2 import R2N2
from mem3d.memory.device import DeviceMemory
from mem3d.memory.host import HostMemory
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY
from mem3d.training.state import TrainingState
from mem3d.training.step import train_step
from memstore import PAPER, FeatureError, Memory
from tests.helpers.random_memories import assert_same

C = 16


def config(similarity="iou", resolution=4, capacity=9, beta=0.2):
    return replace(
        PAPER,
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


def write(memory, features, grids, names):
    return HostMemory(memory).write(features, torch.from_numpy(grids), names)


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
        write(memory, *pairs(np.random.default_rng(seed), 3, resolution))
    if len(ours) and rng.random() < 0.5:
        for memory in (ours, theirs):
            memory.remove(memory.slots[:1])
    device = DeviceMemory(ours, "cpu")
    assert len(device) == len(ours)
    for _ in range(4):
        features, grids, names = pairs(rng, int(rng.integers(1, 7)), resolution)
        exclude = [name if rng.random() < 0.5 else None for name in names]
        want, actual = (each.recall(features, 3, exclude) for each in (HostMemory(theirs), device))
        assert torch.equal(actual.counts, want.counts)
        assert_array_equal(actual.slots, want.slots)
        assert_allclose(actual.cosines, want.cosines, atol=1e-5)
        assert torch.equal(actual.priors, want.priors)
        assert actual.priors.dtype == features.dtype

        voxels = torch.from_numpy(grids)
        for mine, its in zip(
            device.contrast_keys(features, voxels),
            HostMemory(theirs).contrast_keys(features, voxels),
            strict=True,
        ):
            assert_allclose(mine.numpy(), its.numpy(), atol=2e-6)

        report = device.write(features, voxels, names)
        expected = write(theirs, features, grids, names)
        assert_array_equal(report.slots, expected.slots)
        assert_array_equal(report.kinds, expected.kinds)
        assert_allclose(report.value_similarities, expected.value_similarities, rtol=1e-12)
        if rng.random() < 0.5:
            device.flush()
            assert_close(ours, theirs)
    device.flush()
    assert_close(ours, theirs)
    assert_close(DeviceMemory(ours, "cpu").memory, theirs)


def test_a_flush_is_committed_like_any_change(tmp_path):
    rng = np.random.default_rng(0)
    with Memory.create(tmp_path / "m", config()) as memory:
        device = DeviceMemory(memory, "cpu")
        features, grids, names = pairs(rng, 8, 4)
        device.write(features, torch.from_numpy(grids), names)
        assert len(memory) == 0  # not yet
        device.flush()
        memory.commit("flushed")
        with Memory.open(tmp_path / "m") as opened:
            assert_same(opened, memory)
        assert not memory.verify(every=True).problems
        before = memory.snapshot
        device.flush()  # nothing new
        assert memory.commit("again") == before


def test_its_bytes_are_told_before_they_are_taken():
    device = DeviceMemory(Memory(config(capacity=50)), "cpu")
    taken = sum(one.nbytes for one in vars(device).values() if isinstance(one, torch.Tensor))
    told = DeviceMemory.bytes_for(device.config)
    assert told <= taken <= told + 50 * 32  # numbers beside the rows


def test_a_feature_that_is_not_finite_is_refused():
    memory = Memory(config())
    device = DeviceMemory(memory, "cpu")
    features, grids, names = pairs(np.random.default_rng(0), 4, 4)
    bad = features.clone()
    bad[1, 2] = torch.nan
    with pytest.raises(FeatureError):
        device.write(bad, torch.from_numpy(grids), names)
    device.write(features, torch.from_numpy(grids), names)
    with pytest.raises(FeatureError):
        device.recall(bad, 2)
    with pytest.raises(FeatureError):
        device.recall(bad * torch.inf, 2)


def test_opposite_keys_are_merged_as_the_memory_merges_them():
    ours, theirs = Memory(config()), Memory(config())
    grid = np.ones((1, 4, 4, 4), bool)
    feature = torch.zeros(1, C)
    feature[0, 0] = 1
    device = DeviceMemory(ours, "cpu")
    for sign in (1, -1):
        device.write(sign * feature, torch.from_numpy(grid), ["a"])
        write(theirs, sign * feature, grid, ["a"])
    device.flush()
    assert_close(ours, theirs)


@pytest.mark.parametrize("exclude_self", [False, True])
def test_a_step_with_it_is_a_step_with_the_memory(made_up_data, exclude_self):
    data = R2N2.open(made_up_data, "train")
    train = dict(TINY.train.__dict__, exclude_self=exclude_self)
    settings_ = type(TINY.train)(**train)
    result = []
    for on_device in (False, True):
        torch.manual_seed(0)
        model = Mem3D(TINY.model)
        run = TrainingState(model, torch.optim.SGD(model.parameters(), 1e-3), Memory(TINY.memory))
        device = DeviceMemory(run.memory, "cpu") if on_device else None
        views = TrainingViews(data, TINY.model.image_size, seed=0, augment=True)
        rows = []
        for epoch in range(2):  # from the third on, what a last digit decides decides more
            order = [[(epoch, model) for model in range(len(data))]]
            for batch in loader(views, order, 0):
                row = train_step(run, batch, data, settings_, "cpu", memory=device)
                rows.append({k: v for k, v in row.items() if not k.endswith("_ms")})
                assert all(row[f"{phase}_ms"] > 0 for phase in ("read", "contrast", "write"))
        if device:
            device.flush()
        result.append((rows, run))
    for mine, its in itertools.zip_longest(result[1][0], result[0][0]):
        assert mine == pytest.approx(its, abs=1e-5)
    assert_array_equal(result[0][1].memory.slots, result[1][1].memory.slots)
    assert result[0][1].memory.sources == result[1][1].memory.sources
