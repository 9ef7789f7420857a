"""Reading and writing files: a reader never meets half of one, and never waits for a pipe.

What is written is *synced* before it takes its name, and its name after: it outlives a power cut.
"""

import errno
import os
import re
import secrets
import shutil
import socket
import stat
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Literal

from memstore.errors import PathError, PathExistsError
from memstore.paths import local_path

Progress = Callable[[int, int], object]
"""Called with how much is finished, and how much there is in all."""

Durability = Literal["full", "process"]
"""What has been written outlives a power cut ("full"), or only the end of the process."""

_LONGEST = 160  # bytes of a name that stand in that of the file beside it; systems take 255
_NO_SYNC = {errno.EINVAL, errno.ENOTSUP}  # some file systems sync no folders
_PARTIAL = re.compile(
    r"\..*\.(?P<host>[0-9a-f]{6})-(?P<process>\d{1,9})-[0-9a-f]{8}\.partial", re.S
)

# What `memstore.export` writes and `memstore.import_memory` reads; here, where it costs no import.
ExportFormat = Literal["npz", "safetensors", "zarr", "parquet", "binvox", "glb", "stl", "ply"]
ImportFormat = Literal["npz", "safetensors", "zarr", "binvox"]


def open_regular(path: str | Path) -> BinaryIO:
    """Open a file to be read; a pipe or a device, which may never end, is refused.

    Raises:
        PathError: it is no regular file.
        OSError: it cannot be opened.
    """
    check_regular(os.stat(path), path)  # before it is opened: that alone may wake a device
    return open(path, "rb", opener=_open_at_once)


def check_regular(status: os.stat_result, path: str | Path) -> None:
    """Raise PathError unless what is at the path, by its status, is a regular file."""
    if not stat.S_ISREG(status.st_mode):
        raise PathError(f"{path}: got no regular file, want one")


def write_atomic(path: str | Path, data: bytes) -> None:
    """Write `data` beside `path`, sync it, then rename it there.

    A crash or a power cut leaves the old file, or none, or the new one.

    Args:
        path: its folder must exist.
        data: the whole content.

    Raises:
        PathError: the disk refuses, or at the path is something that is no file.
    """
    path = Path(path)
    try:
        if not path.name or (path.exists() and not path.is_file()):  # rename replaces a device
            raise PathError(f"{path}: got no file there, want a file to make or replace")
        _tidy_once(path.parent)
        with partial_of(path) as beside:
            beside.write_bytes(data)
            sync([beside])
            os.replace(beside, path)
            sync([path.parent])
    except PathError:
        raise
    except OSError as error:
        raise PathError(f"{path}: cannot be written: {error.strerror or error}") from error


@contextmanager
def made_beside(path: Path, durability: Durability = "full") -> Iterator[Path]:
    """Give a path to make a file or a folder at; renamed to `path` at the end, removed on error.

    Args:
        path: where nothing is yet; missing parent folders are made.
        durability: "full" syncs all that was made before it is renamed, and then its folder.

    Raises:
        PathExistsError: there is something at the path.
        PathError: the disk refuses.
    """
    path = local_path(path)
    check_free(path)
    try:
        parents = [folder for folder in path.parents if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        tidy(path.parent)
        with partial_of(path) as beside:
            yield beside
            if durability == "full":
                sync(tree(beside))
            check_free(path)  # rename would replace a file that came meanwhile
            beside.rename(path)
            if durability == "full":
                sync([path.parent, *(folder.parent for folder in parents)])
    except PathError:
        raise
    except OSError as error:
        raise PathError(f"{path}: cannot be written: {error}") from error


def is_there(path: Path) -> bool:
    """Whether there is something at a path; PathError where that cannot be told."""
    try:
        return path.exists()
    except OSError as error:
        raise PathError(f"{path}: cannot be opened: {error.strerror}") from error


def check_free(path: Path) -> None:
    """Raise PathExistsError if there is something, be it a broken link."""
    path = local_path(path)
    try:
        is_free = not path.exists() and not path.is_symlink()
    except OSError as error:
        raise PathError(f"{path}: cannot be written: {error.strerror}") from error
    if not is_free:
        raise PathExistsError(f"{path}: exists already, want a path where nothing is")


def sync(paths: Iterable[str | Path]) -> None:
    """Return once files are on stable storage with all they hold, and folders with their names.

    Side by side: a file system then writes its journal once, not once a file.

    Raises:
        OSError: the disk refuses.
    """
    several = list(paths)
    for _ in _syncers().map(_sync_one, several) if len(several) > 1 else map(_sync_one, several):
        pass


@cache
def _syncers() -> ThreadPoolExecutor:
    """Threads that wait for the disk; to start some costs as much as the disk does."""
    return ThreadPoolExecutor(8, "sync")


os.register_at_fork(after_in_child=_syncers.cache_clear)  # it has none of its parent's threads


def _sync_one(path: str | Path) -> None:
    """As sync."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC or not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise
    finally:
        os.close(descriptor)


def tree(path: str | Path) -> Iterator[str]:
    """A file, or a folder and all that is in it, what is within before what holds it."""
    for folder, _, files in os.walk(path, topdown=False):
        yield from (os.path.join(folder, file) for file in files)
        yield folder
    if not os.path.isdir(path):
        yield os.fspath(path)


@contextmanager
def partial_of(path: Path) -> Iterator[Path]:
    """A new name in the same folder; what is there at the end is removed."""
    short = os.fsdecode(os.fsencode(path.name)[:_LONGEST])
    own = f"{_host()}-{os.getpid()}-{secrets.token_hex(4)}"
    beside = path.with_name(f".{short}.{own}.partial")
    try:
        yield beside
    finally:
        _remove(beside)


def tidy(folder: Path, of_all: bool = False) -> None:
    """Remove what processes of this machine that are gone, killed say, have left half made.

    Args:
        folder: where it lies.
        of_all: also what others have, as nobody else can be at work there.
    """
    with suppress(OSError):  # no folder, or not to be listed: what follows says so
        for path in list(folder.iterdir()):
            name = _PARTIAL.fullmatch(path.name)
            if name and (
                of_all or (name["host"] == _host() and not _is_running(int(name["process"])))
            ):
                _remove(path)


_tidy_once = lru_cache(256)(tidy)  # many files may go into one folder


@cache
def _host() -> str:
    """What tells this machine's processes from others' that see the same folder."""
    return blake2b(socket.gethostname().encode(), digest_size=3).hexdigest()


def _is_running(process: int) -> bool:
    """Whether there is a process of a number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's, say
        return True
    return True


def _remove(path: Path) -> None:
    """Remove a file or a folder if it can be; the error before it tells more than this one."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _open_at_once(path: str, flags: int) -> int:
    """As os.open, but a pipe that has taken the file's place is refused, not waited for."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    try:
        check_regular(os.fstat(descriptor), path)
    except PathError:
        os.close(descriptor)
        raise
    return descriptor


def disk_bytes(path: Path) -> dict[str, int]:
    """Bytes of the files in a folder, by sub-folder; "." for those in none.

    A file that goes away meanwhile (another process commits) counts nothing.
    """
    total: dict[str, int] = {}
    for folder, _, files in os.walk(path):
        part = Path(folder).relative_to(path).parts[:1] or (".",)
        for file in files:
            try:
                size = os.lstat(os.path.join(folder, file)).st_size
            except FileNotFoundError:
                continue
            total[part[0]] = total.get(part[0], 0) + size
    return dict(sorted(total.items()))
