"""New shapes from one mesh: each axis is stretched here and squeezed there.

Every coordinate is warped by a monotone function of itself alone, so that upright legs stay
upright, flat tops flat and what touched still touches, while seats sink, backs grow and bonnets
lengthen. The function of z is odd: shapes stay alike left and right, as most are.
"""

# V = vertices

import re
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from memstore.meshes import Mesh

KNOTS = 6  # of each axis' warp
WHOLE = 1.35  # most by which an axis as a whole grows or shrinks
PIECE = 2.0  # most by which a piece between two knots does, besides

_VARIANT = re.compile(r"-v\d{2,3}$")


def variant_name(name: str, variant: int) -> str:
    """Name of a mesh's variant; 0 is the mesh itself."""
    return name if variant == 0 else f"{name}-v{variant:02d}"


def family(source: str) -> str:
    """Name of the mesh that a shape is a variant of; that of any other shape, as it is."""
    return _VARIANT.sub("", source)


def deform(mesh: Mesh, rng: np.random.Generator) -> Mesh:
    """Warp a mesh in the frame of the grids (y up, front +x).

    Args:
        mesh: one with no vertices is given back.
        rng: the only source of randomness.

    Returns:
        the same faces and colours, other vertices.
    """
    if not len(mesh.vertices):
        return mesh
    places = mesh.vertices.astype(np.float64)
    warped = [_warped(places[:, axis], is_odd=axis == 2, rng=rng) for axis in range(3)]
    return replace(mesh, vertices=np.stack(warped, axis=1).astype(np.float32))


def _warped(
    x: NDArray[np.float64], *, is_odd: bool, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Coordinates (V,) under a random monotone, piecewise linear map of their range."""
    whole = WHOLE ** rng.uniform(-1, 1)
    slopes = PIECE ** rng.uniform(-1, 1, KNOTS)
    if is_odd:
        slopes = (slopes + slopes[::-1]) / 2
    low, high = x.min(), x.max()
    knots = np.linspace(low, high, KNOTS + 1)
    steps = slopes * whole * (high - low) / KNOTS
    ends = np.concatenate([[0.0], np.cumsum(steps)])
    warped: NDArray[np.float64] = np.interp(x, knots, ends - ends[-1] / 2)
    return warped
