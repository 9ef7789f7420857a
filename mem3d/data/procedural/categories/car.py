"""Procedural cars.

In units of about one voxel of a 32^3 grid; y up, front +x, left and right along z. Lengths along
x and z are halves.
"""

from dataclasses import dataclass

import numpy as np

from mem3d.data.procedural.design import BLACK, GLASS, Design, Rng, choice, color, uniform
from mem3d.data.procedural.solids import Color, Part, both, box, rod, slab

# Where a cabin's foot and roof begin, where the roof and the foot end, in half lengths.
_CABINS = {
    "saloon": (0.42, 0.12, -0.42, -0.72),
    "hatch": (0.45, 0.15, -0.6, -0.95),
    "estate": (0.45, 0.18, -0.9, -0.98),
    "coupe": (0.3, -0.02, -0.25, -0.85),
    "pickup": (0.45, 0.2, -0.12, -0.2),
    "van": (0.85, 0.5, -0.97, -0.99),
    "bus": (0.99, 0.93, -0.98, -0.99),
    "lorry": (0.95, 0.75, 0.38, 0.36),
    "open": (0.3, 0.18, 0.1, 0.2),
}


@dataclass(frozen=True, kw_only=True)
class Car(Design):
    """A body, a cabin and four wheels: from sports car to bus and lorry."""

    style: str = choice(
        "saloon",
        "saloon",
        "hatch",
        "estate",
        "coupe",
        "pickup",
        "van",
        "bus",
        "lorry",
        "open",
    )
    width: float = uniform(5.2, 8)
    ground: float = uniform(0.9, 2.6)
    belt: float = uniform(4.6, 7.4)  # height of the body's side
    roof: float = uniform(2.8, 6)  # of the cabin over the body
    nose: float = uniform(0, 1.8)  # how far the bonnet falls
    boot: float = uniform(0, 1.4)
    chamfer: float = uniform(0.3, 2.2)  # of bonnet and boot
    rake: float = uniform(-0.08, 0.12)  # of the windscreen
    shift: float = uniform(-0.08, 0.06)  # of the cabin
    inset: float = uniform(0.72, 0.97)  # width of the roof
    front_axle: float = uniform(0.5, 0.74)
    rear_axle: float = uniform(0.48, 0.72)
    wheel: float = uniform(1.9, 3.3)  # radius
    track: float = uniform(-0.5, 0.7)  # how far wheels stand out
    bumpers: float = choice(0.0, 0.7, 1.4)
    roof_load: str = choice("none", "none", "none", "rack", "box", "light")
    tail: str = choice("none", "none", "spoiler", "wheel", "hitch")
    mirrors: bool = choice(True, False)

    def parts(self, paint: Rng) -> list[Part]:
        """Colors: the body, perhaps another for the roof, cargo; glass and rubber."""
        tint, other = color(paint, "any", "bright", "metal", "dark"), color(paint)
        long, wide, belt = 15.5, self.width, self.belt
        roof = belt + self.roof * (0.75 if self.style in ("coupe", "open") else 1)
        if self.style in ("van", "bus", "lorry"):
            roof += 2.5
        low, cut, nose, boot = self.ground, self.chamfer, belt - self.nose, belt - self.boot
        side = [
            (long, low + 0.4),
            (long, max(nose - cut, low + 1)),
            (long - cut, nose),
            (long * 0.4, belt),
            (-long * 0.65, belt),
            (-long + cut * 0.5, boot),
            (-long, max(boot - cut, low + 1)),
            (-long, low + 0.4),
            (-long + 1, low),
            (long - 1, low),
        ]
        parts = [slab(side, "z", (-wide, wide), tint)]
        foot, top, end, rear = _CABINS[self.style]
        if self.style in ("saloon", "hatch", "estate", "coupe", "pickup", "open"):
            foot, top, end, rear = (share + self.shift for share in (foot, top, end, rear))
            end, rear = max(end, -0.98), max(rear, -0.99)
        top -= self.rake
        cabin = [
            (foot * long, belt),
            (top * long, roof),
            (min(end, top - 0.03) * long, roof),
            (rear * long, belt),
        ]
        glass = tint if self.style in ("van", "bus") else GLASS
        parts += self._cabin(cabin, wide, glass, tint if paint.random() < 0.7 else other)
        parts += self._load(cabin, roof, wide, other) + self._extras(long, wide, tint)
        for x in (long * self.front_axle, -long * self.rear_axle):
            z = wide + self.track
            start, stop = (x, self.wheel, z - 2.2), (x, self.wheel, z)
            parts += both(rod(start, stop, self.wheel, BLACK, sides=16))
            hub = rod(
                (x, self.wheel, z), (x, self.wheel, z + 0.2), self.wheel * 0.55, (150, 150, 155)
            )
            parts += both(hub)
        return parts

    def _cabin(
        self, outline: list[tuple[float, float]], wide: float, glass: Color, tint: Color
    ) -> list[Part]:
        """Glass below a roof; both narrow towards the top."""
        (_, belt), (top, roof), (end, _), _ = outline
        inner, parts = wide * self.inset, []
        middle = wide * (0.4 + 0.6 * self.inset)
        half = (belt + roof) / 2
        lower = [outline[0], _mid(outline[0], outline[1]), _mid(outline[2], outline[3]), outline[3]]
        upper = [lower[1], outline[1], outline[2], lower[2]]
        parts = [
            slab(lower, "z", (-middle, middle), glass),
            slab(upper, "z", (-inner, inner), glass),
        ]
        if self.style == "open":
            seats = box((end - 6, end - 4), (belt, half + 0.6), (-inner, inner), BLACK)
            return [*parts, seats]
        return [
            *parts,
            box((end, max(top, end + 1)), (roof - 0.3, roof + 0.5), (-inner, inner), tint),
        ]

    def _load(
        self, cabin: list[tuple[float, float]], roof: float, wide: float, tint: Color
    ) -> list[Part]:
        """The bed of a pickup, the box of a lorry; what is carried on the roof."""
        belt, rear, end, parts = self.belt, cabin[3][0], cabin[2][0], []
        if self.style == "pickup":
            parts += both(box((-15.5, rear), (belt, belt + 1.6), (wide - 1, wide), tint))
            parts.append(box((-15.5, -14.5), (belt, belt + 1.6), (-wide, wide), tint))
        elif self.style == "lorry":
            high = roof + 12 * self.rake * 3
            parts.append(box((-15.5, rear - 0.6), (belt - 1, high), (-wide, wide), tint))
        start = max(cabin[1][0] - 1, end + 2)
        if self.roof_load == "rack":
            x = (max(end, -14), start)
            parts += both(box(x, (roof, roof + 1.4), (wide * 0.6 - 0.5, wide * 0.6 + 0.5), BLACK))
        elif self.roof_load == "box":
            x = (max(end, start - 8), start)
            parts.append(box(x, (roof, roof + 1.8), (-wide * 0.45, wide * 0.45), BLACK, taper=0.85))
        elif self.roof_load == "light":
            parts.append(box((start - 1.5, start), (roof, roof + 1.3), (-2, 2), (230, 200, 60)))
        return parts

    def _extras(self, long: float, wide: float, tint: Color) -> list[Part]:
        """Bumpers, mirrors, and what is on the tail."""
        parts, belt, low = [], self.belt, self.ground
        if self.bumpers:
            y = (low + 0.2, low + 1.8)
            ends = ((long - 1, long + self.bumpers), (-long - self.bumpers, -long + 1))
            parts += [box(x, y, (-wide * 0.95, wide * 0.95), BLACK) for x in ends]
        if self.mirrors:
            x = 15.5 * _CABINS[self.style][0] - 2.5
            parts += both(box((x, x + 1.2), (belt, belt + 1.3), (wide * 0.8, wide + 1.4), tint))
        if self.tail == "spoiler":
            parts.append(
                box((-long, -long + 1.8), (belt + 1, belt + 2), (-wide * 0.9, wide * 0.9), tint)
            )
            parts += both(
                box((-long, -long + 1), (belt - 2, belt + 1.5), (wide * 0.5, wide * 0.6), tint)
            )
        elif self.tail == "wheel":
            parts.append(rod((-long - 1.5, belt * 0.7, 0), (-long, belt * 0.7, 0), 2.4, BLACK))
        elif self.tail == "hitch":
            parts.append(box((-long - 2, -long), (low + 0.5, low + 1.3), (-0.7, 0.7), BLACK))
        return parts


def _mid(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    """The point half way."""
    middle = np.add(a, b) / 2
    return float(middle[0]), float(middle[1])
