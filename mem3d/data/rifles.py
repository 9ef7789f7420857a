"""Procedural rifles.

Units of about one voxel of a 32^3 grid; y up, muzzle at +x, left and right along z.
"""

from itertools import pairwise

from mem3d.data.devices import BLACK
from mem3d.data.paint import Rng, color
from mem3d.data.solids import Color, Part, box, rod, slab


def rifle(rng: Rng) -> list[Part]:
    """A sporting rifle, assault rifle, sniper's rifle, shotgun, submachine gun or bullpup."""
    style = str(
        rng.choice(["sporting", "assault", "assault", "sniper", "shotgun", "smg", "bullpup"])
    )
    steel, wood = color(rng, "dark"), color(rng, str(rng.choice(["wood", "dark"])))
    thick = float(rng.uniform(0.9, 1.4))  # half the width of the body
    back = float(rng.uniform(-4, 0)) if style != "bullpup" else -9.0
    front = back + float(rng.uniform(7, 11))
    muzzle = 16.0 if style not in ("smg", "bullpup") else front + float(rng.uniform(3, 8))
    tall = float(rng.uniform(2, 3.4))
    receiver = box((back, front), (-tall / 2, tall / 2), (-thick, thick), steel)
    bore = float(rng.uniform(0, tall * 0.3))
    parts = [
        receiver,
        rod((front - 1, bore, 0), (muzzle, bore, 0), float(rng.uniform(0.6, 0.9)), steel),
    ]
    if rng.random() < 0.8:
        guard = (front, front + (muzzle - front) * float(rng.uniform(0.4, 0.75)))
        low = -tall * float(rng.uniform(0.3, 0.6))
        parts.append(box(guard, (low, bore + 0.7), (-thick * 0.9, thick * 0.9), wood))
    if style == "shotgun":
        parts.append(rod((front - 1, bore - 1.6, 0), (muzzle - 2, bore - 1.6, 0), 0.7, steel))
    parts += _stock(rng, style, back, tall, thick, wood)
    if style in ("assault", "smg", "bullpup") or rng.random() < 0.25:
        parts += _magazine(rng, style, back, front, tall, thick)
    if rng.random() < (0.9 if style == "sniper" else 0.3):
        y, x = tall / 2 + 1.4, float(rng.uniform(back, back + 2))
        reach = float(rng.uniform(5, 9))
        parts.append(rod((x, y, 0), (x + reach, y, 0), 0.9, BLACK))
        parts.append(box((x + 1, x + reach - 1), (tall / 2, y), (-0.5, 0.5), steel))
    elif rng.random() < 0.5:
        parts.append(box((muzzle - 2.5, muzzle - 1.5), (bore, bore + 2), (-0.5, 0.5), steel))
    if style == "sniper" and rng.random() < 0.6:
        for side in (-1, 1):
            parts.append(rod((front + 3, bore, 0), (front + 4, bore - 5.5, side * 3), 0.5, steel))
    return parts


def _stock(rng: Rng, style: str, back: float, tall: float, thick: float, tint: Color) -> list[Part]:
    """Shoulder stock, whole or a frame, and a grip."""
    end, drop = -16.0 if style != "smg" else back - 7.0, float(rng.uniform(0.5, 3))
    butt, parts = float(rng.uniform(3, 5)), []
    z = (-thick * 0.8, thick * 0.8)
    if style == "bullpup":
        end = back - 3
    if style in ("assault", "smg") and rng.random() < 0.4:
        parts.append(rod((end, 0, 0), (back, 0, 0), 0.6, tint))
        parts.append(box((end, end + 1.4), (-butt, 0.8), z, tint))
        parts.append(rod((end, -butt + 0.6, 0), (back, -tall / 2, 0), 0.6, tint))
    else:
        outline = [(back, tall / 2), (back, -tall / 2), (end, -drop - butt), (end, tall / 2 - drop)]
        parts.append(slab(outline, "z", z, tint))
    if style in ("sporting", "shotgun") and rng.random() < 0.7:
        return parts  # held at the stock's neck
    x, reach = back + float(rng.uniform(0.5, 2.5)), float(rng.uniform(3.5, 5.5))
    grip = [
        (x, -tall / 2),
        (x + 2, -tall / 2),
        (x + 0.8, -tall / 2 - reach),
        (x - 1.2, -tall / 2 - reach),
    ]
    return [*parts, slab(grip, "z", z, tint)]


def _magazine(
    rng: Rng, style: str, back: float, front: float, tall: float, thick: float
) -> list[Part]:
    """Straight, curved or a drum."""
    x = front - 3.5 if style != "bullpup" else back + 1
    deep, z = float(rng.uniform(3, 8)), (-thick * 0.7, thick * 0.7)
    kind = str(rng.choice(["straight", "curved", "curved", "drum"]))
    if kind == "drum":
        y = -tall / 2 - 2
        return [rod((x + 1, y, -thick), (x + 1, y, thick), 2.6, BLACK, sides=20)]
    shift = 0.0 if kind == "straight" else float(rng.uniform(1, 3))
    levels = [-tall / 2, -tall / 2 - deep * 0.5, -tall / 2 - deep]
    bend = [0.0, shift * 0.25, shift]
    return [
        slab([(x + a, y), (x + a + 2.2, y), (x + b + 2.2, w), (x + b, w)], "z", z, BLACK)
        for (y, w), (a, b) in zip(pairwise(levels), pairwise(bend), strict=True)
    ]
