"""A photo to a voxel grid, a mesh, and what was recalled on the way."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from mem3d.data.images.framing import Done, frame_object
from mem3d.data.images.preprocess import Rgba, test_pixels
from mem3d.memory.projection_cache import ProjectionCache
from mem3d.metrics import FIXED_THRESHOLD
from mem3d.network.model import Mem3D
from mem3d.network.predict import EnsembleMember, predict
from memstore import Memory
from memstore.voxels.mesh import Mesh, blocky, smooth

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
            confidence: color each vertex by how sure the network is there.

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
        from mem3d.inference.output import colored  # it knows this class

        is_blocky = surface == "blocky"
        mesh = blocky(self.grid) if is_blocky else smooth(self.occupancy, self.threshold)
        return colored(mesh, self.occupancy, self.threshold) if confidence else mesh

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
        from mem3d.inference.output import save  # it knows this class

        save(path, self, surface=surface, confidence=confidence)


@torch.inference_mode()
def reconstruct(
    model: Mem3D,
    memory: Memory,
    photos: Sequence[Rgba],
    *,
    threshold: float = FIXED_THRESHOLD,
    framed: bool = False,
    flip: bool = False,
    projections: ProjectionCache | None = None,
    others: Sequence[EnsembleMember] = (),
) -> list[Reconstruction]:
    """Reconstruct the objects in photos, one batch.

    Args:
        model: in evaluation mode.
        memory: where it recalls; not changed.
        photos: (H, W, 4) RGBA each, of any size; alpha is the object's mask. Without a mask, the
            whole picture, background and all, is taken for the object.
        threshold: in (0, 1), from which occupancy on a voxel is full.
        framed: the photos are renders in the R2N2 framing; otherwise each is cut around its object.
        flip: average with each photo's mirror image, see `predict`; what was recalled is of the
            photo itself.
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
    inputs = np.stack([test_pixels(rgba, size) for rgba in cut])
    device = next(model.parameters()).device
    images = torch.from_numpy(inputs).to(device)
    occupancy, output = predict(
        model, images, memory, flip=flip, projections=projections, others=others
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
        results.append(Reconstruction(occupancy, threshold, inputs[row].transpose(1, 2, 0), priors))
    return results
