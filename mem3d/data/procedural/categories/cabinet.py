"""Procedural cabinets.

In units of about one voxel of a 32^3 grid; y up from the floor at 0, front +x, left and right
along z. Lengths along x and z are halves.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from mem3d.data.procedural.design import GLASS, Design, Rng, choice, color, uniform
from mem3d.data.procedural.solids import Color, Part, Span, both, box, placed, rod, slab

_BOW = np.linspace(-1, 1, 9)


@dataclass(frozen=True, kw_only=True)
class Cabinet(Design):
    """A wardrobe, sideboard, chest, open shelf or cupboard in two parts."""

    width: float = uniform(4, 18)
    depth: float = uniform(3, 12)
    height: float = uniform(7, 34)
    layout: str = choice("closed", "closed", "closed", "shelf", "shelf", "two", "half", "island")
    split: float = uniform(0.3, 0.7)  # share of the height, or width, where parts meet
    step: float = uniform(0.35, 0.95)  # depth of the upper part over that of the lower
    lift: float = uniform(0.8, 5.5)  # height of what it stands on
    foot: str = choice("legs", "plinth", "plinth", "runners", "splayed", "none")
    rows: int = choice(1, 2, 3, 4, 5)
    columns: int = choice(1, 2, 3)
    relief: float = uniform(0.55, 1.5)  # how far fronts stand out
    handles: str = choice("knobs", "bars", "rails", "none")
    board: float = uniform(0.9, 1.8)  # thickness
    over: float = uniform(0, 2.2)  # overhang of the top board
    crown: str = choice("none", "none", "arch", "rim", "steps")
    open_back: bool = choice(True, False)
    bow: float = choice(0.0, 0.0, 1.0, 2.0)  # the top board's front edge

    def parts(self, paint: Rng) -> list[Part]:
        """Colors: the body, fronts, boards and feet."""
        wood, other = color(paint, "wood", "wood", "pale", "any"), color(paint, "wood", "any")
        deep, wide = self.depth, self.width
        low = self.lift if self.foot != "none" else 0.0
        high = low + self.height
        parts = self._foot(low, color(paint, "wood", "dark", "metal"))
        x, middle = (-deep, deep), low + self.height * self.split
        if self.layout == "shelf":
            parts += self._shelf(x, (low, high), (-wide, wide), (wood, other))
        elif self.layout == "half":
            cut = -wide + 2 * wide * self.split
            parts += self._closed(x, (low, high), (-wide, cut), (wood, other))
            parts += self._shelf(x, (low, high), (cut, wide), (wood, other))
        elif self.layout == "two":
            upper = (-deep, -deep + 2 * deep * self.step)
            parts += self._closed(x, (low, middle), (-wide, wide), (wood, other))
            parts += self._shelf(upper, (middle, high), (-wide, wide), (wood, other))
        else:
            parts += self._closed(x, (low, high), (-wide, wide), (wood, other))
        return parts + self._top(high, 3.0 if self.layout == "island" else self.over, other)

    def _top(self, high: float, over: float, tint: Color) -> list[Part]:
        """The top board and what crowns it."""
        deep, wide = self.depth, self.width
        if self.layout == "two":
            deep *= self.step
        shift = deep - self.depth
        front = [(deep + over + self.bow * (1 - s * s), (wide + over) * s) for s in _BOW]
        outline = [*front, (-deep - 0.4, wide + over), (-deep - 0.4, -wide - over)]
        parts = [slab(outline, "y", (high, high + self.board), tint)]
        top = high + self.board
        if self.crown == "arch":
            arc = [(wide * s, top + 3 * (1 - s * s)) for s in _BOW]
            parts.append(slab(arc, "x", (-deep, -deep + 2), tint))
        elif self.crown == "rim":
            parts.append(box((-deep, -deep + 1.2), (high, top + 2), (-wide, wide), tint))
            parts += both(box((-deep, deep), (high, top + 1.2), (wide - 1, wide), tint))
        elif self.crown == "steps":
            parts.append(
                box((-deep, deep * 0.6), (top, top + 1.2), (-wide * 0.7, wide * 0.7), tint)
            )
        return placed(parts, np.eye(3), 0, (shift, 0, 0))

    def _foot(self, low: float, tint: Color) -> list[Part]:
        """Legs, a plinth or runners."""
        deep, wide = self.depth, self.width
        if self.foot == "plinth":
            return [box((-deep + 0.5, deep - 1.5), (0, low), (-wide + 1, wide - 1), tint)]
        if self.foot == "runners":
            return both(box((-deep, deep), (0, low), (wide - 1.8, wide), tint))
        if self.foot == "none":
            return []
        out, parts = (1.5 if self.foot == "splayed" else 0.0), []
        for x in (-deep + 1, deep - 1):
            foot = (x + np.sign(x) * out, 0, wide - 1 + out)
            parts += both(rod(foot, (x, low, wide - 1), 0.9, tint, taper=1.4))
        return parts

    def _shelf(self, x: Span, y: Span, z: Span, tints: tuple[Color, Color]) -> list[Part]:
        """An open case with boards, perhaps with a back and uprights."""
        half, parts = self.board / 2, []
        if not self.open_back:
            parts.append(box((x[0], x[0] + 0.9), y, z, tints[1]))
        for place in np.linspace(z[0] + half, z[1] - half, self.columns + 1):
            parts.append(box(x, y, (place - half, place + half), tints[0]))
        for place in np.linspace(y[0] + half, y[1] - half, self.rows + 2):
            parts.append(box(x, (place - half, place + half), z, tints[0]))
        return parts

    def _closed(self, x: Span, y: Span, z: Span, tints: tuple[Color, Color]) -> list[Part]:
        """A solid case with doors or drawers, each with a handle."""
        parts = [box(x, y, z, tints[0])]
        heights = np.linspace(*y, self.rows + 1)
        widths = np.linspace(*z, self.columns + 1)
        out = (x[1], x[1] + self.relief)
        for a, b in itertools.pairwise(heights):
            for c, d in itertools.pairwise(widths):
                gap = min(0.6, (b - a) * 0.15, (d - c) * 0.15)
                tint = GLASS if self.handles == "none" and not self.open_back else tints[1]
                parts.append(box(out, (a + gap, b - gap), (c + gap, d - gap), tint))
                high, side = (a + b) / 2, (c + d) / 2
                tall = {"bars": (b - a) * 0.3, "none": 0.0}.get(self.handles, 0.6)
                wide = (d - c) * 0.3 if self.handles == "rails" else 0.6
                if tall:
                    handle = (x[1], out[1] + 0.9)
                    parts.append(
                        box(
                            handle,
                            (high - tall, high + tall),
                            (side - wide, side + wide),
                            (70, 70, 74),
                        )
                    )
        return parts
