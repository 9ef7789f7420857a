"""Contact sheets of reconstructions: what colors mean stands once on each."""

from collections.abc import Sequence
from math import degrees, exp
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mem3d.data.images.preprocess import CROP
from mem3d.data.images.viewpoint import Viewpoint
from mem3d.data.rendering.figures import (
    GRID_COLOR,
    grid_picture,
    grid_pictures,
    mesh_pictures,
    zoom_of,
)
from mem3d.data.rendering.renderer import MAX_DISTANCE, SIZE, camera
from mem3d.data.taxonomy import titled
from mem3d.inference.output import MIDDLE, SURE, UNSURE
from memstore.voxels.contact_sheet import Legend, Rgb, Tile, sheet
from memstore.voxels.mesh import Mesh, blocky

if TYPE_CHECKING:
    from mem3d.inference.printing import Printable

VIEWS = (35.0, 215.0)  # degrees: each shows two sides and the top
COMPARED = ("picture", "true shape", "network", "recalled first", "recalled next")
STORED = (150, 155, 162)  # sRGB of recalled shapes: no color of a legend
MISSED, TOO_MUCH = (206, 112, 146), (238, 166, 96)  # voxels of the true shape, the network's, alone
AGREEMENT = Legend(
    "Voxels:", (GRID_COLOR, MISSED, TOO_MUCH), ("in both", "missed", "too much"), is_scale=False
)
_SIDES = ("front right", "back left")
_FIRST = 2  # recalled shapes that a comparison shows
_STEEPEST = 85.0  # degrees: elevation of a guessed camera that is drawn
_NEAREST, _FARTHEST = 1.0, 8.0  # grid sides: its distance; no corner is as far as 1 from the middle


def picture(
    photos: Sequence[Tile],
    grid: NDArray[np.bool_],
    mesh: Mesh | None,
    priors: Sequence[tuple[NDArray[np.bool_], str]],
    note: str,
    viewpoint: Viewpoint | None = None,
    threshold: float | None = None,
    body: "Printable | None" = None,
) -> Rgb:
    """Contact sheet: photo, network input, the shape from that camera and two corners; the priors.

    Args:
        photos: come first.
        grid: (R, R, R).
        mesh: of the grid; None where it is empty.
        priors: grid (R, R, R) and caption of each recalled shape.
        note: lines on top.
        viewpoint: of the photo, as far as it is known; None leaves that view out.
        threshold: from which occupancy on the mesh is colored; None if it is not.
        body: to print, in a row of its own; None if nothing is printed.

    Returns:
        (height, width, 3).
    """
    zoom = zoom_of([grid, *(shape for shape, _ in priors)], VIEWS)
    legend = None
    if mesh is None:
        sides = [Tile(grid_picture(grid), "no shape")]
    else:
        pictures = mesh_pictures(mesh, grid, VIEWS, zoom=zoom)
        sides = [Tile(image, side) for image, side in zip(pictures, _SIDES, strict=True)]
        if viewpoint is not None:
            sides.insert(0, Tile(as_photographed(mesh, grid, viewpoint), "as in the photo"))
        if threshold is not None:
            ends = f"{threshold:g}", "1"
            legend = Legend("Occupancy:", (UNSURE, MIDDLE, SURE), ends, is_scale=True)
    first = [*photos, *sides]
    listed = _tiles(priors, grid, zoom)
    rows = [listed[start : start + len(first)] for start in range(0, len(listed), len(first))]
    printed = [] if body is None else [body_tiles(body)]
    return sheet([first, *printed, *rows], note, legend=legend)


def body_tiles(body: "Printable") -> list[Tile]:
    """What is to be printed, from two corners, the front and a side; captions tell its measures."""
    deep, wide, high = (f"{side:.0f} mm" for side in body.size)
    captions = (
        *(f"to print\n{side}" for side in _SIDES),
        f"front: {wide} wide\n{high} high",
        f"side: {deep} deep\n{high} high",
    )
    azimuths = (*VIEWS, 0.0, 90.0)
    zoom = zoom_of([body.body], azimuths)
    pictures = mesh_pictures(body.drawn, body.body, azimuths, zoom=zoom)
    return [Tile(*tile) for tile in zip(pictures, captions, strict=True)]


def as_photographed(mesh: Mesh, grid: NDArray[np.bool_], viewpoint: Viewpoint) -> Rgb:
    """Draw a mesh where the network saw it in its input, on white.

    Args:
        mesh: closed.
        grid: (R, R, R) that casts its shadows.
        viewpoint: finite; what is steeper, nearer or farther than any photo is drawn from the
            nearest place that is not.

    Returns:
        (SIZE, SIZE, 3).
    """
    whole = round(SIZE / CROP)  # as the input is cut from the middle of a render
    distance = min(max(exp(min(viewpoint.log_distance, 9.0)), _NEAREST), _FARTHEST)
    elevation = min(max(degrees(viewpoint.elevation), -_STEEPEST), _STEEPEST)
    place = camera(degrees(viewpoint.azimuth), elevation, distance / MAX_DISTANCE)
    [drawn] = mesh_pictures(mesh, grid, (), whole, cameras=[place])
    shifts = [min(max(shift, -0.5), 0.5) for shift in (viewpoint.down, viewpoint.right)]
    top, left = (round(whole / 2 - (0.5 + shift) * SIZE) for shift in shifts)
    part = drawn[max(0, top) : top + SIZE, max(0, left) : left + SIZE]
    picture = np.full((SIZE, SIZE, 3), 255, np.uint8)
    y, x = max(0, -top), max(0, -left)
    picture[y : y + part.shape[0], x : x + part.shape[1]] = part
    return picture


def caption_of(rank: int, cosine: float, source: str) -> str:
    """What is written below a recalled shape: rank, cosine and name."""
    kind, *rest = titled(source).split(maxsplit=1)
    return "\n".join([f"{rank}: {kind}, cos {cosine:.2f}", *rest])


def comparison_row(
    photo: Tile,
    truth: NDArray[np.bool_],
    grid: NDArray[np.bool_],
    iou: float,
    priors: Sequence[tuple[NDArray[np.bool_], str]],
) -> list[Tile]:
    """Photo, true shape (R, R, R), reconstructed shape (R, R, R) with its IoU, recalled shapes.

    The two shapes are in the colors of AGREEMENT.
    """
    priors = priors[:_FIRST]
    zoom = zoom_of([truth, grid, *(shape for shape, _ in priors)], VIEWS[:1])
    return [
        photo,
        Tile(_compared(truth, grid, MISSED, zoom)),
        Tile(_compared(grid, truth, TOO_MUCH, zoom), f"IoU {iou:.2f}"),
        *_tiles(priors, grid, zoom),
    ]


def _compared(
    grid: NDArray[np.bool_], other: NDArray[np.bool_], alone: tuple[int, int, int], zoom: float
) -> Rgb:
    """A grid (R, R, R) from its front right, in another color where `other` is not full."""
    mesh = blocky(grid)
    corners = mesh.vertices[mesh.faces]  # (F, 3, 3)
    inwards = np.cross(corners[:, 2] - corners[:, 0], corners[:, 1] - corners[:, 0])
    middles = (corners.mean(axis=1) + 0.5) * len(grid)
    voxels = (middles + inwards * (len(grid) ** 2 / 2)).astype(np.int64)  # half a voxel deep
    both = other[tuple(voxels.T)]
    colors = np.where(both[:, None], GRID_COLOR, alone).astype(np.uint8)
    [drawn] = mesh_pictures(Mesh(mesh.vertices, mesh.faces, colors), grid, VIEWS[:1], zoom=zoom)
    return drawn


def _tiles(
    priors: Sequence[tuple[NDArray[np.bool_], str]], grid: NDArray[np.bool_], zoom: float
) -> list[Tile]:
    """Recalled shapes, or one that says that there are none."""
    if not priors:
        return [Tile(grid_picture(np.zeros_like(grid)), "nothing recalled")]
    shapes, captions = zip(*priors, strict=True)
    pictures = grid_pictures(shapes, VIEWS[0], zoom, STORED)
    return [Tile(*tile) for tile in zip(pictures, captions, strict=True)]
