"""Reading and writing files: a reader never meets half of one, and never waits for a pipe."""

import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Literal

from memstore.errors import PathError, PathExistsError
from memstore.paths import local_path

Progress = Callable[[int, int], object]
"""Called with how much is finished, and how much there is in all."""

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
    """Write `data` beside `path`, then rename it there; a crash leaves the old file or none.

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
        with _beside(path) as beside:
            beside.write_bytes(data)
            os.replace(beside, path)
    except PathError:
        raise
    except OSError as error:
        raise PathError(f"{path}: cannot be written: {error.strerror or error}") from error


@contextmanager
def made_beside(path: Path) -> Iterator[Path]:
    """Give a path to make a file or a folder at; renamed to `path` at the end, removed on error.

    Args:
        path: where nothing is yet; missing parent folders are made.

    Raises:
        PathExistsError: there is something at the path.
        PathError: the disk refuses.
    """
    path = local_path(path)
    check_free(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _beside(path) as beside:
            yield beside
            check_free(path)  # rename would replace a file that came meanwhile
            beside.rename(path)
    except PathError:
        raise
    except OSError as error:
        raise PathError(f"{path}: cannot be written: {error}") from error


def check_free(path: Path) -> None:
    """Raise PathExistsError if there is something, be it a broken link."""
    path = local_path(path)
    try:
        is_free = not path.exists() and not path.is_symlink()
    except OSError as error:
        raise PathError(f"{path}: cannot be written: {error.strerror}") from error
    if not is_free:
        raise PathExistsError(f"{path}: exists already, want a path where nothing is")


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A new name in the same folder; what is there at the end is removed."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        yield beside
    finally:
        with suppress(OSError):  # the first error tells more
            if beside.is_dir():
                shutil.rmtree(beside, ignore_errors=True)
            else:
                beside.unlink(missing_ok=True)


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
