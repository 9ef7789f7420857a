"""Any photo to the square that the network is shown: masked, boxed, cut out, or as it is."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mem3d.data.images.preprocess import CROP, Box, Rgba
from mem3d.data.images.segmentation import object_mask

LONGEST = 1024  # pixels per side of a photo that is framed; the network sees far fewer
OBJECT_SHARE = 0.68  # long side of the object over that of the crop; median of the renders

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
        outline = object_mask(rgba[..., :3], box)
        if outline is not None:
            return Framed(frame_object(_masked(rgba, outline.astype(np.uint8) * 255)), "cut")
        if background == "cut":
            raise ValueError(
                "photo: got no object that stands out, want one; give a mask or a box, or keep "
                "the background"
            )
    return Framed(frame_object(rgba, box), "kept")


def _masked(rgba: Rgba, mask: NDArray[np.uint8]) -> Rgba:
    """The picture with the mask as its alpha."""
    if mask.shape[:2] != rgba.shape[:2]:
        size, photo = ("{1}x{0}".format(*image.shape) for image in (mask, rgba))
        raise ValueError(f"mask: got {size} pixels, want the photo's {photo}")
    if mask.ndim == 3:  # a transparent pixel of a mask is no object, whatever its color
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


def frame_object(rgba: Rgba, box: Box | None = None) -> Rgba:
    """Square cut around the object, sized as objects are in the renders.

    Args:
        rgba: (H, W, 4); alpha is the object's mask. An opaque picture without a box counts as all
            object and is cut to the center square.
        box: of the object; by default what the mask takes up.

    Returns:
        (S, S, 4); transparent where the square reaches past the picture.

    Raises:
        ValueError: the mask is empty.
    """
    rgba, box = shrunk(rgba, box)
    mask = rgba[..., 3] > 127
    if not mask.any():
        raise ValueError("photo: got an empty mask (alpha is 0 everywhere), want an object in it")
    if mask.all() and box is None:
        side = min(rgba.shape[:2])
        top, left = (rgba.shape[0] - side) // 2, (rgba.shape[1] - side) // 2
        return rgba[top : top + side, left : left + side]
    if box is None:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    left, top, right, bottom = box
    half = max(right - left, bottom - top) / (OBJECT_SHARE * CROP) / 2
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    square = [
        round(v) for v in (middle_x - half, middle_y - half, middle_x + half, middle_y + half)
    ]
    cut = Image.fromarray(rgba).crop((square[0], square[1], square[2], square[3]))
    return np.asarray(cut)  # transparent past the picture's edges


def shrunk(rgba: Rgba, box: Box | None = None) -> tuple[Rgba, Box | None]:
    """A picture with no side over LONGEST, so that cuts stay small, and a box in it likewise."""
    longest = max(rgba.shape[:2])
    if longest <= LONGEST:
        return rgba, box
    height, width = (max(1, round(side * LONGEST / longest)) for side in rgba.shape[:2])
    small = np.asarray(Image.fromarray(rgba).resize((width, height), Image.Resampling.BOX))
    if box is None:
        return small, None
    x, y = width / rgba.shape[1], height / rgba.shape[0]
    left, top = min(width - 1, int(box[0] * x)), min(height - 1, int(box[1] * y))
    right, bottom = max(left + 1, round(box[2] * x)), max(top + 1, round(box[3] * y))
    return small, (left, top, right, bottom)
