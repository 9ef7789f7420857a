"""Procedural aeroplanes.

In units of about one voxel of a 32^3 grid; y up, nose at +x, left and right along z. Lengths
along x and z are halves.
"""

from dataclasses import dataclass

from mem3d.data.procedural.design import BLACK, GLASS, Design, Rng, choice, color, uniform
from mem3d.data.procedural.solids import Color, Part, ball, both, box, placed, rod, shear, slab


@dataclass(frozen=True, kw_only=True)
class Aeroplane(Design):
    """A fuselage, wings, a tail and engines, from glider to jet; sizes are for an airliner."""

    length: float = uniform(14, 16)
    thick: float = uniform(1.3, 2.3)
    nose: float = uniform(0.15, 0.4)  # share of the half length
    tail_cone: float = uniform(0.15, 0.5)  # its end over its start
    place: float = uniform(0.2, 0.34)  # where the wing starts, in half lengths
    level: float = choice(-0.6, -0.6, -0.5, -0.4, 0.0, 0.7)  # height of the wing, in radii
    span: float = uniform(13, 16)
    root: float = uniform(4.6, 7.8)  # chord
    tip: float = uniform(0.2, 0.7)  # chord over that at the root
    sweep: float = choice(1.0, 6.5, 7.0, 7.5, 8.0, 9.0)
    dihedral: float = uniform(0.02, 0.11)
    second: str = choice(
        "none", "none", "none", "none", "none", "none", "none", "biplane", "canard"
    )
    fin: float = uniform(4, 5.8)
    fin_sweep: float = uniform(0.2, 4)
    tail: str = choice("low", "low", "low", "t", "cross", "twin")
    tail_span: float = uniform(4, 6.8)
    engines: str = choice("two", "two", "two", "four", "rear", "nose", "props")
    engine: float = uniform(0.9, 1.6)  # radius
    engine_place: float = uniform(0.28, 0.5)  # share of the span
    winglets: float = choice(0.0, 0.0, 1.3, 2.4)
    gear: str = choice(*["none"] * 8, "wheels", "floats")

    def parts(self, paint: Rng) -> list[Part]:
        """Colors: the body, wings, tail and engines."""
        body, trim = color(paint, "metal", "pale", "any"), color(paint, "any", "bright")
        wing = body if paint.random() < 0.5 else color(paint, "metal", "any")
        long, r = self.length, self.thick
        front, back = long * (1 - self.nose), -long * 0.5
        end = (-long, r * (1 - self.tail_cone), 0)
        parts = [
            rod((back, 0, 0), (front, 0, 0), r, body),
            ball((front, 0, 0), (long * self.nose, r, r), body),
            rod((back, 0, 0), end, r, body, taper=self.tail_cone),
            ball((front, r * 0.5, 0), (long * self.nose * 0.5, r * 0.62, r * 0.6), GLASS),
        ]
        x, y = long * self.place, r * self.level
        shape = (x, self.root, self.root * self.tip, self.span, self.sweep)
        parts += wings(*shape, y, wing, self.dihedral)
        z, tip = self.span, x - self.sweep - self.root * self.tip
        if self.winglets:
            high = y + z * self.dihedral
            outline = [(tip + 1.6, high), (tip - 0.5, high + self.winglets), (tip - 0.5, high)]
            parts += both(slab(outline, "z", (z - 0.8, z + 0.1), trim))
        if self.second == "biplane":
            parts += wings(*shape, y + 4, wing, self.dihedral)
            post = x - 2 - 0.5 * self.sweep
            parts += both(rod((post, y, z / 2), (post, y + 5, z / 2), 0.5, trim))
        elif self.second == "canard":
            parts += wings(long * 0.75, 2.5, 1.2, 5, 2, 0.2, trim, 0)
        return parts + self._tail(trim) + self._engines(x, y, trim) + self._gear(x, body)

    def _tail(self, tint: Color) -> list[Part]:
        """Fin and tailplane."""
        long, base, tall = self.length, self.thick * 0.5, self.fin
        end = -long - self.fin_sweep * 0.5
        fin = [(-long + 4, base), (end + 1.8, base + tall), (end, base + tall), (-long, base)]
        if self.tail == "twin":
            z = self.tail_span * 0.7
            parts = both(slab(fin, "z", (z - 0.5, z + 0.5), tint))
        else:
            parts = [slab(fin, "z", (-0.5, 0.5), tint)]
        level = base + {"t": tall - 0.3, "cross": tall * 0.45}.get(self.tail, 0.2)
        root = -long + 3.5 - (2 + self.fin_sweep * 0.5 if self.tail == "t" else 0)
        return parts + wings(root, 3, 1.8, self.tail_span, self.fin_sweep * 0.6, level, tint, 0.03)

    def _engines(self, x: float, y: float, tint: Color) -> list[Part]:
        """Under the wings, at the tail, or propellers on the nose or the wings."""
        r, long = self.engine, self.length
        if self.engines == "rear":
            z, high = self.thick + r * 0.7, self.thick * 0.5
            start = -long * (0.3 + self.engine_place * 0.5)
            return both(rod((start, high, z), (start - 4.5, high, z), r, tint))
        blade = 2.5 + r
        if self.engines == "nose":
            spinner = rod((long - 1, 0, 0), (long + 0.6, 0, 0), r * 0.8, tint)
            wide = (-0.6 - self.engine_place, 0.6 + self.engine_place)
            return [spinner, box((long - 0.5, long + 0.3), (-blade, blade), wide, BLACK)]
        parts: list[Part] = []
        shares = [self.engine_place, self.engine_place + 0.25]
        for share in shares if self.engines == "four" else shares[:1]:
            z = self.span * share
            start, high = x - self.sweep * share, y + z * self.dihedral - r * 0.8
            parts += both(rod((start - 2.5, high, z), (start + 2, high, z), r, tint))
            if self.engines == "props":
                disc = box(
                    (start + 1.9, start + 2.6),
                    (high - blade, high + blade),
                    (z - 0.5, z + 0.5),
                    BLACK,
                )
                parts += both(disc)
        return parts

    def _gear(self, x: float, tint: Color) -> list[Part]:
        """Wheels or floats below."""
        y = -self.thick - 2.6
        if self.gear == "none":
            return []
        strut = rod((x - 2.5, y, 2), (x - 2.5, 0, 1), 0.55, tint)
        if self.gear == "floats":
            return both(strut, ball((x - 2, y, 2), (7, 0.9, 0.9), tint))
        nose = rod((self.length * 0.7, y, 0), (self.length * 0.7, 0, 0), 0.6, tint)
        return [nose, *both(strut, rod((x - 2.5, y, 1.5), (x - 2.5, y, 2.5), 1.1, BLACK))]


def wings(
    front: float,
    root: float,
    tip: float,
    half: float,
    sweep: float,
    y: float,
    tint: Color,
    dihedral: float,
) -> list[Part]:
    """A pair of flat wings whose leading edge starts at x = front, each rising by `dihedral`."""
    outline = [(front, 0.0), (front - sweep, half), (front - sweep - tip, half)]
    wing = slab([*outline, (front - root, 0.0)], "y", (y - 0.5, y + 0.5), tint)
    return both(*placed([wing], shear("y", "z", dihedral)))
