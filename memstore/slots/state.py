"""State: what a memory holds in RAM, what it must satisfy, and the changes there are."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from memstore.config import MemoryConfig
from memstore.errors import FormatError, SlotError, TornError
from memstore.kernels import compiled
from memstore.rwlock import ReadWriteLock
from memstore.search.allowed import Slots
from memstore.search.index import BATCH, KeyIndex
from memstore.search.ivf import IvfIndex
from memstore.slots.oldest import OldestFirst
from memstore.slots.policy import Before, Plan, WriteReport, check_eviction, plan_writes
from memstore.voxels.grids import block_voxels, full_voxels, packed_shape

SOURCE_BYTES = 128  # UTF-8 bytes of a source
COUNTED = 1024  # values whose blocks are counted at a time: 4 MiB at 32^3
CHECKED = 2**14  # rows that are checked at a time
COLUMN = "column_"  # what the names of columns' arrays begin with, in files
EMPTY = -1  # `touched` of an empty slot
ARRAYS = ("values", "touched", "sources", "reads", "full")  # of a State, beside keys and columns
NO_COLUMNS: Mapping[str, NDArray[Any]] = MappingProxyType({})
KINDS = ("merge", "insert", "evict")  # of writes
COUNTS = (*KINDS, "remove")  # what a memory counts from its creation on
LATEST = 2**62  # no clock or count comes near; clock - touched must fit int64


class Rows(NamedTuple):
    """Whole rows of a memory: all there is to know of n slots.

    Attributes:
        slots: (n,) int64, distinct.
        keys: (n, C) float32 unit vectors.
        values: (n, R, R, ceil(R / 8)) uint8 packed.
        touched: (n,) int64 clock value of the last write; EMPTY for a slot that was emptied.
        sources: (n,) UTF-8.
        reads: (n,) int64, times the value was recalled since it was written.
        columns: by name (n,) int64, float64, bool or UTF-8; of all columns of the memory.
    """

    slots: NDArray[np.int64]
    keys: NDArray[np.float32]
    values: NDArray[np.uint8]
    touched: NDArray[np.int64]
    sources: NDArray[np.bytes_]
    reads: NDArray[np.int64]
    columns: Mapping[str, NDArray[Any]] = NO_COLUMNS

    def part(self, part: slice | NDArray[np.bool_]) -> "Rows":
        """Some of them."""
        return Rows(
            self.slots[part],
            self.keys[part],
            self.values[part],
            self.touched[part],
            self.sources[part],
            self.reads[part],
            {name: column[part] for name, column in self.columns.items()},
        )


class Pairs(NamedTuple):
    """Pairs that are to be written, of a whole batch or those of it that go to some slots.

    Attributes:
        plan: of n pairs.
        ticks: (n,) int64, ascending, clock value of each: `touched` of its slot.
        grids: (n, R, R, ceil(R / 8)) packed.
        sources: (n,) UTF-8.
        columns: (n,) each, all that the memory has.
        clock: pairs written since creation, once the whole batch is.
        counts: of writes and removals, then.
    """

    plan: Plan
    ticks: NDArray[np.int64]
    grids: NDArray[np.uint8]
    sources: NDArray[np.bytes_]
    columns: Mapping[str, NDArray[Any]]
    clock: int
    counts: Mapping[str, int]


class Guard(Protocol):
    """Knows what rows that lie in a file are to be."""

    def __call__(self, state: "State", slots: NDArray[np.int64] | None = None) -> None:
        """Raise FormatError if somebody has changed the file.

        Args:
            state: whose rows these are.
            slots: (n,) used ones whose rows are compared with what was written; by default it is
                asked whether the file seems untouched.
        """


@dataclass(eq=False)
class State:
    """Everything a memory holds, one row per slot; rows cost RAM from their first use on."""

    config: MemoryConfig
    index: KeyIndex  # keys
    values: NDArray[np.uint8]  # (capacity, R, R, ceil(R / 8)) packed
    touched: NDArray[np.int64]  # (capacity,) clock value of the last write; EMPTY
    sources: NDArray[np.bytes_]  # (capacity,) UTF-8
    reads: NDArray[np.int64]  # (capacity,) times the value was recalled since it was written
    full: NDArray[np.int32]  # (capacity,) full voxels of the value; follows from `values`
    columns: dict[str, NDArray[Any]]  # (capacity,) each, by name
    clock: int = 0  # pairs written since creation; age = clock - touched
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(COUNTS, 0)
    )  # since creation
    dirty: set[int] = field(default_factory=set)  # slots changed since the last commit
    _counting: ReadWriteLock = field(default_factory=ReadWriteLock)  # readers count one at a time
    torn: bool = False  # a change was interrupted in its midst
    guard: Guard | None = None  # of rows that lie in a file
    _used: NDArray[np.bool_] | None = None  # (capacity,) once asked for; from `touched`
    matches: dict[Hashable, NDArray[np.bool_]] = field(default_factory=dict)
    """By conditions on columns (rows,) the used slots that meet them; until the next change."""
    _order: OldestFirst = field(default_factory=OldestFirst)  # of `touched`
    _blocks: NDArray[np.int32] | None = None  # (capacity, blocks) once asked for; from `values`
    _marks: NDArray[np.uint32] | None = None  # (capacity,) once asked for; from `sources`

    @classmethod
    def empty(cls, config: MemoryConfig) -> "State":
        """State of a memory that nothing was written to."""
        return cls(
            config,
            (IvfIndex if config.search == "ivf" else KeyIndex)(config.key_dim),
            np.zeros((config.capacity, *packed_shape(config.resolution)), np.uint8),
            np.full(config.capacity, EMPTY, np.int64),
            np.zeros(config.capacity, f"S{SOURCE_BYTES}"),
            np.zeros(config.capacity, np.int64),
            np.zeros(config.capacity, np.int32),
            {name: np.zeros(config.capacity, kind) for name, kind in column_types(config).items()},
        )

    @classmethod
    def with_rows(cls, config: MemoryConfig, rows: int) -> "State":
        """As `empty`, with rows for slots [0, rows), which are zeros."""
        state = cls.empty(config)
        state.index.grow(rows)
        return state

    @classmethod
    def over(cls, config: MemoryConfig, arrays: Mapping[str, NDArray[Any]], rows: int) -> "State":
        """State whose arrays (capacity, ...) lie elsewhere, in a file that is mapped, say.

        Args:
            config: of the memory.
            arrays: by the names of State's; keys as "keys", columns after COLUMN.
            rows: slots that have a row.
        """
        some: dict[str, Any] = {name: arrays[name] for name in ARRAYS}
        index = (IvfIndex if config.search == "ivf" else KeyIndex)(config.key_dim)
        state = cls(config, index, columns={}, **some)
        state.move(arrays, rows)
        return state

    def move(self, arrays: Mapping[str, NDArray[Any]], rows: int) -> None:
        """Have the arrays lie elsewhere, where the same is in them."""
        self.index.use(arrays["keys"], rows)
        for name in ARRAYS:
            setattr(self, name, arrays[name])
        self.columns = {name: arrays[f"{COLUMN}{name}"] for name in self.config.columns}

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays of rows, by the names that `over` takes; keys (rows, C)."""
        columns = {f"{COLUMN}{name}": column for name, column in self.columns.items()}
        return {
            "keys": self.index.keys,
            **{name: getattr(self, name) for name in ARRAYS},
            **columns,
        }

    @property
    def used(self) -> NDArray[np.int64]:
        """(n,) used slots, ascending."""
        return np.flatnonzero(self.touched != EMPTY)

    @property
    def used_rows(self) -> NDArray[np.bool_]:
        """(rows,) which of the index's rows are used slots."""
        if (used := self._used) is None:
            used = self._used = self.touched != EMPTY
        return used[: self.index.rows]

    @property
    def blocks(self) -> NDArray[np.int32]:
        """(rows, blocks) full voxels in each block of a value, see `block_voxels`."""
        rows = self.index.rows
        if (blocks := self._blocks) is None:
            size = block_voxels(self.values[:0]).shape[1]
            blocks = np.zeros((self.config.capacity, size), np.int32)
            for start in range(0, rows, COUNTED):
                part = slice(start, min(start + COUNTED, rows))
                blocks[part] = block_voxels(self.values[part])
            self._blocks = blocks  # whole: readers in other threads may make the same
        return blocks[:rows]

    def slots_from(self, source: bytes) -> NDArray[np.int64]:
        """(n,) slots, of those that have a row, whose source this is."""
        return np.flatnonzero(self.comes_from(source, slice(0, self.index.rows)))

    def comes_from(self, source: bytes, slots: Slots) -> NDArray[np.bool_]:
        """(n,) whether the sources of slots (n,), all of which have a row, are this one."""
        if (marks := self._marks) is None:
            marks = self._marks = _marks(self.sources)
        same = np.array([source], self.sources.dtype)
        mask: NDArray[np.bool_] = marks[slots] == _marks(same)
        near = mask.nonzero()[0]
        mask[near] = self.sources[slots][near] == same
        return mask

    @property
    def derived_bytes(self) -> int:
        """Bytes of RAM of what follows from keys and values."""
        once = sum(array.nbytes for array in (self._blocks, self._marks) if array is not None)
        return self.full.nbytes + once + self.index.derived_bytes

    def rows(self, slots: NDArray[np.int64] | slice) -> Rows:
        """Rows of slots, all of which the index has: copies of (n,), views of a slice."""
        return Rows(
            np.arange(*slots.indices(self.index.rows)) if isinstance(slots, slice) else slots,
            self.index.keys[slots],
            self.values[slots],
            self.touched[slots],
            self.sources[slots],
            self.reads[slots],
            {name: column[slots] for name, column in self.columns.items()},
        )

    def put(self, rows: Rows) -> None:
        """Set rows as they are; the clock and the counts stay."""
        slots = rows.slots
        self.index.put(slots, rows.keys)
        self.values[slots], self.touched[slots] = rows.values, rows.touched
        self.sources[slots], self.reads[slots] = rows.sources, rows.reads
        for name, column in self.columns.items():
            column[slots] = rows.columns[name]
        self._count(slots)
        self._follow(slots)
        self._order.forget()
        self.dirty.update(slots.tolist())

    def count_reads(self, slots: NDArray[np.int64]) -> None:
        """Count that the values of slots (n,) were recalled; a slot may be named often."""
        if compiled.count_slots(self.reads, slots):
            return
        with self._counting.writing():
            np.add.at(self.reads, slots, 1)

    def write(
        self,
        queries: NDArray[np.float32],
        grids: NDArray[np.uint8],
        sources: NDArray[np.bytes_],
        columns: Mapping[str, NDArray[Any]] = NO_COLUMNS,
        tell: Callable[[NDArray[np.str_]], None] | None = None,
    ) -> WriteReport:
        """Plan and apply pairs (B,); a batch of any size, for order is all that counts.

        Args:
            queries: (B, C) unit vectors.
            grids: (B, R, R, ceil(R / 8)) packed.
            sources: (B,) UTF-8.
            columns: (B,) each, all that the memory has.
            tell: called with kinds of writes before they are applied.
        """
        reports: list[WriteReport] = []
        step = BATCH
        used = np.count_nonzero(self.used_rows)
        if self.config.when_full == "error" and len(queries) > len(self.touched) - used:
            if self.config.delta is None:
                check_eviction(self.config)  # nothing merges, so that not all have a place
            step = len(queries)  # as a whole, so that a refusal changes nothing
        for start in range(0, len(queries) or 1, step):
            part = slice(start, start + step)
            plan = plan_writes(
                *(queries[part], grids[part], self.index, self.values, self.touched, self.config),
                used=self.used_rows,
                order=self._order,
            )
            if tell:
                tell(plan.kinds)
            some = {name: column[part] for name, column in columns.items()}
            try:
                self._apply(plan, grids[part], sources[part], some)
            except FormatError:  # of the guard; pairs before these are written
                self.torn = len(reports) > 0
                raise
            reports.append(WriteReport(*plan[:3]))
        return WriteReport(*map(np.concatenate, zip(*reports, strict=True)))

    def before(self, queries: NDArray[np.float32], grids: NDArray[np.uint8]) -> Before:
        """Neighbors here of pairs (B,) that are to be written, as a plan asks for them."""
        return Before(
            *(queries, grids, self.index, self.values, self.touched, self.config),
            used=self.used_rows,
            order=self._order,
        )

    def count_voxels(self) -> None:
        """Derive `full` after rows were filled at once, and forget what else follows from them."""
        self._blocks = self._marks = None
        for start in range(0, self.index.rows, CHECKED):
            part = slice(start, min(start + CHECKED, self.index.rows))
            self.full[part] = full_voxels(self.values[part])

    def check_whole(self) -> None:
        """Raise TornError if a change was interrupted in its midst: rows may be of two minds.

        FormatError if rows lie in a file, and somebody has changed it.
        """
        if self.torn:
            raise TornError(
                "memory: a write was interrupted in its midst, and half of it may be in RAM; close "
                "it and open it again: the last commit is whole"
            )
        if self.guard:
            self.guard(self)

    def check_stored(self, slots: NDArray[np.int64]) -> None:
        """Raise FormatError if rows of used slots (n,) that lie in a file are not those written."""
        if self.guard:
            self.guard(self, slots)

    def keep(self, slots: NDArray[np.int64]) -> None:
        """Check rows of used slots (n,) of which a change leaves a part: they are sealed anew.

        First they become this process's own: from then on the file has no say in them.
        """
        if self.guard:
            self.index.keep(slots)
            for array in (self.values, self.sources, *self.columns.values()):
                array[slots] = array[slots]
            self.guard(self, slots)

    def _begin(self) -> None:
        """Be torn until the change is complete; raise TornError if an earlier one never was."""
        self.check_whole()
        self.torn = True

    def _follow(self, slots: NDArray[np.int64]) -> None:
        """Derive what follows from `touched` of slots (n,) that have changed."""
        if self._used is not None:
            self._used[slots] = self.touched[slots] != EMPTY

    def _count(self, slots: NDArray[np.int64], values: NDArray[np.uint8] | None = None) -> None:
        """Derive what follows from values, if they are at hand, and sources of slots (n,) that have
        changed."""
        if self._marks is not None:
            self._marks[slots] = _marks(self.sources[slots])
        self.matches.clear()
        values = self.values[slots] if values is None else values
        self.full[slots] = full_voxels(values)
        if self._blocks is not None:
            self._blocks[slots] = block_voxels(values)

    def _apply(
        self,
        plan: Plan,
        grids: NDArray[np.uint8],
        sources: NDArray[np.bytes_],
        columns: Mapping[str, NDArray[Any]],
    ) -> None:
        """Write all the pairs (B,) of a plan, values packed."""
        clock, counts = self.clock + len(plan.slots), dict(self.counts)
        for kind in plan.kinds.tolist():
            counts[kind] += 1
        ticks = np.arange(self.clock + 1, clock + 1)
        self.apply(Pairs(plan, ticks, grids, sources, columns, clock, counts))

    def apply(self, pairs: Pairs) -> None:
        """Write planned pairs: per slot the last one counts.

        Source and columns go with the value: a merge keeps all three.
        """
        plan = pairs.plan
        is_merge = plan.kinds == "merge"
        merged = np.unique(plan.slots[is_merge])
        self.keep(merged[self.touched[merged] != EMPTY])
        self._begin()
        slots, last = _last(plan.slots)
        self.index.put(slots, plan.keys[last])
        self.touched[slots] = pairs.ticks[last]
        self._follow(slots)
        if len(merged):
            new = np.flatnonzero(~is_merge)
            slots, last = _last(plan.slots[new])
            last = new[last]
        values = pairs.grids[last]
        self.values[slots], self.sources[slots] = values, pairs.sources[last]
        for name, column in self.columns.items():
            column[slots] = pairs.columns[name][last]
        self._count(slots, values)
        self.reads[slots] = 0
        self.clock, self.counts = pairs.clock, dict(pairs.counts)
        self.dirty.update(plan.slots.tolist())
        self.torn = False

    def update(
        self,
        slots: NDArray[np.int64],
        values: NDArray[np.uint8] | None,
        sources: NDArray[np.bytes_] | None,
        columns: Mapping[str, NDArray[Any]],
    ) -> None:
        """Set what is given of distinct used slots (n,), values packed, and nothing else."""
        self.keep(slots)
        self._begin()
        if values is not None:
            self.values[slots] = values
        if sources is not None:
            self.sources[slots] = sources
        for name, column in columns.items():
            self.columns[name][slots] = column
        self._count(slots)
        self.dirty.update(slots.tolist())
        self.torn = False

    def remove(self, slots: NDArray[np.int64]) -> None:
        """Empty the slots (n,)."""
        self._begin()
        self.clear(slots)
        self.counts["remove"] += len(slots)
        self.dirty.update(slots.tolist())
        self.torn = False

    def replace_rows(self, rows: Rows, writes: Mapping[str, int]) -> None:
        """Set rows that a working copy has written, and count its writes by kind."""
        self._begin()
        self.put(rows)
        for kind, count in writes.items():
            self.counts[kind] += count
        self.clock += sum(writes.values())
        self.torn = False

    def replace_keys(self, slots: NDArray[np.int64], keys: NDArray[np.float32]) -> None:
        """Set the keys (n, C), unit vectors, of distinct used slots (n,), and nothing else."""
        self.keep(slots)
        self._begin()
        self.index.put(slots, keys)
        self.dirty.update(slots.tolist())
        self.torn = False

    def enlarged(self, capacity: int, rules: MemoryConfig) -> "State":
        """The same in a memory of more slots, to be saved and not changed: it shares most rows.

        Args:
            capacity: no less than now.
            rules: of the copy, but for the capacity.
        """

        def padded(array: NDArray[Any]) -> NDArray[Any]:
            larger = np.zeros(capacity, array.dtype)
            larger[: len(array)] = array
            return larger

        touched = padded(self.touched)
        touched[len(self.touched) :] = EMPTY
        return State(
            replace(rules, capacity=capacity),
            self.index,
            self.values,
            touched,
            padded(self.sources),
            padded(self.reads),
            padded(self.full),
            {name: padded(column) for name, column in self.columns.items()},
            clock=self.clock,
            counts=dict(self.counts),
            torn=self.torn,
        )

    def clear(self, slots: NDArray[np.int64]) -> None:
        """Leave nothing of what the slots (n,) held."""
        self.index.put(slots, np.zeros((len(slots), self.config.key_dim), np.float32))
        self.values[slots] = 0
        self.sources[slots] = b""
        for column in self.columns.values():
            column[slots] = column.dtype.type()
        self._count(slots)
        self.reads[slots] = 0
        self.touched[slots] = EMPTY
        self._follow(slots)


def column_types(config: MemoryConfig) -> dict[str, np.dtype[Any]]:
    """Dtype of each column, by name."""
    types = {"str": f"S{SOURCE_BYTES}", "int": "int64", "float": "float64", "bool": "bool"}
    return {name: np.dtype(types[str(kind)]) for name, kind in config.columns.items()}


def row_types(config: MemoryConfig, n: int) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    """Dtype and shape of each of the arrays of n rows, columns left out."""
    return {
        "slots": (np.dtype(np.int64), (n,)),
        "keys": (np.dtype(np.float32), (n, config.key_dim)),
        "values": (np.dtype(np.uint8), (n, *packed_shape(config.resolution))),
        "touched": (np.dtype(np.int64), (n,)),
        "sources": (np.dtype(f"S{SOURCE_BYTES}"), (n,)),
        "reads": (np.dtype(np.int64), (n,)),
    }


def check_state(state: State) -> None:
    """Raise FormatError unless a memory can be in that state; copies no row."""
    n = state.index.rows
    if (state.touched[n:] != EMPTY).any():
        raise FormatError("touched: got a used slot without a key")
    for start in range(0, n, CHECKED):
        some = state.rows(slice(start, min(start + CHECKED, n)))
        check_rows(some, state.config, state.clock, with_empty=True)


def check_rows(rows: Rows, config: MemoryConfig, clock: int, with_empty: bool = False) -> None:
    """Raise unless rows, of the right dtypes and shapes, are such as a memory can hold.

    Args:
        rows: of distinct slots.
        config: of the memory.
        clock: of the memory: pairs written since its creation.
        with_empty: some slots may be empty; their keys, values and sources are passed over.

    Raises:
        SlotError: a slot is out of range, or occurs twice.
        FormatError: anything else.
    """
    outside = (rows.slots < 0) | (rows.slots >= config.capacity)
    if outside.any():
        slot = rows.slots[outside.argmax()]
        raise SlotError(f"slots: got {slot}, want numbers in [0, {config.capacity - 1}]")
    ascending = np.sort(rows.slots)  # np.unique would load numpy.ma, which takes as long as to open
    if (ascending[1:] == ascending[:-1]).any():
        raise SlotError("slots: got a slot twice, want distinct slots")
    lowest = EMPTY if with_empty else 1
    for name, low, high in (("touched", lowest, clock), ("reads", 0, LATEST)):
        numbers = getattr(rows, name)
        if (outside := (numbers < low) | (numbers > high)).any():
            number = numbers[outside.argmax()]
            raise FormatError(f"{name}: got {number}, want numbers in [{low}, {high}]")
    used = rows.touched != EMPTY
    with np.errstate(all="ignore"):
        squares = np.einsum("sc,sc->s", rows.keys, rows.keys, dtype=np.float64)[used]
    if not (np.abs(squares - 1) < 2e-5).all():  # norms off by 1e-5: cosine.error_bound counts on it
        raise FormatError("keys: got a key that is no unit vector")
    padding = 2 ** (-config.resolution % 8) - 1  # mask of the bits past the last voxel
    if padding and (rows.values[..., -1][used] & padding).any():
        raise FormatError("values: got padding bits that are set")
    _check_texts("sources", rows.sources[used])
    for name, column in rows.columns.items():
        entries = column[used]
        if column.dtype.kind == "S":
            _check_texts(name, entries)
        elif column.dtype.kind == "b" and (entries.view(np.uint8) > 1).any():
            raise FormatError(f"{name}: got a byte that is no bool, want 0 or 1")
        elif column.dtype.kind == "f" and not np.isfinite(entries).all():
            raise FormatError(f"{name}: got nan or inf, want finite numbers")


def _check_texts(name: str, texts: NDArray[np.bytes_]) -> None:
    """Raise FormatError unless all are UTF-8 without NUL."""
    for text in texts.tolist():
        if b"\0" in text:
            raise FormatError(f"{name}: got {text!r}, want UTF-8 without NUL")
        try:
            text.decode()
        except UnicodeDecodeError as error:
            raise FormatError(f"{name}: got no UTF-8 ({error})") from error


def as_bytes(column: NDArray[Any]) -> NDArray[Any]:
    """A column (n,) as it is saved: of texts a view of their bytes (n, 128), else itself."""
    if column.dtype.kind != "S":
        return column
    return column.view(np.uint8).reshape(len(column), SOURCE_BYTES)


def texts_of(encoded: NDArray[np.bytes_]) -> NDArray[np.object_]:
    """UTF-8 of any shape as an array of str."""
    texts = np.array([*map(bytes.decode, encoded.ravel().tolist())], object)
    return texts.reshape(encoded.shape)


def plain_column(column: NDArray[Any]) -> NDArray[Any]:
    """A column as callers see it: UTF-8 as str."""
    return texts_of(column) if column.dtype.kind == "S" else column


def _marks(sources: NDArray[np.bytes_]) -> NDArray[np.uint32]:
    """(n,) a number per source: equal for equal ones, and hardly ever else."""
    words = sources.view(np.uint64).reshape(len(sources), SOURCE_BYTES // 8)
    factors = np.random.default_rng(0).integers(2**64, size=words.shape[1], dtype=np.uint64)
    marks: NDArray[np.uint64] = np.einsum("nw,w->n", words, factors)  # modulo 2^64
    return (marks >> 32).astype(np.uint32)


def _last(slots: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64] | slice]:
    """Distinct slots, and the position in `slots` where each occurs last; mostly they are all."""
    if len(set(slots.tolist())) == len(slots):
        return slots, slice(None)
    distinct, from_end = np.unique(slots[::-1], return_index=True)
    return distinct, len(slots) - 1 - from_end
