"""Memory: the one class that users meet. Every method is a few lines that check, lock and call.

No other file touches the state of a memory but inside `with memory.frozen() as state`, and changes
it but inside `with memory.changing() as state`.
"""

import os
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from memstore.config import MemoryConfig, Search, ValueSimilarity
from memstore.errors import (
    ArgumentError,
    DtypeError,
    FormatError,
    LockedError,
    ReadOnlyError,
    ShapeError,
    SlotError,
    TransientError,
    UncommittedWarning,
)
from memstore.files import Durability, Progress
from memstore.paths import ObjectUrl, lies_within, place_of
from memstore.rwlock import ReadWriteLock
from memstore.scalars import as_int
from memstore.search.index import Hits
from memstore.slots import arguments
from memstore.slots.filters import Where, as_where
from memstore.slots.lookup import (
    Contrast,
    Item,
    Priors,
    allowed_slots,
    as_tensors,
    contrast,
    item,
    read,
    similarities,
)
from memstore.slots.policy import WriteReport, warn_of_losses
from memstore.slots.state import EMPTY, Rows, State, plain_column
from memstore.slots.stats import Stats, stats
from memstore.storage.verify import Verification, verify
from memstore.voxels.grids import unpack

if TYPE_CHECKING:
    from memstore.storage.history import Commit, Expired
    from memstore.storage.local.repository import Repository
    from memstore.storage.repository import StorageOptions
    from memstore.storage.rowfile import Place

Mode = Literal["r", "r+", "closed"]
MOST = 4096  # a k that any memory takes, be its capacity smaller


class Memory:
    """Keys and voxel grids in slots: looked up by cosine, written by the Mem3D policy.

    `Memory(config)` lives in RAM only; `create` and `open` bind it to a folder, which changes with
    `commit`, `tag`, `untag` and `expire` and by nothing else. All checks come before any change: a
    call that raises has changed nothing, but for one that is interrupted: if that left half a
    change, all calls that would look at it raise TornError until the memory is opened again.

    In all methods `features` are (B, C) of any float dtype and any norm but zero, `grids` are
    (B, R, R, R) bool, and `slots` (n,) integers that name used slots. B and n may be 0. They may be
    numpy's, lists, torch tensors on any device, or whatever has `__array__` or `__dlpack__`.

    Threads may share one: calls that only look run side by side, calls that change anything wait
    for them and run alone. Processes each open their own: a memory is not pickled, and a forked
    child may only look at its parent's.

    A `with` block ends with a commit of what was not committed yet, or, on an exception, without:
    these changes are dropped; then the memory is closed. `close` alone drops them, and warns.

    `memory[slot]` is an `Item`, iterating gives those of all used slots, `source in memory` tells
    whether a slot's value came from there.
    """

    def __init__(self, config: MemoryConfig) -> None:
        self._bind(State.empty(config), None, "r+")

    def _bind(self, state: State, repository: "Repository | None", mode: Mode) -> None:
        """Be the memory of a state, and of the folder that it was read from."""
        self._held, self._repository, self._mode = state, repository, mode
        self._lock = ReadWriteLock()
        self._farewell = (
            farewell(self, self.path, lambda: bool(state.dirty)) if mode == "r+" else None
        )

    @property
    def _state(self) -> State:
        """What is held; only with the lock, for a change in another thread is not a torn one.

        Raises:
            TornError: a change was interrupted in its midst.
        """
        self._held.check_whole()
        return self._held

    @classmethod
    def from_state(cls, state: State) -> Self:
        """A memory in RAM of a state that nobody else holds: for memstore's own modules."""
        memory = cls.__new__(cls)
        memory._bind(state, None, "r+")
        return memory

    @classmethod
    def create(
        cls,
        path: str | Path,
        config: MemoryConfig,
        durability: Durability = "full",
        *,
        storage_options: "StorageOptions | None" = None,
    ) -> Self:
        """Make a new, empty memory in a folder, or on an object store, and open it to be written.

        Args:
            path: where nothing is yet; missing parent folders are made. Or a URL, as in `open`.
            durability: as in `open`.
            storage_options: as in `open`.

        Raises:
            PathExistsError: there is something at the path.
            ArgumentError: it lies within another memory.
            PathError: the disk or the store refuses.
            LockedError: another writer was quicker to open it.
        """
        from memstore.storage import repository  # zarr takes .3 s that RAM users need not pay

        check_durability(durability)
        folder = place_of(path)
        empty, options = State.empty(config), storage_options
        snapshot = repository.create(folder, empty, "create", durability, options)
        memory = cls.open(folder, "r+", durability=durability, storage_options=options)
        if memory.snapshot != snapshot:
            memory.close()
            raise LockedError(
                f"{folder}: was made, and changed by somebody else before it was open"
            )
        return memory

    @classmethod
    def open(
        cls,
        path: str | Path,
        mode: Literal["r", "r+"] = "r",
        at: str | None = None,
        durability: Durability = "full",
        rows: "Place | None" = None,
        *,
        storage_options: "StorageOptions | None" = None,
    ) -> Self:
        """Open the folder of a memory, or one on an object store.

        Args:
            path: of the folder; or "s3://BUCKET/PREFIX", "gs://...", "az://CONTAINER/PREFIX". There
                two may write at a time: the second commit raises LockedError and changes nothing.
            mode: "r" reads one snapshot, whatever a writer does later; "r+" also writes, one
                writer at a time.
            at: snapshot id or tag (a tag wins over an id); by default the last commit. With "r+"
                the next commit follows that snapshot, and later commits leave the history;
                until then nothing changes on disk.
            durability: what a commit, a tag or an expiry outlives once it has returned: "full", a
                power cut; "process", the end of the process alone, without waiting for the disk.
                An object store answers when it has stored: there it does not apply.
            rows: where keys and values lie, answers are the same: "ram", they are read; "disk",
                they are mapped, from a file of rows in the folder that is made first if none fits,
                and where that cannot be, they are read. By default "disk" if a file fits already,
                or if they would take half of the RAM that is free. A URL's are read.
            storage_options: of a URL: keyword arguments of icechunk's `s3_storage`, `gcs_storage`
                or `azure_storage` (endpoint_url, region, access_key_id, ...), and `timeout`, the
                seconds that a call may take (60). What is left open, credentials too, comes from
                the environment.

        Raises:
            PathMissingError: there is nothing at the path, or no such bucket.
            PathError: the store refuses, or does not answer in time.
            NotAMemoryError: there is something else.
            FormatError: the memory is damaged, of a newer format, or has links in its folder.
            SnapshotError: `at` is neither a snapshot nor a tag.
            LockedError: another writer has it open; names its process.
        """
        from memstore.storage.repository import opened

        if mode not in ("r", "r+"):
            raise ArgumentError(f"mode: got {mode!r}, want 'r' or 'r+'")
        check_durability(durability)
        if rows not in (None, "ram", "disk"):
            raise ArgumentError(f"rows: got {rows!r}, want 'ram', 'disk' or None")
        place, options = place_of(path), storage_options
        repository = opened(place, mode == "r+", at, durability, rows=rows, storage_options=options)
        try:
            memory = cls.__new__(cls)
            memory._bind(repository.load(), repository, mode)
            return memory
        except BaseException:
            repository.close()
            raise

    def close(self, discard: bool = False) -> None:
        """Let the next writer in. What is in RAM can still be read, and no longer be changed.

        If rows are mapped from a file, lists of keys that searches have made are saved beside it.

        Args:
            discard: drop changes that were not committed without an UncommittedWarning.
        """
        with self._lock.writing():
            is_warned = self._has_changes() and not discard
            was_open, self._mode = self._mode != "closed", "closed"  # first: nothing is to change
            self.mute()
            if self._repository is not None:
                try:
                    if was_open and not self._held.torn:
                        self._repository.keep_lists(self._held)
                finally:
                    self._repository.close()
        if is_warned:
            text = (
                f"{self.path}: closed with changes that were not committed, and are gone: commit() "
                "keeps them, close(discard=True) says that they may go"
            )
            warnings.warn(text, UncommittedWarning, stacklevel=2)

    def mute(self) -> None:
        """Say nothing of changes that are lost with the memory: for whoever says so itself."""
        if self._farewell:
            self._farewell.detach()

    def _has_changes(self) -> bool:
        """Whether there is something that a commit would save."""
        return self._repository is not None and self._mode == "r+" and bool(self._held.dirty)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and self._has_changes():
                self.commit("end of a with block")
        finally:
            self.close(discard=True)

    def frozen(self) -> AbstractContextManager[State]:
        """Give the state to look at, which nobody changes meanwhile: for memstore's own modules.

        Entering it raises TornError if a change was interrupted in its midst.
        """
        return self._lock.reading(self._held)

    def changing(self) -> AbstractContextManager[State]:
        """Give the state to change, while nobody else looks: for memstore's own modules.

        Raises:
            ReadOnlyError: the mode is not "r+".
        """
        self._check_writable()
        return self._lock.writing(subject=self._held)

    def __repr__(self) -> str:
        config, place = self._held.config, "in RAM" if self.path is None else f"at {self.path}"
        used = np.count_nonzero(self._held.touched != EMPTY)  # no lock: a debugger may ask
        return (
            f"<Memory {place}, {self._mode}: {used:,} of {config.capacity:,} slots, "
            f"keys of {config.key_dim}, values of {config.resolution}^3>"
        )

    def __len__(self) -> int:
        """Number of used slots."""
        with self._lock.reading():
            return len(self._state.used)

    def __getitem__(self, slot: int) -> Item:
        """All that a used slot holds, copied."""
        number = as_int("slot", slot)
        with self._lock.reading():
            [checked] = arguments.as_slots([number], self._state.touched).tolist()
            return item(self._state, checked)

    def __iter__(self) -> Iterator[Item]:
        """Items of used slots, ascending; SlotError if one of them is removed meanwhile."""
        return (self[slot] for slot in self.slots.tolist())

    def __contains__(self, source: object) -> bool:
        """Whether the value of a used slot came from a source."""
        [named] = arguments.as_sources("source", [source], 1)  # type: ignore[list-item]
        with self._lock.reading():
            return len(self._from(named)) > 0

    def find(self, source: str | None = None, *, where: Where | None = None) -> NDArray[np.int64]:
        """(n,) used slots, ascending, that come from a source and meet conditions; maybe none.

        Args:
            source: of their values; by default any.
            where: on their columns, as `read` takes it.
        """
        named = None if source is None else arguments.as_sources("source", [source], 1)[0]
        conditions = as_where(where, self.config)
        with self._lock.reading():
            allowed = allowed_slots(self._state, conditions=conditions).mask
            slots: NDArray[np.int64] = np.flatnonzero(allowed)
            if named is not None:
                slots = self._state.slots_from(named)
                slots = slots[allowed[slots]]
            return slots

    def _from(self, source: bytes) -> NDArray[np.int64]:
        """(n,) used slots of a source."""
        slots = self._state.slots_from(source)
        return slots[self._state.used_rows[slots]]

    @property
    def config(self) -> MemoryConfig:
        """Size and rules."""
        return self._held.config

    @property
    def path(self) -> Path | ObjectUrl | None:
        """Folder, or URL of an object store (a str); None in RAM."""
        return self._repository.path if self._repository else None

    @property
    def mode(self) -> Mode:
        """ "r", "r+" or "closed"."""
        return self._mode

    @property
    def snapshot(self) -> str | None:
        """Id of the snapshot that the state is based on; None in RAM."""
        return self._repository.snapshot if self._repository else None

    @property
    def rows(self) -> "Place":
        """Where keys and values lie: "ram", or "disk" in a row file."""
        return "disk" if self._state.index.is_mapped else "ram"

    @property
    def clock(self) -> int:
        """Pairs written since creation."""
        return self._held.clock

    @property
    def slots(self) -> NDArray[np.int64]:
        """(n,) used slots, ascending."""
        with self._lock.reading():
            return self._state.used

    @property
    def ages(self) -> NDArray[np.int64]:
        """(n,) pairs written since each used slot was last touched, in the order of `slots`."""
        with self._lock.reading():
            return self._state.clock - self._state.touched[self._state.used]

    @property
    def sources(self) -> list[str]:
        """Where each used slot's value came from, in the order of `slots`; "" if it has none."""
        with self._lock.reading():
            return [source.decode() for source in self._state.sources[self._state.used].tolist()]

    def sources_of(self, slots: ArrayLike) -> list[str]:
        """Where the values of slots (n,) came from; the others are not looked at."""
        with self._lock.reading():
            checked = arguments.as_slots(slots, self._state.touched)
            return [source.decode() for source in self._state.sources[checked].tolist()]

    @property
    def reads(self) -> NDArray[np.int64]:
        """(n,) times `read` recalled each used slot's value since it was written, as `slots`.

        A statistic, not content: saved with the next commit of a change, never a change by itself.
        """
        with self._lock.reading():
            return self._state.reads[self._state.used]

    def keys(self, slots: ArrayLike) -> NDArray[np.float32]:
        """Copy keys: (n, C) unit vectors."""
        with self._lock.reading():
            return self._state.index.keys[arguments.as_slots(slots, self._state.touched)]

    def values(self, slots: ArrayLike) -> NDArray[np.bool_]:
        """Copy values: (n, R, R, R)."""
        with self._lock.reading():
            checked = arguments.as_slots(slots, self._state.touched)
            return unpack(self._state.values[checked], self.config.resolution)

    def columns(self, slots: ArrayLike | None = None) -> dict[str, NDArray[Any]]:
        """Copy columns by name: (n,) str, int64, float64 or bool each.

        Args:
            slots: (n,) used ones; by default all, ascending.
        """
        with self._lock.reading():
            used = self._state.used
            checked = used if slots is None else arguments.as_slots(slots, self._state.touched)
            stored = self._state.columns.items()
            return {name: plain_column(column[checked]) for name, column in stored}

    def search(
        self,
        features: ArrayLike,
        k: int,
        *,
        exclude: Sequence[str | None] | None = None,
        slots: ArrayLike | None = None,
        where: Where | None = None,
        exact: bool | None = None,
    ) -> Hits:
        """Find the k used slots with the most similar keys; k >= 1 may exceed len(memory).

        k is at most the capacity or 4,096, whichever is more. The other arguments are `read`'s.
        Places past the last hit have slot -1 and cosine -inf: of an array, [-1] would be the last
        slot's row; `hits.slots[hits.slots >= 0]` are those there are.
        """
        exact = arguments.as_exact(exact, self.config)
        queries = arguments.as_queries(features, self.config.key_dim)
        k = arguments.as_count("k", k, most=max(MOST, self.config.capacity))
        excluded = None if exclude is None else arguments.as_excluded(exclude, len(queries))
        conditions = as_where(where, self.config)
        with self._lock.reading():
            among = None if slots is None else arguments.as_slots(slots, self._state.touched)
            allowed = allowed_slots(self._state, excluded, among, conditions)
            return self._state.index.search(queries, k, allowed, exact=exact)

    def read(
        self,
        features: ArrayLike,
        k: int = 8,
        beta: float | None = None,
        exclude: Sequence[str | None] | None = None,
        *,
        slots: ArrayLike | None = None,
        where: Where | None = None,
        exact: bool | None = None,
        out: Literal["numpy", "torch"] = "numpy",
    ) -> Priors:
        """Recall the values whose keys have a cosine above beta, k at most per query.

        Where there are fewer, `counts` tells how many; the places past them are blank: slot -1,
        cosine -inf, an empty value, source "", and columns "", 0, nan or False.

        Args:
            features: (B, C) queries; one that is all zeros or not finite is an error.
            k: most values per query, >= 1.
            beta: in [-1, 1], compared as float32 like the cosines; by default the config's.
            exclude: per query a source whose slots are passed over, "" those without one, or None.
            slots: (n,) used ones, alone among which is searched.
            where: conditions on columns, all of which must hold: a value, one of a list or set of
                values, or bounds such as {">=": 0.5, "<": 0.9}. What is recalled meets them all,
                and is what a search of the slots that are left gives.
            exact: True for answers that are proven to be those of a scan, False for what the
                config's search gives; by default False. The config's "exact" proves all.
            out: "torch" gives tensors on the CPU instead of arrays, but for texts.

        Raises:
            ExtraMissingError: torch is asked for and not installed.
            ArgumentError: `where` names no column, or bounds that there are not.
            DtypeError: a condition is of another type than its column.
        """
        config = self._held.config
        queries = arguments.as_queries(features, config.key_dim)
        k = arguments.as_count("k", k, most=max(MOST, config.capacity))
        beta = config.beta if beta is None else arguments.as_cosine("beta", beta)
        exact = arguments.as_exact(exact, config)
        excluded = None if exclude is None else arguments.as_excluded(exclude, len(queries))
        conditions = as_where(where, config)
        if out not in ("numpy", "torch"):
            raise ArgumentError(f"out: got {out!r}, want 'numpy' or 'torch'")
        with self._lock.reading():
            state = self._state
            among = None if slots is None else arguments.as_slots(slots, state.touched)
            allowed = allowed_slots(state, excluded, among, conditions)
            priors = read(state, queries, k, beta, allowed, exact)
        return priors if out == "numpy" else as_tensors(priors)

    def contrast(self, features: ArrayLike, grids: ArrayLike) -> Contrast:
        """Find per pair the nearest slot with a similar value, and the nearest without.

        Raises:
            ArgumentError: the config has no delta, which tells what is similar.
        """
        queries = arguments.as_queries(features, self.config.key_dim)
        packed = arguments.as_packed(grids, len(queries), self.config.resolution)
        with self._lock.reading():
            return contrast(self._state, queries, packed)

    def value_similarities(
        self,
        grid: ArrayLike,
        slots: ArrayLike | None = None,
        kind: ValueSimilarity | None = None,
    ) -> NDArray[np.float64]:
        """Compare values with one grid: (n,) in [0, 1], 1 for the same grid.

        Args:
            grid: (R, R, R) bool.
            slots: (n,) used ones; by default all, ascending.
            kind: "mse" or "iou", see `MemoryConfig`; by default the config's.
        """
        packed = arguments.as_packed_grid(grid, self.config.resolution)
        kind = arguments.as_kind(kind, self.config.value_similarity)
        with self._lock.reading():
            used = self._state.used
            checked = used if slots is None else arguments.as_slots(slots, self._state.touched)
            return similarities(self._state, checked, packed, kind)

    def write(
        self,
        features: ArrayLike,
        grids: ArrayLike,
        sources: Sequence[str] | None = None,
        columns: Mapping[str, ArrayLike] | None = None,
        *,
        warn: bool = True,
    ) -> WriteReport:
        """Write pairs, exactly as if one by one in batch order, by the rule of the config.

        A pair whose nearest slot has a value at least `delta` similar is merged: the slot's key
        becomes the mean, its value, source and columns stay. Any other takes the lowest empty slot
        or, in a full memory that may evict, that of the oldest.

        Args:
            sources: B texts of at most 128 bytes of UTF-8, kept beside the values.
            columns: B entries of each column of the config, by name; texts are as sources.
            warn: of the first merge and the first eviction of the process, just before it happens.

        Raises:
            FullError: more slots are wanted than are empty, and `when_full` is "error"; no pair
                was written.
        """
        self._check_writable()
        queries = arguments.as_queries(features, self.config.key_dim)
        packed = arguments.as_packed(grids, len(queries), self.config.resolution)
        named = arguments.as_sources("sources", sources, len(queries))
        entries = arguments.as_columns(columns, self.config, len(queries))
        tell = warn_of_losses if warn else None
        with self._lock.writing():
            return self._state.write(queries, packed, named, entries, tell)

    def remove(
        self, slots: ArrayLike | None = None, *, source: str | None = None
    ) -> NDArray[np.int64]:
        """Empty distinct slots, or all whose values came from a source; no slot ages.

        Returns:
            (n,) slots that are empty now.

        Raises:
            SlotError: a slot is not used, or no slot has the source.
        """
        self._check_writable()
        if (slots is None) == (source is None):
            raise ArgumentError("remove: got both or none of slots and source, want one of them")
        with self._lock.writing():
            if slots is None:
                [named] = arguments.as_sources("source", [source or ""], 1)
                if not len(checked := self._from(named)):
                    raise SlotError(f"source: got {source!r}, want that of a used slot")
            else:
                checked = arguments.as_distinct_slots(slots, self._state.touched)
            self._state.remove(checked)
            return checked

    def update(
        self,
        slots: ArrayLike,
        values: ArrayLike | None = None,
        columns: Mapping[str, ArrayLike] | None = None,
        *,
        sources: Sequence[str] | None = None,
    ) -> None:
        """Set values, columns or sources of distinct used slots, past the write rule.

        What is not given stays, and so do keys, ages and reads; no time passes.

        Args:
            slots: (n,).
            values: (n, R, R, R) bool.
            columns: n entries of each column that is named.
            sources: n texts.
        """
        self._check_writable()
        if values is None and columns is None and sources is None:
            raise ArgumentError("update: got nothing to set, want values, columns or sources")
        with self._lock.writing():
            checked = arguments.as_distinct_slots(slots, self._state.touched)
            n, resolution = len(checked), self.config.resolution
            packed = (
                None if values is None else arguments.as_packed(values, n, resolution, "values")
            )
            named = None if sources is None else arguments.as_sources("sources", sources, n)
            entries = arguments.as_columns(columns, self.config, n, every=False)
            self._state.update(checked, packed, named, entries)

    def replace_keys(self, slots: ArrayLike, keys: ArrayLike) -> None:
        """Set the keys of distinct slots past the write rule: for an encoder that has changed.

        Values, sources, ages and reads stay, and no time passes.

        Args:
            keys: (n, C) one per slot, of any float dtype and any norm but zero.
        """
        self._check_writable()
        units = arguments.as_queries(keys, self.config.key_dim, "keys")
        with self._lock.writing():
            checked = arguments.as_distinct_slots(slots, self._state.touched)
            if len(units) != len(checked):
                raise ShapeError(f"keys: got {len(units)}, want one per slot ({len(checked)})")
            self._state.replace_keys(checked, units)

    def replace_rows(self, rows: Rows, writes: Mapping[str, int]) -> None:
        """Set whole rows as a working copy of this memory, on a GPU say, has left them.

        The write rule is the copy's business (see `plan_writes_from_products`), which began with
        the present rows and clock. What it did not change need not be among the rows.

        Args:
            rows: of distinct slots; keys of any norm but zero, no slot of them empty.
            writes: pairs that the copy has written since, by kind: "merge", "insert", "evict".
        """
        self._check_writable()
        counts = arguments.as_writes(writes)
        with self._lock.writing():
            clock = self.clock + sum(counts.values())
            checked = arguments.as_rows(rows, self.config, clock)
            self._state.replace_rows(checked, counts)

    def commit(self, message: str) -> str:
        """Save the changes as one snapshot, whole or not at all.

        Returns:
            Id of the snapshot; the present one if nothing has changed since.

        Raises:
            PathError: the disk refuses; the changes are still in RAM.
            TornError: a write was interrupted in its midst.
        """
        if not isinstance(message, str):
            raise DtypeError(f"message: got {type(message).__name__}, want str")
        arguments.check_text("message", message)
        with self._lock.writing():
            return self._disk().commit(self._state, message)

    def refresh(self) -> bool:
        """See the last commit, where the memory was opened to be read; whether it is a later one.

        What is under way goes on with what was; reads that were counted since are forgotten. A
        memory that is open to be written has no later commits than its own.

        Raises:
            SnapshotError: it was opened at a snapshot that was asked for by `at`.
            ReadOnlyError: it is closed.
        """
        if self._mode == "closed":
            raise ReadOnlyError("memory: got mode 'closed', want one that is open to be refreshed")
        if self._repository is None or self._mode == "r+":
            return False
        fresh = self._repository.reopened()
        if fresh is None:
            return False
        state = fresh.load()
        if state.config != self.config:
            raise FormatError(f"{self.path}: got another memory than was opened; open it again")
        with self._lock.writing():
            self._held, self._repository = state, fresh
        return True

    def history(self) -> list["Commit"]:
        """Commits that led to `snapshot`, newest first; [] in RAM."""
        repository = self._repository
        return repository.past.of(repository.snapshot) if repository else []

    def tag(self, name: str) -> None:
        """Name the present snapshot (not uncommitted changes) for good.

        Args:
            name: letters, digits and ".", "_", "-", at most 100; not used before.
        """
        with self._lock.writing():
            self._disk().tag(name)

    def tags(self) -> dict[str, str]:
        """Snapshot id by tag; {} in RAM."""
        return self._repository.past.tags() if self._repository else {}

    def untag(self, name: str) -> None:
        """Take a tag away, so that its snapshot may expire; the name cannot be used again."""
        with self._lock.writing():
            self._disk().untag(name)

    def expire(self, keep: int = 8) -> "Expired":
        """Forget old snapshots and free what only they used; the present state stays.

        Args:
            keep: latest commits that stay, >= 1; tagged snapshots stay besides.

        Raises:
            SnapshotError: opened at an earlier snapshot and not committed since.
        """
        keep = arguments.as_count("keep", keep)
        with self._lock.writing():
            return self._disk().expire(keep)

    def copy_to(
        self,
        path: str | Path,
        capacity: int | None = None,
        *,
        search: Search | None = None,
        storage_options: "StorageOptions | None" = None,
    ) -> None:
        """Write the state as it is, uncommitted changes included, as a new memory's first commit.

        Args:
            path: where nothing is yet; missing parent folders are made. Or a URL, as in `open`.
            capacity: slots of the new memory, no fewer than here; by default as many.
            search: how the new memory searches, see `MemoryConfig`; by default as here.
            storage_options: of a URL, as in `open`.

        Raises:
            ConfigError: there is no such search.
            PathExistsError: there is something at the path.
            TornError: a write was interrupted in its midst.
        """
        from memstore.storage import repository

        folder = place_of(path)
        if lies_within(folder, self.path):
            raise ArgumentError(f"path: got {path}, want a place outside of {self.path}")
        slots = arguments.as_larger(capacity, self.config)
        rules = replace(self.config, capacity=slots, search=search or self.config.search)
        with self._lock.reading():
            self._state.check_stored(self._state.used)
            state = self._state.enlarged(slots, rules)
            repository.create(folder, state, "copy", storage_options=storage_options)

    def verify(self, every: bool = False, progress: Progress | None = None) -> Verification:
        """Check that nothing is damaged; changes nothing.

        Reads every chunk of the snapshot that the state is based on, compares each row with the
        check that was written with it and with the row in RAM, and tries the index. In RAM only, it
        checks what there is.

        Args:
            every: also all other snapshots of the history and all tagged ones.
            progress: called with hundredths of snapshots read, and how many in all.
        """
        with self._lock.reading():
            state: State | None = self._held
            problems: tuple[str, ...] = ()
            try:
                self._held.check_whole()
            except FormatError as error:
                state, problems = None, (f"in RAM: {error}",)
            report = verify(state, self._repository, every, progress)
            return report._replace(problems=problems + report.problems)

    def stats(self) -> Stats:
        """How full the memory is, how old its slots are, what it costs."""
        with self._lock.reading():
            sizes = self._repository.sizes() if self._repository else None
            return stats(self._state, self.snapshot, sizes)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a copy would fall behind without a word."""
        raise TypeError("a Memory cannot be pickled; open it in each process: Memory.open(path)")

    def _check_writable(self) -> None:
        """Raise ReadOnlyError unless the mode is "r+"."""
        if self._mode != "r+":
            raise ReadOnlyError(f"memory: got mode {self._mode!r}, want 'r+' to change it")

    def _disk(self) -> "Repository":
        """Repository to write to."""
        self._check_writable()
        if self._repository is None:
            raise TransientError("memory: lives in RAM only; Memory.create makes one on disk")
        return self._repository


def farewell(
    memory: object, path: Path | ObjectUrl | None, has_changes: Callable[[], bool]
) -> "weakref.finalize[[], object] | None":
    """Have a writer that is dropped, or still open when Python ends, warn of changes that are lost.

    Args:
        memory: that is not kept alive.
        path: of its folder, or URL; None in RAM, where nothing is lost that could be kept.
        has_changes: whether a commit would save something; must not hold the memory.

    Returns:
        What `close` detaches.
    """
    process = os.getpid()

    def warn_of_loss() -> None:
        if os.getpid() == process and has_changes():  # a forked child has lost nothing
            text = (
                f"{path}: never closed, and changes that were not committed are gone: commit(), or "
                "a with block, keeps them"
            )
            warnings.warn(text, UncommittedWarning, stacklevel=2)

    return None if path is None else weakref.finalize(memory, warn_of_loss)


def check_durability(durability: object) -> None:
    """Raise ArgumentError unless there is such a durability."""
    if durability not in get_args(Durability):
        raise ArgumentError(f"durability: got {durability!r}, want one of {get_args(Durability)}")
