"""A photo to a voxel grid, a mesh, and a picture of what was recalled on the way."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mem3d.data.framing import frame_object
from mem3d.data.shapes import Shapes
from mem3d.data.transforms import Rgba, denormalise, test_input
from mem3d.evaluation import FIXED_THRESHOLD
from mem3d.metrics import iou
from mem3d.model import Mem3D
from mem3d.picture import grid_picture
from mem3d.projections import SlotProjections
from mem3d.variants import predict
from memstore import Memory
from memstore.meshes import smooth, write_mesh
from memstore.sheets import Tile, save_png, sheet

VIEWS = (35.0, 305.0)  # degrees: front right, front left


@dataclass(frozen=True)
class Prior:
    """One recalled shape.

    Attributes:
        grid: (R, R, R) bool.
        cosine: similarity of its key to the image's feature.
        source: where it came from, "" if unknown.
        slot: of the memory.
    """

    grid: NDArray[np.bool_]
    cosine: float
    source: str
    slot: int


@dataclass(frozen=True)
class Reconstruction:
    """What one photo became.

    Attributes:
        occupancy: (R, R, R) float32 in [0, 1].
        threshold: full where occupancy > threshold.
        seen: (S, S, 3) uint8, what the network was shown.
        priors: recalled shapes, most similar first; empty if none was similar enough.
    """

    occupancy: NDArray[np.float32]
    threshold: float
    seen: NDArray[np.uint8]
    priors: tuple[Prior, ...]

    @property
    def grid(self) -> NDArray[np.bool_]:
        """(R, R, R) voxel grid."""
        return self.occupancy > self.threshold


@torch.inference_mode()
def reconstruct(
    model: Mem3D,
    memory: Memory,
    photos: Sequence[Rgba],
    *,
    threshold: float = FIXED_THRESHOLD,
    framed: bool = False,
    tta: int = 0,
    projections: SlotProjections | None = None,
) -> list[Reconstruction]:
    """Reconstruct the objects in photos, one batch.

    Args:
        model: in evaluation mode.
        memory: where it recalls; not changed.
        photos: (H, W, 4) RGBA each, of any size; alpha is the object's mask. Without a mask, the
            whole picture, background and all, is taken for the object.
        threshold: in (0, 1), from which occupancy on a voxel is full.
        framed: the photos are renders in the R2N2 framing; otherwise each is cut around its object.
        tta: variants of each photo to average over, see `variants.predict`; what is told of recall
            is of the photo itself.
        projections: of this network and memory; pays from the second photo on that recalls a slot.

    Raises:
        ValueError: a mask is empty, or the threshold or tta is out of range.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold: got {threshold}, want between 0 and 1")
    if not photos:
        return []
    size = model.config.image_size
    cut = photos if framed else [frame_object(rgba) for rgba in photos]
    inputs = np.stack([test_input(rgba, size) for rgba in cut])
    device = next(model.parameters()).device
    images = torch.from_numpy(inputs).to(device)
    occupancy, output = predict(model, images, memory, tta=tta, projections=projections)
    occupancies = occupancy.cpu().numpy()
    names = dict(zip(memory.slots.tolist(), memory.sources, strict=True))
    results = []
    for row, occupancy in enumerate(occupancies):
        recalled = output.recalled
        slots = recalled.slots[row, : int(recalled.counts[row])]
        grids = memory.values(slots)
        priors = tuple(
            Prior(grid, float(cosine), names[int(slot)], int(slot))
            for grid, cosine, slot in zip(grids, recalled.cosines[row], slots, strict=False)
        )
        results.append(Reconstruction(occupancy, threshold, denormalise(inputs[row]), priors))
    return results


def picture(photo: Rgba, result: Reconstruction, *, name: str = "photo") -> NDArray[np.uint8]:
    """Contact-sheet row: photo, what the network saw, the shape from two sides, the priors.

    Args:
        photo: (H, W, 4).
        result: of that photo.
        name: caption of the photo.

    Returns:
        (height, width, 3) uint8.
    """
    return sheet([row_of_tiles(photo, result, name)])


def row_of_tiles(photo: Rgba, result: Reconstruction, name: str) -> list[Tile]:
    """The tiles of `picture`, to put several photos on one sheet."""
    tiles = [Tile(photo, name), Tile(result.seen, "network input")]
    for azimuth in VIEWS:
        tiles.append(Tile(grid_picture(result.grid, azimuth=azimuth), f"shape from {azimuth:.0f}°"))
    return [*tiles, *_priors(result)]


def _priors(result: Reconstruction) -> list[Tile]:
    """What was recalled, a tile each."""
    if not result.priors:
        return [Tile(grid_picture(np.zeros_like(result.grid)), "nothing recalled")]
    tiles = []
    for rank, prior in enumerate(result.priors, start=1):
        caption = f"{rank}: cos {prior.cosine:.3f}\n{prior.source}"
        tiles.append(Tile(grid_picture(prior.grid, azimuth=VIEWS[0]), caption))
    return tiles


def write(photo: Rgba, result: Reconstruction, stem: Path) -> list[Path]:
    """Write a mesh and a picture; each appears whole or not at all.

    Args:
        photo: (H, W, 4).
        result: of that photo.
        stem: path without ending; its folder must exist.

    Returns:
        the files: STEM.glb (none if the shape is empty) and STEM.png.
    """
    files = []
    if result.grid.any():
        files.append(stem.with_name(f"{stem.name}.glb"))
        write_mesh(files[-1], smooth(result.occupancy, result.threshold))
    files.append(stem.with_name(f"{stem.name}.png"))
    save_png(files[-1], picture(photo, result, name=stem.name))
    return files


def comparison(model: Mem3D, memory: Memory, data: Shapes, count: int = 12) -> NDArray[np.uint8]:
    """Contact sheet of models: view 00, truth, reconstruction, recalled shapes.

    Args:
        model: in evaluation mode.
        memory: where it recalls.
        data: models to choose from, evenly over the set.
        count: most rows.

    Returns:
        (height, width, 3) uint8.
    """
    chosen = np.unique(np.linspace(0, len(data) - 1, count).astype(int)).tolist()
    photos = [data.image(i, 0) for i in chosen]
    results = reconstruct(model, memory, photos, framed=True)
    rows = []
    for i, photo, result in zip(chosen, photos, results, strict=True):
        true = data.grid(i)
        pair = torch.from_numpy(result.occupancy[None]), torch.from_numpy(true[None])
        score = iou(*pair, threshold=result.threshold).item()
        truth = Tile(grid_picture(true, azimuth=VIEWS[0]), "truth")
        ours = Tile(grid_picture(result.grid, azimuth=VIEWS[0]), f"network IoU {score:.2f}")
        rows.append([Tile(photo, data.category(i)), truth, ours, *_priors(result)])
    return sheet(rows)
