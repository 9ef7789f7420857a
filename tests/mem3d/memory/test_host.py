"""A memory on the CPU, asked and written in tensors."""

import numpy as np
import pytest
import torch

from mem3d.memory.host import HostMemory
from mem3d.network.presets import TINY
from memstore import FeatureError, Memory
from tests.helpers.r2n2_folder import blob

C = TINY.memory.key_dim


def axis(*which):
    """Unit features along given axes, (B, C)."""
    return torch.eye(C)[list(which)]


@pytest.fixture
def memory():
    memory = Memory(TINY.memory)
    grids = np.stack([blob(0), blob(1)])
    memory.write(axis(0, 1).numpy(), grids, ["a/0", "a/1"])
    return memory


def test_recalls_what_was_written(memory):
    result = HostMemory(memory).recall(axis(1, 0, 2), 2)
    assert result.counts.tolist() == [1, 1, 0]
    assert result.priors.shape == (3, 1, 32, 32, 32)  # no wider than needed
    np.testing.assert_array_equal(result.priors[0, 0].numpy(), blob(1))
    assert not result.priors[2].any()


def test_own_shape_can_be_passed_over(memory):
    assert HostMemory(memory).recall(axis(0), 2, ["a/0"]).counts.tolist() == [0]


def test_a_dead_feature_recalls_nothing_and_is_not_written(memory):
    features = torch.cat([torch.zeros(1, C), axis(0)])
    result = HostMemory(memory).recall(features, 2)
    assert result.counts.tolist() == [0, 1]
    assert not result.priors[0].any()
    assert not features[0].any()  # the caller's tensor is left alone
    before = len(memory)
    report = HostMemory(memory).write(features[:1], torch.from_numpy(blob(5)[None]), ["b/0"])
    assert (len(report.slots), len(memory)) == (0, before)


def test_a_diverged_feature_is_an_error(memory):
    with pytest.raises(FeatureError):
        HostMemory(memory).recall(torch.full((1, C), float("nan")), 2)


def test_contrast_gives_the_keys_of_the_right_slots(memory):
    positive, negative, valid = HostMemory(memory).contrast_keys(
        axis(0, 2), torch.from_numpy(np.stack([blob(0), ~blob(0)]))
    )
    assert valid.tolist() == [True, False]  # nothing there resembles the inverse of blob 0
    torch.testing.assert_close(positive[0], axis(0)[0])
    torch.testing.assert_close(negative[0], axis(1)[0])
    assert not positive[1].any()
    assert not positive.requires_grad


def test_an_empty_memory_has_nothing_to_contrast():
    _, _, valid = HostMemory(Memory(TINY.memory)).contrast_keys(
        axis(0), torch.from_numpy(blob(0)[None])
    )
    assert valid.tolist() == [False]
