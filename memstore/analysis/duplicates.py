"""near_duplicates: slots whose values are much alike."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memstore.errors import ArgumentError
from memstore.files import Progress
from memstore.memory import Memory
from memstore.scalars import as_float
from memstore.slots import arguments
from memstore.voxels.grids import value_similarity

SIMILAR = 0.9  # where a memory has no delta
LARGEST_WHOLE = 5000  # used slots up to which every pair is compared


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Pairs and groups of slots with similar values; `dataclasses.asdict` is ready for JSON."""

    similarity: float  # from here on, two values count as duplicates
    compared: int  # slots compared with each other
    used: int  # more than `compared` if only a sample was compared
    total: int  # such pairs
    pairs: tuple[tuple[int, int, float], ...]  # slot, higher slot, similarity; best first
    groups: tuple[tuple[int, ...], ...]  # slots linked by pairs, also indirectly; largest first


def near_duplicates(
    memory: Memory,
    similarity: float | None = None,
    progress: Progress | None = None,
    limit: int = 1000,
) -> Duplicates:
    """Find used slots whose values are at least so similar, by the memory's value similarity.

    Compares every pair of slots: at 4,000 slots of 32^3 voxels, 8 million comparisons.

    Args:
        similarity: in [0, 1]; by default the config's delta, .9 if it has none.
        progress: called with slots compared and slots to compare.
        limit: >= 1, pairs listed; `total` and `groups` know all.

    Returns:
        Of more than LARGEST_WHOLE used slots, what a random sample of so many shows: the same
        sample each time.
    """
    delta = SIMILAR if memory.config.delta is None else memory.config.delta
    least = delta if similarity is None else as_float("similarity", similarity)
    if not 0 <= least <= 1:
        raise ArgumentError(f"similarity: got {least}, want a number in [0, 1]")
    limit = arguments.as_count("limit", limit)
    with memory.frozen() as state:
        used, slots = len(state.used), _sample(state.used)
        values, full = state.values[slots], state.full[slots]
    config = memory.config
    groups = np.arange(len(slots))  # of the slots at each place, the lowest place it is linked to
    pairs: list[tuple[float, int, int]] = []  # -similarity, two places
    total = 0
    for i in range(len(slots)):
        rest, kind = values[i + 1 :], config.value_similarity
        similarities = value_similarity(rest, values[i], config.resolution, kind, full[i + 1 :])
        near = np.flatnonzero(similarities >= least)
        if len(near):
            total += len(near)
            linked = np.unique(groups[[i, *(near + i + 1)]])
            groups[np.isin(groups, linked)] = linked[0]
            pairs += [(-float(similarities[j]), i, i + 1 + int(j)) for j in near]
            if len(pairs) > 2 * limit + LARGEST_WHOLE:
                pairs = sorted(pairs)[:limit]
        if progress is not None:
            progress(i + 1, len(slots))
    return Duplicates(
        similarity=least,
        compared=len(slots),
        used=used,
        total=total,
        pairs=tuple((int(slots[i]), int(slots[j]), -s) for s, i, j in sorted(pairs)[:limit]),
        groups=_groups(slots, groups),
    )


def _sample(slots: NDArray[np.int64]) -> NDArray[np.int64]:
    """The slots (ascending), or a random sample of too many."""
    if len(slots) <= LARGEST_WHOLE:
        return slots
    return np.sort(np.random.default_rng(0).choice(slots, LARGEST_WHOLE, replace=False))


def _groups(slots: NDArray[np.int64], groups: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    """Slots of each group of at least two, the largest group first."""
    labels, sizes = np.unique(groups, return_counts=True)
    members = [tuple(slots[groups == label].tolist()) for label in labels[sizes > 1]]
    return tuple(sorted(members, key=lambda group: (-len(group), group)))
