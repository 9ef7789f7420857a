"""Any photo to the square that the network is shown: masked, boxed, cut out, or as it is."""

from dataclasses import dataclass, replace
from operator import index
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mem3d.data.images.masks import PIECES, Mask, masked, outline, own_mask
from mem3d.data.images.preprocess import CROP, Box, Rgba
from mem3d.data.images.segmentation import cut_out

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
        doubts: why the mask may not show the object, and all of it; see `masks`.
        mask: (h, w) where the object is in the photo, or in the part of it around a box, with no
            side over LONGEST; None if the background was kept.
        corner: x, y of that part in the photo.
    """

    rgba: Rgba
    background: Done
    doubts: tuple[str, ...] = ()
    mask: Mask | None = None
    corner: tuple[int, int] = (0, 0)


def frame_photo(
    rgba: Rgba,
    *,
    mask: NDArray[Any] | None = None,
    box: Box | None = None,
    background: Background | None = None,
) -> Framed:
    """Find the object of a photo and cut a square around it.

    Args:
        rgba: (H, W, 4), upright; its alpha is a mask if what it leaves is neither nearly all nor
            next to nothing, see `masks.own_mask`.
        mask: (H, W) bool or uint8, or (H, W, 4) picture as `io.to_rgba` gives it; light = object,
            and where all is light, all is. It takes the place of alpha.
        box: left, top, right, bottom of the object in pixels; what a mask has outside of it does
            not count.
        background: of photos without a mask; None cuts it where an object is found, else keeps it.

    Raises:
        ValueError: the mask is of another size or empty, the box reaches beyond the picture, or an
            object was to be cut out and none was found.
    """
    rgba, is_masked = own_mask(rgba) if mask is None else (masked(rgba, mask), True)
    is_whole, corner = box is None, (0, 0)
    if box is not None:
        (left, top, *_), (rgba, box) = box, _around(rgba, box)
        corner = left - box[0], top - box[1]
    rgba, box = shrunk(rgba, box)
    if is_masked:
        rgba = rgba if box is None else _inside(rgba, box)
        return replace(_framed(rgba, "masked", is_whole), corner=corner)
    if background != "keep":
        cutout = cut_out(rgba[..., :3], box)
        if cutout is not None:
            framed = _framed(masked(rgba, cutout.mask), "cut", is_whole, cutout.doubts)
            return replace(framed, corner=corner)
        if background == "cut":
            raise ValueError(
                "photo: got no object that stands out, want one; give a mask or a box, or keep "
                "the background"
            )
    return Framed(frame_object(rgba, box), "kept")


def _framed(rgba: Rgba, background: Done, is_whole: bool, doubts: tuple[str, ...] = ()) -> Framed:
    """A photo whose alpha is a mask; of a box's surroundings no more than pieces are doubted."""
    mask = rgba[..., 3] > 127
    if not mask.any():
        raise ValueError(f"mask: got no object{'' if is_whole else ' in the box'}, want one")
    shape = outline(rgba[..., 3])
    reasons = shape.doubts if is_whole else [text for text in shape.doubts if text == PIECES]
    square = frame_object(rgba, None if mask.all() else shape.box)
    return Framed(square, background, tuple(dict.fromkeys((*reasons, *doubts))), mask)


def _around(rgba: Rgba, box: Box) -> tuple[Rgba, Box]:
    """The box with as much again on every side, and the box in what is left."""
    height, width = rgba.shape[:2]
    try:
        left, top, right, bottom = map(index, box)
    except (TypeError, ValueError):
        want = "four whole numbers: left, top, right, bottom"
        raise ValueError(f"box: got {box!r}, want {want}") from None
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
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
        box: of the object; by default what the mask takes up, but for specks.

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
    left, top, right, bottom = outline(rgba[..., 3]).box if box is None else box
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
    image = Image.fromarray(rgba)
    if rgba[..., 3].min() == 255:  # PIL need not weigh colors by alpha, which is slow
        pixels = np.ascontiguousarray(rgba)
        image = Image.frombuffer("RGBX", image.size, pixels, "raw", "RGBX", 0, 1)
    small = np.asarray(image.resize((width, height), Image.Resampling.BOX))
    if box is None:
        return small, None
    x, y = width / rgba.shape[1], height / rgba.shape[0]
    left, top = min(width - 1, int(box[0] * x)), min(height - 1, int(box[1] * y))
    right, bottom = max(left + 1, round(box[2] * x)), max(top + 1, round(box[3] * y))
    return small, (left, top, right, bottom)
