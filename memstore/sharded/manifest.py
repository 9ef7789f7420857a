"""Manifests: what a memory in shards is at each commit, in JSON (docs/scale.md).

`shards.json` names the last commit: `{"memstore_shards": 1, "last": ID}`. It is there once that
file names it: everything else is written, and synced, before.

`commits/ID.json` is a manifest: parent's ID (or null), message, time (microseconds since 1970,
UTC), config and its `memstore_format`, clock, counts, the shards' snapshots in order. ID is the
file's BLAKE2b checksum (10 bytes, capital hexadecimal digits).

`tags/NAME.json` names a commit, `tags/NAME.json.deleted` one that was taken away. `shard-0000` and
so on are folders as in docs/format.md, shard s of S of ceil((capacity - s) / S) slots.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from memstore.config import MemoryConfig, config_from_saved, saved_config
from memstore.errors import (
    ArgumentError,
    FormatError,
    NotAMemoryError,
    PathError,
    PathMissingError,
    SnapshotError,
    translated,
)
from memstore.files import open_regular, sync, write_atomic
from memstore.json_text import MAX_BYTES, parse_json
from memstore.paths import SHARDS_FILE, local_path
from memstore.scalars import as_int
from memstore.sharded.deal import Deal
from memstore.slots.state import COUNTS, LATEST
from memstore.storage.history import Commit

FORMAT = 1
MOST_SHARDS = 1024
_TAG = re.compile(r"[A-Za-z0-9._-]{1,100}")
_ID = re.compile(r"[0-9A-F]{20}")
_SNAPSHOT = re.compile(r"[0-9A-Z]{20}")


class Manifest(NamedTuple):
    """One commit: all that is not in a shard."""

    parent: str | None  # the commit before
    message: str
    time: int  # microseconds since 1970, UTC
    config: MemoryConfig
    clock: int  # pairs written since creation
    counts: Mapping[str, int]  # since creation
    snapshots: tuple[str, ...]  # of each shard's own folder

    def text(self) -> bytes:
        """As it is saved."""
        version, config = saved_config(self.config)
        saved = {"memstore_shards": FORMAT, "memstore_format": version, **self._asdict()}
        return json.dumps({**saved, "config": config}, indent=1, sort_keys=True).encode()

    @property
    def id(self) -> str:
        """Its name: what its file's bytes hash to."""
        return _hashed(self.text())


class Manifests:
    """The folder of a memory in shards, what is in shards left out."""

    def __init__(self, path: Path, is_new: bool = False) -> None:
        """Look at a folder.

        Args:
            path: of the folder.
            is_new: it is being made, and has no commit yet.

        Raises:
            PathMissingError: there is nothing at the path.
            NotAMemoryError: there is something else.
        """
        self.path = path
        if is_new:
            return
        if not path.exists():
            want = "the folder of a memory in shards, as ShardedMemory.create makes it"
            raise PathMissingError(f"{path}: nothing there, want {want}")
        if not (path / SHARDS_FILE).is_file():
            is_memory = (path / "refs").is_dir() and (path / "snapshots").is_dir()
            what = "one in one piece: Memory.open opens it" if is_memory else "something else"
            raise NotAMemoryError(f"{path}: got {what}, want the folder of a memory in shards")

    def check_has(self, commit: str) -> None:
        """Raise PathMissingError unless the folder has a commit that it had when it was opened."""
        if not (self.path / "commits" / f"{commit}.json").exists():
            raise PathMissingError(
                f"{self.path}: got nothing there any more, or another memory, want that which was "
                f"opened, back in its place: commit {commit} is not there"
            )

    def last(self) -> str:
        """Id of the last commit."""
        file = self.path / SHARDS_FILE
        with translated(file):
            fields = parse_json(_bytes_of(file))
            _check_format(fields["memstore_shards"])
            return _checked(fields["last"], _ID)

    def read(self, commit: str) -> Manifest:
        """The manifest of a commit that there is."""
        file = self.path / "commits" / f"{commit}.json"
        with translated(file):
            data = _bytes_of(file)
            if _hashed(data) != commit:
                raise FormatError("got other bytes than were written; it is damaged")
            return _parsed(data)

    def named(self, at: str) -> str:
        """Id of a tag or of a commit; a tag wins.

        Raises:
            SnapshotError: there is neither.
        """
        if isinstance(at, str):
            if _TAG.fullmatch(at) and at not in (".", "..") and self._tag_file(at).exists():
                return self._tagged(at)
            if _ID.fullmatch(at) and (self.path / "commits" / f"{at}.json").exists():
                return at
        raise SnapshotError(
            f"{self.path}: no snapshot or tag {at!r}; history() and tags() list them"
        )

    def write(self, manifest: Manifest) -> str:
        """Make a commit, whose shards are saved: its file, then the one that names the last."""
        name = manifest.id
        write_atomic(self.path / "commits" / f"{name}.json", manifest.text())
        self.point(name)
        return name

    def point(self, commit: str) -> None:
        """Have a commit be the last."""
        head = {"memstore_shards": FORMAT, "last": commit}
        write_atomic(self.path / SHARDS_FILE, json.dumps(head).encode())

    def history(self, commit: str) -> list[Commit]:
        """Commits that led to one, newest first."""
        commits: list[Commit] = []
        at: str | None = commit
        while at is not None:  # ids are checksums: no way leads round in circles
            manifest = self.read(at)
            time = datetime.fromtimestamp(manifest.time / 1e6, UTC)
            commits.append(Commit(at, manifest.message, time))
            at = manifest.parent
        return commits

    def commits(self) -> list[str]:
        """Ids of all that are there, those that have left the history too, ascending."""
        names = [file.name.removesuffix(".json") for file in (self.path / "commits").iterdir()]
        return sorted(name for name in names if _ID.fullmatch(name))

    def tags(self) -> dict[str, str]:
        """Id by tag."""
        folder = self.path / "tags"
        names = [file.name.removesuffix(".json") for file in folder.glob("[!.]*.json")]
        return {name: self._tagged(name) for name in sorted(names)}

    def tag(self, name: str, commit: str) -> None:
        """Name a commit for good."""
        is_name = isinstance(name, str) and _TAG.fullmatch(name) and not name.startswith(".")
        if not is_name:
            want = "1 to 100 of A-Z a-z 0-9 . _ -, no . first"
            raise ArgumentError(f"name: got {name!r}, want {want}")
        if self._tag_file(name).exists() or self._deleted_file(name).exists():
            raise ArgumentError(f"name: got {name!r}, which already exists or did; choose another")
        write_atomic(self._tag_file(name), json.dumps({"commit": commit}).encode())

    def untag(self, name: str) -> None:
        """Take a tag away; what marks that it was there stays."""
        if name not in self.tags():
            raise SnapshotError(
                f"{self.path}: no tag {name!r}; memstore history, or tags(), lists them"
            )
        try:
            os.replace(self._tag_file(name), self._deleted_file(name))
            sync([self.path / "tags"])
        except OSError as error:
            raise PathError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    def _deleted_file(self, name: str) -> Path:
        """What marks that a tag was there."""
        return self.path / "tags" / f"{name}.json.deleted"

    def _tag_file(self, name: str) -> Path:
        """Where a tag is."""
        return self.path / "tags" / f"{name}.json"

    def _tagged(self, name: str) -> str:
        """Id that a tag names."""
        file = self._tag_file(name)
        with translated(file):
            commit = _checked(parse_json(_bytes_of(file))["commit"], _ID)
            if not (self.path / "commits" / f"{commit}.json").exists():
                raise FormatError(f"got commit {commit!r}, which is not there; one is damaged")
            return commit


def history(path: str | Path, at: str | None = None) -> list[Commit]:
    """Commits of the folder of a memory in shards, newest first, opening no shard.

    Args:
        path: of the folder.
        at: id or tag of the commit to begin with; by default the last.
    """
    manifests = Manifests(local_path(path))
    return manifests.history(manifests.last() if at is None else manifests.named(at))


def tags(path: str | Path) -> dict[str, str]:
    """Id of a commit by tag, of the folder of a memory in shards."""
    return Manifests(local_path(path)).tags()


def shard_folder(path: Path, shard: int) -> Path:
    """Folder of a shard's own memory."""
    return path / f"shard-{shard:04d}"


def lock_file(path: Path) -> Path:
    """What the one writer of a memory in shards locks."""
    return path / "writer.lock"


def shard_config(config: MemoryConfig, deal: Deal, shard: int) -> MemoryConfig:
    """Config of a shard's own memory."""
    return replace(config, capacity=deal.rows_of(shard))


def _bytes_of(file: Path) -> bytes:
    """All of a file, or more than JSON may have."""
    with open_regular(file) as opened:
        return opened.read(MAX_BYTES + 1)


def _hashed(data: bytes) -> str:
    """The id of a manifest."""
    return blake2b(data, digest_size=10).hexdigest().upper()


def _check_format(version: object) -> None:
    """Raise FormatError unless this release can read it."""
    if version != FORMAT:
        raise FormatError(f"got format {version!r} of memories in shards, want {FORMAT}")


def _checked(text: object, pattern: re.Pattern[str]) -> str:
    """A text of a form."""
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise FormatError(f"got {text!r}, want an id")
    return text


def _parsed(data: bytes) -> Manifest:
    """What `Manifest.text` gave."""
    fields: dict[str, Any] = parse_json(data)
    _check_format(fields.pop("memstore_shards"))
    config = config_from_saved(fields.pop("memstore_format"), fields.pop("config"))
    counts = {name: _count(name, fields["counts"][name]) for name in COUNTS}
    snapshots = tuple(_checked(snapshot, _SNAPSHOT) for snapshot in fields["snapshots"])
    if not 1 <= len(snapshots) <= min(MOST_SHARDS, config.capacity):
        raise FormatError(f"got {len(snapshots)} shards of {config.capacity} slots")
    if not isinstance(fields["message"], str):
        raise FormatError("message: want a text")
    parent = None if fields["parent"] is None else _checked(fields["parent"], _ID)
    time, clock = _count("time", fields["time"]), _count("clock", fields["clock"])
    return Manifest(parent, fields["message"], time, config, clock, counts, snapshots)


def _count(name: str, number: object) -> int:
    """An int in [0, LATEST]."""
    count = as_int(name, number)
    if not 0 <= count <= LATEST:
        raise FormatError(f"{name}: got {count}, want an int in [0, {LATEST}]")
    return count
