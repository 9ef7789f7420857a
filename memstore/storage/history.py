"""Past: the commits and tags of a memory's folder."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from memstore.errors import (
    ArgumentError,
    DtypeError,
    FormatError,
    PathMissingError,
    SnapshotError,
)
from memstore.storage.backend import FIRST, MAIN, REF_FILE, reading

if TYPE_CHECKING:
    import icechunk


ID = r"[0-9A-Z]{20}"  # of a snapshot
_TAG = r"[A-Za-z0-9._-]{1,100}"  # names of tags
_REF = r'\{"snapshot": ?"([0-9A-Z]{20})"\}'  # of a branch; Icechunk takes a millisecond to read it
_DELETED = "ref.json.deleted"  # what marks a tag that is gone
_FILE_MANAGERS = (
    r"\.DS_Store|\._.*|\.directory|\.localized|Thumbs\.db|desktop\.ini"  # files of theirs
)
_ALIKE = 4  # characters of an id's beginning that tell which is meant


class Expired(NamedTuple):
    """What `Memory.expire` did away with."""

    snapshots: int  # how many are gone
    bytes: int  # freed on disk


class Commit(NamedTuple):
    """One entry of a memory's history."""

    id: str
    message: str
    time: datetime  # UTC


def is_tag_name(name: object) -> bool:
    """Whether a tag may be called so, were it not taken."""
    return isinstance(name, str) and re.fullmatch(_TAG, name) is not None


def is_stray(name: str) -> bool:
    """Whether a file of a name is one that a file manager leaves wherever it looks."""
    return re.fullmatch(_FILE_MANAGERS, name) is not None


@contextmanager
def advising(path: str | Path) -> Iterator[None]:
    """Have the error of a damaged memory say what to do."""
    try:
        yield
    except FormatError as error:
        raise FormatError(
            f"{error}; memstore history {path} lists the commits that are whole; memstore copy "
            "--at ID makes a memory of one elsewhere, and one opened with mode 'r+' and at=ID and "
            "committed is the last again"
        ) from error


class Past:
    """What an Icechunk repository says of its commits, without reading what they hold."""

    def __init__(self, path: str | Path, open_repo: Callable[[], "icechunk.Repository"]) -> None:
        self._path, self._folder, self._open = path, Path(path).absolute(), open_repo
        self.repo = open_repo()
        self._own = self._identity()

    def check_there(self) -> None:
        """Raise PathMissingError if what was opened is no longer there, be it another memory."""
        if isinstance(self._path, Path) and not (self._folder / "refs").is_dir():
            raise self._missing("nothing there any more: the folder was moved or deleted")
        self._check_own(self._identity())

    def check_same(self, other: "Past") -> None:
        """Raise PathMissingError if that of another opening is another memory's."""
        self._check_own(other._own)

    def is_there(self) -> bool:
        """Whether what was opened is still there."""
        return (self._folder / "refs").is_dir() and self._identity() == self._own

    def _check_own(self, identity: object) -> None:
        """Raise PathMissingError unless what is there has the identity of what was opened."""
        if identity != self._own:
            raise self._missing("another memory there: it was replaced")

    def _missing(self, what: str) -> PathMissingError:
        """Error that what was opened is not there."""
        return PathMissingError(
            f"{self._path}: got {what} after it was opened, want it back in its place; what is in "
            "RAM can still be read, and copy_to(PATH) saves it elsewhere, with what was not "
            "committed"
        )

    def _identity(self) -> object:
        """What no two memories share: the file of Icechunk's first snapshot, which never changes.

        It holds when it was made; a copy of the folder is the same memory.
        """
        with suppress(OSError):
            return (self._folder / "snapshots" / FIRST).read_bytes()
        return b""

    def reopen(self) -> None:
        """Forget what was read: a writer may have let snapshots expire, which changes others."""
        self.check_there()
        self.repo = self._open()

    def last(self) -> str:
        """Id of the last commit."""
        with suppress(OSError, ValueError):  # else Icechunk says what is wrong
            text = (self._folder / "refs" / f"branch.{MAIN}" / REF_FILE).read_text()
            if branch := re.fullmatch(_REF, text):
                return branch[1]
        with advising(self._path), reading(self._path):
            return self.repo.lookup_branch(MAIN)

    def named(self, at: str) -> str:
        """Snapshot id of a tag or id."""
        if not isinstance(at, str):
            raise DtypeError(f"at: got {type(at).__name__}, want str: a snapshot id or a tag")
        if self._is_tag(at):
            with reading(self._path):
                return self.repo.lookup_tag(at)
        if not re.fullmatch(r"[0-9A-Z]{20}", at):  # Icechunk takes small letters for capitals
            raise self._unknown(at)
        try:
            with reading(self._path):
                if self.repo.lookup_snapshot(at).parent_id is not None:  # else: no arrays yet
                    return at
        except FormatError as error:
            if re.fullmatch(ID, at) and self._is_there(at, error):
                text = f"{self._path}: snapshots/{at}: got a damaged file"
                raise FormatError(text) from error
        raise self._unknown(at)

    def _unknown(self, at: str) -> SnapshotError:
        """Error that no snapshot or tag is called so; it names the one that may be meant."""
        like = at.upper()
        folder = self._folder / "snapshots"
        ids = [file.name for file in folder.iterdir()] if folder.is_dir() else []
        near = [snapshot for snapshot in ids if snapshot.startswith(like)]
        hint = ""
        if len(near) == 1 and len(at) >= _ALIKE:
            hint = f" (ids are whole, in capitals: is {near[0]} meant?)"
        return SnapshotError(
            f"{self._path}: no snapshot or tag {at!r}{hint}; memstore history, or history() and "
            "tags(), list them"
        )

    def _is_there(self, snapshot: str, error: FormatError) -> bool:
        """Whether there is a file of a snapshot, which could not be read as the error says."""
        return (self._folder / "snapshots" / snapshot).exists()

    def _is_tag(self, name: str) -> bool:
        """Whether there is a tag of a name, whatever else lies among the tags."""
        folder = self._folder / "refs" / f"tag.{name}"
        return (
            is_tag_name(name)
            and (folder / "ref.json").exists()
            and not (folder / _DELETED).exists()
        )

    def check(self, snapshot: str) -> None:
        """Raise FormatError unless the file of a snapshot is its own; no more is read of it."""
        with reading(self._path):
            entry = self.repo.lookup_snapshot(snapshot)
        if entry.id != snapshot:
            raise FormatError(f"snapshots/{snapshot}: got the file of {entry.id}; it is damaged")

    def of(self, snapshot: str) -> list[Commit]:
        """Commits that led to a snapshot, newest first."""
        self.check_there()
        return self._of(snapshot)

    def _of(self, snapshot: str) -> list[Commit]:
        """As of, of a memory that is there."""
        try:
            return self._ancestry(snapshot)
        except FormatError:
            if self.has_lost(snapshot):
                raise SnapshotError(f"{self._path}: {snapshot} has expired") from None
            raise

    def _ancestry(self, snapshot: str) -> list[Commit]:
        """As of; what seems damaged is read anew, as a writer may have changed it meanwhile."""
        try:
            return self._walk(snapshot)
        except FormatError:
            self.reopen()
            return self._walk(snapshot)

    def _walk(self, snapshot: str) -> list[Commit]:
        """As of."""
        commits: list[Commit] = []
        ids: set[str] = set()
        with reading(self._path):
            for entry in self.repo.ancestry(snapshot_id=snapshot):
                # A file may be another snapshot's, and the way may lead round in circles.
                if entry.id != snapshot or entry.id in ids:
                    raise FormatError(f"snapshots/{snapshot}: got the file of {entry.id}")
                ids.add(entry.id)
                if entry.parent_id is None:  # Icechunk's own: a repository without arrays
                    break
                commits.append(Commit(entry.id, entry.message, entry.written_at))
                snapshot = entry.parent_id
        return commits

    def has_lost(self, snapshot: str) -> bool:
        """Whether a snapshot has left a history that is whole: a writer has let it expire."""
        self.check_there()
        try:
            with reading(self._path):
                tips = [self.last(), *self.tags().values()]
            return all(snapshot != commit.id for tip in tips for commit in self._ancestry(tip))
        except FormatError:
            return False

    def readable(self) -> list[Commit]:
        """All commits that can be opened by id, newest first; damage hides no more than its own."""
        commits: list[Commit] = []
        for file in (self._folder / "snapshots").iterdir():
            with suppress(FormatError), reading(self._path):
                entry = self.repo.lookup_snapshot(file.name)
                if entry.id == file.name and entry.parent_id is not None:
                    commits.append(Commit(entry.id, entry.message, entry.written_at))
        return sorted(commits, key=lambda commit: commit.time, reverse=True)

    def check_new_tag(self, name: str) -> None:
        """Raise ArgumentError unless a tag may be called so."""
        if not is_tag_name(name):
            raise ArgumentError(f"name: got {name!r}, want 1 to 100 of A-Z a-z 0-9 . _ -")
        if re.fullmatch(ID, name) or not name.strip("."):  # `at` takes either
            raise ArgumentError(f"name: got {name!r}, want one that no snapshot's id is like")
        if self._was_tag(name):
            raise ArgumentError(f"name: got {name!r}, which already exists or did; choose another")

    def _was_tag(self, name: str) -> bool:
        """Whether there is a tag of a name, or was."""
        return (self._folder / "refs" / f"tag.{name}").exists()

    def check_tag(self, name: str) -> None:
        """Raise SnapshotError if there is no such tag."""
        if name not in self.tags():
            raise self._no_tag(name)

    def _no_tag(self, name: str) -> SnapshotError:
        """Error that no tag is called so."""
        return SnapshotError(
            f"{self._path}: no tag {name!r}; memstore history, or tags(), lists them"
        )

    def tags(self) -> dict[str, str]:
        """Snapshot id by tag.

        Icechunk would take a tag whose file is damaged, or gone, for a deleted one.
        """
        self.check_there()
        tags: dict[str, str] = {}
        with reading(self._path):
            for entry in sorted((self._folder / "refs").iterdir()):
                kind, _, name = entry.name.partition(".")
                if is_stray(entry.name) or kind == "branch" or (entry / _DELETED).exists():
                    continue
                if kind != "tag":
                    text = f"refs/{entry.name}: got neither a branch nor a tag, want nothing else"
                    raise FormatError(f"{self._path}: {text}")
                tags[name] = self._of_tag(name)
        return tags

    def _of_tag(self, name: str) -> str:
        """Snapshot id of a tag that is to be there."""
        try:
            with reading(self._path):
                return self.repo.lookup_tag(name)
        except FormatError as error:
            raise FormatError(f"tag.{name}: got a damaged tag, or none where one was") from error
