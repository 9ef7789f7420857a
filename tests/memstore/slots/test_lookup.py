"""Reading, by hand."""

import numpy as np

from memstore import Memory, MemoryConfig
from memstore.voxels.grids import unpack

CONFIG = MemoryConfig(capacity=5, key_dim=2, resolution=2, beta=0.7, delta=1)
ANGLES = np.radians([0, 10, 40, 50, 90])  # cosines to the x axis: 1, .98, .77, .64, 0
GRIDS = unpack(np.arange(1, 6, dtype=np.uint8)[:, None], 8).reshape(5, 2, 2, 2)
X = np.array([[2.0, 0.0]])


def five():
    memory = Memory(CONFIG)
    features = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
    features[4] = [0, 1]  # exactly
    memory.write(features, GRIDS, ["a", "b", "a", "b", ""])
    return memory


def test_above_beta_most_similar_first():
    priors = five().read(X, 4)
    assert priors.slots.tolist() == [[0, 1, 2, -1]]
    assert priors.counts.tolist() == [3]
    np.testing.assert_allclose(priors.cosines[0, :3], np.cos(ANGLES[:3]), rtol=1e-6)
    assert priors.cosines[0, 3] == -np.inf
    np.testing.assert_array_equal(priors.values[0, :3], GRIDS[:3])
    assert not priors.values[0, 3].any()


def test_beta_is_a_strict_bound():
    """The y axis has cosine 0 to the x axis, and 0 > 0 is false."""
    memory = five()
    assert memory.read(X, 5, beta=0).counts.tolist() == [4]
    assert memory.read(X, 5, beta=-1).counts.tolist() == [5]
    assert memory.read(X, 5, beta=1).counts.tolist() == [0]


def test_others_move_up_for_the_excluded():
    memory = five()
    queries = np.repeat(X, 4, axis=0)
    priors = memory.read(queries, 2, beta=-1, exclude=["a", "b", None, ""])
    assert priors.slots.tolist() == [[1, 3], [0, 2], [0, 1], [0, 1]]


def test_an_empty_memory():
    priors = Memory(CONFIG).read(X, 2)
    assert (priors.slots.tolist(), priors.counts.tolist()) == ([[-1, -1]], [0])
    assert not priors.values.any()
