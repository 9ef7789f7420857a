"""Every error that memstore raises on purpose: one tree.

Each class is also the builtin that a caller who has never heard of memstore would catch.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class MemstoreError(Exception):
    """Base class: catches all that memstore raises on purpose."""


class ConfigError(MemstoreError, ValueError):
    """A field of a MemoryConfig is out of range or of the wrong type."""


class ShapeError(MemstoreError, ValueError):
    """An array is not of the documented shape, or a sequence not of the documented length."""


class DtypeError(MemstoreError, TypeError):
    """An argument, or what is in an array, is not of the documented type."""


class ArgumentError(MemstoreError, ValueError):
    """A number or a text is outside its documented range."""


class FeatureError(MemstoreError, ValueError):
    """A feature has no direction: it is all zeros or not finite."""


class SlotError(MemstoreError, IndexError):
    """A slot is out of range, empty, or named twice, or none has a source."""


class FullError(MemstoreError, RuntimeError):
    """A write wants more slots than are empty, and the memory is not to evict."""


class PathError(MemstoreError, OSError):
    """A path does not hold what was asked for."""


class PathMissingError(PathError, FileNotFoundError):
    """There is nothing at the path."""


class PathExistsError(PathError, FileExistsError):
    """There is something already where a memory should be made."""


class StoreError(PathError, ConnectionError):
    """An object store refuses, fails, or does not answer in time; nothing is lost."""


class NotAMemoryError(PathError, ValueError):
    """What the path holds is no memory."""


class FormatError(MemstoreError, ValueError):
    """A memory on disk is damaged, or of a format that this release cannot read."""


class SnapshotError(MemstoreError, LookupError):
    """No snapshot or tag of that name."""


class ReadOnlyError(MemstoreError, PermissionError):
    """The memory was opened to be read, or is closed."""


class LockedError(MemstoreError, BlockingIOError):
    """Another writer has the memory open."""


class TransientError(MemstoreError, RuntimeError):
    """The memory lives in RAM only and has nowhere to commit to."""


class ExtraMissingError(MemstoreError, ImportError):
    """A library that only this needs is not installed."""

    @classmethod
    def of(cls, subject: object, library: str, extra: str) -> "ExtraMissingError":
        """Error that tells how to install what is missing.

        Args:
            subject: what needs it; the message begins with it.
            library: what is not there.
            extra: of pyproject.toml, brings it.
        """
        return cls(
            f"{subject}: got no {library}, want the extra {extra!r}; in a checkout: "
            f"pip install -c constraints.txt -e '.[{extra}]'"
        )


class BusyError(MemstoreError, RuntimeError):
    """The same thread is in the middle of another call of this memory, as in a signal handler."""


class TornError(MemstoreError, RuntimeError):
    """A write was interrupted in its midst: what is in RAM is neither to be read nor saved."""


class ForkError(MemstoreError, RuntimeError):
    """A forked child used the disk: the threads of the store stay behind in the parent."""


class ShardError(MemstoreError, RuntimeError):
    """A shard of a memory failed or was lost; it is named, and there is no answer without it.

    Attributes:
        lost: numbers of shards whose workers are gone.
    """

    lost: tuple[int, ...] = ()


class MergeWarning(UserWarning):
    """The first merge of the process: a value was not stored, as one like it is there."""


class UncommittedWarning(UserWarning):
    """A memory was closed, or dropped, with changes that no commit has saved."""


class EvictionWarning(UserWarning):
    """The first eviction of the process: a slot was given up for a new value."""


def check_shape(name: str, shape: tuple[int, ...], want: tuple[int | None, ...]) -> None:
    """Raise ShapeError unless the shape fits `want`, where None allows any length."""
    if len(shape) != len(want) or any(w not in (None, s) for s, w in zip(shape, want, strict=True)):
        sizes = ", ".join("any" if w is None else str(w) for w in want)
        raise ShapeError(f"{name}: got shape {shape}, want ({sizes})")


_DAMAGE: tuple[type[Exception], ...] = (  # what Python itself raises over damaged files
    *(MemstoreError, OSError, ValueError, TypeError, LookupError, AttributeError),
    *(ArithmeticError, RuntimeError, MemoryError, EOFError),
)
_PANICS = ("PanicException", "RustPanic")  # of libraries in Rust; no module exports them
_LONGEST_LINE = 300  # characters of a message that may quote a file


@contextmanager
def translated(path: str | Path, *foreign: type[Exception]) -> Iterator[None]:
    """Report whatever a damaged or hostile file makes Python and a library raise as FormatError.

    A PathError, that of a pipe in a file's place say, stays one, and what may not be read is one.

    Args:
        path: named in the message.
        foreign: what that library raises beside Python's own.
    """
    try:
        yield
    except PathError:
        raise
    except BaseException as error:
        if not (isinstance(error, _DAMAGE + foreign) or is_panic(error)):
            raise
        if isinstance(error, PermissionError) and not isinstance(error, MemstoreError):
            raise PathError(f"{path}: cannot be read: {first_line(error)}") from error
        line = first_line(error).removeprefix(f"{path}: ")
        if not isinstance(error, MemstoreError):
            line = f"cannot be read: {line}"
        if len(line) > _LONGEST_LINE:
            line = f"{line[:_LONGEST_LINE]}..."
        raise FormatError(f"{path}: {line}") from error


def is_panic(error: BaseException) -> bool:
    """Whether a library in Rust has come upon what it thinks impossible."""
    return type(error).__name__ in _PANICS


def first_line(error: BaseException) -> str:
    """What went wrong, without Icechunk's inner trace; its lines begin with a cross."""
    text = str(error)
    if type(error) is shutil.Error and isinstance(first := error.args[0][0], tuple):
        text = f"{first[0]}: {first[2]}"  # of many files the first: it, its copy, what happened
    lines = [line.strip().removeprefix("x ").strip() for line in text.splitlines()]
    return next((line for line in lines if line), type(error).__name__)
