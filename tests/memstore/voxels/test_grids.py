"""Packing and comparing voxel grids."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from memstore.voxels.grids import (
    block_voxels,
    full_voxels,
    hamming,
    pack,
    packed_shape,
    similarity_bounds,
    unpack,
    value_similarity,
)
from tests.helpers import naive_memory


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
        expected = [naive_memory.value_similarity(grids[b], grids[a], kind) for b in range(5)]
        assert_array_equal(value_similarity(packed, packed[a], resolution, kind), expected)


@pytest.mark.parametrize("resolution", [1, 2, 7, 8, 9, 16, 32])
@pytest.mark.parametrize("kind", ["mse", "iou"])
def test_no_similarity_is_above_its_bound(resolution, kind):
    """Grids of random boxes, of which many share much, and noise, which shares what it must."""
    rng = np.random.default_rng(resolution)
    grids = rng.random((24, *[resolution] * 3)) < rng.random((24, 1, 1, 1))
    for grid in grids[:16]:
        low, high = np.sort(rng.integers(0, resolution + 1, (3, 2))).T
        box = np.zeros_like(grid)
        box[tuple(map(slice, low, high))] = True
        grid &= box
    packed = pack(grids)
    blocks = block_voxels(packed)
    assert_array_equal(blocks.sum(1), full_voxels(packed))
    tight = 0
    for one, its in zip(packed, blocks, strict=True):
        bounds = similarity_bounds(blocks, its, resolution, kind, full_voxels(packed))
        exact = value_similarity(packed, one, resolution, kind)
        assert (bounds >= exact).all() and (bounds <= 1).all()
        tight += (bounds == exact).sum()
    assert tight >= len(grids)  # each with itself


def test_bounds_of_the_largest_grids_do_not_overflow():
    blocks = np.full((1, 64), 2**24, np.int32)  # 1024^3 voxels, all full
    full = blocks.sum(1, dtype=np.int32)
    for kind in ("mse", "iou"):
        assert similarity_bounds(blocks, blocks[0], 1024, kind, full).tolist() == [1]


def test_blocks_lie_where_their_voxels_do():
    grid = np.zeros((1, 32, 32, 32), bool)
    grid[0, 0:8, 24:32, 8:16] = True
    counts = block_voxels(pack(grid)).reshape(4, 4, 4)
    assert counts[0, 3, 1] == 512
    assert counts.sum() == 512


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


@pytest.mark.parametrize("size", [1, 4, 8, 72, 128, 1000])
@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("rows", [0, 1, 20])
def test_hamming(size, batch, rows):
    rng = np.random.default_rng(size)
    packed, stored = (rng.integers(0, 256, (n, size), np.uint8) for n in (batch, rows))
    apart = np.unpackbits(packed[:, None] ^ stored[None], axis=-1).sum(axis=-1)
    assert_array_equal(hamming(packed, stored), apart)
