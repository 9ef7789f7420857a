"""Packing and comparing voxel grids."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from memstore.grids import pack, packed_shape, unpack, value_similarity
from tests import naive


def test_bits_by_hand():
    """Last axis, first voxel in the highest bit, padding 0."""
    grid = np.zeros((10, 10, 10), bool)
    grid[1, 2, [0, 7, 9]] = True
    packed = pack(grid)
    assert packed.shape == packed_shape(10) == (10, 10, 2)
    assert packed[1, 2].tolist() == [0b10000001, 0b01000000]
    assert packed.sum() == 0b10000001 + 0b01000000


@pytest.mark.parametrize("resolution", [1, 2, 7, 8, 9, 16])
@pytest.mark.parametrize("kind", ["mse", "iou"])
def test_bits_equal_voxels(resolution, kind):
    rng = np.random.default_rng(resolution)
    grids = rng.random((5, *[resolution] * 3)) < np.array([0, 0.1, 0.5, 0.9, 1]).reshape(5, 1, 1, 1)
    packed = pack(grids)
    assert_array_equal(unpack(packed, resolution), grids)
    for a in range(5):
        expected = [naive.value_similarity(grids[b], grids[a], kind) for b in range(5)]
        assert_array_equal(value_similarity(packed, packed[a], resolution, kind), expected)


@given(st.integers(0, 255), st.integers(0, 255), st.sampled_from(["mse", "iou"]))
def test_similarity_is_symmetric_and_one_for_equals(a, b, kind):
    first, second = (pack(np.unpackbits(np.uint8([x])).reshape(2, 2, 2)) for x in (a, b))
    there = value_similarity(first[None], second, 2, kind)
    assert there == value_similarity(second[None], first, 2, kind)
    assert (there.item() == 1) == (a == b)


def test_empty_grids_by_hand():
    empty, one = np.zeros((1, 2, 2, 1), np.uint8), np.zeros((1, 2, 2, 1), np.uint8)
    one[0, 0, 0] = 0b10000000
    assert value_similarity(empty, empty[0], 2, "iou").tolist() == [1.0]
    assert value_similarity(empty, one[0], 2, "iou").tolist() == [0.0]
    assert value_similarity(empty, one[0], 2, "mse").tolist() == [7 / 8]
