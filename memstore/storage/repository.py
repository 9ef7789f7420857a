"""Repository: a memory's folder, an Icechunk repository of Zarr arrays (docs/format.md).

Only this file, backend.py and chunks.py import zarr and icechunk.
"""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import icechunk
import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.errors import GroupNotFoundError

from memstore.errors import (
    FormatError,
    LockedError,
    NotAMemoryError,
    PathMissingError,
    SnapshotError,
    TornError,
)
from memstore.files import disk_bytes, made_beside
from memstore.paths import local_path
from memstore.slots.state import State
from memstore.storage import reader, schema
from memstore.storage.backend import reading, wait_at_exit, writing
from memstore.storage.checksums import seal
from memstore.storage.chunks import ChunkStore, check_files
from memstore.storage.history import MAIN, Commit, Past
from memstore.storage.lock import WriterLock

LOCK_FILE = "writer.lock"
REWIND = "rewind"  # branch that lives during one commit: the first after a rewind

wait_at_exit()

# Icechunk warns that a local folder does not order two writers; the writer lock does.
icechunk.set_logs_filter("off")


class Expired(NamedTuple):
    """What `Memory.expire` did away with."""

    snapshots: int  # how many are gone
    bytes: int  # freed on disk


def create(path: Path, state: State, message: str) -> str:
    """Make a memory, built beside the path, then renamed, so never half of one; its snapshot."""
    _check_whole(state)
    with made_beside(path) as beside, writing(path):
        beside.mkdir()  # where we may not, Icechunk would panic
        repo = icechunk.Repository.create(icechunk.local_filesystem_storage(str(beside)))
        session = repo.writable_session(MAIN)
        group = zarr.create_group(session.store)
        for name, options in schema.arrays(state.config).items():
            group.create_array(name, **options, compressors=_codecs(name))
        schema.write(group, state, state.used, schema.Ledger.empty(state.config), message)
        snapshot = session.commit(message)
    return snapshot


def _check_whole(state: State) -> None:
    """Raise TornError if the state is not to be saved."""
    if state.torn:
        raise TornError("memory: a write was interrupted in its midst; open it again")


def _codecs(name: str) -> list[Any]:
    """How the chunks of an array are written: each ends with a checksum."""
    packed = [] if name == "keys" else [ZstdCodec(level=3)]  # random mantissas do not compress
    return [*packed, Crc32cCodec()]


def history(path: str | Path, at: str | None = None) -> list[Commit]:
    """Commits of a memory's folder that can be opened by id, newest first, reading none of them.

    Args:
        path: of the folder.
        at: snapshot id or tag to begin with; by default the last commit.

    Returns:
        Where one is damaged, all that can be found: from one of them one can go on.
    """
    repository = Repository(local_path(path), writable=False, at=at)
    try:
        return repository.past.of(repository.snapshot)
    except FormatError:
        return repository.past.readable()


def tags(path: str | Path) -> dict[str, str]:
    """Snapshot id by tag, of a memory's folder, reading none of them."""
    return Repository(local_path(path), writable=False).past.tags()


class Repository:
    """The folder of one memory, open to be read, or locked and open to be written."""

    def __init__(self, path: Path, writable: bool, at: str | None = None) -> None:
        self.path = path
        if not path.exists():
            want = "the folder of a memory, as training, memstore import or Memory.create makes it"
            raise PathMissingError(f"{path}: nothing there, want {want}")
        if not ((path / "refs").is_dir() and (path / "snapshots").is_dir()):
            raise NotAMemoryError(f"{path}: got something else, want the folder of a memory")
        self._lock: WriterLock | None = None
        with reading(path):
            check_files(path)
            self._repo = icechunk.Repository.open(icechunk.local_filesystem_storage(str(path)))
            self.past = Past(path, self._repo)
            self.tip = self.past.last()
        self._at = None if at is None else self.past.named(at)
        self.snapshot = self._at or self.tip
        if writable:
            with reading(path):
                self._group(self.snapshot)  # before a foreign folder gets a lock file
            self._lock = WriterLock(path / LOCK_FILE)
            self.tip = self.past.last()
            self.snapshot = self._at or self.tip
        self._ledger: schema.Ledger

    def close(self) -> None:
        """Let the next writer in."""
        if self._lock:
            self._lock.close()

    def load(self) -> State:
        """Read the state at `self.snapshot`; later commits follow it."""
        while True:
            try:
                state, self._ledger = self.read(self.snapshot)
                return state
            except FormatError:
                # A writer may have committed, and expired our snapshot, while we read it.
                tip = self.past.last()
                if self._at is not None or tip == self.snapshot:
                    raise
                self.tip = self.snapshot = tip

    def read(self, snapshot: str) -> tuple[State, schema.Ledger]:
        """Read a snapshot from disk, every chunk of it."""
        with reading(self.path):
            return reader.read(self._group(snapshot), lambda: _size(self.path))

    def commit(self, state: State, message: str) -> str:
        """Write the rows of dirty slots as one snapshot after `self.snapshot`."""
        _check_whole(state)
        with writing(self.path):
            if state.dirty:
                self._commit(state, message)
            elif self.snapshot != self.tip:
                self._repo.reset_branch(MAIN, self.snapshot, from_snapshot_id=self.tip)
                self.tip = self.snapshot
        return self.snapshot

    def _commit(self, state: State, message: str) -> None:
        """As commit; the history changes in one step, also after a rewind."""
        rewound = self.snapshot != self.tip
        if rewound:
            self._drop_rewind()
            self._repo.create_branch(REWIND, self.snapshot)
        session = self._repo.writable_session(REWIND if rewound else MAIN)
        if session.snapshot_id != self.snapshot:
            raise LockedError(f"{self.path}: somebody committed without the lock; open it again")
        group = zarr.open_group(session.store, mode="r+", zarr_format=3)
        dirty = np.array(sorted(state.dirty), np.int64)
        ledger = schema.write(group, state, dirty, self._ledger, message)
        try:
            snapshot = session.commit(message)
            if rewound:
                self._repo.reset_branch(MAIN, snapshot, from_snapshot_id=self.tip)
            self._follow(snapshot, state, ledger)
        except BaseException as error:
            # An interrupt, or a late failure: the commit may have arrived all the same.
            tip = self.past.last()
            ours = seal(state, ledger.checks, ledger.log_rows, message, ledger.time)
            if tip == self.snapshot or self._group(tip).attrs["seal"] != ours:
                raise
            self._follow(tip, state, ledger)
            if not isinstance(error, icechunk.IcechunkError):
                raise
        if rewound:
            with suppress(icechunk.IcechunkError):  # the next rewind will
                self._drop_rewind()

    def _follow(self, snapshot: str, state: State, ledger: schema.Ledger) -> None:
        """The state is now that of a snapshot, which is the last commit."""
        self.tip = self.snapshot = snapshot
        self._ledger = ledger
        state.dirty.clear()

    def _drop_rewind(self) -> None:
        """Forget the branch of a rewind, be it ours or that of a writer that died in one."""
        if REWIND in self._repo.list_branches():
            self._repo.delete_branch(REWIND)

    def expire(self, keep: int) -> Expired:
        """Forget snapshots but the last `keep` and tagged ones, and delete what only they used."""
        if self.snapshot != self.tip:
            raise SnapshotError(
                f"{self.path}: open at {self.snapshot}, which is not the last commit; "
                "commit first, or open it without `at`"
            )
        with writing(self.path):
            self.past.tags()  # a damaged tag must not cost its snapshot
            self._drop_rewind()
            snapshots, size = self._snapshot_files(), _size(self.path)
            times = [commit.time for commit in self.past.of(self.tip)]
            if times != sorted(times, reverse=True):
                raise FormatError(f"{self.path}: got times out of order; a snapshot is damaged")
            if keep < len(times):
                self._repo.expire_snapshots(times[keep - 1])
            self._repo.garbage_collect(datetime.now(UTC))
            freed = size - _size(self.path)
        return Expired(snapshots - self._snapshot_files(), freed)

    def _snapshot_files(self) -> int:
        """Snapshots in the folder."""
        return sum(1 for _ in (self.path / "snapshots").iterdir())

    def _group(self, snapshot: str) -> zarr.Group:
        """The arrays and attributes at a snapshot, once they say that they are a memory."""
        self._repo.lookup_snapshot(snapshot)  # zarr would take a damaged one for an empty one
        session = self._repo.readonly_session(snapshot_id=snapshot)
        try:
            group = zarr.open_group(ChunkStore(session.store), mode="r", zarr_format=3)
            reader.check_format(group)
        except (NotAMemoryError, GroupNotFoundError) as error:
            what = "an Icechunk repository, but not of a memory"
            raise NotAMemoryError(f"{self.path}: {what}") from error
        return group


def _size(path: Path) -> int:
    """Bytes of all files of a memory."""
    return sum(disk_bytes(path).values())
