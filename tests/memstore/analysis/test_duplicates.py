"""Slots with similar values."""

import itertools
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memstore import PAPER, ArgumentError, Memory
from memstore.analysis.duplicates import near_duplicates
from memstore.exchange import pairs
from memstore.voxels.grids import pack
from tests.helpers.naive_memory import value_similarity

CONFIG = replace(PAPER, capacity=20, key_dim=3, resolution=2, delta=0.75)


def memory_of(grids, kind="mse"):
    """Each grid in a slot of its own, from 1 on."""
    grids = np.concatenate([grids[:1], grids])
    rows = pairs.Pairs(np.eye(len(grids)), pack(grids), [""] * len(grids), 2)
    memory = pairs.memory_of(rows, False, None, {"value_similarity": kind}, lambda *_: None)
    memory.remove([0])
    return memory


@given(st.integers(0, 2**32 - 1), st.sampled_from(["mse", "iou"]), st.sampled_from([0.5, 0.75, 1]))
def test_all_pairs_are_found(seed, kind, least):
    rng = np.random.default_rng(seed)
    grids = rng.integers(0, 2, (10, 2, 2, 2)).astype(bool)
    memory = memory_of(grids, kind)
    values = dict(zip(memory.slots.tolist(), memory.values(memory.slots), strict=True))
    found = near_duplicates(memory, least)
    slots = itertools.combinations(values, 2)
    expected = [(a, b, value_similarity(values[a], values[b], kind)) for a, b in slots]
    expected = sorted((pair for pair in expected if pair[2] >= least), key=lambda p: (-p[2], p))
    assert list(found.pairs) == expected
    assert found.total == len(expected)
    near = {slot: {slot} for slot in values}
    for a, b, _ in expected:
        joined = near[a] | near[b]
        for slot in joined:
            near[slot] = joined
    groups = {tuple(sorted(group)) for group in near.values() if len(group) > 1}
    assert set(found.groups) == groups


def test_the_most_similar_pairs_are_listed_and_all_are_counted(monkeypatch):
    monkeypatch.setattr("memstore.analysis.duplicates.LARGEST_WHOLE", 12)
    grids = np.zeros((12, 2, 2, 2), bool)
    grids[::2, 0, 0, 0] = True
    told = []
    found = near_duplicates(memory_of(grids), 0.5, lambda *done: told.append(done), limit=3)
    assert (found.total, found.compared, found.used) == (66, 12, 12)
    assert found.pairs == ((1, 3, 1), (1, 5, 1), (1, 7, 1))  # 7 of 8 voxels agree elsewhere
    assert found.groups == (tuple(range(1, 13)),)
    assert told[-1] == (12, 12)
    json.dumps(asdict(found))


def test_a_large_memory_is_sampled(monkeypatch):
    monkeypatch.setattr("memstore.analysis.duplicates.LARGEST_WHOLE", 4)
    memory = memory_of(np.random.default_rng(0).random((9, 2, 2, 2)) < 0.5)
    found = near_duplicates(memory, 0.0)
    assert (found.compared, found.used, found.total) == (4, len(memory), 6)
    assert found == near_duplicates(memory, 0.0)


def test_none_in_an_empty_memory_and_delta_by_default():
    found = near_duplicates(Memory(CONFIG))
    assert (found.similarity, found.pairs, found.groups) == (0.75, (), ())


@pytest.mark.parametrize("wrong", [{"similarity": 1.5}, {"similarity": float("nan")}, {"limit": 0}])
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        near_duplicates(Memory(CONFIG), **wrong)
