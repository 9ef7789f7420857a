"""Filters: which slots a search may find, told by their columns.

A condition is a column's name and what its entry must be: one value, one of a list, tuple or set,
or within bounds: {">=": 0.5, "<": 0.9}. All conditions must hold.
"""

import operator
from collections.abc import Callable, Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memstore.config import MemoryConfig
from memstore.errors import ArgumentError, DtypeError, ShapeError
from memstore.scalars import as_float, as_int
from memstore.search.allowed import Slots
from memstore.slots.state import SOURCE_BYTES, State

Where = Mapping[str, object]


class Test(NamedTuple):
    """What a column's entries have to be.

    Attributes:
        holds: (n,) whether each of entries (n,) is so.
        key: says the same, and can be compared.
    """

    holds: Callable[[NDArray[Any]], NDArray[np.bool_]]
    key: Hashable


MATCHES = 8  # conditions whose slots are kept until something changes

NO_SOURCE = b"\xff"  # never UTF-8
BOUNDS: dict[str, Callable[[NDArray[Any], Any], Any]] = {
    **{"<": operator.lt, "<=": operator.le},
    **{">": operator.gt, ">=": operator.ge},
}


def as_where(where: Where | None, config: MemoryConfig) -> list[tuple[str, Test]]:
    """Conditions that a memory's columns can be tried with.

    Raises:
        ArgumentError: there is no such column, or bounds of a kind that there is not.
        DtypeError: a value is of another type than the column.
        ShapeError: an array has more than one axis.
    """
    if where is None:
        return []
    if not isinstance(where, Mapping):
        raise DtypeError(f"where: got {type(where).__name__}, want conditions by column")
    return [(name, _test(name, want, config)) for name, want in where.items()]


def matching(
    state: State, conditions: Sequence[tuple[str, Test]], slots: Slots
) -> NDArray[np.bool_]:
    """(n,) which of slots (n,), all of which have a row, are used and meet all conditions."""
    if not conditions:
        return state.used_rows[slots]
    is_all = isinstance(slots, slice) and slots == slice(0, state.index.rows)
    key = tuple((name, test.key) for name, test in conditions)
    if is_all and (match := state.matches.get(key)) is not None:
        return match
    mask = state.used_rows[slots]
    for name, test in conditions:
        mask = mask & test.holds(state.columns[name][slots])
    if is_all and len(state.matches) < MATCHES:
        state.matches[key] = mask
    return mask


def as_entry(name: str, value: object, kind: str) -> str | int | float | bool:
    """One entry of a column of a kind, as Python's own.

    Raises:
        DtypeError: it is of another type.
        ArgumentError: a text too long or with NUL, an int beyond 64 bits, a float not finite.
    """
    value = _scalar(value)
    if kind == "bool":
        if not isinstance(value, bool | np.bool_):
            raise DtypeError(f"{name}: got {type(value).__name__}, want bool")
        return bool(value)
    if kind == "str":
        if not isinstance(value, str):
            raise DtypeError(f"{name}: got {type(value).__name__}, want str")
        return str(value)
    if kind == "int":
        number = as_int(name, value)
        if not -(2**63) <= number < 2**63:
            raise ArgumentError(f"{name}: got {number}, want an int of 64 bits")
        return number
    real = as_float(name, value)
    if not np.isfinite(real):
        raise ArgumentError(f"{name}: got {real}, want a finite number")
    return real


def _scalar(value: object) -> object:
    """An array () as what is in it."""
    return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value


def _test(name: str, want: object, config: MemoryConfig) -> Test:
    """The condition of one column."""
    if name not in config.columns:
        listed = ", ".join(config.columns) or "none"
        raise ArgumentError(f"where: got {name!r}, want one of the memory's columns ({listed})")
    kind, title = str(config.columns[name]), f"where[{name!r}]"
    if isinstance(want, Mapping):
        return _within(title, want, kind)
    want = _scalar(want)
    if isinstance(want, np.ndarray) and want.ndim != 1:
        raise ShapeError(f"{title}: got an array of shape {want.shape}, want one value or (n,)")
    if isinstance(want, list | tuple | AbstractSet | np.ndarray):
        entries = [_stored(title, entry, kind) for entry in want]
        return Test(lambda column: _any_of(column, entries), tuple(entries))
    entry = _stored(title, want, kind)
    return Test(lambda column: np.asarray(column == entry), entry)


def _within(title: str, bounds: Mapping[str, object], kind: str) -> Test:
    """The condition of bounds; ints and floats may be compared with either."""
    if kind not in ("int", "float"):
        raise DtypeError(f"{title}: got bounds, want them of an int or float column alone ({kind})")
    if not bounds or (unknown := [sign for sign in bounds if sign not in BOUNDS]):
        sign = unknown[0] if bounds else "no bounds"
        raise ArgumentError(f"{title}: got {sign!r}, want {', '.join(BOUNDS)}")
    limits: list[tuple[str, Any]] = []
    for sign, limit in zip(bounds, map(_scalar, bounds.values()), strict=True):
        is_whole = kind == "int" and not isinstance(limit, float | np.floating)
        limits.append((sign, as_entry(title, limit, "int" if is_whole else "float")))
    return Test(
        lambda column: np.logical_and.reduce([BOUNDS[sign](column, at) for sign, at in limits]),
        tuple((sign, type(at), at) for sign, at in limits),
    )


def _stored(title: str, value: object, kind: str) -> object:
    """A value as the column holds it."""
    entry = as_entry(title, value, kind)
    return encoded(title, entry) if isinstance(entry, str) else entry


def encoded(name: str, text: str) -> bytes:
    """A text as bytes that fit.

    Raises:
        ArgumentError: it is too long, has NUL or no UTF-8.
    """
    try:
        utf8 = text.encode()
    except UnicodeEncodeError as error:
        raise ArgumentError(f"{name}: got a lone surrogate, want text that has UTF-8") from error
    if len(utf8) > SOURCE_BYTES:
        raise ArgumentError(f"{name}: got {len(utf8)} bytes of UTF-8, want <= {SOURCE_BYTES}")
    if b"\0" in utf8:
        raise ArgumentError(f"{name}: got a NUL character, want text without")
    return utf8


def _any_of(column: NDArray[Any], entries: list[object]) -> NDArray[np.bool_]:
    """(n,) which entries of a column are among these."""
    mask = np.zeros(len(column), np.bool_)
    for entry in entries:
        mask |= column == entry
    return mask
