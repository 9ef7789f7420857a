"""Procedural tables.

In units of about one voxel of a 32^3 grid; y up from the floor at 0, front +x, left and right
along z. Lengths along x and z are halves.
"""

from dataclasses import dataclass

import numpy as np

from mem3d.data.procedural.design import Rng, choice, color, uniform
from mem3d.data.procedural.solids import Color, Part, Span, both, box, placed, rod, rounded, slab
from mem3d.data.procedural.stands import Stand


@dataclass(frozen=True, kw_only=True)
class Table(Stand):
    """A top of any outline on a stand, perhaps with an apron, a shelf, drawers or a gallery."""

    base: str = choice(
        "legs",
        "legs",
        "legs",
        "legs",
        "star",
        "disc",
        "cone",
        "sled",
        "panels",
        "trestle",
        "twin",
    )
    width: float = uniform(8, 16)
    depth: float = uniform(5.5, 14)
    height: float = uniform(5.5, 21)
    thick: float = uniform(0.8, 2.6)
    outline: str = choice("square", "square", "square", "oval", "rounded", "octagon", "bow", "l")
    inset: float = uniform(0.65, 1)  # where the stand ends
    apron: float = choice(0.0, 1.4, 2.2, 3.2)  # height of the frame below the top
    apron_inset: float = uniform(0.65, 1)
    shelf: float = choice(0.0, 0.0, 0.25, 0.45, 0.65)  # share of the height
    shelf_size: float = uniform(0.7, 1)
    drawers: str = choice("none", "none", "none", "left", "right", "both", "wide")
    drawers_depth: float = uniform(0.35, 0.95)  # share of the height they hang down
    gallery: str = choice("none", "none", "none", "none", "back", "hutch")

    def parts(self, paint: Rng) -> list[Part]:
        """Colors: the top, the stand, drawers and shelf."""
        tint = color(paint, "wood", "wood", "metal", "pale", "any")
        frame = color(paint, "wood", "metal", "dark", "any")
        deep, wide, under = self.depth, self.width, self.height - self.thick
        x, z = (-deep * self.inset, deep * self.inset), (-wide * self.inset, wide * self.inset)
        if self.outline == "oval":
            x, z = (0.8 * x[0], 0.8 * x[1]), (0.8 * z[0], 0.8 * z[1])
        parts = [slab(self._outline(), "y", (under, self.height), tint), *self._stand(x, z, frame)]
        other = color(paint, "wood", "any")
        if self.apron:
            a, b = x[1] * self.apron_inset, z[1] * self.apron_inset
            y = (under - self.apron, under)
            parts += both(box((-a, a), y, (b - 1, b), frame))
            parts += [box(end, y, (-b, b), frame) for end in ((-a, -a + 1), (a - 1, a))]
        if self.shelf:
            y = (under * self.shelf, under * self.shelf + 1)
            a, b = x[1] * self.shelf_size, z[1] * self.shelf_size
            parts.append(box((-a, a), y, (-b, b), other))
            if self.base in ("star", "disc", "cone", "twin"):
                parts.append(rod((0, 0, 0), (0, under, 0), self.leg, frame))
        return parts + self._drawers(x, z, under, other) + self._gallery(wide, other)

    def _outline(self) -> list[Span]:
        """The top's outline in (x, z)."""
        deep, wide = self.depth, self.width
        if self.outline == "octagon":
            a, b = deep * 0.5, wide * 0.55
            half = [(a, -wide), (deep, -b), (deep, b), (a, wide)]
            return [*half, *((-p, -q) for p, q in half)]
        if self.outline == "bow":
            return [
                *((deep * (1.15 - 0.4 * s * s), wide * s) for s in np.linspace(-1, 1, 9)),
                (-deep, wide),
                (-deep, -wide),
            ]
        if self.outline == "l":
            return [
                (-deep, -wide),
                (deep, -wide),
                (deep, -wide * 0.2),
                (deep * 0.1, 0),
                (deep * 0.1, wide),
                (-deep, wide),
            ]
        corner = {"square": 0.03, "rounded": 0.25, "oval": 0.5}[self.outline]
        return rounded((-deep, deep), (-wide, wide), corner)

    def _stand(self, x: Span, z: Span, tint: Color) -> list[Part]:
        """The stand; also crossing legs with a beam, or two columns."""
        under, half = self.height - self.thick, self.leg / 2
        if self.base == "twin":
            foot = x[1] * 0.8 + self.splay * 0.7
            column = rod((0, 0, z[1] * 0.6), (0, under, z[1] * 0.6), self.leg * 0.8, tint)
            plate = box((-foot, foot), (0, 1.4), (z[1] * 0.6 - 1.6, z[1] * 0.6 + 1.6), tint)
            return both(column, plate)
        if self.base == "trestle":
            end, foot = z[1] - half, x[1] + self.splay
            bar = box(
                (-half, half), (under * self.rail_height, under * self.rail_height + 1.3), z, tint
            )
            ends = [
                rod((s * foot, 0, end), (-s * x[1] * 0.3, under, end), half, tint, sides=4)
                for s in (-1, 1)
            ]
            return [bar, *both(*ends)]
        return self.stand(x, z, under, tint)

    def _drawers(self, x: Span, z: Span, under: float, tint: Color) -> list[Part]:
        """Chests below the top: left, right, both, or one flat one."""
        y = (under * (1 - self.drawers_depth), under)
        if self.drawers == "wide":
            return [box((x[0] * 0.9, x[1]), (under - 3, under), (z[0] * 0.9, z[1] * 0.9), tint)]
        sides = {"none": (), "left": (1,), "right": (-1,), "both": (-1, 1)}[self.drawers]
        chest = [box((x[0] * 0.9, x[1] * 0.95), y, (z[1] * 0.45, z[1]), tint)]
        return [part for side in sides for part in placed(chest, np.diag([1.0, 1.0, side]))]

    def _gallery(self, wide: float, tint: Color) -> list[Part]:
        """A raised back edge, or a shelf on it."""
        if self.gallery == "none":
            return []
        tall = 3.0 if self.gallery == "back" else 8.0
        x, y = (-self.depth, -self.depth + 1), (self.height, self.height + tall)
        parts = [box(x, y, (-wide * 0.9, wide * 0.9), tint)]
        if self.gallery == "hutch":
            deep = (-self.depth, -self.depth + 5)
            parts.append(box(deep, (y[1] - 1, y[1]), (-wide * 0.9, wide * 0.9), tint))
            parts += both(box(deep, y, (wide * 0.9 - 1, wide * 0.9), tint))
        return parts
