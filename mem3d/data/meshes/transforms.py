"""Meshes turned into the frame of the data (y up, front +x, longest side 1), and deformed."""

# V = vertices

import re
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from memstore.voxels.mesh import Mesh

DIRECTIONS = {
    f"{sign}{axis}": row * (-1 if sign else 1)
    for sign in ("", "-")
    for axis, row in zip("xyz", np.eye(3), strict=True)
}

Points = NDArray[np.float64]

KNOTS = 6  # of each axis' warp
WHOLE = 1.35  # most by which an axis as a whole grows or shrinks
PIECE = 2.0  # most by which a piece between two knots does, besides

_VARIANT = re.compile(r"-v\d{2,3}$")


def rotation(up: str = "y", front: str = "x") -> Points:
    """Rotation (3, 3) from a mesh's own frame into that of the data: new = old @ rotation.T.

    Args:
        up: which way is up in the mesh: "x", "-x", "y", "-y", "z" or "-z".
        front: which way its front looks, across `up`.

    Raises:
        ValueError: another word, or two directions on one axis.
    """
    for name, word in (("up", up), ("front", front)):
        if word not in DIRECTIONS:
            raise ValueError(f"{name}: got {word!r}, want one of {sorted(DIRECTIONS)}")
    if up[-1] == front[-1]:
        raise ValueError(f"front: got {front!r} with up {up!r}, want a direction across it")
    x, y = DIRECTIONS[front], DIRECTIONS[up]
    return np.stack([x, y, np.cross(x, y)])


def framed(points: Points, turn: Points) -> Points:
    """Turn points (N, 3) by a rotation, center their bounding box and make its longest side 1.

    Raises:
        ValueError: the points have no size, or one that is not finite.
    """
    turned = points @ turn.T
    low, high = turned.min(0), turned.max(0)
    longest = float((high - low).max())
    if not 0 < longest < np.inf:
        raise ValueError(f"got longest side {longest}, want a finite size above 0")
    unit: Points = (turned - (low + high) / 2) / longest
    return unit


def variant_name(name: str, variant: int) -> str:
    """Name of a mesh's variant; 0 is the mesh itself."""
    return name if variant == 0 else f"{name}-v{variant:02d}"


def shape_family(shape_id: str) -> str:
    """Name of the mesh that a shape is a variant of; that of any other shape, as it is."""
    return _VARIANT.sub("", shape_id)


def deform(mesh: Mesh, rng: np.random.Generator) -> Mesh:
    """Warp a mesh in the frame of the grids (y up, front +x).

    Args:
        mesh: one with no vertices is given back.
        rng: the only source of randomness.

    Returns:
        the same faces and colors, other vertices.
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
