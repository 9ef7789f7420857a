"""Procedural watercraft.

In units of about one voxel of a 32^3 grid; y up, bow at +x, left and right along z. Lengths along
x and z are halves.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from mem3d.data.procedural.design import GLASS, Design, Rng, choice, color, uniform
from mem3d.data.procedural.solids import Color, Part, both, box, placed, rod, shear, slab


@dataclass(frozen=True, kw_only=True)
class Watercraft(Design):
    """One or two hulls under sails, a cabin, decks, cargo, or nothing."""

    use: str = choice(
        "sail", "sail", "sail", "motor", "motor", "ferry", "freighter", "rowing", "warship"
    )
    length: float = uniform(11, 16)
    width: float = uniform(2.6, 7)
    tall: float = uniform(2.2, 6.5)
    bow: float = uniform(0.1, 0.7)  # where it begins to narrow
    stern: float = uniform(0.4, 1)  # width
    flare: float = uniform(1.1, 1.9)  # size of the deck over that of the bottom
    sheer: float = uniform(-0.08, 0.22)  # how far the bow rises
    hulls: str = choice("one", "one", "one", "one", "two", "outrigger")
    keel: str = choice("none", "none", "fin", "long")
    bulwark: float = choice(0.0, 0.0, 1.2, 2.0)  # height of the rim
    spar: float = choice(0.0, 0.0, 2.5, 5.0)  # length of a bowsprit
    cabin: float = uniform(0.2, 0.6)  # length, a share of the hull's
    cabin_place: float = uniform(-0.6, 0.25)
    cabin_height: float = uniform(1.6, 4.5)
    decks: int = choice(1, 2, 3)
    funnels: int = choice(0, 1, 2)
    masts: int = choice(1, 1, 1, 2, 2, 3)
    mast: float = uniform(9, 26)
    sails: str = choice("jib", "jib", "jib", "main", "square", "furled")
    stack: float = uniform(1, 5.5)  # height of cargo
    stern_gear: str = choice("none", "outboard", "rudder", "ramp")

    def parts(self, paint: Rng) -> list[Part]:
        """Colors: the hull, the deck, cabins, sails, cargo."""
        tint, wood = color(paint, "any", "pale", "bright", "dark"), color(paint, "wood", "pale")
        white, deck = color(paint, "pale", "metal", "any"), self.tall
        parts = self._hulls(tint, wood)
        if self.use != "rowing":
            parts += self._cabin(deck, white, color(paint))
        if self.use == "sail":
            parts += self._rig(deck, wood, color(paint, "pale", "pale", "any"))
        elif self.use == "rowing":
            for number in range(self.decks + 1):
                x = self.length * (0.5 - 0.45 * number + 0.3 * self.cabin_place)
                parts.append(box((x - 1, x + 1), (deck - 1, deck), (-self.width, self.width), wood))
            blade = (-3, deck - 1 + self.cabin_height * 0.5, self.width + self.mast * 0.3)
            oar = rod((0, deck + 0.5, self.width * 0.5), blade, 0.55, wood)
            parts += both(oar) if self.masts < 3 else []
        else:
            high = deck + 3 + self.mast * 0.25
            for number in range(self.masts):
                x = self.length * (self.cabin_place + 0.25 * number)
                parts.append(rod((x, deck, 0), (x, high - number, 0), 0.6, wood))
        if self.use == "freighter":
            for number, x in enumerate(np.arange(-0.4, 0.5, 0.24) * self.length):
                stack = deck + self.stack * (1 if number % self.decks == 0 else 0.6)
                wide = self.width * 0.8
                parts.append(box((x, x + 3.2), (deck, stack), (-wide, wide), color(paint)))
        elif self.use == "warship":
            for x in (0.62, -0.78):
                x *= self.length
                parts.append(
                    rod((x, deck, 0), (x, deck + 1 + self.stack * 0.3, 0), 1.8, white, sides=8)
                )
                parts.append(rod((x, deck + 1, 0), (x + 4, deck + 1.6, 0), 0.6, white))
        parts += self._stern(deck, wood)
        return placed(parts, shear("y", "x", self.sheer))

    def _hulls(self, tint: Color, wood: Color) -> list[Part]:
        """One hull, two joined by a deck, or one with an outrigger; a keel and a bowsprit."""
        long, tall, wide = self.length, self.tall, self.width
        if self.hulls == "two":
            gap = wide * 0.75
            parts = placed(self._hull(wide * 0.4, tint), np.eye(3), 0, (0, 0, gap))
            parts = both(*parts)
            parts.append(box((-long * 0.8, long * 0.5), (tall - 1, tall), (-gap, gap), wood))
        else:
            parts = self._hull(wide, tint)
        if self.hulls == "outrigger":
            z = wide + 4
            small = placed(self._hull(1.3, tint), np.diag([0.7, 0.6, 1.0]), 0, (0, 0, z))
            bars = [box((x, x + 1), (tall - 1, tall), (0, z), wood) for x in (-4, 4)]
            parts += [*small, *bars]
        if self.keel == "fin":
            fin = [(2, 0.5), (4, 0.5), (1, -3.5), (-2, -3.5), (-4, 0.5)]
            parts.append(slab(fin, "z", (-0.6, 0.6), tint))
        elif self.keel == "long":
            parts.append(box((-long * 0.8, long * 0.45), (-1.2, 0.5), (-0.8, 0.8), tint))
        if self.spar:
            tip = (long + self.spar, tall + self.spar * 0.35, 0)
            parts.append(rod((long * 0.75, tall - 0.5, 0), tip, 0.6, wood))
        return parts

    def _hull(self, wide: float, tint: Color) -> list[Part]:
        """A hull with a pointed bow; hollow if there is a bulwark or it is rowed."""
        long, bow = self.length, self.bow * self.length
        half = [
            (long, 0.0),
            (bow + (long - bow) * 0.5, wide * 0.72),
            (bow, wide),
            (-long * 0.5, wide),
            (-long, wide * self.stern),
        ]
        outline = [*half, *((x, -z) for x, z in half[:0:-1])]
        keel = [(x / self.flare, z / self.flare) for x, z in outline]
        rim = self.bulwark
        solid, top = self.tall, self.tall + rim
        if self.use == "rowing":
            solid = 1.3
        share = solid / self.tall
        parts = [slab(keel, "y", (0, solid), tint, taper=1 + (self.flare - 1) * share)]
        if top == solid:
            return parts
        for (x0, z0), (x1, z1) in itertools.pairwise(half):
            wall = [(x0, z0), (x1, z1), (x1 * 0.93, z1 * 0.78), (x0 * 0.93, z0 * 0.78)]
            parts += both(slab(wall, "y", (solid - 0.6, top), tint))
        back = box(
            (-long, -long + 1.2), (solid - 0.6, top), (-wide * self.stern, wide * self.stern), tint
        )
        return [*parts, back]

    def _cabin(self, deck: float, white: Color, trim: Color) -> list[Part]:
        """A cabin or bridge of one or more decks, with funnels."""
        big = self.use in ("ferry", "warship", "freighter")
        long, level = self.length * self.cabin * (1 if self.use == "ferry" else 0.6), deck
        middle = self.length * (self.cabin_place if self.use != "freighter" else -0.65)
        tall, wide = self.cabin_height * (0.6 if self.use == "sail" else 1), self.width * 0.72
        parts = []
        for number in range(self.decks if big else 1):
            x = (middle - long, middle + long * (1 - 0.2 * number))
            parts.append(box(x, (level - 0.3, level + tall), (-wide, wide), white))
            level, long, wide, tall = level + tall, long * 0.75, wide * 0.88, max(tall * 0.7, 1.3)
        if self.use == "motor":
            x = (middle - long * 0.8, middle + long * 0.5)
            parts.append(
                box(x, (level, level + 1 + self.decks * 0.6), (-wide, wide), GLASS, taper=0.85)
            )
        for number in range(self.funnels if big else 0):
            back = middle - long * 0.4 + 3.4 * number
            parts.append(
                rod((back, level - 0.5, 0), (back - 0.7, level + 2.5 + self.decks, 0), 1.3, trim)
            )
        return parts

    def _rig(self, deck: float, wood: Color, cloth: Color) -> list[Part]:
        """Masts with sails in the boat's plane, square ones across it, or bare."""
        parts, long = [], self.length
        places = {1: (0.15,), 2: (0.35, -0.35), 3: (0.5, 0.0, -0.5)}[self.masts]
        for number, place in enumerate(places):
            x, top = long * place, deck + self.mast * (1 - 0.12 * number)
            parts.append(rod((x, deck - 1, 0), (x, top, 0), 0.65, wood))
            reach = long * 1.2 / (self.masts + 0.5)
            if self.sails == "square":
                for low, high in ((0.1, 0.45), (0.5, 0.75), (0.8, 0.97)):
                    y = (deck + (top - deck) * low, deck + (top - deck) * high)
                    half = (self.width + 1.5) * (1.1 - 0.4 * low)
                    parts.append(box((x, x + 1), y, (-half, half), cloth, taper=0.9))
                continue
            boom = x - reach * 0.8
            parts.append(rod((x, deck + 2, 0), (boom, deck + 2, 0), 0.6, wood))
            if self.sails != "furled":
                main = [(x, deck + 2), (boom, deck + 2), (x, top)]
                parts.append(slab(main, "z", (-0.5, 0.5), cloth))
            if self.sails == "jib" and number == 0:
                jib = [(long * 0.97, deck + 0.3), (x + 0.6, deck + 1.5), (x + 0.6, top * 0.85)]
                parts.append(slab(jib, "z", (-0.5, 0.5), cloth))
        return parts

    def _stern(self, deck: float, tint: Color) -> list[Part]:
        """An outboard engine, a rudder or a ramp."""
        long = self.length
        if self.stern_gear == "outboard":
            return [box((-long - 2, -long + 0.5), (deck - 2, deck + 2), (-1.1, 1.1), tint)]
        if self.stern_gear == "rudder":
            return [box((-long * 0.95 - 1.2, -long * 0.9), (-1.5, deck - 0.5), (-0.6, 0.6), tint)]
        if self.stern_gear == "ramp":
            wide = self.width * self.stern * 0.8
            return [box((-long - 2.5, -long + 0.5), (deck - 2.2, deck - 1), (-wide, wide), tint)]
        return []
