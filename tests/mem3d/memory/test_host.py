"""A memory on the CPU answers a step as the functions over it do, and its time is told."""

import numpy as np
import torch

from mem3d.memory.host import HostMemory, contrast_keys, recall, remember
from mem3d.memory.timing import TimedMemory
from mem3d.network.presets import TINY
from memstore import Memory
from tests.helpers.r2n2_folder import blob


def pairs(count):
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(count, TINY.memory.key_dim, generator=generator)
    grids = np.stack([blob(i % 3) for i in range(count)])
    return features, grids, [f"s{i}" for i in range(count)]


def assert_same(got, want):
    rows = [one if isinstance(one, tuple) else tuple(vars(one).values()) for one in (got, want)]
    for ours, theirs in zip(*rows, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))  # nan is nan


def test_each_call_is_that_of_the_memory_itself():
    features, grids, names = pairs(6)
    ours, theirs = Memory(TINY.memory), Memory(TINY.memory)
    timed, there = TimedMemory(HostMemory(ours), "cpu"), torch.from_numpy(grids)
    assert_same(timed.remember(features, there, names), remember(theirs, features, grids, names))
    assert_same(timed.recall(features, 2, names), recall(theirs, features, 2, names))
    assert_same(timed.contrast_keys(features, there), contrast_keys(theirs, features, grids))
    assert set(timed.seconds) == {"read", "contrast", "write"}
    assert all(spent > 0 for spent in timed.seconds.values())


def test_time_adds_up_by_phase():
    features, grids, names = pairs(4)
    timed = TimedMemory(HostMemory(Memory(TINY.memory)), "cpu")
    timed.remember(features, torch.from_numpy(grids), names)
    assert timed.seconds["write"] > 0 == timed.seconds["read"] == timed.seconds["contrast"]
    timed.recall(features, 2)
    once = timed.seconds["read"]
    timed.recall(features, 2)
    assert timed.seconds["read"] > once > 0
