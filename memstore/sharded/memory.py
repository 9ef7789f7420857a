"""ShardedMemory: a memory whose slots are dealt to workers, with Memory's names and answers."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NoReturn, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from memstore.config import MemoryConfig
from memstore.errors import (
    ArgumentError,
    DtypeError,
    LockedError,
    ReadOnlyError,
    ShapeError,
    SlotError,
    SnapshotError,
    UncommittedWarning,
)
from memstore.files import Durability
from memstore.memory import MOST, Memory, Mode, check_durability, farewell
from memstore.paths import local_path
from memstore.rwlock import ReadWriteLock
from memstore.search.index import BATCH, NO_SLOT, Hits
from memstore.sharded.costs import Costs, costs
from memstore.sharded.driver import Driver
from memstore.sharded.folder import make_dealt, make_empty, make_whole
from memstore.sharded.manifest import MOST_SHARDS, Manifests, lock_file
from memstore.sharded.merging import merge_hits, place_values
from memstore.sharded.messages import Near, Query
from memstore.sharded.statistics import gathered_stats
from memstore.sharded.workers import LocalWorkers, Request, Workers, some
from memstore.slots import arguments
from memstore.slots.filters import Where, as_where
from memstore.slots.lookup import Contrast, Priors, as_delta, as_tensors
from memstore.slots.policy import WriteReport, warn_of_losses
from memstore.slots.state import EMPTY, Rows, plain_column, texts_of
from memstore.slots.stats import Stats
from memstore.storage.history import Commit
from memstore.storage.local.lock import WriterLock
from memstore.storage.verify import Verification
from memstore.voxels.grids import unpack

WorkersKind = Literal["ray", "local"] | Callable[[int], Workers]


class ShardedMemory:
    """A memory in a folder of shards, each held by a worker: Memory's methods, and its answers.

    Slots, cosines, values, reports, ages and counts are those that one `Memory` would give, bit for
    bit. Arguments and what they raise are Memory's too; the docstrings here say what differs.

    A shard that fails is a ShardError that names it: there are no partial answers. One whose worker
    is lost is started again from the last commit. Were there changes that no commit had saved, they
    are gone, the error says so, and every call raises TornError until `rollback()`. Gone are also
    its counts of reads since that commit; other shards may have counted a read that failed.

    Example:
        with ShardedMemory.create("big", config, shards=4) as memory:
            memory.write(features, grids)
    """

    def __init__(
        self, driver: Driver, mode: Mode, lock: WriterLock | None, at: str | None = None
    ) -> None:
        """For `create` and `open`; `at` is the commit that was asked for."""
        self._driver, self._mode, self._writer, self._at = driver, mode, lock, at
        self._lock = ReadWriteLock()
        is_writer = mode == "r+"
        self._farewell = farewell(self, self.path, lambda: driver.is_dirty) if is_writer else None

    @classmethod
    def create(
        cls,
        path: str | Path,
        config: MemoryConfig,
        shards: int,
        durability: Durability = "full",
        *,
        workers: WorkersKind = "ray",
        address: str | None = None,
    ) -> Self:
        """Make a new, empty memory in a folder of shards and open it to be written.

        Args:
            path: where nothing is yet; on a cluster, where all machines see it.
            config: of the whole memory.
            shards: at most as many as slots, and 1,024.
            durability: as in `open`, like the rest.
        """
        check_durability(durability)
        folder, number = local_path(path), _as_shards(shards, config)
        return cls._made(folder, make_empty(folder, config, number, durability), locals())

    @classmethod
    def deal(
        cls,
        memory: Memory,
        path: str | Path,
        shards: int,
        *,
        workers: WorkersKind = "ray",
        address: str | None = None,
    ) -> Self:
        """Make a memory in shards of one in one piece, as it is now, without its history."""
        folder, number = local_path(path), _as_shards(shards, memory.config)
        with memory.frozen() as state:
            state.check_stored(state.used)
            snapshot = make_dealt(folder, state, number)
        return cls._made(folder, snapshot, {"workers": workers, "address": address})

    @classmethod
    def _made(cls, folder: Path, snapshot: str, options: Mapping[str, Any]) -> Self:
        """Open what was made just now."""
        names = ("durability", "workers", "address")
        memory = cls.open(folder, "r+", **{n: options[n] for n in names if n in options})
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
        *,
        workers: WorkersKind = "ray",
        address: str | None = None,
    ) -> Self:
        """Open a folder of shards: each worker reads its own into RAM.

        Args:
            workers: "ray" holds each shard in an actor of Ray's, "local" all in this process; or
                what makes them for a number of shards.
            address: of a cluster of Ray's; by default that to which this process is connected,
                else one of this machine, which is started.

        Raises:
            ExtraMissingError: Ray is not installed.
            ShardError: a shard cannot be opened; names it and says why.
        """
        if mode not in ("r", "r+"):
            raise ArgumentError(f"mode: got {mode!r}, want 'r' or 'r+'")
        check_durability(durability)
        folder = local_path(path)
        manifests = Manifests(folder)
        lock = WriterLock(lock_file(folder)) if mode == "r+" else None
        crew: Workers | None = None
        try:
            snapshot = manifests.last() if at is None else manifests.named(at)
            shards = len(manifests.read(snapshot).snapshots)
            crew = _hired(workers, shards, address)
            driver = Driver(manifests, snapshot, crew, mode, durability)
            return cls(driver, mode, lock, None if at is None else snapshot)
        except BaseException:
            if crew is not None:
                crew.close()
            if lock is not None:
                lock.close()
            raise

    def close(self, discard: bool = False) -> None:
        """End the workers and let the next writer in; nothing can be read any more.

        Args:
            discard: drop changes that were not committed without an UncommittedWarning.
        """
        with self._lock.writing():
            if self._mode == "closed":
                return
            is_warned = self._has_changes() and not discard
            self._mode = "closed"
            if self._farewell:
                self._farewell.detach()
            try:
                self._driver.close()
            finally:
                if self._writer is not None:
                    self._writer.close()
        if is_warned:
            text = (
                f"{self.path}: closed with changes that were not committed, and are gone: commit() "
                "keeps them, close(discard=True) says that they may go"
            )
            warnings.warn(text, UncommittedWarning, stacklevel=2)

    def _has_changes(self) -> bool:
        """Whether there is something that a commit would save."""
        return self._mode == "r+" and self._driver.is_dirty

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and self._has_changes():
                self.commit("end of a with block")
        finally:
            self.close(discard=True)

    def __len__(self) -> int:
        """Number of used slots."""
        with self._lock.reading():
            self._driver.check_whole()
            return self._driver.used

    @property
    def config(self) -> MemoryConfig:
        """Size and rules of the whole."""
        return self._driver.config

    @property
    def shards(self) -> int:
        """How many there are."""
        return self._driver.deal.shards

    @property
    def path(self) -> Path:
        """Folder."""
        return self._driver.manifests.path

    @property
    def mode(self) -> Mode:
        """ "r", "r+" or "closed"."""
        return self._mode

    @property
    def snapshot(self) -> str:
        """Id of the commit that the state is based on."""
        return self._driver.snapshot

    @property
    def clock(self) -> int:
        """Pairs written since creation."""
        return self._driver.clock

    @property
    def slots(self) -> NDArray[np.int64]:
        """(n,) used slots, ascending."""
        with self._lock.reading():
            return self._used()

    @property
    def ages(self) -> NDArray[np.int64]:
        """(n,) pairs written since each used slot was last touched, in the order of `slots`."""
        with self._lock.reading():
            used = self._used()
            return self._driver.clock - self._driver.touched[used]

    def _used(self) -> NDArray[np.int64]:
        """As slots."""
        self._driver.check_whole()
        return np.flatnonzero(self._driver.touched != EMPTY)

    def keys(self, slots: ArrayLike) -> NDArray[np.float32]:
        """Copy keys: (n, C) unit vectors."""
        return self._rows(slots).keys

    def values(self, slots: ArrayLike) -> NDArray[np.bool_]:
        """Copy values: (n, R, R, R)."""
        return unpack(self._rows(slots).values, self.config.resolution)

    def sources_of(self, slots: ArrayLike) -> list[str]:
        """Where the values of slots (n,) came from."""
        return [source.decode() for source in self._rows(slots).sources.tolist()]

    def columns(self, slots: ArrayLike) -> dict[str, NDArray[Any]]:
        """Copy columns by name: (n,) str, int64, float64 or bool each."""
        columns = self._rows(slots).columns.items()
        return {name: plain_column(column) for name, column in columns}

    def _rows(self, slots: ArrayLike) -> Rows:
        """All that used slots (n,) hold, in their order."""
        with self._lock.reading():
            self._check_open()
            return self._gathered(arguments.as_slots(slots, self._driver.touched))

    def _gathered(self, slots: NDArray[np.int64]) -> Rows:
        """As _rows, of used slots (n,)."""
        distinct, inverse = np.unique(slots, return_inverse=True)
        if not len(distinct):  # one shard has the arrays' shapes
            [rows] = self._driver.ask([Request(0, "rows", (distinct,))])
            return rows  # type: ignore[no-any-return]
        split = list(self._driver.deal.split(distinct))
        parts = self._driver.ask(
            some("rows", {shard: (distinct[where],) for shard, where in split})
        )
        order = np.argsort(np.concatenate([where for _, where in split]))[inverse]
        whole = {
            name: np.concatenate([getattr(part, name) for part in parts])[order]
            for name in Rows._fields
            if name != "columns"
        }
        columns = {
            name: np.concatenate([part.columns[name] for part in parts])[order]
            for name in self.config.columns
        }
        return Rows(**whole, columns=columns)

    def find(self, source: str | None = None, *, where: Where | None = None) -> NDArray[np.int64]:
        """(n,) used slots, ascending, that come from a source and meet conditions; maybe none."""
        if source is not None:
            arguments.as_sources("source", [source], 1)
        as_where(where, self.config)
        with self._lock.reading():
            self._check_open()
            return self._found(source, where)

    def _found(self, source: str | None, where: Where | None) -> NDArray[np.int64]:
        """As find."""
        return np.sort(np.concatenate(self._driver.ask_all("find", source, where)))

    def search(
        self,
        features: ArrayLike,
        k: int,
        *,
        exclude: Sequence[str | None] | None = None,
        slots: ArrayLike | None = None,
        where: Where | None = None,
    ) -> Hits:
        """Find the k used slots with the most similar keys, as Memory does."""
        queries = arguments.as_queries(features, self.config.key_dim)
        k = arguments.as_count("k", k, most=max(MOST, self.config.capacity))
        excluded = None if exclude is None else arguments.as_excluded(exclude, len(queries))
        as_where(where, self.config)
        with self._lock.reading():
            self._check_open()
            among = None if slots is None else arguments.as_slots(slots, self._driver.touched)
            near = self._search(Query(queries, k, -2.0, excluded, among, where))
            return Hits(*near, np.ones(len(queries), np.bool_))

    def _search(self, query: Query) -> Near:
        """What all shards find."""
        return merge_hits(self._driver.ask_all("search", query), query.k)

    def read(
        self,
        features: ArrayLike,
        k: int = 8,
        beta: float | None = None,
        exclude: Sequence[str | None] | None = None,
        *,
        slots: ArrayLike | None = None,
        where: Where | None = None,
        out: Literal["numpy", "torch"] = "numpy",
    ) -> Priors:
        """Recall the values whose keys have a cosine above beta, k at most per query.

        Two rounds: cosines of all shards, then the values of the winners alone.
        """
        queries = arguments.as_queries(features, self.config.key_dim)
        k = arguments.as_count("k", k, most=max(MOST, self.config.capacity))
        beta = self.config.beta if beta is None else arguments.as_cosine("beta", beta)
        excluded = None if exclude is None else arguments.as_excluded(exclude, len(queries))
        as_where(where, self.config)
        if out not in ("numpy", "torch"):
            raise ArgumentError(f"out: got {out!r}, want 'numpy' or 'torch'")
        with self._lock.reading():
            self._check_open()
            among = None if slots is None else arguments.as_slots(slots, self._driver.touched)
            above = float(np.float32(beta))
            near = self._search(Query(queries, k, above, excluded, among, where))
            priors = self._recall(near)
        return priors if out == "numpy" else as_tensors(priors)

    def _recall(self, hits: Near) -> Priors:
        """Values of what was found, counted as read."""
        is_prior = hits.slots != NO_SLOT
        distinct, inverse, times = np.unique(
            hits.slots[is_prior], return_inverse=True, return_counts=True
        )
        split = list(self._driver.deal.split(distinct))
        by_shard = {shard: (distinct[where], times[where]) for shard, where in split}
        parts = self._driver.ask(some("recall", by_shard))
        recalled = place_values(self.config, [where for _, where in split], parts)
        rows = np.full(hits.slots.shape, len(distinct))
        rows[is_prior] = inverse
        return Priors(
            hits.slots,
            hits.cosines,
            unpack(recalled.values[rows], self.config.resolution),
            is_prior.sum(axis=1),
            texts_of(recalled.sources[rows]),
            {name: plain_column(column[rows]) for name, column in recalled.columns.items()},
            np.ones(len(hits.slots), np.bool_),
        )

    def contrast(self, features: ArrayLike, grids: ArrayLike) -> Contrast:
        """Find per pair the nearest slot with a similar value, and the nearest without."""
        queries = arguments.as_queries(features, self.config.key_dim)
        packed = arguments.as_packed(grids, len(queries), self.config.resolution)
        as_delta(self.config)
        with self._lock.reading():
            self._check_open()
            parts = self._driver.ask_all("contrast", queries, packed)
        positive, negative = (merge_hits(kind, 1).slots[:, 0] for kind in zip(*parts, strict=True))
        return Contrast(positive, negative)

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

        Two rounds for 256 pairs: every shard proposes, the plan is made here, shards apply it. One
        more if pairs are merged.
        """
        self._check_writable()
        queries = arguments.as_queries(features, self.config.key_dim)
        packed = arguments.as_packed(grids, len(queries), self.config.resolution)
        named = arguments.as_sources("sources", sources, len(queries))
        entries = arguments.as_columns(columns, self.config, len(queries))
        driver, reports = self._driver, [_NOTHING]
        with self._lock.writing():
            self._check_writable()
            driver.check_whole()
            step = BATCH
            if self.config.when_full == "error":
                empty = self.config.capacity - driver.used
                step = len(queries) if len(queries) > empty else BATCH  # all refused, or none
            for start in range(0, len(queries), step):
                part = slice(start, start + step)
                plan, counts = driver.plan(queries[part], packed[part], is_begun=start > 0)
                if warn:
                    warn_of_losses(plan.kinds)
                some_columns = {name: column[part] for name, column in entries.items()}
                driver.apply(plan, counts, packed[part], named[part], some_columns)
                reports.append(WriteReport(plan.slots, plan.kinds, plan.similarities))
        return WriteReport(*map(np.concatenate, zip(*reports, strict=True)))

    def remove(
        self, slots: ArrayLike | None = None, *, source: str | None = None
    ) -> NDArray[np.int64]:
        """Empty distinct slots, or all whose values came from a source; no slot ages."""
        self._check_writable()
        if (slots is None) == (source is None):
            raise ArgumentError("remove: got both or none of slots and source, want one of them")
        driver = self._driver
        with self._lock.writing():
            self._check_writable()
            driver.check_whole()
            if slots is None:
                arguments.as_sources("source", [source or ""], 1)
                if not len(checked := self._found(source or "", None)):
                    raise SlotError(f"source: got {source!r}, want that of a used slot")
            else:
                checked = arguments.as_distinct_slots(slots, driver.touched)
            if len(checked):
                driver.remove(checked)
            return checked

    def update(
        self,
        slots: ArrayLike,
        values: ArrayLike | None = None,
        columns: Mapping[str, ArrayLike] | None = None,
        *,
        sources: Sequence[str] | None = None,
    ) -> None:
        """Set values, columns or sources of distinct used slots, past the write rule."""
        self._check_writable()
        if values is None and columns is None and sources is None:
            raise ArgumentError("update: got nothing to set, want values, columns or sources")
        driver = self._driver
        with self._lock.writing():
            self._check_writable()
            driver.check_whole()
            checked = arguments.as_distinct_slots(slots, driver.touched)
            n, resolution = len(checked), self.config.resolution
            packed = (
                None if values is None else arguments.as_packed(values, n, resolution, "values")
            )
            named = None if sources is None else arguments.as_sources("sources", sources, n)
            entries = arguments.as_columns(columns, self.config, n, every=False)
            parts = {
                shard: (
                    checked[where],
                    None if packed is None else packed[where],
                    None if named is None else named[where],
                    {name: column[where] for name, column in entries.items()},
                )
                for shard, where in driver.deal.split(checked)
            }
            if parts:
                driver.change(some("update", parts))
                driver.settled()

    def replace_keys(self, slots: ArrayLike, keys: ArrayLike) -> None:
        """Set the keys of distinct slots past the write rule: for an encoder that has changed."""
        self._check_writable()
        units = arguments.as_queries(keys, self.config.key_dim, "keys")
        driver = self._driver
        with self._lock.writing():
            self._check_writable()
            driver.check_whole()
            checked = arguments.as_distinct_slots(slots, driver.touched)
            if len(units) != len(checked):
                raise ShapeError(f"keys: got {len(units)}, want one per slot ({len(checked)})")
            if len(checked):
                split = driver.deal.split(checked)
                parts = {shard: (checked[where], units[where]) for shard, where in split}
                driver.change(some("replace_keys", parts))
                driver.settled()

    def commit(self, message: str) -> str:
        """Save the changes as one commit, whole or not at all: all shards, then the manifest.

        Returns:
            Id of the commit; the present one if nothing has changed since.

        Raises:
            ShardError: a shard could not save; changes are still in RAM, unless it says otherwise,
                and the last commit is the one before.
        """
        self._check_writable()
        if not isinstance(message, str):
            raise DtypeError(f"message: got {type(message).__name__}, want str")
        arguments.check_text("message", message)
        with self._lock.writing():
            self._check_writable()
            return self._driver.commit(message)

    def rollback(self) -> None:
        """Drop what was not committed: all shards are opened again at `snapshot`."""
        with self._lock.writing():
            if self._mode == "closed":
                raise ReadOnlyError("memory: got mode 'closed', want one that is open")
            self._driver.rollback()

    def refresh(self) -> bool:
        """See the last commit, where the memory was opened to be read; whether it is another one.

        Raises:
            SnapshotError: it was opened at a commit that was asked for by `at`.
            ReadOnlyError: it is closed.
            ShardError: a shard cannot open it; every call raises TornError until one succeeds.
        """
        if self._mode == "closed":
            raise ReadOnlyError("memory: got mode 'closed', want one that is open to be refreshed")
        if self._mode == "r+":
            return False
        if self._at is not None:
            raise SnapshotError(f"{self.path}: opened at {self._at}, which stays as it is")
        with self._lock.writing():
            return self._driver.refresh()

    @property
    def _manifests(self) -> Manifests:
        """The folder; PathMissingError if what was opened is there no more."""
        self._driver.manifests.check_has(self.snapshot)
        return self._driver.manifests

    def history(self) -> list[Commit]:
        """Commits that led to `snapshot`, newest first."""
        return self._manifests.history(self.snapshot)

    def tag(self, name: str) -> None:
        """Name the present commit (not uncommitted changes) for good."""
        self._check_writable()
        with self._lock.writing():
            self._manifests.tag(name, self.snapshot)

    def untag(self, name: str) -> None:
        """Take a tag away; the name cannot be used again."""
        self._check_writable()
        with self._lock.writing():
            self._manifests.untag(name)

    def tags(self) -> dict[str, str]:
        """Id of a commit by tag."""
        return self._manifests.tags()

    def copy_to(self, path: str | Path, capacity: int | None = None) -> None:
        """Write the state as it is, uncommitted changes included, as a memory in one piece.

        All rows go through this process, which holds them: mind its RAM. Capacity as Memory has it.
        """
        folder, driver = local_path(path), self._driver
        if self.path.resolve() in folder.resolve().parents:
            raise ArgumentError(f"path: got {path}, want a place outside of {self.path}")
        slots = arguments.as_larger(capacity, self.config)
        config = replace(self.config, capacity=slots)
        with self._lock.reading():
            self._check_open()
            used = self._used()
            make_whole(folder, config, used, self._gathered, driver.clock, driver.counts)

    def verify(self, every: bool = False) -> Verification:
        """Check that nothing is damaged; changes nothing.

        Each shard does what `Memory.verify` does; then the clock values here are compared with
        those of the shards. Problems begin with the shard's number.

        Args:
            every: also what all other commits name, those that have left the history too.
        """
        driver = self._driver
        with self._lock.reading():
            self._check_open()
            problems: list[str] = []
            others = driver.other_snapshots(problems) if every else [[]] * self.shards
            parts = {
                shard: (others[shard], driver.touched[shard :: self.shards])
                for shard in range(self.shards)
            }
            reports: list[Verification] = driver.ask(some("verify", parts))
        for shard, report in enumerate(reports):
            problems += [f"shard {shard}: {problem}" for problem in report.problems]
        snapshots, slots = (sum(counts) for counts in zip(*(r[:2] for r in reports), strict=True))
        return Verification(snapshots, slots, tuple(problems))

    def stats(self) -> Stats:
        """How full the memory is, how old its slots are, what all its shards cost.

        All columns of all slots come to this process: for large ones, an expensive call.
        """
        with self._lock.reading():
            self._check_open()
            return gathered_stats(
                self._driver, lambda slots: texts_of(self._gathered(slots).sources).tolist()
            )

    def explain(self, batch: int = 1, k: int = 8) -> Costs:
        """What a call with a batch sends, and in how many rounds, without making it."""
        return costs(self.config, self.shards, arguments.as_count("batch", batch), k)

    def __getattr__(self, name: str) -> NoReturn:
        """Say of what Memory has, and this has not, what to do."""
        if not name.startswith("_") and hasattr(Memory, name):
            raise AttributeError(
                f"{name}: got a memory in shards, want one in one piece: copy_to(path) makes one"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a copy would fall behind without a word."""
        raise TypeError("a ShardedMemory cannot be pickled; open it: ShardedMemory.open(path)")

    def _check_open(self) -> None:
        """Raise ReadOnlyError if it is closed, TornError if changes were lost."""
        if self._mode == "closed":
            raise ReadOnlyError("memory: got mode 'closed', want one that is open")
        self._driver.check_whole()

    def _check_writable(self) -> None:
        """Raise ReadOnlyError unless the mode is "r+"."""
        if self._mode != "r+":
            raise ReadOnlyError(f"memory: got mode {self._mode!r}, want 'r+' to change it")


_NOTHING = WriteReport(np.empty(0, np.int64), np.empty(0, "<U6"), np.empty(0))


def _as_shards(shards: object, config: MemoryConfig) -> int:
    """A number of shards.

    Raises:
        ArgumentError: it is out of range, or the search is not exact: shards are to answer as one
            memory does.
    """
    if config.search != "exact":
        raise ArgumentError(f"config.search: got {config.search!r}, want 'exact' in shards")
    return arguments.as_count("shards", shards, most=min(MOST_SHARDS, config.capacity))


def _hired(workers: WorkersKind, shards: int, address: str | None) -> Workers:
    """Workers that hold nothing yet."""
    if callable(workers):
        return workers(shards)
    if workers == "local":
        return LocalWorkers(shards)
    if workers == "ray":
        from memstore.sharded.ray_workers import RayWorkers  # Ray itself is loaded by it

        return RayWorkers(shards, address)
    raise ArgumentError(f"workers: got {workers!r}, want 'ray' or 'local'")
