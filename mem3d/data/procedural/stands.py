"""What carries a seat or a top, and what one leans against."""

from dataclasses import dataclass

import numpy as np

from mem3d.data.procedural.design import Design, choice, uniform
from mem3d.data.procedural.solids import (
    Color,
    Part,
    Span,
    both,
    box,
    placed,
    rod,
    rounded,
    shear,
    slab,
)


@dataclass(frozen=True, kw_only=True)
class Stand(Design):
    """Kinds of variation of everything that stands under a seat or a top."""

    base: str = choice("legs", "legs", "legs", "star", "disc", "cone", "sled", "panels", "block")
    leg: float = uniform(1.1, 3.2)  # width of a leg
    leg_taper: float = uniform(0.8, 1.8)  # its top over its foot
    leg_sides: int = choice(4, 4, 12)
    splay: float = uniform(-1.5, 2.5)  # how far feet stand out
    rails: str = choice("none", "none", "h", "ring", "plate")  # between the legs
    rail_height: float = uniform(0.15, 0.6)  # share of the stand's height

    def stand(self, x: Span, z: Span, high: float, tint: Color) -> list[Part]:
        """Parts from the floor to `high` under a rectangle centered on the y axis."""
        half = self.leg / 2
        if self.base in ("star", "disc", "cone"):
            return self._column(min(x[1], z[1]) * 0.75 + self.splay, high, tint)
        out, level = self.splay, high * self.rail_height
        front, side = x[1] - half - 0.2, z[1] - half - 0.2
        if self.base == "block":
            deep, wide = front - max(0.0, -out), side - max(0.0, -out)
            plinth = box((-deep, deep), (0, level), (-wide, wide), tint)
            block = box((-deep + half, deep), (0, high), (-wide + half, wide - half), tint)
            return [block, plinth] if self.rails != "none" else [block]
        parts = []
        if self.base == "panels":
            panel = box(x, (0, high), (side - half * 0.8, side + half * 0.8), tint)
            parts += both(*placed([panel], shear("z", "y", -out / high), (0, high, 0)))
        elif self.base == "sled":
            lean = (out + 1.5) * 0.6
            runner = rod((-front - lean, half, side), (front, half, side), half, tint)
            post = rod((front - lean, half, side), (front, high, side), half, tint)
            parts += both(runner, post)
            parts.append(rod((-front - lean, half, -side), (-front - lean, half, side), half, tint))
            if self.leg_taper > 1.3:
                parts += both(rod((-front - lean, half, side), (-front, high, side), half, tint))
        else:
            for end in (-1, 1):
                foot, top = (end * (front + out), 0, side + out), (end * front, high, side)
                leg = rod(
                    foot,
                    top,
                    half / self.leg_taper**0.5,
                    tint,
                    taper=self.leg_taper,
                    sides=self.leg_sides,
                )
                parts += both(leg)
        return parts + self._rails(front, side, level, tint)

    def _column(self, reach: float, high: float, tint: Color) -> list[Part]:
        """A column on a disc, a cone or a star, perhaps with a footrest."""
        radius = self.leg * 0.6
        parts = [rod((0, 0, 0), (0, high, 0), radius, tint, taper=self.leg_taper**0.5)]
        low = 0.7 + self.leg * 0.4
        if self.base == "disc":
            parts.append(rod((0, 0, 0), (0, low, 0), reach, tint, sides=6 * self.leg_sides))
        elif self.base == "cone":
            level, shrink = high * self.rail_height, 0.3 * self.leg_taper
            parts.append(rod((0, 0, 0), (0, level, 0), reach, tint, taper=shrink, sides=24))
        else:
            count = {"none": 4, "h": 3, "ring": 5, "plate": 6}[self.rails]
            for angle in np.arange(count) * (2 * np.pi / count):
                foot = (reach * np.cos(angle), 0.6, reach * np.sin(angle))
                parts.append(rod((0, low + 0.6, 0), foot, 0.5 + self.leg * 0.2, tint))
        if self.rails in ("ring", "plate"):
            level = high * self.rail_height
            parts.append(rod((0, level, 0), (0, level + 1, 0), reach * 0.55, tint, sides=8))
        return parts

    def _rails(self, x: float, z: float, level: float, tint: Color) -> list[Part]:
        """Bars between legs: an H, all around, or a plate."""
        y = (level, level + 1)
        if self.rails == "plate":
            return [box((-x, x), y, (-z, z), tint)]
        side = both(box((-x, x), y, (z - 0.5, z + 0.5), tint))
        if self.rails == "h":
            return [*side, box((-0.5, 0.5), y, (-z, z), tint)]
        if self.rails == "ring":
            ends = [box((end - 0.5, end + 0.5), y, (-z, z), tint) for end in (-x, x)]
            return [*side, *ends]
        return []


def backrest(
    style: str,
    wide: float,
    y: Span,
    thick: float,
    tint: Color,
    *,
    flare: float = 1.0,
    bars: int = 3,
) -> list[Part]:
    """An upright back at x in [0, thick]: "solid", "round", "ladder", "slats", "frame" or "split".

    Args:
        style: see above.
        wide: half width at the bottom; at the top it is `flare` times that.
        y: from the seat to the top.
        thick: of posts and boards.
        tint: color.
        flare: > 0.
        bars: of a ladder, slats or cushions; >= 1.
    """
    top, tall, x = wide * flare, y[1] - y[0], (0.0, thick)
    if style == "solid":
        return [slab([(-wide, y[0]), (wide, y[0]), (top, y[1]), (-top, y[1])], "x", x, tint)]
    if style == "round":
        return [slab(rounded((-top, top), y, 0.25 + 0.05 * bars), "x", x, tint)]
    if style == "split":
        gaps = np.linspace(-top, top, bars + 1)
        pieces = zip(gaps[:-1] + 0.8, gaps[1:] - 0.8, strict=True)
        low = box(x, (y[0], y[0] + 0.4 * tall), (-wide, wide), tint)
        return [low, *(box(x, y, (a, b), tint) for a, b in pieces)]
    width = 0.6 + thick * 0.3
    posts = both(rod((thick / 2, y[0], wide - width), (thick / 2, y[1], top - width), width, tint))
    parts = [*posts, box(x, (y[1] - tall * 0.2, y[1]), (-top, top), tint)]
    if style == "slats":
        for share in np.linspace(-1, 1, bars + 2)[1:-1]:
            parts.append(
                rod(
                    (thick / 2, y[0], wide * share),
                    (thick / 2, y[1], top * share),
                    0.7,
                    tint,
                    sides=4,
                )
            )
    elif style == "ladder":
        for share in np.linspace(0.1, 0.65, bars):
            low, side = y[0] + tall * share, wide + (top - wide) * share
            parts.append(box(x, (low, low + 1.3), (-side, side), tint))
    return parts
