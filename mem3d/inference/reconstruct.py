"""A photo to a voxel grid, a mesh, and what was recalled on the way."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from mem3d.data.dataset import ShapeDataset
from mem3d.data.images.framing import Done, frame_photo
from mem3d.data.images.preprocess import Rgba, test_pixels
from mem3d.data.images.viewpoint import Viewpoint
from mem3d.inference import figures
from mem3d.inference.chance import Chance, chance_of
from mem3d.inference.output import FORMATS, MAKER, Surface, mesh_of, npz_bytes
from mem3d.memory.projection_cache import ProjectionCache
from mem3d.metrics import FIXED_THRESHOLD, iou
from mem3d.network.heads.pose import decode
from mem3d.network.model import Mem3D
from mem3d.network.predict import EnsembleMember, predict
from memstore import Memory
from memstore.files import write_atomic
from memstore.voxels.binvox import write_binvox
from memstore.voxels.contact_sheet import Tile, save_png, sheet
from memstore.voxels.mesh import FILE_TYPES, Mesh, write_mesh

SPECKS = 0.005  # of the full voxels: pieces that are less together are not worth a word
NEARLY_ALL = 0.95  # of the cube; 99 of 100 ShapeNet-like grids fill less than .6 of it

if TYPE_CHECKING:
    from mem3d.inference.printing import Printable


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
        network_input: (S, S, 3) uint8, the image that the network took.
        priors: recalled shapes, most similar first, or best fitting (see `memory.second_look`);
            empty if none was similar enough.
        background: what became of the photo's background, see `framing.Framed`; None if framed by
            someone else.
        doubts: why the photo's mask may not show the object, or not all of it, such as "touches the
            border"; empty if nothing speaks against it.
        recall_doubts: why what was recalled may be no better than chance, see `chance`; empty if
            nothing speaks against it, or too little is stored to tell.
        viewpoint: where the network takes the photo to have been taken from; None if it does not
            guess that.

    Another threshold needs no network: `dataclasses.replace(result, threshold=0.4)`.
    """

    occupancy: NDArray[np.float32]
    threshold: float
    network_input: NDArray[np.uint8]
    priors: tuple[Prior, ...]
    background: Done | None = None
    doubts: tuple[str, ...] = ()
    recall_doubts: tuple[str, ...] = ()
    viewpoint: Viewpoint | None = None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What speaks against the answer: `recall_doubts`, and a shape that is none."""
        share = float(self.grid.mean())
        if share == 0:
            return (*self.recall_doubts, f"no voxel is above {self.threshold:g}")
        if share > NEARLY_ALL:
            text = f"the shape fills {share:.0%} of the cube, as answers of untrained networks do"
            return (*self.recall_doubts, text)
        pieces, apart = loose_pieces(self.grid)
        if apart < SPECKS:
            return self.recall_doubts
        bits = "a piece does" if pieces == 1 else f"{pieces} pieces do"
        text = f"{bits} not hang together with the rest: {apart:.1%} of the full voxels"
        return (*self.recall_doubts, text)

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
        return mesh_of(self.occupancy, self.threshold, surface, confidence=confidence)

    def printable(
        self,
        size: float | None = None,
        *,
        height: float | None = None,
        surface: Surface = "smooth",
    ) -> "Printable":
        """The shape as one body to print: z up, a flat base, and what was done to it for that.

        Args:
            size: of the longest side in millimeters, 10 to 2,000; None is 100.
            height: in millimeters likewise, in the place of the size.
            surface: see `mesh`.

        Raises:
            ValueError: no voxel is above the threshold, an argument is out of range, or both a size
                and a height are asked for.
        """
        from mem3d.inference import printing  # imported late: few want it, and it is slow

        key = size, height, surface
        if key not in self._bodies:
            self._bodies[key] = printing.printable(
                self.occupancy, self.threshold, size, surface, height=height
            )
        return self._bodies[key]

    @cached_property
    def _bodies(self) -> "dict[tuple[float | None, float | None, Surface], Printable]":
        """Bodies to print that were asked for already, by the arguments."""
        return {}

    def picture(
        self,
        photo: Rgba | None = None,
        *,
        name: str = "photo",
        surface: Surface = "smooth",
        confidence: bool = True,
        body: "Printable | None" = None,
    ) -> NDArray[np.uint8]:
        """Contact sheet: photo, what the network saw, the shape as photographed; the priors.

        The shape is drawn from the guessed camera, if there is one, and from two corners.

        Args:
            photo: (H, W, 4); None leaves it out.
            name: caption of the photo.
            surface: see `mesh`.
            confidence: likewise.
            body: to print, shown with its measures; see `printable`.

        Returns:
            (height, width, 3) uint8.
        """
        mesh = self.mesh(surface, confidence=confidence) if self.grid.any() else None
        return self._picture(mesh, photo, name, body)

    def _picture(
        self, mesh: Mesh | None, photo: Rgba | None, name: str, body: "Printable | None" = None
    ) -> NDArray[np.uint8]:
        """As `picture`, of a mesh that is there already; None where the shape is empty."""
        photos = [] if photo is None else [Tile(photo, name)]
        photos.append(Tile(self.network_input, "network input"))
        grid = self.grid
        note = f"{int(grid.sum()):,} voxels above {self.threshold:g}"
        colored = mesh is not None and mesh.vertex_colors is not None
        if self.doubts:
            note = f"doubtful cut-out: {', '.join(self.doubts)}; {note}"
        note = "\n".join([note, *self.remarks, *([f"to print: {body}"] if body else ())])
        threshold = self.threshold if colored else None
        return figures.picture(
            photos, grid, mesh, self._captioned(), note, self.viewpoint, threshold, body
        )

    def npz(self, **more: NDArray[Any]) -> bytes:
        """Occupancy, grid, threshold and recalled shapes, as .npz (docs/guide/reconstruct.md).

        Args:
            more: further arrays under their names.
        """
        return npz_bytes(
            self.occupancy,
            self.threshold,
            grids=[prior.grid for prior in self.priors],
            slots=[prior.slot for prior in self.priors],
            cosines=[prior.cosine for prior in self.priors],
            sources=[prior.source for prior in self.priors],
            **more,
        )

    def save(
        self,
        path: str | Path,
        *,
        surface: Surface = "smooth",
        confidence: bool = True,
        print_size: float | None = None,
        print_height: float | None = None,
    ) -> None:
        """Write the shape in the format that the ending names, whole or not at all.

        Args:
            path: to make or replace; ends in .glb, .obj, .ply, .stl (meshes), .3mf (a body to
                print), .binvox (the grid), .npz (occupancy and what was recalled) or .png (a
                picture).
            surface: see `mesh`; for meshes and pictures.
            confidence: likewise.
            print_size: makes a body to print of an .stl too; see `printable`.
            print_height: likewise.

        Raises:
            ValueError: another ending, no shape for a mesh, or a print size with an ending that is
                not to be printed.
        """
        kind = Path(path).suffix.lower().removeprefix(".")
        if kind == "3mf" or (print_size, print_height) != (None, None):
            self.printable(print_size, height=print_height, surface=surface).save(path)
        elif kind in FILE_TYPES:
            write_mesh(path, self.mesh(surface, confidence=confidence))
        elif kind == "binvox":
            write_binvox(path, self.grid)
        elif kind == "npz":
            write_atomic(path, self.npz())
        elif kind == "png":
            save_png(path, self.picture(surface=surface, confidence=confidence))
        else:
            want = ", ".join((*FORMATS, "png"))
            raise ValueError(f"{path}: got the ending {kind!r}, want one of {want}")

    def save_all(
        self,
        stem: Path,
        photo: Rgba,
        *,
        formats: Sequence[str] = ("glb",),
        surface: Surface = "smooth",
        confidence: bool = True,
        print_size: float | None = None,
        print_height: float | None = None,
    ) -> list[Path]:
        """Write the shape in several formats, and a picture beside them.

        Args:
            stem: path without ending; its folder must exist.
            photo: (H, W, 4) for the picture.
            formats: of `output.FORMATS`.
            surface: see `mesh`.
            confidence: likewise.
            print_size: see `save`; of those formats that are printed, the others are as ever.
            print_height: likewise.

        Returns:
            the files: STEM.FORMAT for each format (no mesh if the shape is empty) and STEM.png.
        """
        kinds = [
            kind
            for kind in dict.fromkeys(formats)
            if self.grid.any() or kind not in (*FILE_TYPES, "3mf")
        ]
        files = [stem.with_name(f"{stem.name}.{kind}") for kind in kinds]
        mesh = self.mesh(surface, confidence=confidence) if self.grid.any() else None
        is_sized = (print_size, print_height) != (None, None)
        printed = [kind for kind in kinds if kind == "3mf" or (is_sized and kind == "stl")]
        body = None
        if printed:
            body = self.printable(print_size, height=print_height, surface=surface)
        for kind, file in zip(kinds, files, strict=True):
            if body is not None and kind in printed:
                body.save(file)
            elif mesh is not None and kind in FILE_TYPES:
                write_mesh(file, mesh)
            else:
                self.save(file)
        files.append(stem.with_name(f"{stem.name}.png"))
        save_png(files[-1], self._picture(mesh, photo, stem.name, body), MAKER)
        return files

    def _captioned(self, *, distinct: bool = False) -> list[tuple[NDArray[np.bool_], str]]:
        """Recalled shapes, and what is written below them.

        Args:
            distinct: leave out further pictures of a shape: with its name, or an equal grid.
        """
        names: set[str] = set()
        grids: set[bytes] = set()
        captioned = []
        for rank, prior in enumerate(self.priors, start=1):
            grid = prior.grid.tobytes()
            if distinct and (prior.source in names or grid in grids):
                continue
            grids.add(grid)
            names.update({prior.source} - {""})  # which is no name
            captioned.append((prior.grid, figures.caption_of(rank, prior.cosine, prior.source)))
        return captioned


def loose_pieces(grid: NDArray[np.bool_]) -> tuple[int, float]:
    """How many pieces of a grid (R, R, R) touch the largest nowhere, and their share of it all."""
    from scipy import ndimage  # imported late: it is slow

    labels, count = ndimage.label(grid, np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=2)[1:]
    return max(0, count - 1), 1 - float(sizes.max() / max(1, sizes.sum()))


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
    ensemble: Sequence[EnsembleMember] = (),
) -> list[Reconstruction]:
    """Reconstruct the objects in photos, one batch.

    Args:
        model: in evaluation mode.
        memory: where it recalls; not changed.
        photos: (H, W, 4) RGBA each, of any size; alpha is the object's mask, see `frame_photo`.
            Without a mask, the whole picture, background and all, is taken for the object.
        threshold: in (0, 1), from which occupancy on a voxel is full.
        framed: the photos are renders in the R2N2 framing; otherwise each is cut around its object.
        flip: average with each photo's mirror image, see `predict`; what was recalled is of the
            photo itself.
        projections: of this network and memory; pays from the second photo on that recalls a slot.
        ensemble: further networks that answer too, see `network.predict`; what was recalled is the
            first one's.

    Raises:
        ValueError: a mask is empty, a number is out of range, or networks' grids differ.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold: got {threshold}, want between 0 and 1")
    if not photos:
        return []
    size = model.config.image_size
    frames = [] if framed else [frame_photo(rgba, background="keep") for rgba in photos]
    cut = photos if framed else [frame.rgba for frame in frames]
    inputs = np.stack([test_pixels(rgba, size) for rgba in cut])
    device = next(model.parameters()).device
    images = torch.from_numpy(inputs).to(device)
    occupancy, output = predict(
        model, images, memory, flip=flip, projections=projections, ensemble=ensemble
    )
    occupancies = occupancy.cpu().numpy()
    recalled, results, chance = output.recalled, [], chance_of(memory)
    viewpoints = _viewpoints(output.pose_logits, len(photos))
    for row, occupancy in enumerate(occupancies):
        slots = recalled.slots[row, : int(recalled.counts[row])]
        columns = memory.values(slots), recalled.cosines[row], memory.sources_of(slots), slots
        priors = tuple(
            Prior(grid, float(cosine), source, int(slot))
            for grid, cosine, source, slot in zip(*columns, strict=False)
        )
        results.append(
            Reconstruction(
                occupancy,
                threshold,
                inputs[row].transpose(1, 2, 0),
                priors,
                doubts=() if framed else frames[row].doubts,
                recall_doubts=_recall_doubts(chance, priors),
                viewpoint=viewpoints[row],
            )
        )
    return results


def _viewpoints(pose_logits: torch.Tensor | None, count: int) -> list[Viewpoint | None]:
    """Guessed cameras of so many photos; None where there is none, or none that can be."""
    if pose_logits is None:
        return [None] * count
    rows = decode(pose_logits).cpu().numpy()
    return [Viewpoint(*row.tolist()) if np.isfinite(row).all() else None for row in rows]


def _recall_doubts(chance: Chance | None, priors: Sequence[Prior]) -> tuple[str, ...]:
    """Why what was recalled may be no better than chance."""
    if chance is None or not priors:
        return ()
    sources = [prior.source for prior in priors]
    return chance.doubts(max(prior.cosine for prior in priors), sources)


def comparison(
    model: Mem3D,
    memory: Memory,
    data: ShapeDataset,
    count: int = 12,
    ensemble: Sequence[EnsembleMember] = (),
) -> NDArray[np.uint8]:
    """Contact sheet of shapes: view 00, truth, reconstruction, two different recalled shapes.

    Args:
        model: in evaluation mode.
        memory: where it recalls.
        data: shapes to choose from, evenly over the set.
        count: most rows.
        ensemble: further networks that answer too.

    Returns:
        (height, width, 3) uint8.
    """
    positions = np.unique(np.linspace(0, len(data) - 1, count).astype(int)).tolist()
    photos = [data.image(i, 0) for i in positions]
    results = reconstruct(model, memory, photos, framed=True, ensemble=ensemble)
    rows = []
    for i, photo, result in zip(positions, photos, results, strict=True):
        truth = data.grid(i)
        pair = torch.from_numpy(result.occupancy[None]), torch.from_numpy(truth[None])
        score = iou(*pair, threshold=result.threshold).item()
        tile, priors = Tile(photo, data.category(i)), result._captioned(distinct=True)
        rows.append(figures.comparison_row(tile, truth, result.grid, score, priors))
    return sheet(rows, heads=figures.COMPARED, legend=figures.AGREEMENT)
