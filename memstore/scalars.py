"""Single numbers that callers pass, as Python's own.

numpy's compute in their own width: an unsigned k wraps around below zero, 200 + 100 in a byte is
44, and a config of them would not be saved as it was read.
"""

import operator
from contextlib import suppress
from numbers import Real
from typing import Any

from memstore.errors import ArgumentError, DtypeError


def as_int(name: str, number: Any) -> int:
    """An int of Python's or numpy's, or an array () of one; a bool is none.

    Raises:
        DtypeError: it is something else; a float is, be it whole.
    """
    if type(number) is int:  # mostly
        return number
    if not isinstance(number, bool):
        with suppress(TypeError):
            return operator.index(number)
    raise DtypeError(f"{name}: got {type(number).__name__}, want int")


def as_float(name: str, number: Any) -> float:
    """A float or an int of Python's or numpy's, or an array () of one; a bool is none.

    Raises:
        DtypeError: it is something else.
        ArgumentError: an int that no float comes near.
    """
    plain = number.item() if getattr(number, "ndim", None) == 0 else number
    if isinstance(plain, bool) or not isinstance(plain, Real):
        raise DtypeError(f"{name}: got {type(number).__name__}, want float")
    try:
        return float(plain)
    except OverflowError as error:
        raise ArgumentError(f"{name}: got an int that is too large for a float") from error
