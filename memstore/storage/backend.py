"""Icechunk and Zarr: their errors as ours, their threads in a forked child, their end."""

import atexit
import json
import os
import shutil
import sys
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import icechunk
from zarr.errors import BaseZarrError

from memstore.errors import (
    ForkError,
    LockedError,
    MemstoreError,
    PathError,
    first_line,
    is_panic,
    translated,
)

_users: set[int] = set()  # processes that have used the store: us, and whom we were forked from
_FOREIGN = (icechunk.IcechunkError, BaseZarrError)
MAIN = "main"  # the branch that the last commit is on
REF_FILE = "ref.json"  # of a branch or a tag
NOWHERE = "0" * 20  # id of no snapshot
FIRST = "1CECHNKREP0F1RSTCMT0"  # id of the snapshot that Icechunk begins with, which holds nothing
MOMENT = 0.05  # seconds that the store's threads have to end; they need microseconds once scheduled


def storage_of(path: Path) -> icechunk.Storage:
    """Where Icechunk keeps a repository."""
    return icechunk.local_filesystem_storage(str(path))


def settings() -> icechunk.RepositoryConfig:
    """How we use a repository: no manifest is fetched before it is needed.

    By default every session builds its patterns of names of arrays whose manifests it fetches,
    which takes longer than all else that it does.
    """
    never = icechunk.ManifestPreloadCondition.false()
    preload = icechunk.ManifestPreloadConfig(max_total_refs=0, preload_if=never)
    return icechunk.RepositoryConfig(manifest=icechunk.ManifestConfig(preload=preload))


def ref(snapshot: str) -> str:
    """What the file of a branch or a tag holds."""
    return json.dumps({"snapshot": snapshot})


class Opener:
    """Opens a folder as an Icechunk repository, once or again.

    Icechunk wants a main branch. Where that is damaged, and need not be known, it gets a folder of
    links to the rest, `stand_in`, whose main branch leads nowhere.
    """

    def __init__(self, path: Path, lenient: bool) -> None:
        self.stand_in: Path | None = None
        self._path, self._is_lenient = path, lenient

    def __call__(self) -> icechunk.Repository:
        """Open the folder as it is now."""
        try:
            return icechunk.Repository.open(storage_of(self._path), settings())
        except icechunk.IcechunkError:
            if not self._is_lenient or not any((self._path / "snapshots").iterdir()):
                raise
        self.stand_in = Path(mkdtemp())
        weakref.finalize(self, shutil.rmtree, self.stand_in, ignore_errors=True)
        for entry in self._path.iterdir():
            if entry.name != "refs":
                (self.stand_in / entry.name).symlink_to(entry.resolve())
        refs = shutil.copytree(self._path / "refs", self.stand_in / "refs")
        (refs / f"branch.{MAIN}").mkdir(exist_ok=True)
        (refs / f"branch.{MAIN}" / REF_FILE).write_text(ref(NOWHERE))
        return icechunk.Repository.open(storage_of(self.stand_in), settings())


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Report whatever a damaged or hostile folder makes Zarr and Icechunk raise as our errors."""
    check_process(path)
    with translated(path, *_FOREIGN):
        yield


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Report what keeps us from writing as our errors; nothing is lost by then."""
    check_process(path)
    try:
        yield
    except icechunk.ConflictError as error:
        raise LockedError(f"{path}: somebody commits without the lock") from error
    except MemstoreError:
        raise
    except BaseException as error:
        if not (isinstance(error, (*_FOREIGN, OSError, RuntimeError)) or is_panic(error)):
            raise
        raise PathError(f"{path}: cannot write: {first_line(error)}") from error


def check_process(path: str | Path) -> None:
    """Raise ForkError where Icechunk would wait for ever, for threads that only the parent has."""
    _users.add(os.getpid())
    if len(_users) > 1:
        raise ForkError(
            f"{path}: got a forked process, whose parent has the store's threads; read a memory "
            "that the parent has open, or start the process by spawn and open it there"
        )


def wait_at_exit() -> None:
    """Have the interpreter wait before it ends, if this Python needs it.

    A thread of Icechunk's that has answered still lets go of what Python gave it, for which it
    takes Python's lock. Before Python 3.14 a thread that wants the lock once the interpreter is
    ending is ended in the middle of Rust code, which aborts the process (PyO3/pyo3#4874). After all
    work was done, 4 of 320 short processes on a busy machine ended with SIGABRT; with a wait, none
    of 200. That this is the reason is inferred: no thread was seen at it.
    """
    if sys.version_info < (3, 14):
        atexit.register(time.sleep, MOMENT)
