"""Writing files and folders so that a reader never meets half of one."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memstore.errors import PathError, PathExistsError


def write_atomic(path: str | Path, data: bytes) -> None:
    """Write `data` beside `path`, then rename it there; a crash leaves the old file or none.

    Args:
        path: its folder must exist.
        data: the whole content.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def made_beside(path: Path) -> Iterator[Path]:
    """Give a path to make a file or a folder at; renamed to `path` at the end, removed on error.

    Args:
        path: where nothing is yet; missing parent folders are made.

    Raises:
        PathExistsError: there is something at the path.
        PathError: the disk refuses.
    """
    check_free(path)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        check_free(path)  # rename would replace a file that came meanwhile
        beside.rename(path)
    except PathError:
        raise
    except OSError as error:
        raise PathError(f"{path}: cannot be written: {error}") from error
    finally:
        if beside.is_dir():
            shutil.rmtree(beside, ignore_errors=True)
        else:
            beside.unlink(missing_ok=True)


def check_free(path: Path) -> None:
    """Raise PathExistsError if there is something, be it a broken link."""
    if path.exists() or path.is_symlink():
        raise PathExistsError(f"{path}: exists already, want a path where nothing is")
