"""Every error that memstore raises on purpose: one tree.

Each class is also the builtin that a caller who has never heard of memstore would catch.
"""


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
    """A slot is out of range, empty, or named twice."""


class PathError(MemstoreError, OSError):
    """A path does not hold what was asked for."""


class PathMissingError(PathError, FileNotFoundError):
    """There is nothing at the path."""


class PathExistsError(PathError, FileExistsError):
    """There is something already where a memory should be made."""


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
    """A write was interrupted in its midst: what is in RAM is not to be saved."""


class ForkError(MemstoreError, RuntimeError):
    """A forked child used the disk: the threads of the store stay behind in the parent."""


def check_shape(name: str, got: tuple[int, ...], want: tuple[int | None, ...]) -> None:
    """Raise ShapeError unless `got` fits `want`, where None allows any length."""
    if len(got) != len(want) or any(w not in (None, g) for g, w in zip(got, want, strict=True)):
        sizes = ", ".join("any" if w is None else str(w) for w in want)
        raise ShapeError(f"{name}: got shape {got}, want ({sizes})")
