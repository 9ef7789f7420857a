"""What the demo page does with a photo, as plain functions: no web library, no printing.

The network runs once per photo, in `reconstruct_upload`. All that follows, another threshold,
another kind of mesh, the files to download, is made of its occupancy.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mem3d.data.images.framing import Background, Done, Framed, frame_photo, shrunk
from mem3d.data.images.io import read_image
from mem3d.data.images.masks import Mask
from mem3d.data.images.preprocess import Box, Rgba, test_pixels
from mem3d.data.rendering.figures import grid_picture
from mem3d.data.taxonomy import category_of, titled
from mem3d.inference.figures import VIEWS
from mem3d.inference.output import PRINT_TYPES, Surface
from mem3d.inference.printing import Printable
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
PAINT, SHEER = (255, 96, 0), 0.6  # color of a mask over its photo, and its opacity
CANVAS = 640  # pixels per side of what is painted on
_PAINTED = 64  # alpha from which a pixel counts as painted

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
        photo: (H, W, 4) all of it, with no side over `framing.LONGEST`.
        mask: (H, W) where the object is in it; None if the background was kept.
    """

    name: str
    rgba: Rgba
    background: Done
    feature: Features
    result: Reconstruction
    photo: Rgba
    mask: Mask | None

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
        photo = read_image(path, MAX_PIXELS)
        framed = frame_photo(photo, background=background)
    except ValueError as error:
        raise ValueError(_named(error, path)) from error
    return _reconstructed(model, memory, path.stem, shrunk(photo)[0], framed, device)


def reconstruct_corrected(
    model: Mem3D,
    memory: Memory,
    photo: PhotoResult,
    paint: Mask,
    *,
    is_box: bool = False,
    device: str = "cpu",
) -> PhotoResult:
    """Reconstruct a photo once more, with the object where a visitor says.

    Args:
        model: in evaluation mode.
        memory: where it recalls.
        photo: of before.
        paint: (H, W) in the size of `photo.photo`.
        is_box: look for the object in the box around the paint; else the paint is the object.
        device: where the network is.

    Raises:
        ValueError: nothing is painted, or no object stands out in the box.
    """
    if not paint.any():
        raise ValueError("mask: got no paint, want the object painted, or a stroke across it")
    if is_box:
        framed = frame_photo(photo.photo, box=_box_around(paint), background="cut")
    else:
        framed = frame_photo(photo.photo, mask=paint)
    return _reconstructed(model, memory, photo.name, photo.photo, framed, device)


def _box_around(paint: Mask) -> Box:
    rows, columns = np.flatnonzero(paint.any(1)), np.flatnonzero(paint.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _reconstructed(
    model: Mem3D, memory: Memory, name: str, photo: Rgba, framed: Framed, device: str
) -> PhotoResult:
    """What the network makes of a framed photo."""
    mask = framed.mask
    if mask is not None:
        (x, y), (height, width) = framed.corner, mask.shape
        mask = np.zeros(photo.shape[:2], np.bool_)
        mask[y : y + height, x : x + width] = framed.mask
    [result] = reconstruct(model, memory, [framed.rgba], framed=True)
    [feature] = encode(model, [test_pixels(framed.rgba, model.config.image_size)], device)
    result = replace(result, background=framed.background, doubts=framed.doubts)
    return PhotoResult(
        name, framed.rgba, framed.background, feature, result, photo=photo, mask=mask
    )


def editor_value(photo: PhotoResult) -> dict[str, Any]:
    """The photo with its mask painted over it, as gradio's editor of images takes it.

    Both fill the editor's whole canvas: gradio puts a layer of another size elsewhere than the
    photo.
    """
    place, size = _in_editor(photo)
    ground = Image.new("RGB", (CANVAS, CANVAS), "white")
    whole = Image.fromarray(photo.photo).resize(size, Image.Resampling.BOX)
    ground.paste(whole.convert("RGB"), place, whole.getchannel("A"))
    layer = np.zeros((CANVAS, CANVAS, 4), np.uint8)
    if photo.mask is not None:
        alpha = Image.new("L", (CANVAS, CANVAS))
        alpha.paste(Image.fromarray(photo.mask).resize(size, Image.Resampling.NEAREST), place)
        layer[np.asarray(alpha) > 0] = (*PAINT, round(255 * SHEER))
    return {"background": np.asarray(ground), "layers": [layer], "composite": None}


def read_paint(paths: Sequence[Path], photo: PhotoResult) -> Mask:
    """Where a visitor painted, (H, W) in the photo's size, of the editor's layers.

    Raises:
        ValueError: no picture, or too large a one.
    """
    height, width = photo.photo.shape[:2]
    paint = np.zeros((height, width), np.bool_)
    (x, y), (across, down) = _in_editor(photo)
    for path in paths:
        check_size(path)
        try:
            alpha = Image.fromarray(read_image(path, MAX_PIXELS)[..., 3])
        except ValueError as error:
            raise ValueError(_named(error, path)) from error
        alpha = alpha.resize((CANVAS, CANVAS)).crop((x, y, x + across, y + down))
        paint |= np.asarray(alpha.resize((width, height), Image.Resampling.BILINEAR)) >= _PAINTED
    return paint


def _in_editor(photo: PhotoResult) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where the photo is on the editor's canvas, x and y, and its width and height there."""
    height, width = photo.photo.shape[:2]
    scale = CANVAS / max(height, width)
    across, down = max(1, round(width * scale)), max(1, round(height * scale))
    return ((CANVAS - across) // 2, (CANVAS - down) // 2), (across, down)


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
    photo: PhotoResult,
    threshold: float,
    folder: Path,
    surface: Surface = "smooth",
    body: Printable | None = None,
) -> dict[str, Path]:
    """Write what can be downloaded, each file whole or not at all.

    Args:
        photo: what to write.
        threshold: in (0, 1).
        folder: exists; files of the same names are replaced.
        surface: of the mesh: marching cubes, or the voxels as cubes.
        body: to print, written too; see `to_print`.

    Returns:
        paths by ending: "glb" the mesh, "binvox" the voxels, "npz" all numbers behind them; "stl"
        and "3mf" the body to print, if there is one. Empty if no voxel is above the threshold.
    """
    grid = photo.grid(threshold)
    if not grid.any():
        return {}
    result = replace(photo.result, threshold=threshold)
    mesh = result.mesh(surface, confidence=False)
    endings = ("glb", "binvox", "npz", *(PRINT_TYPES if body else ()))
    files = {ending: folder / f"{photo.name}.{ending}" for ending in endings}
    write_glb(files["glb"], mesh, is_rounded=surface == "smooth")
    write_binvox(files["binvox"], grid)
    write_atomic(files["npz"], result.npz(feature=photo.feature))
    if body is not None:
        for ending in PRINT_TYPES:
            body.save(files[ending])
    return files


def to_print(
    photo: PhotoResult,
    threshold: float,
    size: float | None,
    surface: Surface,
    *,
    is_height: bool = False,
) -> Printable:
    """The shape as one body to print, so many millimeters long or high.

    See `Reconstruction.printable`.

    Raises:
        ValueError: no voxel is above the threshold, or no size or one out of range.
    """
    if not isinstance(size, int | float):  # whoever writes requests by hand can send anything
        text = "none" if size is None else repr(size)[:20]
        raise ValueError(f"print size: got {text}, want millimeters")
    length, height = (None, size) if is_height else (size, None)
    result = replace(photo.result, threshold=threshold)
    return result.printable(length, height=height, surface=surface)


def recalled_tiles(photo: PhotoResult) -> Tiles:
    """Pictures of the recalled shapes, the best first; captions tell cosine and source."""
    return [
        (draw_grid(prior.grid), f"{rank} · cosine {prior.cosine:.3f}\n{titled(prior.source)}")
        for rank, prior in enumerate(photo.result.priors, start=1)
    ]


def draw_grid(grid: NDArray[np.bool_]) -> Rgb:
    """A grid as the page's galleries show it."""
    return grid_picture(grid, TILE, azimuth=VIEWS[0])


def account(photo: PhotoResult) -> str:
    """What was done to the photo and what was recalled, as Markdown; a line for each doubt."""
    reasons = ", ".join(photo.result.doubts)
    doubts = [f"⚠️ **Doubtful cut-out: {reasons}.** Correct the mask below."] if reasons else []
    remarks = [f"⚠️ **{text[0].upper()}{text[1:]}.**" for text in photo.result.remarks]
    lines = [*doubts, *remarks, f"{_BACKGROUNDS[photo.background]} {_recall(photo)}"]
    return "\n\n".join(lines)


_BACKGROUNDS: dict[Done, str] = {
    "masked": "A mask told the object from its background: the photo's transparency, or yours.",
    "cut": "The outline of the object is a guess: look whether the network saw all of it.",
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
