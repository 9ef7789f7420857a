"""ObjectRepository: a memory on an object store, an Icechunk repository below a prefix.

A commit writes its objects, the snapshot last; then the main branch's one object is put on the
condition that it is still the one that was read: so the store orders two writers, without a lock.
"""

import re
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast

import icechunk

from memstore.errors import (
    ArgumentError,
    FormatError,
    LockedError,
    MemstoreError,
    NotAMemoryError,
    PathExistsError,
    PathMissingError,
    SnapshotError,
    StoreError,
)
from memstore.paths import ObjectUrl
from memstore.slots.state import State
from memstore.storage.backend import FIRST, MAIN, check_process, reading, writing
from memstore.storage.history import Commit, Expired, Past, advising, is_tag_name
from memstore.storage.local.repository import Repository, already_made, write_first
from memstore.storage.objects.calls import (
    OVERTAKEN,
    Calls,
    MissingBucketError,
    MissingObjectError,
    Repo,
    Session,
)
from memstore.storage.objects.stores import settings, storage_at

SIDE = "commit-"  # begins the names of branches that live during a commit from an earlier snapshot
GRACE = timedelta(hours=1)  # objects that are younger may be of a commit under way


def create(
    url: ObjectUrl, state: State, message: str, options: Mapping[str, Any] | None = None
) -> str:
    """Make a memory below a prefix where there is nothing; its snapshot.

    A memory whose making was broken off ends at Icechunk's first snapshot, and does not open.
    """
    storage, calls = storage_at(url, options or {}), Calls(url, options or {})
    with writing(url):
        _check_free(storage, calls)
        _check_outside(url, options or {})
        try:
            new = calls.run(lambda: icechunk.Repository.create_async(storage))
            session = Repo(new, calls).writable_session(MAIN)
            write_first(session.store, state, message)
            snapshot = session.flush(message)
            _finish(_open(storage, calls), snapshot)
        except LockedError:
            raise PathExistsError(
                f"{url}: was made meanwhile, by somebody else or by a try of this call whose "
                "answer was lost; want a prefix below which there is nothing"
            ) from None
    return snapshot


def _finish(repo: Repo, snapshot: str) -> None:
    """Have the main branch of a new repository end at the memory's first snapshot."""
    try:
        repo.reset_branch(MAIN, snapshot, from_snapshot_id=FIRST)
    except (LockedError, StoreError):  # the answer may be lost, or that of a second try
        if repo.lookup_branch(MAIN) != snapshot:
            raise


def _open(storage: icechunk.Storage, calls: Calls) -> Repo:
    """The repository as it is now."""
    if not calls.run(lambda: icechunk.Repository.exists_async(storage)):  # says why it cannot tell
        raise calls.error("repository doesn't exist")
    return Repo(calls.run(lambda: icechunk.Repository.open_async(storage, settings())), calls)


def _check_free(storage: icechunk.Storage, calls: Calls) -> None:
    """Raise PathExistsError if there is a memory, be it half made."""
    try:
        tip = _open(storage, calls).lookup_branch(MAIN)
    except MissingBucketError:
        raise
    except PathMissingError:
        return
    if tip == FIRST:
        raise PathExistsError(_half_made(calls.url))
    raise PathExistsError(already_made(calls.url))


def _check_outside(url: ObjectUrl, options: Mapping[str, Any]) -> None:
    """Raise ArgumentError below the prefix of a memory; above one, Icechunk finds its objects."""
    parts = url.prefix.split("/")
    for count in range(len(parts)):
        parent = ObjectUrl("/".join([f"{url.scheme}://{url.bucket}", *parts[:count]]))
        with suppress(StoreError, PathMissingError):  # who may not ask there is not told
            storage, calls = storage_at(parent, options), Calls(parent, options)
            if calls.run(partial(icechunk.Repository.exists_async, storage)):
                raise ArgumentError(f"path: got {url}, want a place outside of the memory {parent}")


def _half_made(url: ObjectUrl) -> str:
    """What to do about a memory whose making was broken off."""
    return (
        f"{url}: got a memory that was begun and holds nothing yet, want a whole one; whoever "
        "makes it is still at it, or was broken off: then delete all objects below the prefix, and "
        "create it again"
    )


class ObjectPast(Past):
    """Commits and tags, asked of Icechunk alone."""

    def check_there(self) -> None:
        """Raise PathMissingError if what was opened is no longer there, be it another memory."""
        self.repo = self._open()
        self._check_own(self._identity())

    def reopen(self) -> None:
        """As Past's."""
        self.check_there()

    def _identity(self) -> object:
        """What no two memories share: when the first snapshot was made."""
        with suppress(FormatError), reading(self._path):
            return self.repo.lookup_snapshot(FIRST).written_at
        return None

    def of(self, snapshot: str) -> list[Commit]:
        """Commits that led to a snapshot, newest first; what is new in the store is not needed."""
        return self._of(snapshot)

    def last(self) -> str:
        """Id of the last commit."""
        with reading(self._path):
            tip = str(self.repo.lookup_branch(MAIN))
        if tip == FIRST:
            raise NotAMemoryError(_half_made(ObjectUrl(self._path)))
        return tip

    def _is_there(self, snapshot: str, error: FormatError) -> bool:
        """Whether the error is not that there is none."""
        return not isinstance(error.__cause__, MissingObjectError)

    def _is_tag(self, name: str) -> bool:
        """Whether there is a tag of a name; the others are not asked for, as each is a request."""
        try:
            with reading(self._path):
                return is_tag_name(name) and bool(self.repo.lookup_tag(name))
        except FormatError as error:
            if isinstance(error.__cause__, MissingObjectError):
                return False
            raise

    def _was_tag(self, name: str) -> bool:
        """Whether there is a tag of a name; the store says so of one that was."""
        self.check_there()
        return self._is_tag(name)

    def check_tag(self, name: str) -> None:
        """Raise SnapshotError if there is no such tag."""
        if not self._was_tag(name):
            raise self._no_tag(name)

    def readable(self) -> list[Commit]:
        """Commits that can be reached from the last one and from tags, as far as they are whole."""
        commits: dict[str, Commit] = {}
        for tip in (self.last(), *self.tags().values()):
            snapshot: str | None = tip
            while snapshot and snapshot not in commits:
                try:
                    with reading(self._path):
                        entry = self.repo.lookup_snapshot(snapshot)
                except FormatError:
                    break
                if entry.id != snapshot or entry.parent_id is None:
                    break
                commits[snapshot] = Commit(entry.id, entry.message, entry.written_at)
                snapshot = entry.parent_id
        return sorted(commits.values(), key=lambda commit: commit.time, reverse=True)

    def tags(self) -> dict[str, str]:
        """Snapshot id by tag."""
        self.check_there()
        with reading(self._path):
            return {name: self.repo.lookup_tag(name) for name in sorted(self.repo.list_tags())}


class ObjectRepository(Repository):
    """The objects of one memory, open to be read or to be written."""

    def __init__(
        self,
        url: ObjectUrl,
        writable: bool = False,
        at: str | None = None,
        lenient: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Open it.

        Args:
            url: of the store.
            writable: is not used: the store orders writers.
            at: snapshot id or tag; by default the last commit.
            lenient: is not used: without the last commit there is no history.
            options: of the store.
        """
        check_process(url)
        self.path, self._options = url, dict(options or {})
        self._calls = Calls(url, self._options)
        self._place, self._row_file, self._changed = "ram", None, None
        self._renewal = None
        self._lock, self._arriving, self._layouts = None, None, {}
        self._is_moving, self._is_lenient, self._side = False, lenient, ""
        storage = storage_at(url, self._options)
        with advising(url), reading(url):
            self.past = ObjectPast(
                url, lambda: cast("icechunk.Repository", _open(storage, self._calls))
            )
        self._at = None if at is None else self.past.named(at)
        self.tip = self.past.last()
        self.snapshot = self._at or self.tip
        if writable:
            with reading(url):
                self._group(self.snapshot)

    def _anew(self) -> "ObjectRepository":
        """The same, open to be read."""
        return ObjectRepository(ObjectUrl(self.path), options=self._options)

    def _tip(self) -> str:
        """Id of the last commit."""
        return self.past.last()

    def sizes(self) -> dict[str, int]:
        """Bytes of the chunks that branches and tags lead to; of other objects nobody tells."""
        with reading(self.path):
            facts = self._repo.walking("chunk_storage_stats")
        return {"chunks": facts.native_bytes + facts.inlined_bytes}

    @property
    def _repo(self) -> Repo:
        """What `past.repo` really is."""
        return cast("Repo", self.past.repo)

    def _check_there(self) -> None:
        """Do nothing: a commit notices that the last one is not ours, a refresh looks itself."""

    def _settle(self) -> bool:
        """As Repository's; what cannot be asked is asked at the next commit."""
        try:
            return super()._settle()
        except StoreError:
            return False

    def commit(self, state: State, message: str) -> str:
        """As Repository's; first, whether the last commit that failed has arrived, is known."""
        with writing(self.path):
            super()._settle()
        return super().commit(state, message)

    def _overtaken(self) -> LockedError:
        """The error of a writer that comes second; its last commit may be below the other's."""
        self.past.check_there()
        sent = self._arriving[0] if self._arriving else self.tip
        with suppress(MemstoreError):
            if sent != self.tip and sent in {entry.id for entry in self.past.of(self._tip())}:
                return LockedError(
                    f"{self.path}: your last commit has arrived as {sent}, and another writer's "
                    "after it; open it again"
                )
        return LockedError(f"{self.path}: {OVERTAKEN}")

    def _session(self) -> icechunk.Session:
        """A session at `self.snapshot`, to write to."""
        branch = MAIN
        if self.snapshot != self.tip:
            self.past.reopen()  # an expiry elsewhere may have done away with it
            self.past.check(self.snapshot)
            branch = self._side = f"{SIDE}{int(time.time()):x}-{secrets.token_hex(6)}"
            self._repo.create_branch(branch, self.snapshot)
        session = self._repo.writable_session(branch)
        if session.snapshot_id != self.snapshot:
            raise self._overtaken()
        return cast("icechunk.Session", session)

    def _saved(self, session: icechunk.Session, message: str) -> str:
        """Id of the snapshot of what was written, which the main branch does not yet lead to."""
        return cast("Session", session).flush(message)

    def _begin_side(self) -> None:
        """Do nothing: the main branch can be moved to any snapshot."""

    def _move_main(self, snapshot: str) -> None:
        """Have the main branch end at a snapshot, if it still ends where we know."""
        try:
            self._repo.reset_branch(MAIN, snapshot, from_snapshot_id=self.tip)
        except (LockedError, StoreError):  # the answer may be lost, or that of a second try
            if self.past.last() != snapshot:
                raise
        finally:
            if self._side:
                with suppress(MemstoreError):
                    self._repo.delete_branch(self._side)
                self._side = ""

    def _drop_old_sides(self) -> None:
        """Delete the branches of writers that died during a commit."""
        for branch in self._repo.list_branches():
            started = re.fullmatch(rf"{SIDE}([0-9a-f]+)-[0-9a-f]+", branch)
            if started and int(started[1], 16) < time.time() - GRACE.total_seconds():
                self._repo.delete_branch(branch)

    def tag(self, name: str) -> None:
        """Name `self.snapshot`."""
        with writing(self.path):
            self._check_latest()
            self.past.check_new_tag(name)
            try:
                self._repo.create_tag(name, self.snapshot)
            except ArgumentError:  # it is taken, or was; or ours, and the answer was lost
                if self.past.tags().get(name) != self.snapshot:
                    raise ArgumentError(
                        f"name: got {name!r}, which already exists or did; choose another"
                    ) from None

    def untag(self, name: str) -> None:
        """Take a tag away."""
        with writing(self.path):
            self._check_latest()
            self.past.check_tag(name)
            self._repo.delete_tag(name)

    def expire(self, keep: int) -> Expired:
        """Forget snapshots but the last `keep` and tagged ones, and free what is old enough.

        Objects that are younger than `GRACE` stay until a later call: they may be of another
        writer's commit, which no branch leads to yet.
        """
        with writing(self.path):
            self._check_latest()
            if self.snapshot != self.tip:
                raise SnapshotError(
                    f"{self.path}: open at {self.snapshot}, which is not the last commit; "
                    "commit first, or open it again, without `at`"
                )
            self._drop_old_sides()
            commits = self.past.of(self.tip)
            tagged = set(self.past.tags().values())
            for snapshot in tagged:
                self.past.of(snapshot)  # whole, or Icechunk might walk it for ever
            times = [commit.time for commit in commits]
            if times != sorted(times, reverse=True):
                raise FormatError(f"{self.path}: got times out of order; a snapshot is damaged")
            if keep < len(times):
                self._repo.walking("expire_snapshots", times[keep - 1])
            self.past.reopen()
            summary = self._repo.walking("garbage_collect", datetime.now(UTC) - GRACE)
        gone = [commit for commit in commits[keep:] if commit.id not in tagged]
        return Expired(len(gone), summary.bytes_deleted)
