"""Procedural devices: display, speaker, telephone.

In units of about one voxel of a 32^3 grid; y up, front +x, left and right along z. Reliefs are
at least half a unit, so that they are seen in the grid.
"""

from dataclasses import dataclass

import numpy as np

from mem3d.data.procedural.design import BLACK, GLASS, Design, Rng, choice, color, uniform
from mem3d.data.procedural.solids import (
    Color,
    Part,
    ball,
    both,
    box,
    placed,
    ring,
    rod,
    rounded,
    shear,
    slab,
    turn,
)


@dataclass(frozen=True, kw_only=True)
class Display(Design):
    """A flat screen or tube set on a foot, feet or a wall, a laptop, or several screens."""

    body: str = choice("flat", "flat", "tube", "tube", "laptop", "curved")
    panels: int = choice(1, 1, 1, 1, 2, 3)
    aspect: float = uniform(0.45, 0.9)  # height over width
    thick: float = uniform(1, 4)
    frame: float = uniform(0.8, 2.4)  # width of the rim
    rim: float = uniform(0.5, 1.3)  # how far it stands out
    chin: float = choice(0.0, 0.0, 1.5, 3.0)  # height of a panel below the screen
    bulge: float = uniform(0.8, 4.5)  # depth of the electronics behind
    bulge_width: float = uniform(0.35, 0.85)
    bulge_height: float = uniform(0.3, 0.8)
    tube: float = uniform(7, 20)  # depth of a tube
    tube_taper: float = uniform(0.35, 0.85)
    foot: str = choice("plate", "plate", "oval", "feet", "bow", "none")
    foot_width: float = uniform(4, 12)
    foot_depth: float = uniform(3.5, 8)
    lift: float = uniform(1.8, 8)  # of the screen
    neck: float = uniform(0.9, 3.5)
    lean: float = uniform(-0.05, 0.28)
    swing: float = choice(0.0, 0.0, -12.0, 12.0, 25.0)  # degrees by which it is turned
    boxes: str = choice("none", "none", "none", "both", "bar")  # loudspeakers

    def parts(self, paint: Rng) -> list[Part]:
        """Colors: the case, the foot, the screens."""
        case = color(paint, "dark", "dark", "metal", "pale", "any")
        other = color(paint, "dark", "metal")
        wide = 16.0 / (1 + 0.6 * (self.panels - 1))
        tall = 2 * wide * self.aspect
        screen = self._screen(wide, tall, case)
        lift = 0.6 if self.foot == "none" else self.lift
        if self.body == "laptop":
            deep = 5 + self.foot_depth
            leaning = placed(screen, shear("x", "y", -self.lean * 2.5), 0, (-deep, 1, 0))
            low = 0.8 + self.rim
            keys = box(
                (-deep * 0.6, deep * 0.2), (low, low + 0.6), (-wide * 0.85, wide * 0.85), other
            )
            pad = (-self.bulge - 1, self.bulge + 1)
            touch = box((deep * 0.35, deep * 0.85), (low, low + 0.5), pad, BLACK)
            return [*leaning, box((-deep, deep), (0, low), (-wide, wide), case), keys, touch]
        across = (np.arange(self.panels) - (self.panels - 1) / 2) * (2 * wide + 0.4)
        parts = []
        for z in across:
            inward = turn("y", float(np.sign(z)) * (8 + 4 * self.rim))
            parts += placed(screen, inward if z else np.eye(3), 0, (abs(z) * 0.15, 0, z))
        parts = placed(parts, shear("x", "y", -self.lean), 0, (0, lift, 0))
        parts = placed(parts, turn("y", self.swing))
        return parts + self._foot(lift, lift + tall * 0.3, other)

    def _screen(self, wide: float, tall: float, case: Color) -> list[Part]:
        """A screen on the floor, its front near x = 0; a rim around the glass."""
        front, edge = self.rim, self.frame
        parts = [box((-self.thick, 0), (0, tall), (-wide, wide), case)]
        glass = box(
            (-0.2, 0.1), (edge + self.chin, tall - edge), (-wide + edge, wide - edge), GLASS
        )
        parts += [glass, box((0, front), (0, edge + self.chin), (-wide, wide), case)]
        parts.append(box((0, front), (tall - edge, tall), (-wide, wide), case))
        parts += both(box((0, front), (0, tall), (wide - edge, wide), case))
        if self.body == "curved":
            arc = [(front + 3 * s * s, wide * s) for s in np.linspace(-1, 1, 9)]
            arc += [(x - self.thick, z) for x, z in arc[::-1]]
            parts = [slab(arc, "y", (0, tall), case), glass]
        if self.body == "tube" and self.panels == 1:
            face = [(-wide, 0.0), (wide, 0.0), (wide, tall), (-wide, tall)]
            back = -self.thick - self.tube
            parts.append(slab(face, "x", (0, back), case, taper=self.tube_taper))
        else:
            z, y = wide * self.bulge_width, (tall * 0.15, tall * (0.2 + 0.75 * self.bulge_height))
            parts.append(box((-self.thick - self.bulge, 0), y, (-z, z), case))
        if self.boxes == "both":
            parts += both(box((-2, 1), (tall * 0.1, tall * 0.9), (wide, wide + 2.4), BLACK))
        elif self.boxes == "bar":
            parts.append(box((-1.5, front + 1), (-0.4, 1.4), (-wide * 0.8, wide * 0.8), BLACK))
        return parts

    def _foot(self, lift: float, reach: float, tint: Color) -> list[Part]:
        """A neck behind the screen on a plate, two feet, or a bent bar."""
        deep, wide, back = self.foot_depth, self.foot_width, -self.thick - 1
        if self.foot == "none":
            return []
        if self.foot == "feet":
            z = (wide + self.neck * 0.5 - 0.8, wide + self.neck * 0.5 + 0.8)
            post = box((back + 0.5, 0), (0, lift + 1), z, tint)
            return both(box((-deep, deep), (0, 1.2), z, tint), post)
        neck = box((back - 0.6, back + 1.2), (0, reach), (-self.neck, self.neck), tint)
        if self.foot == "bow":
            bar = rod((deep, 0.7, wide), (back, 0.7, self.neck - 0.5), 0.8, tint)
            return [neck, *both(bar), box((deep - 1, deep), (0, 1.4), (-wide, wide), tint)]
        outline = rounded((-deep - 1, deep), (-wide, wide), 0.03 if self.foot == "plate" else 0.5)
        return [neck, slab(outline, "y", (0, 1.3), tint)]


@dataclass(frozen=True, kw_only=True)
class Speaker(Design):
    """A tower, shelf box, ball, bar, horn or stage wedge, alone or as a pair."""

    case: str = choice("box", "box", "box", "round", "tapered", "wedge", "hexagon", "ball", "drum")
    width: float = uniform(5, 13)
    depth: float = uniform(5, 12)
    height: float = uniform(11, 32)
    taper: float = uniform(0.5, 0.9)
    drivers: int = choice(1, 2, 2, 3)
    driver_size: float = uniform(0.55, 0.95)
    cone: float = uniform(-0.5, 1.8)  # how far a membrane stands out
    rim: float = uniform(0.6, 1.4)  # of the front panel
    panel: str = choice("none", "frame", "plate", "bars")
    port: str = choice("none", "slot", "round", "two")
    feet: str = choice("none", "spikes", "plinth", "runners", "stand", "tripod")
    feet_height: float = uniform(1, 3)
    top: str = choice("none", "none", "handle", "horn", "knobs", "antenna")
    tilt: float = uniform(-0.02, 0.2)
    count: int = choice(1, 1, 1, 1, 2)
    wings: str = choice("none", "none", "none", "both", "left")  # small boxes beside it

    def parts(self, paint: Rng) -> list[Part]:
        """Colors: the case, the panel, membranes, the feet."""
        case, panel = color(paint, "wood", "dark", "any", "pale"), color(paint, "dark", "any")
        cone, other = color(paint, "dark", "metal", "bright"), color(paint, "dark", "metal")
        lift = 0.0 if self.feet == "none" else self.feet_height
        parts = self._case(case) + self._front(panel, cone) + self._top(other)
        sides = {"none": (), "both": (-1, 1), "left": (1,)}[self.wings]
        for side in sides:
            near, tall = side * self.width, self.height * 0.6
            z = sorted((near - side, near + side * (2 + self.width * 0.35)))
            parts.append(box((-self.depth * 0.5, self.depth * 0.6), (0, tall), (z[0], z[1]), panel))
        parts = placed(parts, shear("x", "y", -self.tilt), 0, (0, lift, 0))
        parts += self._feet(lift, other)
        if self.count == 2:
            shift = (0, 0, self.width + 4.5 + 2 * len(sides))
            parts = placed(parts, np.eye(3), 0, shift) + placed(
                parts, np.eye(3), 0, np.negative(shift)
            )
        return parts

    def _case(self, tint: Color) -> list[Part]:
        """The cabinet; its front is near x = depth."""
        d, w, tall = self.depth, self.width, self.height
        if self.case == "ball":
            return [ball((0, tall / 2, 0), (d, tall / 2, w), tint)]
        if self.case == "wedge":
            side = [(-d, 0), (d, 0), (d, tall * 0.2), (d * (2 * self.taper - 1), tall), (-d, tall)]
            return [slab(side, "z", (-w, w), tint)]
        if self.case in ("box", "tapered"):
            taper = self.taper if self.case == "tapered" else 1.0
            return [box((-d, d), (0, tall), (-w, w), tint, taper=taper)]
        if self.case == "hexagon":
            s = self.taper
            flat = [(d, -w * s), (d, w * s), (0, w), (-d, w * s), (-d, -w * s), (0, -w)]
            return [slab(flat, "y", (0, tall), tint)]
        outline = rounded((-d, d), (-w, w), 0.5 if self.case == "drum" else self.taper * 0.45)
        return [slab(outline, "y", (0, tall), tint)]

    def _front(self, panel: Color, cone: Color) -> list[Part]:
        """Panel, membranes and ports."""
        d, w, tall = self.depth, self.width * 0.9, self.height
        x, parts = (d - 1.5, d + self.rim), []
        style = "none" if self.case == "ball" else self.panel
        if style == "plate":
            parts.append(box(x, (tall * 0.06, tall * 0.94), (-w * 0.94, w * 0.94), panel))
        elif style == "frame":
            parts += both(box(x, (0, tall), (w - 1, w), panel))
            parts += [box(x, y, (-w, w), panel) for y in ((0, 1.2), (tall - 1.2, tall))]
        elif style == "bars":
            for share in (0.12, 0.36, 0.6, 0.84):
                parts.append(box(x, (tall * share, tall * share + 1), (-w, w), panel))
        step = tall * 0.8 / self.drivers
        for number in range(self.drivers):
            radius = min(w * 0.85, step * 0.48) * self.driver_size * (1 - 0.18 * number)
            y, out = tall * 0.18 + step * (number + 0.5), d + self.rim + self.cone
            parts.append(rod((d - 2, y, 0), (out, y, 0), radius, cone, taper=0.6, sides=16))
            parts.append(ring((d + self.rim * 0.6, y, 0), radius + 0.6, 0.6, panel, "x"))
        y, x = tall * 0.1, (d - 1, d + self.rim + 0.5)
        if self.port == "slot":
            parts.append(box(x, (y - 0.7, y + 0.7), (-w * 0.6, w * 0.6), BLACK))
        elif self.port != "none":
            for z in (0.0,) if self.port == "round" else (-w * 0.5, w * 0.5):
                parts.append(rod((x[0], y, z), (x[1], y, z), 1.4, BLACK))
        return parts

    def _top(self, tint: Color) -> list[Part]:
        """A handle, horn, knobs or antenna."""
        top, w, d = self.height, self.width * 0.6, self.depth
        if self.top == "handle":
            posts = both(box((-0.7, 0.7), (top * 0.8, top + 2.4), (w - 1, w), tint))
            return [*posts, box((-0.7, 0.7), (top + 1.6, top + 2.8), (-w, w), tint)]
        if self.top == "horn":
            horn = rod((-d * 0.5, top + 2, 0), (d * 0.8, top + 2, 0), 1.2, tint, taper=2.6)
            return [horn, box((-1, 1), (top - 1, top + 2), (-1, 1), tint)]
        if self.top == "knobs":
            places = (-w, 0, w)
            return [
                rod((d * 0.3, top * 0.8, z), (d * 0.3, top + 1.2, z), 1.1, tint) for z in places
            ]
        if self.top == "antenna":
            return [rod((-d * 0.5, top * 0.7, w * 0.6), (-d * 0.5, top + 8, w + 1.5), 0.6, tint)]
        return []

    def _feet(self, lift: float, tint: Color) -> list[Part]:
        """Spikes, a plinth, runners, a column on a plate, or three legs."""
        d, w = self.depth, self.width
        if self.feet == "plinth":
            return [box((-d - 0.8, d + 1), (0, lift), (-w - 0.8, w + 0.8), tint)]
        if self.feet == "runners":
            return both(box((-d, d), (0, lift + 0.5), (w * 0.6, w * 0.6 + 1.6), tint))
        if self.feet == "spikes":
            ends = [(x, w * 0.65) for x in (-d * 0.65, d * 0.65)]
            return both(*(rod((x, 0, z), (x, lift + 0.7, z), 0.8, tint) for x, z in ends))
        low = -5 * self.feet_height
        column = rod((0, low, 0), (0, lift + 1, 0), 1.3, tint)
        if self.feet == "stand":
            return [
                column,
                box((-d * 0.8, d * 0.8), (low - 1, low + 0.4), (-w * 0.8, w * 0.8), tint),
            ]
        if self.feet == "tripod":
            feet = [(8 * np.cos(a), low - 2, 8 * np.sin(a)) for a in (0.0, 2.1, 4.2)]
            return [column, *(rod((0, low + 5, 0), foot, 0.7, tint) for foot in feet)]
        return []
