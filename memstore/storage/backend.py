"""What Icechunk and Zarr raise, told as errors of ours."""

import atexit
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import icechunk
from zarr.errors import BaseZarrError, GroupNotFoundError

from memstore.errors import (
    ForkError,
    FormatError,
    LockedError,
    MemstoreError,
    NotAMemoryError,
    PathError,
)

_USED, _FORKED = threading.Event(), threading.Event()  # the store, by us or our parent; see below
os.register_at_fork(after_in_child=lambda: _FORKED.set() if _USED.is_set() else None)
PANICS = ("PanicException", "RustPanic")  # of Icechunk, at some damages; no module exports them


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Report whatever a damaged or hostile folder makes Zarr and Icechunk raise as our errors."""
    check_process(path)
    try:
        yield
    except (NotAMemoryError, GroupNotFoundError) as error:
        raise NotAMemoryError(f"{path}: an Icechunk repository, but not of a memory") from error
    except (
        *(icechunk.IcechunkError, BaseZarrError, MemstoreError, OSError),
        *(ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, MemoryError),
    ) as error:
        raise FormatError(f"{path}: cannot be read: {first_line(error)}") from error
    except BaseException as error:
        if type(error).__name__ not in PANICS:
            raise
        raise FormatError(f"{path}: cannot be read: {first_line(error)}") from error


def check_process(path: Path) -> None:
    """Raise ForkError where Icechunk would wait for ever, for threads that only the parent has."""
    _USED.set()
    if _FORKED.is_set():
        raise ForkError(
            f"{path}: got a forked process, whose parent has the store's threads; read a memory "
            "that the parent has open, or start the process by spawn and open it there"
        )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Report what keeps us from writing as our errors; nothing is lost by then."""
    check_process(path)
    try:
        yield
    except icechunk.ConflictError as error:
        raise LockedError(f"{path}: somebody commits without the lock") from error
    except MemstoreError:
        raise
    except (icechunk.IcechunkError, BaseZarrError, OSError, RuntimeError) as error:
        raise PathError(f"{path}: cannot write: {first_line(error)}") from error
    except BaseException as error:
        if type(error).__name__ not in PANICS:
            raise
        raise PathError(f"{path}: cannot write: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """What went wrong, without Icechunk's inner trace."""
    lines = [line.strip(" x") for line in str(error).splitlines()]
    return next((line for line in lines if line), type(error).__name__)


MOMENT = 0.05  # seconds; they need microseconds once they are scheduled


def wait_at_exit() -> None:
    """Have the interpreter wait before it ends, if this Python needs it."""
    if sys.version_info < (3, 14):
        atexit.register(time.sleep, MOMENT)
