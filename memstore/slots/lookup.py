"""Looking up in a state: priors of queries, and slots by how similar their values are.

Nothing here changes a state, but that a recall counts as a read.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memstore.config import MemoryConfig, ValueSimilarity
from memstore.errors import ArgumentError, ExtraMissingError
from memstore.kernels import compiled
from memstore.search.allowed import Allowed, Slots
from memstore.search.index import NO_SLOT
from memstore.slots.filters import NO_SOURCE, Test, matching
from memstore.slots.state import State, plain_column, texts_of
from memstore.slots.stats import facts_of
from memstore.voxels.grids import (
    block_voxels,
    similarity_bounds,
    unpack,
    value_similarities,
    value_similarity,
)

NEAR = 8  # slots whose values are compared first; mostly both kinds are among them
FEW = 8  # part of the rows that is ranked query by query
AT_ONCE = 16  # queries compared with all slots together; bounds the similarities held in RAM
_ARRAYS = ("slots", "cosines", "values", "counts")  # of Priors, first of its fields
BLOCK = 2**22  # bytes of values copied at a time


class Priors(NamedTuple):
    """Values recalled for B queries, most similar key first.

    Attributes:
        slots: (B, k) int64; -1 past the last prior.
        cosines: (B, k) float32; -inf past the last prior.
        values: (B, k, R, R, R) bool; False past the last prior.
        counts: (B,) int64 in [0, k], priors there are.
        sources: (B, k) str; "" past the last prior.
        columns: by name (B, k) str, int64, float64 or bool; past the last prior "", 0, nan, False.
        exact: (B,) bool, answers that are proven to be those of a scan of all slots.
    """

    slots: NDArray[np.int64]
    cosines: NDArray[np.float32]
    values: NDArray[np.bool_]
    counts: NDArray[np.int64]
    sources: NDArray[np.object_]
    columns: dict[str, NDArray[Any]]
    exact: NDArray[np.bool_]


class Item(NamedTuple):
    """All that a used slot holds.

    Attributes:
        slot: its number.
        key: (C,) float32 unit vector.
        value: (R, R, R) bool.
        source: "" if it has none.
        columns: entries by name.
        age: pairs written since it was last touched.
        reads: times the value was recalled since it was written.
    """

    slot: int
    key: NDArray[np.float32]
    value: NDArray[np.bool_]
    source: str
    columns: dict[str, Any]
    age: int
    reads: int


class Contrast(NamedTuple):
    """Per query: slots of the nearest keys by kind of value; equal cosines by lowest slot.

    Attributes:
        positive: (B,) int64, nearest slot with value similarity >= delta; -1 if there is none.
        negative: (B,) int64, nearest slot with value similarity < delta; -1 if there is none.
    """

    positive: NDArray[np.int64]
    negative: NDArray[np.int64]


def item(state: State, slot: int) -> Item:
    """What a used slot holds, copied."""
    facts, config = facts_of(state, slot), state.config
    key, value = state.index.keys[slot].copy(), unpack(state.values[slot], config.resolution)
    return Item(slot, key, value, facts.source, facts.columns, facts.age, facts.reads)


def as_tensors(priors: Priors) -> Any:
    """Priors whose arrays, texts left out, are torch tensors over the same memory.

    Raises:
        ExtraMissingError: torch is not installed.
    """
    try:
        torch: Any = import_module("torch")  # by name: memstore needs it for nothing else
    except ImportError as error:
        raise ExtraMissingError.of("out='torch'", "torch", "mem3d") from error

    def tensor(array: Any) -> Any:
        return array if array.dtype == object else torch.from_numpy(array)

    arrays: dict[str, Any] = {
        name: tensor(array) for name, array in zip(_ARRAYS, priors, strict=False)
    }
    columns = {name: tensor(column) for name, column in priors.columns.items()}
    return priors._replace(**arrays, columns=columns)


def read(
    state: State,
    queries: NDArray[np.float32],
    k: int,
    beta: float,
    allowed: Allowed,
    exact: bool,
) -> Priors:
    """Recall at most k values per query, those whose keys have a cosine above beta.

    Args:
        state: of the memory.
        queries: (B, C) unit features.
        k: >= 1.
        beta: compared as float32, like the cosines.
        allowed: slots that may be recalled.
        exact: all answers are to be proven.

    Source: Mem3D sec. 3.1, memory reader; k and what is allowed are ours.
    """
    above = float(np.float32(beta))
    slots, cosines, proven = state.index.search(queries, k, allowed, above, exact)
    # Past the last prior: the last slot's, blanked next.
    encoded, resolution = state.sources[slots], state.config.resolution
    if NO_SLOT in slots[:, -1].tolist():
        is_prior = slots != NO_SLOT
        counts = is_prior.sum(axis=1)
        encoded[~is_prior] = b""
        state.count_reads(slots[is_prior])
    else:
        counts = np.array([k] * len(slots), np.int64)
        state.count_reads(slots)
    values = compiled.unpack_rows(state.values, slots, resolution)
    if values is None:
        packed = state.values.take(slots, axis=0)
        packed[slots == NO_SLOT] = 0
        values = unpack(packed, resolution)
    columns = {name: _recalled(column, slots) for name, column in state.columns.items()}
    return Priors(slots, cosines, values, counts, texts_of(encoded), columns, proven)


def allowed_slots(
    state: State,
    excluded: NDArray[np.bytes_] | None = None,
    slots: NDArray[np.int64] | None = None,
    conditions: Sequence[tuple[str, Test]] = (),
) -> Allowed:
    """Used slots that a search may find.

    Args:
        state: of the memory.
        excluded: (B,) source whose slots are passed over.
        slots: (n,) used ones, alone among which is searched.
        conditions: on columns, see filters.py.
    """
    if excluded is None and slots is None and not conditions:
        return Allowed.of(state.used_rows)
    rows, among = state.index.rows, None
    if slots is not None:
        among = np.zeros(rows, np.bool_)
        among[slots] = True

    def is_allowed(some: Slots) -> NDArray[np.bool_]:
        mask = matching(state, conditions, some)
        return mask if among is None else mask & among[some]

    if excluded is None:
        return Allowed(rows, is_allowed)
    return Allowed(rows, is_allowed, [_of_source(state, source) for source in excluded.tolist()])


def _of_source(state: State, source: bytes) -> Callable[[Slots], NDArray[np.bool_]] | None:
    """Tells which slots' values come from a source; None for what is no source."""
    if source == NO_SOURCE:
        return None
    return lambda slots: state.comes_from(source, slots)


def _recalled(column: NDArray[Any], slots: NDArray[np.int64]) -> NDArray[Any]:
    """(B, k) entries of a column at slots, blank past the last prior."""
    blank = np.nan if column.dtype.kind == "f" else column.dtype.type()
    return plain_column(np.where(slots != NO_SLOT, column[slots], blank))


def as_delta(config: MemoryConfig) -> float:
    """Value similarity from which on values count as similar; ArgumentError if none do."""
    if config.delta is None:
        raise ArgumentError(
            "contrast: got a memory with delta None, want one with a delta, from "
            "which on values count as similar"
        )
    return config.delta


def contrast(state: State, queries: NDArray[np.float32], grids: NDArray[np.uint8]) -> Contrast:
    """Find the nearest positive and negative slot of each pair.

    Args:
        state: of the memory.
        queries: (B, C) unit features.
        grids: (B, R, R, ceil(R / 8)) packed values.

    Source: Mem3D eq. 9; Kaiser et al. 2017 for the nearest of each kind.
    """
    delta = as_delta(state.config)
    nearest = Contrast(*np.full((2, len(queries)), NO_SLOT))
    used = state.used_rows
    hits = state.index.search(queries, NEAR, used)
    for b, row in enumerate(hits.slots):
        near = row[row != NO_SLOT]
        alike = _alike(state, near, grids[b : b + 1], delta)[0]
        for slots, of_kind in ((nearest.positive, alike), (nearest.negative, ~alike)):
            if of_kind.any():
                slots[b] = near[of_kind.argmax()]
    if np.count_nonzero(used) > NEAR:  # else these were all the slots
        for slots in nearest:
            missing = np.flatnonzero(slots == NO_SLOT)
            for start in range(0, len(missing), AT_ONCE):
                batch = missing[start : start + AT_ONCE]
                alike = _alike_among_all(state, grids[batch], delta)
                masks = used & (alike if slots is nearest.positive else ~alike)
                slots[batch] = _nearest(state, queries[batch], masks)
    return nearest


def _nearest(
    state: State, queries: NDArray[np.float32], masks: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """(B,) nearest slot of each query, of those in its mask (B, rows); -1 if there is none."""
    if np.count_nonzero(masks, axis=1).max() > masks.shape[1] // FEW:
        return state.index.search(queries, 1, masks).slots[:, 0]
    each = [state.index.search(q[None], 1, m).slots for q, m in zip(queries, masks, strict=True)]
    return np.concatenate(each)[:, 0]


def similarities(
    state: State, slots: NDArray[np.int64], grid: NDArray[np.uint8], kind: ValueSimilarity
) -> NDArray[np.float64]:
    """(n,) value similarity of used slots (n,) to a packed grid (R, R, ceil(R / 8))."""
    similar = np.empty(len(slots))
    step = max(1, BLOCK // grid.size)
    for start in range(0, len(slots), step):
        block = slots[start : start + step]
        similar[start : start + step] = value_similarity(
            state.values[block], grid, state.config.resolution, kind, state.full[block]
        )
    return similar


def _alike_among_all(state: State, grids: NDArray[np.uint8], delta: float) -> NDArray[np.bool_]:
    """(B, rows) which slots' values are similar to packed grids, of all that have a row.

    Full voxels per block rule most of them out before any is compared bit by bit.
    """
    config, blocks, rows = state.config, state.blocks, len(state.blocks)
    kind = config.value_similarity
    alike = np.zeros((len(grids), rows), np.bool_)
    many = []
    for b, voxels in enumerate(block_voxels(grids)):
        bounds = similarity_bounds(blocks, voxels, config.resolution, kind, state.full[:rows])
        slots = np.flatnonzero(bounds >= delta)
        if len(slots) > rows // 2:
            many.append(b)  # a copy of so many values costs more than it spares
        else:
            alike[b, slots] = similarities(state, slots, grids[b], kind) >= delta
    if many:
        alike[many] = _alike(state, slice(rows), grids[many], delta)
    return alike


def _alike(
    state: State, slots: NDArray[np.int64] | slice, grids: NDArray[np.uint8], delta: float
) -> NDArray[np.bool_]:
    """(B, n) which slots' values are similar to packed grids."""
    config, values, full = state.config, state.values[slots], state.full[slots]
    similar = value_similarities(values, grids, config.resolution, config.value_similarity, full)
    return np.asarray(similar >= delta)
