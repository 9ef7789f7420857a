"""Past: the commits and tags of a memory's folder."""

import re
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from memstore.errors import ArgumentError, FormatError, SnapshotError
from memstore.storage.backend import reading, writing

if TYPE_CHECKING:
    import icechunk

MAIN = "main"  # the branch that the last commit is on


class Commit(NamedTuple):
    """One entry of a memory's history."""

    id: str
    message: str
    time: datetime  # UTC


class Past:
    """What an Icechunk repository says of its commits, without reading what they hold."""

    def __init__(self, path: Path, repo: "icechunk.Repository") -> None:
        self._path, self._repo = path, repo

    def last(self) -> str:
        """Id of the last commit."""
        return self._repo.lookup_branch(MAIN)

    def named(self, at: str) -> str:
        """Snapshot id of a tag or id."""
        with suppress(FormatError), reading(self._path):
            if at in self._repo.list_tags():
                return self._repo.lookup_tag(at)
            if self._repo.lookup_snapshot(at).parent_id is not None:  # else: no arrays yet
                return at
        raise SnapshotError(
            f"{self._path}: no snapshot or tag {at!r}; memstore history, or history() and tags(), "
            "list them"
        )

    def of(self, snapshot: str) -> list[Commit]:
        """Commits that led to a snapshot, newest first."""
        try:
            return self._ancestry(snapshot)
        except FormatError:
            if self.has_lost(snapshot):
                raise SnapshotError(f"{self._path}: {snapshot} has expired") from None
            raise

    def _ancestry(self, snapshot: str) -> list[Commit]:
        """As of."""
        with reading(self._path):
            ancestry = list(self._repo.ancestry(snapshot_id=snapshot))
        # The last is Icechunk's own: a repository without arrays.
        return [Commit(entry.id, entry.message, entry.written_at) for entry in ancestry[:-1]]

    def has_lost(self, snapshot: str) -> bool:
        """Whether a snapshot has left a history that is whole: a writer has let it expire."""
        try:
            with reading(self._path):
                tips = [self.last(), *self.tags().values()]
            return all(snapshot != commit.id for tip in tips for commit in self._ancestry(tip))
        except FormatError:
            return False

    def readable(self) -> list[Commit]:
        """All commits that can be opened by id, newest first; damage hides no more than its own."""
        commits: list[Commit] = []
        for file in (self._path / "snapshots").iterdir():
            with suppress(FormatError), reading(self._path):
                entry = self._repo.lookup_snapshot(file.name)
                if entry.parent_id is not None:
                    commits.append(Commit(entry.id, entry.message, entry.written_at))
        return sorted(commits, key=lambda commit: commit.time, reverse=True)

    def tag(self, name: str, snapshot: str) -> None:
        """Name a snapshot."""
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", name):
            raise ArgumentError(f"name: got {name!r}, want 1 to 100 of A-Z a-z 0-9 . _ -")
        if (self._path / "refs" / f"tag.{name}" / "ref.json").exists():  # also of a deleted tag
            raise ArgumentError(f"name: got {name!r}, which already exists or did; choose another")
        with writing(self._path):
            self._repo.create_tag(name, snapshot)

    def untag(self, name: str) -> None:
        """Take a tag away."""
        if name not in self.tags():
            raise SnapshotError(
                f"{self._path}: no tag {name!r}; memstore history, or tags(), lists them"
            )
        with writing(self._path):
            self._repo.delete_tag(name)

    def tags(self) -> dict[str, str]:
        """Snapshot id by tag."""
        with reading(self._path):
            tags = {name: self._repo.lookup_tag(name) for name in sorted(self._repo.list_tags())}
            # Icechunk takes a tag whose file is damaged for a deleted one.
            for folder in (self._path / "refs").glob("tag.*"):
                is_deleted = (folder / "ref.json.deleted").exists()
                is_listed = folder.name.removeprefix("tag.") in tags
                if (folder / "ref.json").exists() and not is_deleted and not is_listed:
                    raise FormatError(f"{folder.name}: got a damaged tag")
        return tags
