"""Procedural seats: bench, chair, sofa.

In units of about one voxel of a 32^3 grid; y up from the floor at 0, front +x, left and right
along z. Lengths along x and z are halves.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from mem3d.data.procedural.design import Design, Rng, choice, color, uniform
from mem3d.data.procedural.solids import Color, Part, both, box, placed, rod, rounded, shear, slab
from mem3d.data.procedural.stands import Stand, backrest


@dataclass(frozen=True, kw_only=True)
class Chair(Stand):
    """A seat on a stand; a backrest; perhaps arms, a cushion and a headrest."""

    width: float = uniform(5.5, 11)
    depth: float = uniform(5.5, 10.5)
    height: float = uniform(6.5, 17)  # of the seat
    thick: float = uniform(1.3, 4.5)
    seat: str = choice("square", "square", "round", "narrow", "wedge")
    cushion: float = choice(0, 0, 1.2, 2.2)
    back: str = choice("solid", "solid", "round", "ladder", "slats", "frame", "split")
    back_height: float = uniform(6, 19)
    back_thick: float = uniform(1, 3.2)
    flare: float = uniform(0.65, 1.15)  # the back's width at the top
    bars: int = choice(2, 3, 4)
    recline: float = uniform(0, 0.4)
    headrest: str = choice("none", "none", "none", "pad", "wings")
    arms: str = choice("none", "none", "rails", "sides", "loops")
    arm_height: float = uniform(3, 7.5)

    def parts(self, paint: Rng) -> list[Part]:
        """Colors: one of the frame, one of seat and back, one of cushions."""
        frame, cloth = color(paint, "wood", "metal", "dark", "any"), color(paint, "any", "bright")
        deep, wide, top = self.depth, self.width, self.height + self.thick
        parts = self.stand((-deep, deep), (-wide, wide), self.height, frame)
        y, soft = (self.height, top), color(paint)
        corner, front, back = 0.03, wide, wide
        if self.seat == "round":
            corner = 0.45
        elif self.seat == "narrow":
            back = wide * 0.7
        elif self.seat == "wedge":
            front = wide * 0.75
        outline = rounded((-deep, deep), (-1, 1), corner)
        outline = [(x, z * (back + (front - back) * (x + deep) / (2 * deep))) for x, z in outline]
        parts.append(slab(outline, "y", y, cloth))
        if self.cushion:
            pad = [(0.85 * x + 0.8, 0.85 * z) for x, z in outline]
            parts.append(slab(pad, "y", (top, top + self.cushion), soft))
        behind = backrest(
            self.back,
            back,
            (top - 1, top + self.back_height),
            self.back_thick,
            cloth,
            flare=self.flare,
            bars=self.bars,
        )
        behind += self._headrest(back * self.flare, top + self.back_height, soft)
        behind = placed(behind, shear("x", "y", -self.recline), (0, top, 0), (-deep, 0, 0))
        return parts + behind + self._arms(deep, wide, top, frame)

    def _headrest(self, wide: float, top: float, tint: Color) -> list[Part]:
        """A pad in front of the back's top, or two wings."""
        if self.headrest == "pad":
            return [
                box((0, self.back_thick + 1), (top - 3, top + 1.5), (-wide * 0.6, wide * 0.6), tint)
            ]
        if self.headrest == "wings":
            low = top - self.back_height * 0.6
            return both(box((0, self.back_thick + 3), (low, top), (wide - 1.2, wide + 0.4), tint))
        return []

    def _arms(self, deep: float, wide: float, seat: float, tint: Color) -> list[Part]:
        """Rails on posts, solid sides or loops."""
        top, side = seat + self.arm_height, (wide - 0.9, wide + 0.9)
        if self.arms == "none":
            return []
        if self.arms == "sides":
            return both(box((-deep, deep * 0.9), (seat - 2, top), side, tint))
        rail = box((-deep - 1, deep * 0.7), (top, top + 1.2), side, tint)
        reach = 0.45 if self.arms == "rails" else 0.7
        post = (deep * reach - 0.7, deep * reach)
        parts = both(rail, box(post, (seat - 2, top), side, tint))
        if self.arms == "loops":
            parts += both(box((-deep * 0.5, -deep * 0.5 + 0.7), (seat - 2, top), side, tint))
        return parts


@dataclass(frozen=True, kw_only=True)
class Bench(Stand):
    """A long seat, whole or of slats, on a stand; perhaps a back and arms."""

    base: str = choice("legs", "legs", "legs", "sled", "panels", "ends", "middle")
    width: float = uniform(11, 16)
    depth: float = uniform(2.8, 8)
    height: float = uniform(4, 9.5)
    thick: float = uniform(0.9, 2.4)
    slats: int = choice(1, 1, 3, 4)
    inset: float = uniform(0.6, 1)  # where the stand ends
    sag: float = uniform(-2.5, 2.5)  # how far the middle of the front edge juts out
    back: str = choice("none", "none", "solid", "planks", "planks", "slats", "frame", "split")
    back_height: float = uniform(4, 9)
    back_thick: float = uniform(0.8, 1.8)
    bars: int = choice(2, 3, 4, 5)
    recline: float = uniform(0, 0.5)
    arms: str = choice("none", "none", "rails", "sides")

    def parts(self, paint: Rng) -> list[Part]:
        """Colors: one of the planks, one of the frame."""
        wood = color(paint, "wood", "wood", "any")
        frame = color(paint, "metal", "dark", "wood", "any")
        deep, wide, top = self.depth, self.width, self.height + self.thick
        inset = wide * self.inset
        parts = []
        if self.base in ("ends", "middle"):
            z = (inset - 2 - self.leg, inset) if self.base == "ends" else (0.0, inset * 0.5)
            x = (-deep + 1 + self.splay * 0.4, deep - 1)
            parts += both(box(x, (0, self.height), z, frame, taper=self.leg_taper**0.5))
        else:
            parts += self.stand((-deep, deep), (-inset, inset), self.height, frame)
        edges = np.linspace(-deep, deep, self.slats + 1)
        for number, (a, b) in enumerate(itertools.pairwise(edges), 1):
            gap = 0.0 if self.slats == 1 else 0.12 * (b - a)
            out = self.sag * number / self.slats
            front = [(b - gap + out * (1 - z * z), wide * z) for z in np.linspace(-1, 1, 7)]
            outline = [(a + gap, wide), (a + gap, -wide), *front]
            parts.append(slab(outline, "y", (self.height, top), wood))
        return parts + self._back(top, inset, wood, frame) + self._arms(top, frame)

    def _back(self, top: float, inset: float, wood: Color, frame: Color) -> list[Part]:
        """Planks on posts, or any other backrest."""
        if self.back == "none":
            return []
        y = (top - 1, top + self.back_height)
        parts = backrest(self.back, self.width, y, self.back_thick, wood, bars=self.bars + 2)
        if self.back == "planks":
            z = inset - 1.5
            parts = both(box((0, 1), y, (z - 0.8, z + 0.8), frame))
            for share in np.linspace(0.45, 1, self.bars - 1):
                high = top + self.back_height * share
                x = (0.5, 0.5 + self.back_thick)
                parts.append(box(x, (high - 1.7, high), (-self.width, self.width), wood))
        return placed(parts, shear("x", "y", -self.recline), (0, top, 0), (-self.depth, 0, 0))

    def _arms(self, top: float, tint: Color) -> list[Part]:
        """Rails on a post, or solid sides; a bench without a back has none."""
        if "none" in (self.arms, self.back):
            return []
        high, z = top + self.back_height * 0.45, (self.width - 1.6, self.width)
        x = (-self.depth - 0.5, self.depth * 0.9)
        if self.arms == "sides":
            return both(box(x, (top - 1, high), z, tint))
        post = box((x[1] - 1.2, x[1]), (top - 1, high), z, tint)
        return both(post, box(x, (high - 1.2, high), z, tint))


@dataclass(frozen=True, kw_only=True)
class Sofa(Design):
    """Base, backrest, arms and cushions; straight or with a corner."""

    width: float = choice(7.0, 9.0, 12.0, 14.0, 16.0, 18.0)
    stretch: float = uniform(0.92, 1.08)  # of the width
    depth: float = uniform(5.5, 10.5)
    seat: float = uniform(4, 8.5)  # height
    lift: float = choice(0, 0, 1.2, 2.2, 3.2)  # height of the feet
    feet: str = choice("round", "square", "sled", "plinth")
    back: str = choice("straight", "straight", "round", "wings", "none")
    back_height: float = uniform(3, 12)
    back_thick: float = uniform(1.8, 4.8)
    recline: float = uniform(0, 0.4)
    arms: str = choice("box", "box", "rolled", "sloped", "none", "left", "right")
    arm_width: float = uniform(1.3, 4.6)
    arm_height: float = uniform(1.5, 6)
    chaise: str = choice("none", "none", "none", "left", "right", "both")
    chaise_reach: float = uniform(3, 11)
    cushions: int = choice(0, 1, 2, 3)
    pillows: int = choice(0, 0, 1, 2, 3)

    def parts(self, paint: Rng) -> list[Part]:
        """Colors: cloth, cushions, pillows, feet."""
        cloth, soft = color(paint, "any", "any", "dark", "pale"), color(paint)
        deep, wide, low = self.depth, self.width * self.stretch, self.lift
        seat, x = self.seat + low, (-deep, deep)
        parts = [box(x, (low, seat), (-wide, wide), cloth)]
        if low:
            parts += self._feet(deep, wide, color(paint, "wood", "metal", "dark"))
        top = seat + self.back_height
        if self.back != "none":
            style = "round" if self.back == "round" else "solid"
            behind = backrest(style, wide, (low, top), self.back_thick, cloth)
            if self.back == "wings":
                behind += both(
                    box((0, self.back_thick + 3), (seat, top), (wide - 1.5, wide + 1), cloth)
                )
            parts += placed(behind, shear("x", "y", -self.recline), (0, low, 0), (-deep, 0, 0))
        for side in {"none": (), "left": (1,), "right": (-1,)}.get(self.arms, (-1, 1)):
            parts += placed(self._arm(wide, low, seat, cloth), np.diag([1.0, 1.0, side]))
        for side in {"none": (), "left": (1,), "right": (-1,)}.get(self.chaise, (-1, 1)):
            reach = (deep - 1, deep + self.chaise_reach)
            rest = box(reach, (low, seat), (wide * 0.45, wide), cloth)
            parts += placed([rest], np.diag([1.0, 1.0, side]))
        front = -deep + self.back_thick
        edges = np.linspace(-wide, wide, self.cushions + 1)
        for a, b in itertools.pairwise(edges):
            parts.append(box((front, deep), (seat, seat + 1.6), (a + 0.7, b - 0.7), soft))
        for place in np.linspace(-wide, wide, self.pillows + 2)[1:-1]:
            pillow = box((0, 2.2), (seat, seat + 6), (place - 3, place + 3), color(paint))
            parts += placed([pillow], shear("x", "y", -0.3), (0, seat, 0), (front + 1.5, 0, 0))
        return parts

    def _feet(self, deep: float, wide: float, tint: Color) -> list[Part]:
        """Four feet, two runners or a plinth."""
        if self.feet == "plinth":
            return [box((-deep + 1.5, deep - 2), (0, self.lift), (-wide + 2, wide - 2), tint)]
        if self.feet == "sled":
            return both(box((-deep, deep), (0, self.lift), (wide - 2.4, wide - 1), tint))
        sides = 4 if self.feet == "square" else 12
        ends = [(end, wide - 1.6) for end in (-deep + 1.4, deep - 1.4)]
        feet = [rod((x, 0, z), (x, self.lift, z), 1.1, tint, sides=sides) for x, z in ends]
        return both(*feet)

    def _arm(self, wide: float, low: float, seat: float, tint: Color) -> list[Part]:
        """The arm on the side of positive z."""
        z, top = (wide - 0.5, wide + self.arm_width), seat + self.arm_height
        deep = self.depth
        if self.arms == "sloped":
            side = [(-deep, low), (deep, low), (deep, seat), (-deep, top + 1.5)]
            return [slab(side, "z", z, tint)]
        parts = [box((-deep, deep), (low, top), z, tint)]
        if self.arms == "rolled":
            middle = sum(z) / 2 + 0.6
            parts.append(
                rod((-deep, top, middle), (deep, top, middle), 1.2 + self.arm_width * 0.4, tint)
            )
        return parts
