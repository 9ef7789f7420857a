"""Pix3D's camera: where a grid lies in a photo.

The camera is at the origin and looks along +z; +x is to the left in the photo, +y up. The photo's
width is SENSOR wide, whatever its height, and its centre is on the axis. A point p of a model,
whose own axes are (left, up, inward), is at rotation @ p + translation.

Source: README and demo.py of Pix3D (Blender's camera, turned about y by 180 degrees); size of a
model: Mesh R-CNN, utils/shape.py.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from memstore.meshes import blocky

SENSOR = 32.0  # mm; focal lengths are given for a sensor of this width
_SAMPLES = 4  # a silhouette is drawn so many times larger
_TO_MODEL = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # our (x, y, z) is a model's (z, y, -x)

Box = tuple[int, int, int]  # left, top, side of a square in a photo


@dataclass(frozen=True, eq=False)
class Pose:
    """Where an object stands before the camera."""

    rotation: NDArray[np.float64]  # (3, 3)
    translation: NDArray[np.float64]  # (3,)
    focal: float  # focal length over the photo's width


def silhouette(
    grid: NDArray[np.bool_], pose: Pose, size: tuple[int, int], box: Box, side: int
) -> NDArray[np.bool_]:
    """Which pixels of a square in a photo a grid covers.

    Args:
        grid: (R, R, R), placed as the photo's own model is: its bounding box centred, its farthest
            voxel .5 away.
        pose: of the object.
        size: width and height of the photo in pixels.
        box: the square: left, top and side.
        side: pixels of the result.

    Returns:
        (side, side).
    """
    corners, length = _placed(grid), side * _SAMPLES
    seen = corners @ pose.rotation.T + pose.translation  # (F, 3, 3): left, up, away
    seen = seen[(seen[..., 2] > 1e-6).all(axis=1)]  # what is behind the camera is left out
    place = -seen[..., :2] / seen[..., 2:] * (pose.focal * size[0]) + np.array(size) / 2
    place = (place - box[:2]) * (length / box[2])
    # Triangles that miss the square; far corners of others would only cost time.
    hits = (place.max(1) > 0).all(1) & (place.min(1) < length).all(1)
    canvas = Image.new("1", (length, length))
    draw = ImageDraw.Draw(canvas)
    for triangle in place[hits].clip(-4 * length, 5 * length):
        draw.polygon(triangle.ravel().tolist(), fill=1)
    cells = np.asarray(canvas).reshape(side, _SAMPLES, side, _SAMPLES)
    return np.asarray(cells.mean(axis=(1, 3)) > 0.5)


def _placed(grid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(F, 3, 3) corners of the triangles around a grid's voxels, in the frame of Pix3D's models."""
    if not grid.any():
        return np.zeros((0, 3, 3))
    mesh = blocky(grid)
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    places = (np.argwhere(grid) + 0.5) / len(grid) - 0.5  # blocky's frame
    middle = (places.min(0) + places.max(0)) / 2
    farthest = np.linalg.norm(places - middle, axis=1).max() or 0.5 / len(grid)
    return np.asarray((corners - middle) @ _TO_MODEL.T * (0.5 / farthest))
