"""Stats: how full a memory is, how old and how often read its slots are, what it costs."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memstore.search.watch import Recall
from memstore.slots.state import State, plain_column

BINS = 12  # at most, in a histogram
LISTED = 5  # slots named in most_read and least_read


@dataclass(frozen=True)
class Histogram:
    """How many numbers lie in each bin: edges[i] <= number < edges[i + 1]; empty for none."""

    edges: tuple[int, ...]  # one more than counts
    counts: tuple[int, ...]


@dataclass(frozen=True)
class SlotFacts:
    """One used slot."""

    slot: int
    source: str
    reads: int
    age: int
    columns: dict[str, Any] = field(default_factory=dict)  # entries by name


@dataclass(frozen=True, kw_only=True)
class Stats:
    """Facts about one memory; `dataclasses.asdict` of it is ready for JSON.

    What describes used slots is None, 0 or empty if there are none.
    """

    capacity: int
    used: int
    fill: float  # used / capacity
    key_dim: int
    resolution: int
    beta: float
    delta: float | None
    value_similarity: str
    when_full: str
    search: str  # "exact" or "ivf"
    recall: Recall | None  # of the nearest slots by "ivf", since opening; None before it is watched
    clock: int  # pairs written since creation
    merges: int  # since creation, as the next three
    inserts: int
    evictions: int
    removals: int
    age_min: int | None
    age_median: float | None
    age_max: int | None
    ages: Histogram  # bins of equal width
    stale: float | None  # share of used slots that none of the last `capacity` pairs touched
    oldest: SlotFacts | None
    reads_total: int
    reads_min: int | None
    reads_median: float | None
    reads_max: int | None
    reads: Histogram  # bins that grow: 0, 1, 2 to 3, 4 to 7, ...
    never_read: int  # used slots
    most_read: tuple[SlotFacts, ...]  # that were read; of equals the lowest slot first, as below
    least_read: tuple[SlotFacts, ...]
    mean_occupancy: float | None  # full voxels / voxels, over all used slots
    occupancy_min: float | None  # of one slot, as the next two
    occupancy_median: float | None
    occupancy_max: float | None
    columns: dict[str, dict[str, Any]]  # by name: distinct, and most, or min, median and max
    rows: str  # "ram", or "disk": mapped from a row file, so that the system may drop what is next
    key_bytes: int  # RAM held by keys
    value_bytes: int  # RAM of the values of slots that have been used
    bookkeeping_bytes: int  # RAM of ages, sources, reads, columns, and what is derived for speed
    disk_bytes: (
        dict[str, int] | None
    )  # by sub-folder, "." for the rest; None in RAM, of an object store "chunks" alone
    snapshot: str | None


def stats(state: State, snapshot: str | None, sizes: dict[str, int] | None = None) -> Stats:
    """Gather the facts.

    Args:
        state: of the memory.
        snapshot: that it is based on.
        sizes: bytes of its folder, by sub-folder.
    """
    config, used = state.config, state.used
    ages, reads = state.clock - state.touched[used], state.reads[used]
    occupancy = state.full[used] / config.resolution**3
    by_reads = np.argsort(reads, kind="stable")
    by_most = np.argsort(-reads, kind="stable")[: np.count_nonzero(reads)]
    bookkeeping = (state.touched, state.sources, state.reads, *state.columns.values())
    return Stats(
        capacity=config.capacity,
        used=len(used),
        fill=len(used) / config.capacity,
        key_dim=config.key_dim,
        resolution=config.resolution,
        beta=config.beta,
        delta=config.delta,
        value_similarity=config.value_similarity,
        when_full=config.when_full,
        search=config.search,
        recall=state.index.recall,
        clock=state.clock,
        merges=state.counts["merge"],
        inserts=state.counts["insert"],
        evictions=state.counts["evict"],
        removals=state.counts["remove"],
        age_min=int(ages.min()) if len(used) else None,
        age_median=_median(ages),
        age_max=int(ages.max()) if len(used) else None,
        ages=even_histogram(ages),
        stale=float((ages >= config.capacity).mean()) if len(used) else None,
        oldest=facts_of(state, int(used[ages.argmax()])) if len(used) else None,
        reads_total=int(reads.sum()),
        reads_min=int(reads.min()) if len(used) else None,
        reads_median=_median(reads),
        reads_max=int(reads.max()) if len(used) else None,
        reads=growing_histogram(reads),
        never_read=int((reads == 0).sum()),
        most_read=tuple(facts_of(state, int(slot)) for slot in used[by_most[:LISTED]]),
        least_read=tuple(facts_of(state, int(slot)) for slot in used[by_reads[:LISTED]]),
        mean_occupancy=float(occupancy.mean()) if len(used) else None,
        occupancy_min=float(occupancy.min()) if len(used) else None,
        occupancy_median=_median(occupancy),
        occupancy_max=float(occupancy.max()) if len(used) else None,
        columns={name: column_facts(column[used]) for name, column in state.columns.items()},
        rows="disk" if state.index.is_mapped else "ram",
        key_bytes=state.index.keys.nbytes,
        value_bytes=state.values[: state.index.rows].nbytes,
        bookkeeping_bytes=sum(array.nbytes for array in bookkeeping) + state.derived_bytes,
        disk_bytes=sizes,
        snapshot=snapshot,
    )


def facts_of(state: State, slot: int) -> SlotFacts:
    """What is to be said of a used slot."""
    source = bytes(state.sources[slot]).decode()
    age, reads = int(state.clock - state.touched[slot]), int(state.reads[slot])
    return SlotFacts(slot, source, reads, age, entries_of(state, slot))


def entries_of(state: State, slot: int) -> dict[str, Any]:
    """The columns of a used slot, as Python's own."""
    rows = {name: column[slot : slot + 1] for name, column in state.columns.items()}
    return {name: plain_column(row).item() for name, row in rows.items()}


def column_facts(column: NDArray[Any]) -> dict[str, Any]:
    """What used slots have in a column (n,): of texts the most frequent, else the extent."""
    if not len(column):
        return {"distinct": 0}
    entries, counts = np.unique(column, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:LISTED]
    facts: dict[str, Any] = {"distinct": len(entries)}
    if column.dtype.kind in "Sb":
        names = plain_column(entries[order]).tolist()
        return facts | {
            "most": [[n, c] for n, c in zip(names, counts[order].tolist(), strict=True)]
        }
    least, most = entries[[0, -1]].tolist()
    return facts | {"min": least, "median": _median(column), "max": most}


def even_histogram(numbers: NDArray[np.int64]) -> Histogram:
    """Bins of one width from 0 on, as few as hold all numbers (>= 0), at most BINS."""
    if not len(numbers):
        return Histogram((), ())
    width = -(-(int(numbers.max()) + 1) // BINS)
    bins = int(numbers.max()) // width + 1
    return _histogram(numbers, [i * width for i in range(bins + 1)])


def growing_histogram(numbers: NDArray[np.int64]) -> Histogram:
    """Bins 0, 1, then each twice as wide as the last, or 4, 8, ... times if BINS are too few."""
    if not len(numbers):
        return Histogram((), ())
    largest, factor = int(numbers.max()), 2
    while factor ** (BINS - 1) <= largest:
        factor *= 2
    edges = [0, 1]
    while edges[-1] <= largest:
        edges.append(edges[-1] * factor)
    return _histogram(numbers, edges)


def _histogram(numbers: NDArray[np.int64], edges: list[int]) -> Histogram:
    """Count integers between integer edges."""
    bins = np.searchsorted(edges, numbers, side="right") - 1
    counts = np.bincount(bins, minlength=len(edges) - 1)
    return Histogram(tuple(edges), tuple(counts.tolist()))


def _median(numbers: NDArray[Any]) -> float | None:
    """None of none."""
    return float(np.median(numbers)) if len(numbers) else None
