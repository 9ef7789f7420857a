"""Binary voxel grids as packed bits, and how similar two of them are."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memstore.config import ValueSimilarity as ValueSimilarity
from memstore.kernels import compiled

BLOCKS = 4  # along each side, for `block_voxels`


def packed_shape(resolution: int) -> tuple[int, int, int]:
    """Shape of one packed grid: eight voxels of the last axis per byte, the last byte padded."""
    return resolution, resolution, -(-resolution // 8)


def pack(bits: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Pack the last axis, first bit in a byte's highest; padding bits are 0.

    Args:
        bits: (..., n); of grids (..., R, R, R), or flattened to (..., R^3) for the fewest bytes.
    Returns:
        (..., ceil(n / 8)).
    """
    if bits.dtype == np.bool_ and (packed := compiled.pack_bits(bits)) is not None:
        return packed
    if bits.shape[-1] % 8 == 0:  # one long run of bits: seven times faster
        return np.packbits(bits).reshape(*bits.shape[:-1], bits.shape[-1] // 8)
    return np.packbits(bits, axis=-1)


def unpack(packed: NDArray[np.uint8], count: int) -> NDArray[np.bool_]:
    """Undo pack.

    Args:
        packed: (..., ceil(n / 8)).
        count: n, bits of the last axis: R of packed grids, R^3 of flattened ones.
    Returns:
        (..., n), a new array.
    """
    if count % 8 == 0:  # one long run of bits: three times faster
        return np.unpackbits(packed).view(np.bool_).reshape(*packed.shape[:-1], count)
    return np.unpackbits(packed, axis=-1, count=count).view(np.bool_)


def hamming(packed: NDArray[np.uint8], rows: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Bits that differ: (B, n) of packed bits (B, bytes) and (n, bytes), all contiguous."""
    import numkong  # imported late: who only packs, or reads a file, need not load it

    if not len(packed) or not len(rows):  # refused by the library
        return np.zeros((len(packed), len(rows)), np.int32)
    if len(packed) == 1:
        return np.asarray(numkong.cdist(packed, rows, "hamming", dtype="uint1")).astype(np.int32)
    queries = numkong.hammings_pack(packed, dtype="uint1")
    distances = np.asarray(numkong.hammings_packed(rows, queries))
    return np.ascontiguousarray(distances.T, np.int32)


def full_voxels(packed: NDArray[np.uint8]) -> NDArray[np.int32]:
    """(n,) full voxels of packed grids (n, R, R, ceil(R / 8)), contiguous."""
    rows = packed.reshape(len(packed), math.prod(packed.shape[1:]))
    return hamming(np.zeros_like(rows[:1]), rows)[0] if len(rows) else np.empty(0, np.int32)


def block_voxels(packed: NDArray[np.uint8]) -> NDArray[np.int32]:
    """(n, blocks) full voxels of packed grids (n, R, R, ceil(R / 8)) in each block.

    A side is cut into BLOCKS pieces, along z between bytes: fewer if there are fewer.
    """
    counts = np.bitwise_count(packed)
    for axis in (1, 2, 3):
        starts = np.unique(np.arange(BLOCKS) * packed.shape[axis] // BLOCKS)
        counts = np.add.reduceat(counts, starts, axis, dtype=np.int32)
    blocks: NDArray[np.int32] = counts.reshape(len(packed), math.prod(counts.shape[1:]))
    return blocks


def similarity_bounds(
    blocks: NDArray[np.int32],
    grid: NDArray[np.int32],
    resolution: int,
    kind: ValueSimilarity,
    full: NDArray[np.int32],
) -> NDArray[np.float64]:
    """(n,) that no `value_similarity` is above, from full voxels per block.

    In no block can two grids share more voxels than the emptier one has.

    Args:
        blocks: (n, blocks) from `block_voxels`.
        grid: (blocks,) of the other grid.
        resolution: R.
        kind: see `value_similarities`.
        full: (n,) sum of each row of blocks.
    """
    shared = np.minimum(blocks, grid).sum(1, dtype=np.int32)  # at most
    both = full + grid.sum(dtype=np.int64)
    least = both - 2 * shared.astype(np.int64)  # voxels that must be apart
    return _similarity(both, least, resolution, kind)


def value_similarity(
    values: NDArray[np.uint8],
    grid: NDArray[np.uint8],
    resolution: int,
    kind: ValueSimilarity,
    full: NDArray[np.int32] | None = None,
) -> NDArray[np.float64]:
    """(n,) of packed grids with one packed grid (R, R, ceil(R / 8)): see `value_similarities`."""
    similar: NDArray[np.float64] = value_similarities(values, grid[None], resolution, kind, full)[0]
    return similar


def paired_similarities(
    values: NDArray[np.uint8], grids: NDArray[np.uint8], resolution: int, kind: ValueSimilarity
) -> NDArray[np.float64]:
    """(n,) of packed grids, each with one; both contiguous. See `value_similarities`."""
    size = math.prod(values.shape[1:])
    word: type[np.unsignedinteger[Any]] = np.uint64 if size % 8 == 0 else np.uint8
    pair: list[NDArray[Any]] = [array.reshape(-1, size).view(word) for array in (values, grids)]
    rows, others = pair
    apart = _counted(rows ^ others)
    both = None if kind == "mse" else _counted(rows) + _counted(others)
    return _similarity(both, apart, resolution, kind)


def _counted(words: NDArray[Any]) -> NDArray[np.int64]:
    """(n,) bits that are set in each row of unsigned integers (n, words)."""
    counts: NDArray[np.int64] = np.add.reduce(np.bitwise_count(words), axis=1, dtype=np.int64)
    return counts


def value_similarities(
    values: NDArray[np.uint8],
    grids: NDArray[np.uint8],
    resolution: int,
    kind: ValueSimilarity,
    full: NDArray[np.int32] | None = None,
) -> NDArray[np.float64]:
    """Compare packed grids with packed grids, counting bits.

    Args:
        values: (n, R, R, ceil(R / 8)), contiguous.
        grids: (B, R, R, ceil(R / 8)), contiguous.
        resolution: R.
        kind: "mse": voxels that agree / R^3, which for binary grids is the paper's
            1 - mean squared difference; "iou": common / joint voxels, 1 if both are empty.
        full: (n,) full voxels of the values; by default "iou" counts them.
    Returns:
        (B, n) in [0, 1]: each one float64 division of two integers.

    Source: Mem3D sec. 3.1, S_v ("mse"); "iou" is ours.
    """
    size = math.prod(values.shape[1:])
    rows, bits = values.reshape(len(values), size), grids.reshape(len(grids), size)
    apart = hamming(bits, rows)
    if kind == "mse":
        return _similarity(None, apart, resolution, kind)
    filled = full_voxels(values) if full is None else full
    both = filled.astype(np.int64) + full_voxels(grids)[:, None]
    return _similarity(both, apart, resolution, kind)


def _similarity(
    both: NDArray[np.integer] | None,
    apart: NDArray[np.integer],
    resolution: int,
    kind: ValueSimilarity,
) -> NDArray[np.float64]:
    """From the full voxels of both grids together ("iou" alone asks) and those that are apart.

    The more are apart, the lower, rounding included: it keeps the order of quotients.
    """
    if kind == "mse":
        similar: NDArray[np.float64] = (resolution**3 - apart) / resolution**3
        return similar
    assert both is not None
    # |a| + |b| = joint + common, and what is apart is joint - common: a quotient of their doubles.
    similar = np.ones(apart.shape)
    np.divide(both - apart, both + apart, out=similar, where=both > 0)
    return similar
