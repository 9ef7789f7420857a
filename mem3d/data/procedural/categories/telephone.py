"""Procedural telephones.

In units of about one voxel of a 32^3 grid; y up, front +x, left and right along z.
"""

from dataclasses import dataclass

import numpy as np

from mem3d.data.procedural.design import BLACK, GLASS, Design, Rng, choice, color, uniform
from mem3d.data.procedural.solids import (
    Color,
    Part,
    both,
    box,
    placed,
    rod,
    rounded,
    shear,
    slab,
    turn,
)

SIDES: dict[str, tuple[int, ...]] = {"none": (), "left": (1,), "right": (-1,), "both": (-1, 1)}


@dataclass(frozen=True, kw_only=True)
class Telephone(Design):
    """A mobile phone that stands, or a desk or wall phone with a handset."""

    body: str = choice("bar", "bar", "bar", "clam", "slider", "brick", "desk", "desk", "wall")
    width: float = uniform(4.5, 9.5)
    thick: float = uniform(0.9, 3.2)
    corner: float = uniform(0.05, 0.45)
    waist: float = uniform(0.75, 1.2)  # width of the lower end over that of the upper
    rows: int = choice(3, 4, 5)  # of keys
    columns: int = choice(2, 3, 4)
    relief: float = uniform(0.6, 1.6)  # of keys, rim and buttons
    key_size: float = uniform(0.25, 0.42)  # share of their distance
    screen: float = uniform(0.25, 0.6)  # share of the front
    rim: str = choice("frame", "frame", "plate", "lip")  # around the screen
    aerial: str = choice("none", "none", "stub", "left", "right", "loop")
    aerial_length: float = uniform(2, 9)
    camera: str = choice("none", "left", "middle", "bar", "two")  # on the back
    camera_place: float = uniform(0.35, 0.85)
    buttons: str = choice("none", "left", "right", "both")  # at the sides
    button_place: float = uniform(-0.3, 0.75)
    tilt: float = uniform(-3, 22)  # degrees by which it leans back
    open: float = uniform(0, 1)  # of a clam or slider
    handset: float = uniform(1.2, 2.6)  # radius
    ends: float = uniform(2, 3.6)  # half width of the ear piece
    across: bool = choice(True, False)  # the handset lies left to right
    dock: str = choice("none", "none", "block", "foot")

    def parts(self, paint: Rng) -> list[Part]:
        """Colors: the case, the other case, keys."""
        case, other = color(paint, "dark", "metal", "any", "bright"), color(paint, "dark", "any")
        key = color(paint, "pale", "metal", "dark")
        if self.body in ("desk", "wall"):
            return self._desk(case, other, key)
        extras = self._aerial(16, other) + self._camera(other)
        if self.body == "clam":
            half = np.diag([1.0, 0.55, 1.0])
            lid = self._plate(other) + self._screen(other) + extras
            lid = placed(placed(lid, half, 0, (0, 8.8, 0)), turn("z", 130 * self.open**2))
            hinge = rod((0, 0, -self.width), (0, 0, self.width), self.thick + 0.4, BLACK)
            front = placed(self._plate(case) + self._keys(key), half, 0, (0, -8.8, 0))
            front += [hinge, *lid, *placed(self._buttons(key), half, 0, (0, -8.8, 0))]
        else:
            front = self._plate(case) + self._screen(case) + self._keys(key)
            front += extras + self._buttons(key)
        if self.body == "slider":
            upper = self._plate(other) + self._screen(other)
            shift = (self.thick * 1.6 + self.relief, 4 + 8 * self.open, 0)
            front += placed(upper, np.diag([0.7, 0.8, 1.0]), 0, shift)
        elif self.body == "brick":
            front = placed(front, np.diag([1.6, 1.0, 0.85]))
        parts = placed(front, turn("z", self.tilt), (0, -16, 0))
        if self.dock != "none":
            wide = self.width + 1.5
            deep = 4.5 if self.dock == "block" else 7.0
            high = -11.5 if self.dock == "block" else -14.5
            parts.append(box((-deep, deep), (-17, high), (-wide, wide), other))
        return parts

    def _plate(self, tint: Color) -> list[Part]:
        """The case: 32 tall, 2 * width wide, narrower or wider below."""
        w = self.width
        outline = [
            (z * (1 + (self.waist - 1) * (16 - y) / 32), y)
            for z, y in rounded((-w, w), (-16, 16), self.corner)
        ]
        return [slab(outline, "x", (-self.thick, self.thick), tint)]

    def _buttons(self, tint: Color) -> list[Part]:
        """At the sides."""
        sides, y = SIDES[self.buttons], 16 * self.button_place
        half = self.relief + 0.4
        return [
            box((-0.7, 0.7), (y - 2.2, y + 2.2), (z - half, z + half), tint)
            for z in (side * self.width * 0.9 for side in sides)
        ]

    def _screen(self, tint: Color) -> list[Part]:
        """Glass at the upper end, with a frame or lip, or raised as a whole."""
        x, w = (self.thick - 0.3, self.thick + self.relief), self.width * 0.8
        low, high = 14.5 - 29 * self.screen, 14.5
        if self.rim == "plate":
            return [box(x, (low, high), (-w, w), GLASS)]
        glass = box((x[0], self.thick + 0.15), (low, high), (-w, w), GLASS)
        edges = [box(x, (low - 1, low), (-w, w), tint), box(x, (high - 1, high), (-w, w), tint)]
        if self.rim == "lip":
            return [glass, edges[0], box(x, (high - 3, high), (-w * 0.5, w * 0.5), BLACK)]
        return [glass, *edges, *both(box(x, (low, high), (w - 1, w), tint))]

    def _keys(self, tint: Color) -> list[Part]:
        """Rows and columns of keys below the screen."""
        high, w = 12.5 - 29 * self.screen, self.width * 0.8 * min(1, self.waist)
        x, tall, wide = (self.thick - 0.3, self.thick + self.relief), high + 15, 2 * w
        parts = []
        for row in (np.arange(self.rows) + 0.5) / self.rows:
            for column in (np.arange(self.columns) + 0.5) / self.columns:
                y, z = high - tall * row, -w + wide * column
                a, b = (self.key_size * n for n in (tall / self.rows, wide / self.columns))
                parts.append(box(x, (y - a, y + a), (z - b, z + b), tint))
        return parts

    def _aerial(self, top: float, tint: Color) -> list[Part]:
        """On top, at a side; a loop for the strap."""
        z = {"left": 0.7, "right": -0.7}.get(self.aerial, 0.0) * self.width
        if self.aerial == "none":
            return []
        if self.aerial == "stub":
            z, long = self.width * 0.65, 1 + self.aerial_length * 0.3
            return [rod((-0.5, top - 2, z), (-0.5, top + long, z), 1.4, tint)]
        if self.aerial == "loop":
            wide = 1 + self.aerial_length * 0.3
            posts = both(box((-0.6, 0.6), (top - 2, top + 2.5), (wide - 0.5, wide + 0.7), tint))
            return [*posts, box((-0.6, 0.6), (top + 1.6, top + 2.7), (-wide, wide), tint)]
        long = top + self.aerial_length
        return [rod((-0.5, top - 3, z), (-0.5, long, z), 0.7, tint)]

    def _camera(self, tint: Color) -> list[Part]:
        """A bump on the back."""
        x, y = (-self.thick - self.relief, -self.thick + 0.5), 16 * self.camera_place
        w = self.width * 0.9
        places = {"none": (), "left": (0.4,), "middle": (0.0,), "two": (-0.45, 0.45)}
        if self.camera == "bar":
            return [box(x, (y - 1.5, y + 1.5), (-w * 0.8, w * 0.8), tint)]
        return [rod((x[0], y, z * w), (x[1], y, z * w), 2.0, tint) for z in places[self.camera]]

    def _desk(self, case: Color, other: Color, key: Color) -> list[Part]:
        """A wedge with keys and a handset; on a wall it stands upright."""
        deep, wide = 6 + self.width, 7 + self.width * 0.7
        low = 1 + self.thick * 0.5
        slope = np.tan(np.radians(3 + max(self.tilt, 0)))
        w = [(-deep, -wide), (deep, -wide * self.waist), (deep, wide * self.waist), (-deep, wide)]
        body = [slab(w, "y", (-low - 1.5, low), case)]
        # Keys and screen of the mobile phone, laid down and shrunk to the right of the handset.
        lying = np.diag([deep / 18, 1.0, 0.8]) @ turn("z", 90)
        pad = placed(self._screen(other) + self._keys(key), lying, 0, (0, low - self.thick, 0))
        z = -wide * 0.25 if not self.across else 0.0
        pad = placed(
            pad,
            np.diag([0.6 if self.across else 0.95, 1.0, 0.9]),
            0,
            (deep * 0.3 if self.across else 0, 0, z),
        )
        span = max(wide, 10) if self.across else deep * 0.98
        lift, big = 1.2 + 2 * self.open, self.ends
        bar = rod((0, low + lift + 1.5, -span), (0, low + lift + 1.5, span), self.handset, other)
        ear = box((-big, big), (low + lift - 1.6, low + lift + 1), (span - 2 * big, span), other)
        cradle = box((-1.6, 1.6), (low - 1, low + lift), (span * 0.4, span * 0.4 + 3), case)
        hand = [bar, *both(ear, cradle)]
        if self.across:
            hand = placed(hand, np.eye(3), 0, (-deep * 0.55, 0, 0))
        else:
            hand = placed(hand, turn("y", 90), 0, (0, 0, wide * 0.7))
        parts = body + pad + hand
        if self.aerial in ("left", "right", "stub"):
            z = wide * (0.8 if self.aerial == "left" else -0.8)
            tall = low + self.aerial_length * 1.3
            parts.append(rod((-deep + 1, 0, z), (-deep + 1, tall, z), 0.8, other))
        if self.buttons != "none":
            z = wide * (0.9 if self.buttons == "left" else -0.9)
            parts.append(box((deep * 0.3, deep * 0.8), (low, low + 0.8), (z - 1, z + 1), other))
        if self.body == "wall":
            return placed(parts, turn("z", -90))
        sloped = placed(parts, shear("y", "x", -slope))
        back = [
            (-deep, -low),
            (deep * 0.8, -low - deep * slope * 0.8),
            (-deep, -low - deep * slope),
        ]
        return [*sloped, slab(back, "z", (-wide * 0.8, wide * 0.8), other)]
