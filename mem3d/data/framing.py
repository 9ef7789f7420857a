"""Any photo to the square that the network is shown: masked, boxed, cut out, or as it is."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mem3d.data.cutout import object_mask
from mem3d.data.transforms import Box, Rgba, frame_object, shrunk

Background = Literal["cut", "keep"]
Done = Literal["masked", "cut", "kept"]


@dataclass(frozen=True)
class Framed:
    """A photo as it goes to the network.

    Attributes:
        rgba: (S, S, 4), the object framed as in the renders.
        background: what became of it: "masked" by the photo's own mask, "cut" by a guessed one, or
            "kept".
    """

    rgba: Rgba
    background: Done


def frame_photo(
    rgba: Rgba,
    *,
    mask: NDArray[np.uint8] | None = None,
    box: Box | None = None,
    background: Background | None = None,
) -> Framed:
    """Find the object of a photo and cut a square around it.

    Args:
        rgba: (H, W, 4), upright; alpha below 255 anywhere is a mask.
        mask: (H, W, 4) picture as `photo` reads it, or (H, W); light = object, and where all is
            light, all is. It takes the place of alpha.
        box: left, top, right, bottom of the object in pixels; what a mask has outside of it does
            not count.
        background: of photos without a mask; None cuts it where an object is found, else keeps it.

    Raises:
        ValueError: the mask is of another size or empty, the box lies outside the picture, or an
            object was to be cut out and none was found.
    """
    if mask is not None:
        rgba = _masked(rgba, mask)
    if box is not None:
        rgba, box = _around(rgba, box)
    rgba, box = shrunk(rgba, box)
    if mask is not None or (rgba[..., 3] < 255).any():
        return Framed(frame_object(rgba if box is None else _inside(rgba, box)), "masked")
    if background != "keep":
        found = object_mask(rgba[..., :3], box)
        if found is not None:
            return Framed(frame_object(_masked(rgba, found.astype(np.uint8) * 255)), "cut")
        if background == "cut":
            raise ValueError(
                "photo: got no object that stands out, want one; give a mask or a box, or keep "
                "the background"
            )
    return Framed(frame_object(rgba, box), "kept")


def _masked(rgba: Rgba, mask: NDArray[np.uint8]) -> Rgba:
    """The picture with the mask as its alpha."""
    if mask.shape[:2] != rgba.shape[:2]:
        got, want = mask.shape[1::-1], rgba.shape[1::-1]
        raise ValueError(
            f"mask: got {got[0]}x{got[1]} pixels, want the photo's {want[0]}x{want[1]}"
        )
    if mask.ndim == 3:  # a transparent pixel of a mask is no object, whatever its colour
        mask = (mask[..., :3].max(2).astype(np.uint16) * mask[..., 3] // 255).astype(np.uint8)
    if not (mask > 127).any():
        raise ValueError("mask: got no light pixel, want the object in white")
    return np.dstack([rgba[..., :3], mask])


def _around(rgba: Rgba, box: Box) -> tuple[Rgba, Box]:
    """The box with as much again on every side, and the box in what is left."""
    height, width = rgba.shape[:2]
    left, top, right, bottom = (
        max(0, box[0]),
        max(0, box[1]),
        min(width, box[2]),
        min(height, box[3]),
    )
    if right <= left or bottom <= top:
        raise ValueError(
            f"box: got {','.join(map(str, box))}, want left, top, right, bottom within "
            f"{width}x{height} pixels"
        )
    margin = max(right - left, bottom - top)
    x, y = max(0, left - margin), max(0, top - margin)
    part = rgba[y : bottom + margin, x : right + margin]
    return part, (left - x, top - y, right - x, bottom - y)


def _inside(rgba: Rgba, box: Box) -> Rgba:
    """The picture, transparent outside the box."""
    left, top, right, bottom = box
    result = np.zeros_like(rgba)
    result[top:bottom, left:right] = rgba[top:bottom, left:right]
    return result
