"""Designs: frozen dataclasses whose fields are the kinds of variation of a category.

A field says how it is drawn:

    @dataclass(frozen=True, kw_only=True)
    class Stool(Design):
        height: float = between(8, 14)
        feet: str = one_of("round", "square")

    Stool.draw(rng)

Fields are independent, so `dataclasses.replace` of one gives a valid design that differs in
that kind of variation alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Self, TypeVar

from mem3d.data.paint import Rng
from mem3d.data.solids import Part

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Design:
    """All choices about the geometry of one object; its colours are drawn afterwards."""

    @classmethod
    def draw(cls, rng: Rng) -> Self:
        """Draw each field, in the order of their declaration."""
        return cls(**{one.name: one.metadata["draw"](rng) for one in fields(cls)})

    def parts(self, paint: Rng) -> list[Part]:
        """The solids of the object, in colours drawn from `paint`; at least one."""
        raise NotImplementedError


def between(low: float, high: float) -> float:
    """A field: uniform in [low, high)."""
    number: float = _drawn(lambda rng: float(rng.uniform(low, high)))
    return number


def one_of(*values: T) -> T:
    """A field: one of the values; one that is given twice comes twice as often."""
    choice: T = _drawn(lambda rng: values[rng.integers(len(values))])
    return choice


def _drawn(how: Callable[[Rng], Any]) -> Any:
    return field(metadata={"draw": how})
