"""Contact sheets of reconstructions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mem3d.data.rendering.figures import grid_picture, mesh_pictures
from mem3d.data.taxonomy import titled
from memstore.voxels.contact_sheet import Tile, sheet
from memstore.voxels.mesh import Mesh

VIEWS = (35.0, 125.0, 215.0, 305.0)  # degrees
_SIDES = ("front right", "back right", "back left", "front left")
_COLUMNS = 2 + len(VIEWS)  # of a picture


def prior_tile(rank: int, grid: NDArray[np.bool_], cosine: float, source: str) -> Tile:
    """A recalled shape with its rank, cosine and name."""
    caption = f"{rank}: cos {cosine:.3f}\n{titled(source)}"
    return Tile(grid_picture(grid, azimuth=VIEWS[0]), caption)


def picture(
    photos: Sequence[Tile],
    grid: NDArray[np.bool_],
    mesh: Mesh | None,
    priors: Sequence[Tile],
    note: str,
) -> NDArray[np.uint8]:
    """Contact sheet: photo and network input, the shape from four sides; below, the priors.

    Args:
        photos: come first.
        grid: (R, R, R).
        mesh: of the grid; None where it is empty.
        priors: from `prior_tile`.
        note: lines on top.

    Returns:
        (height, width, 3) uint8.
    """
    if mesh is None:
        sides = [Tile(grid_picture(grid), "no shape")]
    else:
        pictures = mesh_pictures(mesh, grid, VIEWS)
        sides = [Tile(image, side) for image, side in zip(pictures, _SIDES, strict=True)]
    listed = _or_nothing(priors, grid)
    rows = [listed[start : start + _COLUMNS] for start in range(0, len(listed), _COLUMNS)]
    return sheet([[*photos, *sides], *rows], note)


def comparison_row(
    photo: Tile,
    truth: NDArray[np.bool_],
    grid: NDArray[np.bool_],
    iou: float,
    priors: Sequence[Tile],
) -> list[Tile]:
    """Photo, true shape (R, R, R), reconstructed shape (R, R, R) with its IoU, recalled shapes."""
    return [
        photo,
        Tile(grid_picture(truth, azimuth=VIEWS[0]), "truth"),
        Tile(grid_picture(grid, azimuth=VIEWS[0]), f"network IoU {iou:.2f}"),
        *_or_nothing(priors, grid),
    ]


def _or_nothing(priors: Sequence[Tile], grid: NDArray[np.bool_]) -> Sequence[Tile]:
    return priors or [Tile(grid_picture(np.zeros_like(grid)), "nothing recalled")]
