"""Repository: a memory's folder, an Icechunk repository of Zarr arrays (docs/format.md).

The only file that imports zarr and icechunk.
"""

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import icechunk
import zarr
from zarr.errors import BaseZarrError, GroupNotFoundError

from memstore import layout
from memstore.config import MemoryConfig
from memstore.errors import (
    ArgumentError,
    FormatError,
    LockedError,
    MemstoreError,
    NotAMemoryError,
    PathError,
    PathExistsError,
    PathMissingError,
    SnapshotError,
)
from memstore.lock import WriterLock
from memstore.state import State

LOCK_FILE = "writer.lock"
MAIN = "main"
REWIND = "rewind"  # branch that lives during one commit: the first after a rewind

# Icechunk warns that a local folder does not order two writers; the writer lock does.
icechunk.set_logs_filter("icechunk=error")


class Commit(NamedTuple):
    """One entry of a memory's history."""

    id: str
    message: str
    time: datetime  # UTC


def create(path: Path, config: MemoryConfig) -> None:
    """Make an empty memory: built beside the path, then renamed, so never half of one."""
    if path.exists() or path.is_symlink():
        raise PathExistsError(f"{path}: exists already; choose another path or open it")
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        repo = icechunk.Repository.create(icechunk.local_filesystem_storage(str(building)))
        session = repo.writable_session(MAIN)
        group = zarr.create_group(session.store)
        for name, options in layout.arrays(config).items():
            group.create_array(name, **options)
        group.update_attributes(layout.attributes(State.empty(config)))
        session.commit("create")
        building.rename(path)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


class Repository:
    """The folder of one memory, open to be read, or locked and open to be written."""

    def __init__(self, path: Path, writable: bool) -> None:
        self.path = path
        if not path.exists():
            raise PathMissingError(f"{path}: nothing there; Memory.create makes a memory")
        if not ((path / "refs").is_dir() and (path / "snapshots").is_dir()):
            raise NotAMemoryError(f"{path}: got something else, want the folder of a memory")
        with _reading(path):
            self._repo = icechunk.Repository.open(icechunk.local_filesystem_storage(str(path)))
            self._group(self._repo.lookup_branch(MAIN))  # before a foreign folder gets a lock file
        self._lock = WriterLock(path / LOCK_FILE) if writable else None
        self._tip = self._repo.lookup_branch(MAIN)
        self.snapshot = self._tip

    def close(self) -> None:
        """Let the next writer in."""
        if self._lock:
            self._lock.close()

    def load(self, at: str | None) -> State:
        """Read the state at a snapshot, by default the last commit; later commits follow it."""
        snapshot = self._tip if at is None else self._resolve(at)
        with _reading(self.path):
            state = layout.read(self._group(snapshot))
        self.snapshot = snapshot
        return state

    def commit(self, state: State, message: str) -> str:
        """Write the chunks of dirty slots as one snapshot after `self.snapshot`."""
        try:
            if state.dirty:
                self._commit(state, message)
            elif self.snapshot != self._tip:
                self._repo.reset_branch(MAIN, self.snapshot, from_snapshot_id=self._tip)
        except icechunk.ConflictError as error:
            raise LockedError(f"{self.path}: somebody commits without the lock") from error
        except icechunk.IcechunkError as error:
            raise PathError(f"{self.path}: cannot write: {_first_line(error)}") from error
        self._tip = self.snapshot
        state.dirty.clear()
        return self.snapshot

    def _commit(self, state: State, message: str) -> None:
        """As commit; the history changes in one step, also after a rewind."""
        rewound = self.snapshot != self._tip
        if rewound:
            if REWIND in self._repo.list_branches():  # a writer died in the middle of this
                self._repo.delete_branch(REWIND)
            self._repo.create_branch(REWIND, self.snapshot)
        session = self._repo.writable_session(REWIND if rewound else MAIN)
        if session.snapshot_id != self.snapshot:
            raise LockedError(f"{self.path}: somebody committed without the lock; open it again")
        group = zarr.open_group(session.store, mode="r+")
        layout.write(group, state)
        group.update_attributes(layout.attributes(state))
        snapshot = session.commit(message)
        if rewound:
            self._repo.reset_branch(MAIN, snapshot, from_snapshot_id=self._tip)
            self._repo.delete_branch(REWIND)
        self.snapshot = snapshot

    def history(self) -> list[Commit]:
        """Commits that led to `self.snapshot`, newest first."""
        with _reading(self.path):
            ancestry = list(self._repo.ancestry(snapshot_id=self.snapshot))
        # The last is Icechunk's own: a repository without arrays.
        return [Commit(entry.id, entry.message, entry.written_at) for entry in ancestry[:-1]]

    def tag(self, name: str) -> None:
        """Name `self.snapshot`."""
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", name):
            raise ArgumentError(f"name: got {name!r}, want 1 to 100 of A-Z a-z 0-9 . _ -")
        try:
            self._repo.create_tag(name, self.snapshot)
        except icechunk.IcechunkError as error:  # a deleted tag's name stays taken
            raise ArgumentError(f"name: {_first_line(error)}; choose another") from error

    def tags(self) -> dict[str, str]:
        """Snapshot id by tag."""
        with _reading(self.path):
            return {name: self._repo.lookup_tag(name) for name in sorted(self._repo.list_tags())}

    def _resolve(self, at: str) -> str:
        """Snapshot id of a tag or id."""
        try:
            if at in self._repo.list_tags():
                return self._repo.lookup_tag(at)
            if self._repo.lookup_snapshot(at).parent_id is not None:  # else: no arrays yet
                return at
        except icechunk.IcechunkError:
            pass
        raise SnapshotError(
            f"{self.path}: no snapshot or tag {at!r}; history() and tags() list them"
        )

    def _group(self, snapshot: str) -> zarr.Group:
        """The arrays and attributes at a snapshot, once they say that they are a memory."""
        session = self._repo.readonly_session(snapshot_id=snapshot)
        group = zarr.open_group(session.store, mode="r")
        layout.check_format(group)
        return group


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Report whatever a damaged or hostile folder makes Zarr and Icechunk raise as our errors."""
    try:
        yield
    except (NotAMemoryError, GroupNotFoundError) as error:
        raise NotAMemoryError(f"{path}: an Icechunk repository, but not of a memory") from error
    except (
        *(icechunk.IcechunkError, BaseZarrError, MemstoreError, OSError),
        *(ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, MemoryError),
    ) as error:
        raise FormatError(f"{path}: cannot be read: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    """What went wrong, without Icechunk's inner trace."""
    lines = [line.strip(" x") for line in str(error).splitlines()]
    return next((line for line in lines if line), type(error).__name__)
