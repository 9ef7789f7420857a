"""What the demo page does with a photo, as plain functions: no web library, no printing.

The network runs once per photo, in `reconstruct_upload`. All that follows, another threshold,
another kind of mesh, the files to download, is made of its occupancy.
"""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mem3d.data.images.framing import Background, Done, frame_photo
from mem3d.data.images.io import read_image
from mem3d.data.images.preprocess import Rgba, test_pixels
from mem3d.data.rendering.figures import grid_picture
from mem3d.data.taxonomy import category_of, titled
from mem3d.inference.figures import VIEWS
from mem3d.inference.output import Surface
from mem3d.inference.reconstruct import Reconstruction, reconstruct
from mem3d.memory.interface import Features
from mem3d.network.features import encode
from mem3d.network.model import Mem3D
from memstore import Memory
from memstore.files import write_atomic
from memstore.voxels.binvox import read_binvox, write_binvox
from memstore.voxels.contact_sheet import Rgb
from memstore.voxels.mesh import write_glb

MAX_BYTES = 20 * 2**20  # of an upload
MAX_PIXELS = 40_000_000  # of a photo; a telephone's has 12 to 50 million
LOWEST, HIGHEST = 0.05, 0.95  # thresholds that the page offers
TILE = 240  # pixels per side of a drawn shape

Tiles = list[tuple[Rgb, str]]  # pictures and their captions


@dataclass(frozen=True, eq=False)
class PhotoResult:
    """One photo, and what the network made of it.

    Attributes:
        name: of the photo, without ending.
        rgba: (S, S, 4) the square around the object.
        background: what became of the photo's.
        feature: (C,) the encoder's answer; all zeros if it gave none.
        result: occupancy and recalled shapes.
    """

    name: str
    rgba: Rgba
    background: Done
    feature: Features
    result: Reconstruction

    def grid(self, threshold: float) -> NDArray[np.bool_]:
        """(R, R, R) voxels that are full at a threshold."""
        return self.result.occupancy > threshold


def reconstruct_upload(
    model: Mem3D,
    memory: Memory,
    path: str | Path,
    *,
    background: Background | None = None,
    device: str = "cpu",
) -> PhotoResult:
    """Read an uploaded photo and reconstruct what it shows.

    Args:
        model: in evaluation mode.
        memory: where it recalls.
        path: of the upload; errors have its name only, for its folder says nothing to a visitor.
        background: of photos without a mask, as `frame_photo` takes it.
        device: where the network is.

    Raises:
        ValueError: no picture, too large a one, or no object in it.
    """
    path = Path(path)
    check_size(path)
    try:
        framed = frame_photo(read_image(path, MAX_PIXELS), background=background)
    except ValueError as error:
        raise ValueError(_named(error, path)) from error
    [result] = reconstruct(model, memory, [framed.rgba], framed=True)
    [feature] = encode(model, [test_pixels(framed.rgba, model.config.image_size)], device)
    result = replace(result, background=framed.background, doubts=framed.doubts)
    return PhotoResult(path.stem, framed.rgba, framed.background, feature, result)


def read_shape(path: str | Path) -> NDArray[np.bool_]:
    """Read an uploaded binvox file; errors tell its name only.

    Raises:
        ValueError: not a whole binvox file, or too large.
    """
    path = Path(path)
    check_size(path)
    try:
        return read_binvox(path)
    except ValueError as error:
        raise ValueError(_named(error, path)) from error


def check_size(path: Path) -> None:
    """Raise ValueError if an upload is too large."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        want = f"at most {MAX_BYTES >> 20} MB"
        raise ValueError(f"{path.name}: got {size / 2**20:.1f} MB, want {want}")


def write_files(
    photo: PhotoResult, threshold: float, folder: Path, surface: Surface = "smooth"
) -> dict[str, Path]:
    """Write what can be downloaded, each file whole or not at all.

    Args:
        photo: what to write.
        threshold: in (0, 1).
        folder: exists; files of the same names are replaced.
        surface: of the mesh: marching cubes, or the voxels as cubes.

    Returns:
        paths by ending: "glb" the mesh, "binvox" the voxels, "npz" all numbers behind them. Empty
        if no voxel is above the threshold.
    """
    grid = photo.grid(threshold)
    if not grid.any():
        return {}
    result = replace(photo.result, threshold=threshold)
    mesh = result.mesh(surface, confidence=False)
    files = {ending: folder / f"{photo.name}.{ending}" for ending in ("glb", "binvox", "npz")}
    write_glb(files["glb"], mesh, is_rounded=surface == "smooth")
    write_binvox(files["binvox"], grid)
    write_atomic(files["npz"], result.npz(feature=photo.feature))
    return files


def recalled_tiles(photo: PhotoResult) -> Tiles:
    """Pictures of the recalled shapes, most similar first; captions tell cosine and source."""
    return [
        (draw_grid(prior.grid), f"{rank} · cosine {prior.cosine:.3f}\n{titled(prior.source)}")
        for rank, prior in enumerate(photo.result.priors, start=1)
    ]


def draw_grid(grid: NDArray[np.bool_]) -> Rgb:
    """A grid as the page's galleries show it."""
    return grid_picture(grid, TILE, azimuth=VIEWS[0])


def account(photo: PhotoResult) -> str:
    """A sentence each on what was done to the photo and what was recalled."""
    reasons = ", ".join(photo.result.doubts)
    doubts = f" That is doubtful: {reasons}." if reasons else ""
    remarks = "".join(f" {text[0].upper()}{text[1:]}." for text in photo.result.remarks)
    return f"{_BACKGROUNDS[photo.background]}{doubts} {_recall(photo)}{remarks}"


_BACKGROUNDS: dict[Done, str] = {
    "masked": "The photo's own transparency told the object from its background.",
    "cut": "The object was cut out by its colors: look whether the network saw all of it.",
    "kept": "The background was kept: the network sees it as well.",
}


def _recall(photo: PhotoResult) -> str:
    priors = photo.result.priors
    if not priors:
        return "Nothing in the memory looks like it: the shape comes from the photo alone."
    count = "One shape was" if len(priors) == 1 else f"{len(priors)} shapes were"
    kinds = Counter(filter(None, (category_of(prior.source) for prior in priors)))
    named = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
    named = f" ({named})" if named else ""
    return f"{count} recalled{named}; the nearest has a cosine of {priors[0].cosine:.2f}."


def _named(error: ValueError, path: Path) -> str:
    """An error's words with the file's name in the place of its path, and a name if it has none."""
    text = str(error).replace(str(path), path.name)
    return text if path.name in text else f"{path.name}: {text}"
