"""Designs: frozen dataclasses whose fields are the kinds of variation of a category.

A field says how it is drawn:

    @dataclass(frozen=True, kw_only=True)
    class Stool(Design):
        height: float = uniform(8, 14)
        feet: str = choice("round", "square")

    Stool.draw(rng)

Fields are independent, so `dataclasses.replace` of one gives a valid design that differs in
that kind of variation alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Self, TypeVar

import numpy as np

from mem3d.data.procedural.solids import Color, Part

Rng = np.random.Generator

BLACK, GLASS, LIGHT = (30, 30, 32), (60, 78, 98), (250, 244, 215)

# Ranges of hue, strength and light, each in [0, 1].
_KINDS = {
    "any": ((0.0, 1.0), (0.1, 0.75), (0.35, 0.95)),
    "bright": ((0.0, 1.0), (0.6, 0.9), (0.6, 0.95)),
    "pale": ((0.0, 1.0), (0.03, 0.2), (0.8, 0.97)),
    "wood": ((0.04, 0.1), (0.3, 0.7), (0.35, 0.8)),
    "metal": ((0.0, 1.0), (0.04, 0.08), (0.5, 0.95)),
    "dark": ((0.0, 1.0), (0.05, 0.3), (0.1, 0.32)),
}


def color(rng: Rng, *kinds: str) -> Color:
    """Draw a color of one of the kinds "any" (if none is named), "bright", "pale", and so on."""
    kind = kinds[rng.integers(len(kinds))] if kinds else "any"
    hue, strength, light = (rng.uniform(low, high) for low, high in _KINDS[kind])
    # Hue runs red, green, blue round a circle; strength takes light out of the far channels.
    angle = 2 * np.pi * (hue - np.array([0, 1 / 3, 2 / 3]))
    red, green, blue = 255 * light * (1 - strength * (0.5 - 0.5 * np.cos(angle)))
    return int(red), int(green), int(blue)


T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Design:
    """All choices about the geometry of one object; its colors are drawn afterwards."""

    @classmethod
    def draw(cls, rng: Rng) -> Self:
        """Draw each field, in the order of their declaration."""
        return cls(**{own.name: own.metadata["draw"](rng) for own in fields(cls)})

    def parts(self, paint: Rng) -> list[Part]:
        """The solids of the object, in colors drawn from `paint`; at least one."""
        raise NotImplementedError


def uniform(low: float, high: float) -> float:
    """A field: uniform in [low, high)."""
    number: float = _drawn(lambda rng: float(rng.uniform(low, high)))
    return number


def choice(*values: T) -> T:
    """A field: one of the values; one that is given twice comes twice as often."""
    value: T = _drawn(lambda rng: values[rng.integers(len(values))])
    return value


def _drawn(how: Callable[[Rng], Any]) -> Any:
    return field(metadata={"draw": how})
