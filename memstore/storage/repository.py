"""A memory's repository, wherever it lies: in a folder or on an object store.

Both are Icechunk repositories of Zarr arrays (docs/format.md). On an object store, a commit, a tag
and an expiry are made in another way. What this folder imports, and it alone, imports zarr and
icechunk.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memstore.errors import ArgumentError, DtypeError, FormatError
from memstore.files import Durability
from memstore.paths import ObjectUrl, place_of
from memstore.slots.state import State
from memstore.storage.backend import NOWHERE
from memstore.storage.history import Commit
from memstore.storage.local import repository as local
from memstore.storage.rowfile import Place

StorageOptions = Mapping[str, Any]
"""How an object store is reached and who asks, see `memstore.storage.objects.stores`."""


def create(
    path: Path | ObjectUrl,
    state: State,
    message: str,
    durability: Durability = "full",
    storage_options: StorageOptions | None = None,
) -> str:
    """Make a memory that is whole, or none; its snapshot."""
    state.check_whole()
    _check_type(storage_options)
    if isinstance(path, ObjectUrl):
        from memstore.storage.objects import repository as objects

        return objects.create(path, state, message, storage_options)
    _check_no_options(path, storage_options)
    return local.create(path, state, message, durability)


def opened(
    place: Path | ObjectUrl,
    writable: bool = False,
    at: str | None = None,
    durability: Durability = "full",
    lenient: bool = False,
    rows: Place | None = "ram",
    storage_options: StorageOptions | None = None,
) -> local.Repository:
    """The repository of a memory, wherever it lies; see `Repository`."""
    _check_type(storage_options)
    if isinstance(place, ObjectUrl):
        from memstore.storage.objects.repository import ObjectRepository

        return ObjectRepository(place, writable, at, lenient, storage_options)
    _check_no_options(place, storage_options)
    return local.Repository(place, writable, at, durability, lenient, rows)


def _check_type(storage_options: object) -> None:
    """Raise DtypeError unless options are a mapping; no value is shown."""
    if not isinstance(storage_options, Mapping | None):
        kind = type(storage_options).__name__
        raise DtypeError(f"storage_options: got a {kind}, want a dict of options, or None")


def _check_no_options(path: Path, storage_options: StorageOptions | None) -> None:
    """Raise ArgumentError where a folder is opened as an object store."""
    if storage_options:
        raise ArgumentError(
            f"storage_options: got some for {path}, want a URL there, or no options"
        )


def history(
    path: str | Path, at: str | None = None, *, storage_options: StorageOptions | None = None
) -> list[Commit]:
    """Commits of a memory's folder that can be opened by id, newest first, reading none of them.

    Args:
        path: of the folder, or a URL.
        at: snapshot id or tag to begin with; by default the last commit.
        storage_options: of a URL, as `Memory.open` takes them.

    Returns:
        Where one is damaged, all that can be found: from one of them one can go on.
    """
    repository = opened(place_of(path), at=at, lenient=True, storage_options=storage_options)
    try:
        return repository.past.of(repository.snapshot or NOWHERE)
    except FormatError:
        if commits := repository.past.readable():
            return commits
        raise


def tags(path: str | Path, *, storage_options: StorageOptions | None = None) -> dict[str, str]:
    """Snapshot id by tag, of a memory's folder or URL, reading none of them."""
    return opened(place_of(path), lenient=True, storage_options=storage_options).past.tags()
