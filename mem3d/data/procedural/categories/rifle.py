"""Procedural rifles.

In units of about one voxel of a 32^3 grid; y up, muzzle at +x, left and right along z.
"""

from dataclasses import dataclass

from mem3d.data.procedural.design import BLACK, Design, Rng, choice, color, uniform
from mem3d.data.procedural.solids import Color, Part, both, box, placed, rod, shear, slab


@dataclass(frozen=True, kw_only=True)
class Rifle(Design):
    """A rifle, shotgun, submachine gun or machine gun; the bore is near y = 0."""

    receiver: float = uniform(7, 12)  # length
    tall: float = uniform(2, 3.8)  # height of the receiver
    thick: float = uniform(0.8, 1.5)  # half its width
    barrel: float = uniform(5, 17)  # length
    bore: float = uniform(0.55, 1)  # radius of the barrel
    muzzle: str = choice("bare", "bare", "brake", "silencer", "bayonet")
    guard: float = uniform(0.3, 0.95)  # share of the barrel under wood
    guard_depth: float = uniform(0.2, 1)
    second: str = choice("none", "none", "tube", "rail")  # below the barrel
    stock: str = choice("whole", "whole", "whole", "thumbhole", "frame", "none")
    stock_length: float = uniform(5, 13)
    butt: float = uniform(2.6, 5.5)
    drop: float = uniform(0.2, 3.2)  # of the stock's end
    grip: float = choice(0.0, 3.5, 4.5, 5.5)  # length
    rake: float = uniform(0, 0.6)  # of the grip
    magazine: str = choice("none", "straight", "curved", "curved", "drum", "box")
    depth: float = uniform(2.5, 8.5)  # of the magazine
    feed: float = uniform(0.1, 0.9)  # where on the receiver the magazine sits
    sight: str = choice("iron", "iron", "scope", "scope", "handle", "none")
    scope: float = uniform(4, 10)  # length of the scope
    bipod: str = choice("none", "none", "none", "down", "folded")

    def parts(self, paint: Rng) -> list[Part]:
        """Colors: steel, furniture, black."""
        steel, wood = color(paint, "dark", "dark", "metal"), color(paint, "wood", "dark", "any")
        front, muzzle = self.receiver, self.receiver + self.barrel
        half, thick = self.tall / 2, self.thick
        line = half * 0.3  # height of the bore
        parts = [
            box((0, front), (-half, half), (-thick, thick), steel),
            rod((front - 1, line, 0), (muzzle, line, 0), self.bore, steel),
        ]
        end = front + self.barrel * self.guard
        low = line - self.bore - self.guard_depth * 1.6
        parts.append(box((front, end), (low, line + 0.6), (-thick * 0.9, thick * 0.9), wood))
        if self.second != "none":
            y = line - self.bore - (0.8 if self.second == "tube" else 0.3)
            reach = muzzle - (1.5 if self.second == "tube" else self.barrel * 0.25)
            parts.append(rod((front - 1, y, 0), (reach, y, 0), 0.65, steel))
        parts += self._muzzle(muzzle, line, steel) + self._stock(half, wood)
        parts += self._sight(muzzle, half, steel) + self._magazine(half)
        if self.grip:
            grip = box((0.3, 2.6), (-half - self.grip, -half), (-thick * 0.8, thick * 0.8), wood)
            parts += placed([grip], shear("x", "y", self.rake), (0, -half, 0))
            guard = box((2.4, 5), (-half - 1.6, -half - 0.8), (-0.4, 0.4), steel)
            parts += [guard, box((4.4, 5), (-half - 1.6, -half), (-0.4, 0.4), steel)]
        if self.bipod == "down":
            parts += both(rod((end, line, 0), (end + 1, line - 6, 3), 0.5, steel))
        elif self.bipod == "folded":
            parts += both(rod((end, line - 1.5, 0.6), (end + 5, line - 1.8, 0.9), 0.6, steel))
        return parts

    def _muzzle(self, x: float, y: float, tint: Color) -> list[Part]:
        """What sits on the barrel's end."""
        if self.muzzle == "brake":
            return [rod((x - 1, y, 0), (x + 1.5, y, 0), self.bore + 0.5, tint)]
        if self.muzzle == "silencer":
            return [rod((x - 1, y, 0), (x + 5, y, 0), self.bore + 0.6, tint)]
        if self.muzzle == "bayonet":
            return [
                slab([(x - 2, y - 0.6), (x + 5, y - 0.9), (x - 2, y - 2)], "z", (-0.4, 0.4), tint)
            ]
        return []

    def _stock(self, half: float, tint: Color) -> list[Part]:
        """Shoulder stock: whole, with a hole, a frame, or none."""
        end, z = -self.stock_length, (-self.thick * 0.8, self.thick * 0.8)
        top, low = half - self.drop, -self.drop - self.butt
        if self.stock == "none":
            return [box((-1, 0), (-half - 1, half), z, tint)]
        plate = box((end, end + 1.5), (low, top), z, tint)
        if self.stock == "frame":
            bar = rod((end + 0.5, top - 0.7, 0), (0, half * 0.4, 0), 0.65, tint)
            return [plate, bar, rod((end + 0.5, low + 0.7, 0), (0, -half * 0.7, 0), 0.65, tint)]
        if self.stock == "thumbhole":
            upper = [(0, half), (0, 0), (end, top - 2), (end, top)]
            lower = [(end * 0.45, -half * 0.4), (end, top), (end, low), (end * 0.6, low + 1)]
            return [slab(upper, "z", z, tint), slab(lower, "z", z, tint)]
        outline = [(0, half), (0, -half), (end, low), (end, top)]
        return [slab(outline, "z", z, tint)]

    def _sight(self, muzzle: float, half: float, tint: Color) -> list[Part]:
        """Iron sights, a scope or a carrying handle."""
        if self.sight == "iron":
            high = half + 0.5 + self.scope * 0.15
            front = box((muzzle - 2.5, muzzle - 1.4), (0, high), (-0.5, 0.5), tint)
            return [front, box((1, 2.2), (half, high), (-0.5, 0.5), tint)]
        x, y = self.receiver * 0.1, half + 1.6
        if self.sight == "scope":
            bell = rod((x + self.scope - 2, y, 0), (x + self.scope + 1, y, 0), 1.25, BLACK)
            mount = box((x + 1, x + self.scope - 2), (half, y), (-0.5, 0.5), tint)
            return [rod((x, y, 0), (x + self.scope, y, 0), 0.85, BLACK), bell, mount]
        if self.sight == "handle":
            bar = box((x, x + self.scope), (y, y + 0.9), (-0.5, 0.5), tint)
            ends = (x, x + self.scope - 1)
            return [bar, *(box((a, a + 1), (half, y), (-0.5, 0.5), tint) for a in ends)]
        return []

    def _magazine(self, half: float) -> list[Part]:
        """Straight, curved, a drum or a box at the side."""
        x, z = 2.5 + (self.receiver - 5) * self.feed, (-self.thick * 0.7, self.thick * 0.7)
        if self.magazine == "none":
            return []
        if self.magazine == "drum":
            radius = 1.4 + self.depth * 0.25
            y = -half - radius * 0.7
            return [rod((x + 1, y, -1.4), (x + 1, y, 1.4), radius, BLACK, sides=20)]
        if self.magazine == "box":
            return [box((x, x + 4), (-half - self.depth * 0.6, -half), (-1.6, 1), BLACK)]
        low, bend = -half - self.depth, 0.0 if self.magazine == "straight" else self.depth * 0.3
        middle = -half - self.depth / 2
        outline = [(x, -half), (x + bend * 0.2, middle), (x + bend, low)]
        return [slab([*outline, *((a + 2.3, b) for a, b in outline[::-1])], "z", z, BLACK)]
