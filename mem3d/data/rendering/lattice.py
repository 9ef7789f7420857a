"""Voxel grids seen from one place: what each face of a voxel covers is found once for all grids."""

# R = voxels per side, F = faces towards the eye, S = samples that they cover

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mem3d.data.rendering.light import Floats, facing, lamp, reaching, shaded, strength
from mem3d.data.rendering.rasterizer import (
    SAMPLES,
    WHITE,
    Ints,
    covered,
    mixed,
    packed,
    projected,
    ranges,
)
from memstore.voxels.contact_sheet import Rgb

_AXES = np.eye(3, dtype=np.int64)
_STEPS = np.concatenate([_AXES, -_AXES])  # from a voxel to those beside it


def _corners(step: Ints) -> Ints:
    """(4, 3) of the face between a voxel and one beside it, anticlockwise as that one sees it."""
    u, v = np.roll(abs(step), 1), np.roll(abs(step), 2)
    ring = np.array([0 * u, u, u + v, v])[:: step.sum()]
    return np.asarray(ring + step.clip(min=0))


_CORNERS = np.stack([_corners(step) for step in _STEPS])


class Lattice:
    """The faces of all voxels that are turned to an eye, and what of a picture each covers.

    Faces are in the order in which they are to be painted: a voxel that hides another is nearer to
    the eye along one axis at least, and along none farther, so the sum over the axes tells.
    """

    def __init__(self, side: int, eye: Floats, axes: Floats, size: int) -> None:
        """Find what each face covers.

        Args:
            side: R.
            eye: (3,) in the frame of `memstore.voxels.mesh`, outside of the cube.
            axes: (3, 3): right, up, towards the viewer.
            size: pixels per side of the picture.
        """
        self._axes, self._size = axes, size
        cells = np.indices((side,) * 3).reshape(3, -1).T
        distance = np.abs((cells + 0.5) / side - 0.5 - eye).sum(1)
        turned = [_turned(cells, step, (eye + 0.5) * side) for step in _STEPS]
        voxels = np.concatenate(turned)
        sides = np.repeat(np.arange(len(_STEPS)), [len(part) for part in turned])
        order = np.argsort(-distance[voxels], kind="stable")
        # Small numbers, so that the tables stay in the processor's caches.
        self._sides = sides[order].astype(np.int8)
        self._shown = [(i, step) for i, step in enumerate(_STEPS.tolist()) if len(turned[i])]
        self._ranks = np.full((len(_STEPS), side**3), -1, np.int32)
        self._ranks[sides[order], voxels[order]] = np.arange(len(order))
        cells = cells[voxels[order]]
        self._beside = _flat(cells + 1 + _STEPS[sides[order]], side + 2).astype(np.int32)
        corners = _flat(cells[:, None] + _CORNERS[sides[order]], side + 1).T.copy()
        places = (np.indices((side + 1,) * 3).reshape(3, -1).T / side - 0.5).astype(np.float32)
        x, y, _ = projected(places, eye, axes, SAMPLES * size)
        spans = covered(x[corners], y[corners], SAMPLES * size)
        self._places = spans.places(SAMPLES * size).astype(np.int32)
        self._counts = np.bincount(spans.owner, spans.counts, len(order)).astype(np.int32)
        self._starts = (self._counts.cumsum() - self._counts).astype(np.int32)

    def draw(self, grid: NDArray[np.bool_], color: NDArray[np.uint8]) -> Rgb:
        """Draw the grid (R, R, R) in one color (3,), on white: (size, size, 3)."""
        full = np.pad(grid, 1)
        ranks = [self._ranks[side, _bare(full, step)] for side, step in self._shown]
        visible = np.sort(np.concatenate(ranks))
        visible = visible[np.searchsorted(visible, 0) :]  # others turn their backs
        sides, counts = self._sides[visible], self._counts[visible]
        normals = _STEPS.astype(np.float32)
        sun = reaching(grid, lamp(0, self._axes)).ravel()[self._beside[visible]]
        first = facing(normals, 0, self._axes)[sides] * sun
        colors = packed(shaded(color, strength(normals[sides], self._axes, first)))
        samples = np.full((SAMPLES * self._size) ** 2, WHITE)
        # Of a sample that several faces cover, the last color stays.
        places = self._places[ranges(self._starts[visible], counts)]
        samples[places] = np.repeat(colors, counts)
        return mixed(samples.reshape(SAMPLES * self._size, -1))


def _turned(cells: Ints, step: Ints, eye: Floats) -> Ints:
    """Which of the cells (R^3, 3) show an eye, in units of cells, their face on one side."""
    axis = int(np.abs(step).argmax())
    plane = cells[:, axis] + (step[axis] > 0)
    return np.flatnonzero((eye[axis] - plane) * step[axis] > 0)


def _bare(full: NDArray[np.bool_], step: Sequence[int]) -> Ints:
    """Numbers of full voxels beside an empty one; `full` has one more on every side."""
    side = len(full) - 2
    beside = full[tuple(slice(1 + move, 1 + move + side) for move in step)]
    return np.flatnonzero(full[1:-1, 1:-1, 1:-1] & ~beside)


def _flat(cells: Ints, side: int) -> Ints:
    """Numbers (...) of cells (..., 3) in a cube."""
    return np.asarray((cells[..., 0] * side + cells[..., 1]) * side + cells[..., 2])
