"""Procedural lamps: on a table, on the floor, from a ceiling, on a wall.

In units of about one voxel of a 32^3 grid; y up, front +x, left and right along z.
"""

from dataclasses import dataclass

import numpy as np

from mem3d.data.procedural.design import LIGHT, Design, Rng, choice, color, uniform
from mem3d.data.procedural.solids import (
    Color,
    Part,
    ball,
    box,
    placed,
    ring,
    rod,
    rounded,
    shear,
    slab,
)


@dataclass(frozen=True, kw_only=True)
class Lamp(Design):
    """A shade on a body: table, floor, desk, wall, tripod or street lamp, pendant, chandelier."""

    mount: str = choice(
        "table",
        "table",
        "table",
        "table",
        "floor",
        "floor",
        "desk",
        "desk",
        "pendant",
        "pendant",
        "wall",
        "tripod",
        "chandelier",
        "street",
    )
    shade: str = choice("cone", "cone", "cone", "drum", "box", "ball", "bowl", "tiers", "hexagon")
    shade_height: float = uniform(0.5, 1.25)  # times what the mount calls for, as all measures are
    shade_width: float = uniform(0.5, 1.25)
    shade_taper: float = uniform(0.3, 0.8)
    tilt: float = uniform(-0.35, 0.35)  # of the shade
    base: str = choice("disc", "square", "dome", "oval", "feet")
    base_width: float = uniform(0.55, 1.4)
    base_height: float = uniform(0.8, 2.6)
    body: str = choice("stick", "stick", "vase", "balls", "column", "twin", "bottle")
    body_width: float = uniform(0.5, 1.4)
    height: float = uniform(0.7, 1.3)  # of the body
    reach: float = uniform(0.6, 1.3)  # of arms
    arms: int = choice(1, 2, 3, 4, 5)
    top: str = choice("none", "spike", "ball", "hook")
    collar: float = uniform(0, 1.8)  # a ring or knot where the shade begins

    def parts(self, paint: Rng) -> list[Part]:
        """Colors: the frame, the body, the shade."""
        frame = color(paint, "metal", "dark", "wood", "any")
        other, light = color(paint), LIGHT if paint.random() < 0.4 else color(paint, "pale", "any")
        if self.mount in ("table", "floor", "tripod"):
            return self._standing(frame, other, light)
        if self.mount == "desk":
            return self._desk(frame, light)
        if self.mount == "street":
            return self._street(frame, light)
        if self.mount == "chandelier":
            return self._chandelier(frame, light)
        tall, wide = 9 * self.shade_height, 9 * self.shade_width
        if self.mount == "wall":
            reach, plate = 8 * self.reach, 5 * self.height
            wall = box(
                (-reach - 1.3, -reach),
                (-plate, plate),
                (-2.5 * self.base_width, 2.5 * self.base_width),
                frame,
            )
            arm = rod((-reach, 0, 0), (0, 0, 0), 0.6 + 0.4 * self.body_width, frame)
            cup = rod((0, -1, 0), (0, 3, 0), 0.6 + self.collar, frame)
            return [wall, arm, cup, *self._shade(1.0, tall, wide * 0.6, light)]
        length = tall + 14 * self.height
        cord = rod((0, tall * 0.6, 0), (0, length, 0), 0.5 + 0.3 * self.body_width, frame)
        rose = rod((0, length - self.base_height, 0), (0, length, 0), 3 * self.base_width, frame)
        knot = ball((0, tall + 1, 0), 0.6 + self.collar, frame)
        return [cord, rose, knot, *self._shade(0.0, tall, wide, light)]

    def _shade(self, bottom: float, tall: float, radius: float, tint: Color) -> list[Part]:
        """A cone, drum, box, ball, bowl or two tiers around the y axis, with a top."""
        top = (0, bottom + tall, 0)
        if self.shade == "ball":
            parts = [ball((0, bottom + tall / 2, 0), (radius, tall / 2, radius), tint)]
        elif self.shade == "bowl":
            small = radius * self.shade_taper
            parts = [rod((0, bottom, 0), top, small, tint, taper=radius / small, sides=20)]
        elif self.shade == "box":
            x = (-radius * 0.9, radius * 0.9)
            parts = [box(x, (bottom, top[1]), x, tint, taper=self.shade_taper**0.5)]
        elif self.shade == "tiers":
            middle = (0, bottom + tall * 0.55, 0)
            taper = self.shade_taper
            parts = [rod((0, bottom, 0), middle, radius, tint, taper=taper, sides=20)]
            parts.append(rod(middle, top, radius * 0.7, tint, taper=taper, sides=20))
        else:
            taper = self.shade_taper if self.shade == "cone" else 0.75 + self.shade_taper * 0.3
            sides = 6 if self.shade == "hexagon" else 20
            parts = [rod((0, bottom, 0), top, radius, tint, taper=taper, sides=sides)]
        if self.top == "spike":
            parts.append(rod(top, (0, top[1] + 2.5, 0), 0.7, tint))
        elif self.top == "ball":
            parts.append(ball((0, top[1] + 0.8, 0), 1.4, tint))
        elif self.top == "hook":
            parts.append(ring((0, top[1] + 1.2, 0), 1.8, 0.5, tint, "z"))
        return placed(parts, shear("x", "y", self.tilt), (0, bottom, 0))

    def _base(self, radius: float, tint: Color) -> list[Part]:
        """A disc, a square or oval plate, a dome or four feet on the floor."""
        high = self.base_height
        if self.base == "dome":
            return [rod((0, 0, 0), (0, 2 * high, 0), radius, tint, taper=0.3)]
        if self.base == "feet":
            angles = np.arange(4) * (np.pi / 2) + np.pi / 4
            feet = [(radius * np.cos(a), 0.6, radius * np.sin(a)) for a in angles]
            return [rod((0, high + 1, 0), foot, 0.9, tint) for foot in feet]
        corner = 0.03 if self.base == "square" else 0.5
        deep = radius * (0.65 if self.base == "oval" else 1)
        return [slab(rounded((-deep, deep), (-radius, radius), corner), "y", (0, high), tint)]

    def _standing(self, frame: Color, other: Color, light: Color) -> list[Part]:
        """On a table, on the floor, or on three legs."""
        neck = {"table": 15, "floor": 25, "tripod": 20}[self.mount] * self.height
        radius = {"table": 9, "floor": 6.5, "tripod": 8}[self.mount] * self.shade_width
        tall = {"table": 11, "floor": 7.5, "tripod": 9}[self.mount] * self.shade_height
        shade = self._shade(neck, tall, radius, light)
        collar = rod((0, neck - 1.5, 0), (0, neck + 0.5, 0), 0.6 + self.collar, frame)
        parts = [*shade, collar]
        if self.mount == "tripod":
            spread = 8 * self.base_width
            for angle in (0.3, 2.4, 4.5):
                foot = (spread * np.cos(angle), 0, spread * np.sin(angle))
                parts.append(rod(foot, (0, neck, 0), 0.5 + 0.35 * self.body_width, frame))
            level = neck * 0.1 * (2 + self.arms)
            plate = rod((0, level, 0), (0, level + self.base_height * 0.7, 0), spread * 0.55, other)
            return [*parts, plate]
        parts += self._base({"table": 5, "floor": 4}[self.mount] * self.base_width, frame)
        return parts + self._body(neck, frame, other)

    def _body(self, neck: float, frame: Color, other: Color) -> list[Part]:
        """What holds the shade over the base."""
        wide = (4.2 if self.mount == "table" else 2) * self.body_width
        stick = rod((0, 0, 0), (0, neck + 2, 0), 0.5 + 0.4 * self.body_width, frame)
        if self.body == "vase":
            return [stick, ball((0, neck * 0.45, 0), (wide, neck * 0.45, wide), other)]
        if self.body == "bottle":
            low, high = (0, 0, 0), (0, neck * 0.6, 0)
            top = rod(high, (0, neck, 0), wide, other, taper=0.3)
            return [stick, rod(low, high, wide * 0.9, other, taper=1.1), top]
        if self.body == "balls":
            count = self.arms + 1
            size = neck / count / 2 * 1.1
            heights = np.linspace(size, neck - size, count)
            return [
                stick,
                *(ball((0, h, 0), (wide * 0.7, size, wide * 0.7), other) for h in heights),
            ]
        if self.body == "column":
            return [stick, rod((0, 0, 0), (0, neck, 0), wide * 0.7, other, taper=0.75, sides=8)]
        if self.body == "twin":
            return [rod((0, 0, z), (0, neck + 2, z), 0.7, frame) for z in (-wide * 0.6, wide * 0.6)]
        level = neck * self.arms / 6
        return [stick, rod((0, level, 0), (0, level + 1.6, 0), 0.8 + 0.5 * wide, other)]

    def _desk(self, frame: Color, light: Color) -> list[Part]:
        """Two arms, an elbow and a small shade that looks down."""
        elbow = (-5.5 * self.reach, 15 * self.height, 0.0)
        head = (8 * self.reach, elbow[1] + 1 + 2 * self.arms, 0.0)
        long, wide = 6 * self.shade_height, 4.5 * self.shade_width
        end = (head[0] + long * (0.6 + self.tilt), head[1] - long, 0.0)
        small = wide * self.shade_taper
        sides = 4 if self.shade in ("box", "hexagon") else 20
        shade = rod(head, end, small, light, taper=wide / small, sides=sides)
        if self.shade in ("ball", "bowl"):
            shade = ball((np.add(head, end) / 2), (wide, long * 0.6, wide), light)
        radius = 0.5 + 0.4 * self.body_width
        arms = [rod((0, 0, 0), elbow, radius, frame), rod(elbow, head, radius, frame)]
        joints = [ball(elbow, 0.7 + self.collar, frame), ball(head, 0.7 + self.collar, frame)]
        return [*self._base(5.5 * self.base_width, frame), *arms, *joints, shade]

    def _chandelier(self, frame: Color, light: Color) -> list[Part]:
        """Cups on arms around a stem."""
        reach, tall = 11 * self.reach, 14 * self.height
        size, thick = 3 * self.shade_width, 0.5 + 0.3 * self.body_width
        hub = (0, 1.5 + 4 * self.tilt, 0)
        parts = [rod((0, 0, 0), (0, tall, 0), thick, frame), ball(hub, 1.5 + self.collar, frame)]
        parts.append(rod((0, tall - self.base_height, 0), (0, tall, 0), 3 * self.base_width, frame))
        for angle in np.arange(self.arms + 2) * (2 * np.pi / (self.arms + 2)):
            x, z = reach * np.cos(angle), reach * np.sin(angle)
            parts.append(rod(hub, (x, 0, z), thick, frame))
            cup = rod(
                (x, 0, z),
                (x, 5 * self.shade_height, z),
                size * self.shade_taper,
                light,
                taper=1 / self.shade_taper,
            )
            parts.append(cup)
        return parts

    def _street(self, frame: Color, light: Color) -> list[Part]:
        """A pole with one to four arms."""
        tall, reach = 28 * self.height, 8 * self.reach
        width = 2.2 * self.shade_width
        parts = [rod((0, 0, 0), (0, tall, 0), 0.6 + 0.6 * self.body_width, frame, taper=0.7)]
        parts += self._base(3 * self.base_width, frame)
        for angle in np.arange(min(self.arms, 4)) * (2 * np.pi / min(self.arms, 4)):
            end = np.array((reach * np.cos(angle), tall + 4 * self.tilt, reach * np.sin(angle)))
            parts.append(rod((0, tall - 0.5, 0), end, 0.6, frame))
            head = 2.5 * self.shade_height
            parts.append(
                rod(
                    end - (0, head, 0),
                    np.add(end, (0, 0.5, 0)),
                    width,
                    light,
                    taper=self.shade_taper,
                )
            )
        return [*parts, ball((0, tall, 0), 0.8 + self.collar, frame)]
