"""Turning meshes into the frame of the data: y up, front +x, longest side 1, centred."""

import numpy as np
from numpy.typing import NDArray

DIRECTIONS = {
    f"{sign}{axis}": row * (-1 if sign else 1)
    for sign in ("", "-")
    for axis, row in zip("xyz", np.eye(3), strict=True)
}

Points = NDArray[np.float64]


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
    """Turn points (N, 3) by a rotation, centre their bounding box and make its longest side 1.

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
