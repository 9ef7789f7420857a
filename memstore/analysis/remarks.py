"""remarks: what is wrong with a memory, in words, and what to do about it."""

import numpy as np

from memstore.analysis.duplicates import Duplicates
from memstore.memory import Memory
from memstore.slots.state import State

FEWEST = 8  # used slots of which anything is said
SAMPLE = 256  # keys compared with each other
COLLAPSED = 0.99  # median cosine between two slots from which on keys tell little apart
MANY = 0.5  # share of slots that are stale, or never read
MANY_ALIKE = 0.2  # share of slots compared that have a near-duplicate
READS = 4  # per used slot, before those that were never read mean anything


def remarks(memory: Memory, duplicates: Duplicates | None = None) -> tuple[str, ...]:
    """Say what is wrong with a memory and what to do, a line each; none if all is well.

    Args:
        duplicates: of `near_duplicates`, which takes long; without, nothing is said of them.
    """
    with memory.frozen() as state:
        used, config = state.used, state.config
        if len(used) < FEWEST:
            return ()
        cosine = _median_cosine(state)
        unread = int((state.reads[used] == 0).sum())
        reads = int(state.reads[used].sum())
        stale = float((state.clock - state.touched[used] >= config.capacity).mean())
    lines = []
    if cosine >= COLLAPSED:
        lines.append(
            f"keys have collapsed: the median cosine between two slots is {cosine:.3f}, so that "
            "reads can hardly tell them apart; subtract the mean from the features, or use those "
            "of another layer, or of an encoder that was trained to tell the values apart"
        )
    if duplicates is not None and (alike := _alike(duplicates)) >= MANY_ALIKE:
        merging = "write with a delta to merge them" if config.delta is None else "lower delta"
        lines.append(
            f"near-duplicates: {alike:.0%} of the slots compared hold a value at least "
            f"{duplicates.similarity:g} like another's ({config.value_similarity}), which takes a "
            f"place in what a read gives; {merging}, or remove some"
        )
    if reads >= READS * len(used) and unread >= MANY * len(used):
        lines.append(
            f"never read: {unread:,} of {len(used):,} slots, while the others were read "
            f"{reads:,} times; read with a larger k or a lower beta, or remove them"
        )
    if stale >= MANY:
        lines.append(
            f"stale: {stale:.0%} of the slots were not touched by the last {config.capacity:,} "
            "pairs; if the encoder has changed since, replace_keys gives them keys of its own"
        )
    return tuple(lines)


def _median_cosine(state: State) -> float:
    """Of two slots, over a sample that is the same each time."""
    slots = state.used
    if len(slots) > SAMPLE:
        slots = np.random.default_rng(0).choice(slots, SAMPLE, replace=False)
    keys = state.index.keys[slots]
    return float(np.median((keys @ keys.T)[np.triu_indices(len(keys), 1)]))


def _alike(duplicates: Duplicates) -> float:
    """Share of the slots compared that are like another."""
    return sum(len(group) for group in duplicates.groups) / max(1, duplicates.compared)
