"""Things put before an object: for training, and to measure what hiding costs.

An occluder is a disc or a convex polygon, drawn until it hides the wanted share of the object. It
belongs to the picture: opaque, in shades of one color.
"""

import numpy as np
from numpy.typing import NDArray

Rgba = NDArray[np.uint8]

CORNERS = (0, 3, 4, 4, 5, 6)  # of the shapes drawn from; 0 is a disc
SHADE = 0.2  # how much lighter and darker than its color an occluder gets from side to side


def occlude(rgba: Rgba, share: float, rng: np.random.Generator) -> Rgba:
    """Put one opaque shape before the object.

    Args:
        rgba: (H, W, 4); alpha > 127 is the object.
        share: of the object's pixels to hide, in [0, 1]; hit to within the few pixels that an edge
            takes in at once.
        rng: chooses shape, place and color.

    Returns:
        (H, W, 4), a copy; as it was if there is nothing to hide.

    Raises:
        ValueError: the share is out of range.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share: got {share}, want 0 to 1")
    result = rgba.copy()
    mask = rgba[..., 3] > 127
    area = round(share * np.count_nonzero(mask))
    if not area:
        return result
    size = _sizes(mask, rng)
    covered = size <= np.partition(size[mask], area - 1)[area - 1]
    result[covered] = _paint(rgba.shape[:2], rng)[covered]
    return result


def _sizes(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float32]:
    """(H, W): how large a shape of a drawn kind and place must be to cover each pixel."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    y = np.arange(mask.shape[0], dtype=np.float32)[:, None] - rng.uniform(rows[0], rows[-1])
    x = np.arange(mask.shape[1], dtype=np.float32)[None] - rng.uniform(columns[0], columns[-1])
    corners = int(rng.choice(CORNERS))
    stretch = rng.uniform(0.5, 2)
    if not corners:
        disc: NDArray[np.float32] = np.hypot(x * np.float32(stretch), y)
        return disc
    # A convex polygon around the origin: the largest of the distances along its sides' normals.
    angles = rng.uniform(0, 2 * np.pi) + np.arange(corners) * 2 * np.pi / corners
    nearness = rng.uniform(0.5, 1, corners) * np.where(np.arange(corners) % 2, stretch, 1)
    sizes = np.full(mask.shape, -np.inf, np.float32)
    for across, down in zip(np.cos(angles) * nearness, np.sin(angles) * nearness, strict=True):
        np.maximum(sizes, x * np.float32(across) + y * np.float32(down), out=sizes)
    return sizes


def _paint(shape: tuple[int, ...], rng: np.random.Generator) -> Rgba:
    """(H, W, 4) opaque, one color, lighter towards one side."""
    color, angle = rng.uniform(0, 255, 3), rng.uniform(0, 2 * np.pi)
    y = np.linspace(-SHADE, SHADE, shape[0])[:, None] * np.sin(angle)
    x = np.linspace(-SHADE, SHADE, shape[1])[None] * np.cos(angle)
    painted = np.full((*shape, 4), 255, np.uint8)
    painted[..., :3] = ((1 + y + x)[..., None] * color).clip(0, 255)
    return painted
