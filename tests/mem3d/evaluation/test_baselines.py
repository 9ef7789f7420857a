"""Baselines by hand, and the oracle against the dullest search."""

import numpy as np
import pytest
import torch

from mem3d.data.images.preprocess import test_pixels as to_pixels
from mem3d.data.readers.r2n2 import R2N2
from mem3d.evaluation.baselines import (
    Library,
    StemFeatures,
    best_of,
    category_means,
    mean_of_recalled,
    nearest_recalled,
    stem_features,
)
from mem3d.memory.host import HostMemory
from mem3d.metrics import iou
from mem3d.network.encoder import Encoder
from mem3d.network.presets import TINY
from memstore import Memory
from tests.helpers.r2n2_folder import blob


@pytest.fixture
def sets(made_up_data):
    return {name: R2N2.open(made_up_data, name) for name in ("train", "test")}


def test_category_means_are_means(sets):
    data = sets["train"]
    means = category_means(data)
    chairs = [data.grid(i) for i in range(len(data)) if data.shapes[i].category == "chair"]
    np.testing.assert_allclose(means["chair"], np.mean(chairs, axis=0))


def test_the_nearest_value_is_returned_whatever_its_cosine():
    memory = Memory(TINY.memory)
    keys = np.eye(TINY.memory.key_dim, dtype=np.float32)
    grid = np.zeros((32,) * 3, bool)
    grid[3] = True
    memory.write(keys[:1], grid[None])
    features = torch.from_numpy(keys[:1] * 0.1 + keys[1:2])  # cosine about .1
    features = torch.cat([features, torch.zeros_like(features)])
    grids = nearest_recalled(memory, features, 32)
    np.testing.assert_array_equal(grids[0].numpy(), grid)
    assert not grids[1].any()
    assert not nearest_recalled(Memory(TINY.memory), features, 32).any()


def test_the_mean_of_what_was_recalled_by_hand():
    memory = Memory(TINY.memory)
    keys = np.eye(TINY.memory.key_dim, dtype=np.float32)
    near = keys[0] + 0.1 * keys[1]
    memory.write(np.stack([keys[0], near, keys[2]]), np.stack([blob(0), ~blob(0), blob(2)]))
    queries = torch.from_numpy(np.stack([keys[0], keys[2], keys[3]]))
    means = mean_of_recalled(HostMemory(memory).recall(queries, 3))
    np.testing.assert_array_equal(means[0], np.full((32,) * 3, 0.5))
    np.testing.assert_array_equal(means[1], blob(2))
    assert not means[2].any()


def naive_best(stored, true, allowed):
    """Position of the highest IoU, one pair at a time; -1 if none is allowed."""
    best, best_iou = -1, -1.0
    for position, grid in enumerate(stored):
        either = (grid | true).sum()
        found = (grid & true).sum() / either if either else 1.0
        if allowed(position) and found > best_iou:
            best, best_iou = position, found
    return best


@pytest.mark.parametrize("at_once", [3, 256])
def test_the_oracle_equals_a_search_pair_by_pair(at_once, monkeypatch):
    monkeypatch.setattr("mem3d.evaluation.baselines.AT_ONCE", at_once)
    rng = np.random.default_rng(0)
    stored = rng.random((20, 4, 4, 4)) < rng.choice([0.0, 0.3, 0.7], (20, 1, 1, 1))
    stored[15] = stored[4]  # the lower of equals counts
    true = np.concatenate(
        [rng.random((5, 4, 4, 4)) < 0.4, stored[14:16], np.zeros_like(stored[:1])]
    )
    names = rng.choice(["a", "b"], 20)
    library = Library(np.packbits(stored.reshape(20, -1), axis=1), names, 4)
    wanted = ["a", "b", "a", "b", "none", "a", "b", "a"]
    found = best_of(library, torch.from_numpy(true))
    assert found.tolist() == [naive_best(stored, one, lambda _: True) for one in true]
    within = best_of(library, torch.from_numpy(true), wanted)
    assert within.tolist() == [
        naive_best(stored, one, lambda i, name=name: names[i] == name)
        for one, name in zip(true, wanted, strict=True)
    ]
    assert within[4] == -1
    np.testing.assert_array_equal(library.grids(found), stored[found])
    assert not library.grids(within)[4].any()


def test_no_baseline_beats_the_oracle(sets):
    memory = Memory(TINY.memory)
    keys = np.random.default_rng(0).random((8, TINY.memory.key_dim), np.float32)
    memory.write(keys, np.stack([sets["train"].grid(i) for i in range(8)]))
    library = Library.of_memory(memory)
    true = torch.from_numpy(np.stack([sets["test"].grid(i) for i in range(4)]))
    best = torch.from_numpy(library.grids(best_of(library, true))).float()
    other = nearest_recalled(memory, torch.from_numpy(keys[:4]), 32)
    assert (iou(best, true, threshold=0.3) >= iou(other, true, threshold=0.3)).all()


def test_libraries_of_nothing():
    library = Library.of_memory(Memory(TINY.memory))
    assert library.packed.shape == (0, 4096)
    assert best_of(library, torch.zeros(2, 32, 32, 32, dtype=torch.bool)).tolist() == [-1, -1]


def test_a_training_picture_is_nearest_to_itself(sets):
    torch.manual_seed(0)
    encoder = Encoder(TINY.model).eval()
    seen = []
    library = StemFeatures.of(
        encoder, sets["train"], 32, views=9, batch=3, progress=lambda *at: seen.append(at)
    )
    assert library.models.tolist() == [i for i in range(8) for _ in range(2)]  # it has two views
    assert seen[-1] == (16, 16)
    torch.testing.assert_close(library.features.norm(dim=1), torch.ones(16))
    inputs = np.stack([to_pixels(sets["train"].image(i, 1), 64) for i in (5, 2)])
    with torch.inference_mode():
        grids = library.nearest(encoder, torch.from_numpy(inputs))
        assert stem_features(encoder, torch.from_numpy(inputs)).shape == (2, 512 * 16)
    for grid, i in zip(grids, (5, 2), strict=True):
        np.testing.assert_array_equal(grid, sets["train"].grid(i))
