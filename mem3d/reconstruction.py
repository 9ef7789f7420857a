"""A photo to a voxel grid, a mesh, and what was recalled on the way."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from mem3d.confidence import coloured
from mem3d.data.framing import Done, frame_object
from mem3d.data.shapes import Shapes
from mem3d.data.transforms import Rgba, denormalise, test_input
from mem3d.ensemble import Member
from mem3d.evaluation import FIXED_THRESHOLD
from mem3d.metrics import iou
from mem3d.model import Mem3D
from mem3d.picture import grid_picture, mesh_pictures
from mem3d.projections import SlotProjections
from mem3d.titles import titled
from mem3d.variants import predict
from memstore import Memory
from memstore.meshes import Mesh, blocky, smooth
from memstore.sheets import Tile, sheet

VIEWS = (35.0, 125.0, 215.0, 305.0)  # degrees
_SIDES = ("front right", "back right", "back left", "front left")
_COLUMNS = 2 + len(VIEWS)  # of a picture

Surface = Literal["smooth", "blocky"]
SURFACES: tuple[Surface, ...] = get_args(Surface)


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
        background: what became of the photo's background, see `framing.Framed`; None if framed by
            someone else.

    Another threshold needs no network: `dataclasses.replace(result, threshold=0.4)`.
    """

    occupancy: NDArray[np.float32]
    threshold: float
    seen: NDArray[np.uint8]
    priors: tuple[Prior, ...]
    background: Done | None = None

    @property
    def grid(self) -> NDArray[np.bool_]:
        """(R, R, R) voxel grid."""
        return self.occupancy > self.threshold

    def mesh(self, surface: Surface = "smooth", *, confidence: bool = True) -> Mesh:
        """Triangles of the shape, closed and right side out.

        Args:
            surface: "smooth" (marching cubes) or "blocky" (the voxels as cubes).
            confidence: colour each vertex by how sure the network is there.

        Raises:
            ValueError: no voxel is above the threshold, or another surface is asked for.
        """
        if surface not in SURFACES:
            raise ValueError(f"surface: got {surface!r}, want one of {', '.join(SURFACES)}")
        if not self.grid.any():
            raise ValueError(
                f"threshold: got {self.threshold}, want less than the largest occupancy "
                f"({self.occupancy.max():.3f}), or there is no shape"
            )
        is_blocky = surface == "blocky"
        mesh = blocky(self.grid) if is_blocky else smooth(self.occupancy, self.threshold)
        return coloured(mesh, self.occupancy, self.threshold) if confidence else mesh

    def save(
        self, path: str | Path, *, surface: Surface = "smooth", confidence: bool = True
    ) -> None:
        """Write the shape in the format that the ending names, whole or not at all.

        Args:
            path: to make or replace; ends in .glb, .obj, .ply, .stl (meshes), .binvox (the grid),
                .npz (occupancy and what was recalled) or .png (a picture).
            surface: see `mesh`; for meshes and pictures.
            confidence: likewise.

        Raises:
            ValueError: another ending, or no shape for a mesh.
        """
        from mem3d.shape_files import save  # it knows this class

        save(path, self, surface=surface, confidence=confidence)


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
    others: Sequence[Member] = (),
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
        others: further networks that answer too, see `ensemble`; recalled is what the first did.

    Raises:
        ValueError: a mask is empty, a number is out of range, or networks' grids differ.
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
    occupancy, output = predict(
        model, images, memory, tta=tta, projections=projections, others=others
    )
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
    model: Mem3D, memory: Memory, data: Shapes, count: int = 12, others: Sequence[Member] = ()
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
