"""Contact sheets of reconstructions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mem3d.data.rendering.figures import grid_picture, grid_pictures, mesh_pictures, zoom_of
from mem3d.data.taxonomy import titled
from memstore.voxels.contact_sheet import Tile, sheet
from memstore.voxels.mesh import Mesh

VIEWS = (35.0, 215.0)  # degrees: each shows two sides and the top
COMPARED = ("picture", "true shape", "network", "recalled first", "recalled next")
_SIDES = ("front right", "back left")
_COLUMNS = 2 + len(VIEWS)  # of a picture
_FIRST = 2  # recalled shapes that a comparison shows


def picture(
    photos: Sequence[Tile],
    grid: NDArray[np.bool_],
    mesh: Mesh | None,
    priors: Sequence[tuple[NDArray[np.bool_], str]],
    note: str,
) -> NDArray[np.uint8]:
    """Contact sheet: photo and network input, the shape from two corners; below, the priors.

    Args:
        photos: come first.
        grid: (R, R, R).
        mesh: of the grid; None where it is empty.
        priors: grid (R, R, R) and caption of each recalled shape.
        note: lines on top.

    Returns:
        (height, width, 3) uint8.
    """
    zoom = zoom_of([grid, *(shape for shape, _ in priors)], VIEWS)
    if mesh is None:
        sides = [Tile(grid_picture(grid), "no shape")]
    else:
        pictures = mesh_pictures(mesh, grid, VIEWS, zoom=zoom)
        sides = [Tile(image, side) for image, side in zip(pictures, _SIDES, strict=True)]
    listed = _tiles(priors, grid, zoom)
    rows = [listed[start : start + _COLUMNS] for start in range(0, len(listed), _COLUMNS)]
    return sheet([[*photos, *sides], *rows], note)


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
    """Photo, true shape (R, R, R), reconstructed shape (R, R, R) with its IoU, recalled shapes."""
    priors = priors[:_FIRST]
    zoom = zoom_of([truth, grid, *(shape for shape, _ in priors)], VIEWS[:1])
    return [
        photo,
        Tile(grid_picture(truth, azimuth=VIEWS[0], zoom=zoom)),
        Tile(grid_picture(grid, azimuth=VIEWS[0], zoom=zoom), f"IoU {iou:.2f}"),
        *_tiles(priors, grid, zoom),
    ]


def _tiles(
    priors: Sequence[tuple[NDArray[np.bool_], str]], grid: NDArray[np.bool_], zoom: float
) -> list[Tile]:
    """Recalled shapes, or one that says that there are none."""
    if not priors:
        return [Tile(grid_picture(np.zeros_like(grid)), "nothing recalled")]
    shapes, captions = zip(*priors, strict=True)
    pictures = grid_pictures(shapes, VIEWS[0], zoom)
    return [Tile(*tile) for tile in zip(pictures, captions, strict=True)]
