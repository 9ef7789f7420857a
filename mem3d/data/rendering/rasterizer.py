"""Pictures of closed surfaces of small faces, without a tree for rays to be built first.

What a face covers is found row by row by its edges, what is seen by its depth. Each face has one
color. Cameras and scale are the renderer's.
"""

# V = vertices, F = faces, E = corners of a face, N = rows of faces, S = samples in those rows

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mem3d.data.rendering.light import Floats
from mem3d.data.rendering.renderer import FOCAL
from memstore.voxels.contact_sheet import Rgb

Ints = NDArray[np.int64]
Rows = NDArray[np.int32] | NDArray[np.int64]

SAMPLES = 2  # per pixel and axis
WHITE = np.uint32(255 | 255 << 10 | 255 << 20)
_HALVES = np.uint32(2 | 2 << 10 | 2 << 20)  # of a pixel that is a fourth of a sum


class Spans(NamedTuple):
    """Samples that faces cover, row by row."""

    owner: Ints  # (N,) number of the face
    row: Ints  # (N,)
    begin: Ints  # (N,) first column
    counts: Ints  # (N,) columns, 0 or more

    def places(self, side: int) -> Ints:
        """(S,) row * side + column of each sample."""
        return ranges(self.row * side + self.begin, self.counts)


def draw_faces(
    vertices: Floats, faces: Rows, colors: NDArray[np.uint8], eye: Floats, axes: Floats, size: int
) -> Rgb:
    """Draw faces on white, each pixel the mean of four samples.

    Args:
        vertices: (V, 3).
        faces: (F, E) rows of vertices, see `nearest_faces`.
        colors: (F, 3) sRGB.
        eye: (3,).
        axes: (3, 3): right, up, towards the viewer.
        size: pixels per side.

    Returns:
        (size, size, 3).
    """
    levels = np.append(packed(colors), WHITE)
    return mixed(levels[nearest_faces(vertices, faces, eye, axes, SAMPLES * size)])


def packed(colors: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """(F,) of sRGB (F, 3): levels in one number, with room for the sum of four."""
    red, green, blue = colors.astype(np.uint32).T
    return np.asarray(red | green << 10 | blue << 20)


def mixed(samples: NDArray[np.uint32]) -> Rgb:
    """A picture (H, W, 3) of `packed` samples (2 H, 2 W): each pixel is the mean of four."""
    rows = samples[::2] + samples[1::2]
    total = rows[:, ::2] + rows[:, 1::2] + _HALVES
    picture = np.empty((*total.shape, 3), np.uint8)
    for channel in range(3):
        picture[..., channel] = total >> (10 * channel + 2)  # what is above it is cut off
    return picture


def nearest_faces(vertices: Floats, faces: Rows, eye: Floats, axes: Floats, side: int) -> Ints:
    """The face that is seen at each sample of a picture.

    Args:
        vertices: (V, 3), all of them before the eye.
        faces: (F, E) rows of vertices: flat and convex, the corners anticlockwise as seen from
            outside. Those seen from behind are left out.
        eye: (3,).
        axes: (3, 3): right, up, towards the viewer.
        side: samples per side.

    Returns:
        (side, side) number of the face, -1 where there is none.
    """
    corners = np.ascontiguousarray(faces.T)  # as what is taken by them will be
    x, y, near = (values[corners] for values in projected(vertices, eye, axes, side))
    area = _cross(x, y)
    front = np.flatnonzero(area < 0)
    front = front[near.take(front, 1).sum(0).argsort()]  # painted in this order, few are wrong
    x, y, near, area = (values.take(front, -1) for values in (x, y, near, area))
    spans = covered(x, y, side)
    # Nearness, 1 / depth, is a plane over the picture.
    across, down = _cross(near, y) / area, _cross(x, near) / area
    there = near[0] - across * x[0] - down * y[0]
    start = (down[spans.owner] * spans.row + there[spans.owner]).astype(np.float32)
    nearness = np.repeat(start, spans.counts)
    nearness += np.repeat(across[spans.owner], spans.counts) * ranges(spans.begin, spans.counts)
    nearest = _nearest(spans.places(side), nearness, side * side)
    numbers = np.append(np.repeat(front[spans.owner], spans.counts), -1)
    return numbers[nearest].reshape(side, side)


def projected(
    vertices: Floats, eye: Floats, axes: Floats, side: int
) -> tuple[Floats, Floats, Floats]:
    """Column and row (V,) of vertices, where middles of samples are whole, and 1 / depth.

    One by one: a product of matrices may round equal rows differently, and faces would part.
    """
    away = (vertices - eye).T
    right, up, back = (a * away[0] + b * away[1] + c * away[2] for a, b, c in axes)
    near = -1 / back
    scale, middle = near * np.float32(FOCAL * side), np.float32(side / 2 - 0.5)
    return right * scale + middle, middle - up * scale, near


def _cross(first: Floats, second: Floats) -> Floats:
    """(F,) of the edges from the first corner to the second and third of (E, F)."""
    a, b = first[1:3] - first[0], second[1:3] - second[0]
    return np.asarray(a[0] * b[1] - a[1] * b[0])


def covered(x: Floats, y: Floats, side: int) -> Spans:
    """Which samples of a picture faces cover, in the order of the faces.

    Edges that two faces share are cut at the very same place, so that they neither part nor meet.

    Args:
        x: (E, F) columns of corners.
        y: (E, F) rows.
        side: rows and columns of the picture.
    """
    first = np.ceil(y.min(0)).clip(0, side).astype(np.int64)
    counts = (np.floor(y.max(0)).clip(-1, side - 1).astype(np.int64) - first + 1).clip(min=0)
    owner, row = np.repeat(np.arange(x.shape[1]), counts), ranges(first, counts)
    height = row.astype(np.float32)
    following = np.arange(len(x)) - len(x) + 1
    other_x, other_y = x[following], y[following]
    down = other_y - y
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(down == 0, np.float32(0), (other_x - x) / down)
    start = np.where(down < 0, other_x - slope * other_y, x - slope * y)  # from the upper end
    left = np.where(down > 0, start, np.float32(-np.inf))
    right = np.where(down < 0, start, np.float32(np.inf))
    low, high = np.zeros(len(row), np.float32), np.full(len(row), side, np.float32)
    for edge in range(len(x)):
        place = slope[edge][owner] * height
        np.maximum(low, place + left[edge][owner], out=low)
        np.minimum(high, place + right[edge][owner], out=high)
    begin = np.ceil(low).astype(np.int64)
    return Spans(owner, row, begin, (np.ceil(high).astype(np.int64) - begin).clip(min=0))


def ranges(starts: Ints, counts: Ints) -> Ints:
    """start, start + 1, ... of each, so many, in one array."""
    ends = counts.cumsum()
    numbers: Ints = np.repeat(starts + counts - ends, counts)
    numbers += np.arange(len(numbers))
    return numbers


def _nearest(places: Ints, nearness: Floats, size: int) -> Ints:
    """For each place in [0, size) the sample (S,) there that is nearest, -1 where there is none."""
    nearest = np.full(size, -1)
    samples = np.arange(len(places))
    while len(samples):  # each turn ends with one that is nearer, so there is an end
        nearest[places[samples]] = samples
        samples = samples[nearness[samples] > nearness[nearest[places[samples]]]]
    return nearest
