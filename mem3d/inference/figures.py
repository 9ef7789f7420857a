"""mem3d/inference/figures.py."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mem3d.data.dataset import ShapeDataset
from mem3d.data.images.preprocess import Rgba
from mem3d.data.rendering.figures import grid_picture, mesh_pictures
from mem3d.data.taxonomy import titled
from mem3d.inference.reconstruct import Reconstruction, Surface, reconstruct
from mem3d.metrics import iou
from mem3d.network.model import Mem3D
from mem3d.network.predict import EnsembleMember
from memstore import Memory
from memstore.voxels.contact_sheet import Tile, sheet

VIEWS = (35.0, 125.0, 215.0, 305.0)  # degrees


_SIDES = ("front right", "back right", "back left", "front left")


_COLUMNS = 2 + len(VIEWS)  # of a picture


def picture(
    photo: Rgba | None,
    result: Reconstruction,
    *,
    name: str = "photo",
    surface: Surface = "smooth",
    confidence: bool = True,
) -> NDArray[np.uint8]:
    """Contact sheet: photo, what the network saw, the shape from four sides; below, the priors.

    Args:
        photo: (H, W, 4); None leaves it out.
        result: of that photo.
        name: caption of the photo.
        surface: see `Reconstruction.mesh`.
        confidence: likewise.

    Returns:
        (height, width, 3) uint8.
    """
    tiles = [] if photo is None else [Tile(photo, name)]
    tiles += [Tile(result.seen, "network input"), *_sides(result, surface, confidence)]
    priors = _priors(result)
    rows = [priors[start : start + _COLUMNS] for start in range(0, len(priors), _COLUMNS)]
    told = f"{int(result.grid.sum()):,} voxels above {result.threshold:g}"
    if confidence and result.grid.any():
        told += "; blue: sure, orange: just above that"
    return sheet([tiles, *rows], told)


def _sides(result: Reconstruction, surface: Surface, confidence: bool) -> list[Tile]:
    """The shape from four sides."""
    if not result.grid.any():
        return [Tile(grid_picture(result.grid), "no shape")]
    pictures = mesh_pictures(result.mesh(surface, confidence=confidence), VIEWS)
    return [Tile(image, side) for image, side in zip(pictures, _SIDES, strict=True)]


def _priors(result: Reconstruction) -> list[Tile]:
    """What was recalled, a tile each."""
    if not result.priors:
        return [Tile(grid_picture(np.zeros_like(result.grid)), "nothing recalled")]
    tiles = []
    for rank, prior in enumerate(result.priors, start=1):
        caption = f"{rank}: cos {prior.cosine:.3f}\n{titled(prior.source)}"
        tiles.append(Tile(grid_picture(prior.grid, azimuth=VIEWS[0]), caption))
    return tiles


def comparison(
    model: Mem3D,
    memory: Memory,
    data: ShapeDataset,
    count: int = 12,
    others: Sequence[EnsembleMember] = (),
) -> NDArray[np.uint8]:
    """Contact sheet of models: view 00, truth, reconstruction, recalled shapes.

    Args:
        model: in evaluation mode.
        memory: where it recalls.
        data: models to choose from, evenly over the set.
        count: most rows.
        others: further networks that answer too.

    Returns:
        (height, width, 3) uint8.
    """
    chosen = np.unique(np.linspace(0, len(data) - 1, count).astype(int)).tolist()
    photos = [data.image(i, 0) for i in chosen]
    results = reconstruct(model, memory, photos, framed=True, others=others)
    rows = []
    for i, photo, result in zip(chosen, photos, results, strict=True):
        true = data.grid(i)
        pair = torch.from_numpy(result.occupancy[None]), torch.from_numpy(true[None])
        score = iou(*pair, threshold=result.threshold).item()
        truth = Tile(grid_picture(true, azimuth=VIEWS[0]), "truth")
        ours = Tile(grid_picture(result.grid, azimuth=VIEWS[0]), f"network IoU {score:.2f}")
        rows.append([Tile(photo, data.category(i)), truth, ours, *_priors(result)])
    return sheet(rows)
