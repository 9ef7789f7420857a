"""What a photo's transparency or a mask says of its object, and what speaks against it.

The bounds are those of 13,248 renders with masks: docs/experiments/2026-11-29-photos.md has the
numbers.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mem3d.data.images.preprocess import Box, Rgba

Mask = NDArray[np.bool_]

LEAST, MOST = 0.005, 0.95  # share of the picture that an object takes
FEWEST = 64  # pixels of an object
SPECK = 0.05  # of the largest piece's pixels; a smaller piece is none of the object's
FAINT = 15  # alpha of what is not seen

BORDER, PIECES = "touches the border", "several pieces"
UNSURE = "unsure outline"  # of a guess
LACKING = "may lack parts"  # likewise
ALL, NOTHING = "nearly all of the picture", "nearly nothing of the picture"


@dataclass(frozen=True)
class Outline:
    """An object in a mask, without specks.

    Attributes:
        box: left, top, right, bottom.
        pieces: how many.
        share: of the picture.
        is_cut_off: whether it touches the picture's border.
    """

    box: Box
    pieces: int
    share: float
    is_cut_off: bool

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why it may not be the object; empty if nothing speaks against it."""
        reasons = {
            BORDER: self.is_cut_off,
            PIECES: self.pieces > 1,
            ALL: self.share > MOST,
            NOTHING: self.share < LEAST,
        }
        return tuple(reason for reason, holds in reasons.items() if holds)


def outline(alpha: NDArray[np.uint8]) -> Outline:
    """What a mask (H, W) shows, somewhere over 127: pieces hang together also by what is faint."""
    from scipy import ndimage

    mask = alpha > 127
    labels, _ = ndimage.label(alpha > FAINT, np.ones((3, 3)))
    sizes = np.bincount(labels[mask], minlength=labels.max() + 1)
    is_piece = sizes >= max(1, SPECK * sizes.max())
    clean = mask & is_piece[labels]
    rows, columns = np.flatnonzero(clean.any(1)), np.flatnonzero(clean.any(0))
    box = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    edges = clean[0], clean[-1], clean[:, 0], clean[:, -1]
    touches = any(edge.any() for edge in edges)
    return Outline(box, int(is_piece.sum()), float(clean.mean()), touches)


def own_mask(rgba: Rgba) -> tuple[Rgba, bool]:
    """The picture with its transparency as a mask, if it tells an object from a ground.

    What is more opaque than not is the object. If that is less than half of what is seen at all,
    the object is taken for half-transparent, as glass is, and made opaque.

    Args:
        rgba: (H, W, 4).

    Returns:
        The picture, and whether its alpha is a mask; else it is opaque.

    Raises:
        ValueError: nothing of the picture is seen.
    """
    alpha = rgba[..., 3]
    if alpha.min() == 255:
        return rgba, False
    if alpha.max() <= FAINT:
        raise ValueError("photo: got an empty mask (alpha is 0 everywhere), want an object in it")
    visible, solid = np.count_nonzero(alpha > FAINT), np.count_nonzero(alpha > 127)
    is_veiled = visible > MOST * alpha.size  # the ground is seen as well
    if not is_veiled and 2 * solid < visible and visible >= FEWEST:
        usual = np.median(alpha[alpha > FAINT])
        return _with_alpha(rgba, np.rint(alpha * (255 / usual)).clip(0, 255)), True
    if solid < FEWEST or solid > MOST * alpha.size:
        return _with_alpha(rgba, np.full_like(alpha, 255)), False
    return (_with_alpha(rgba, np.where(alpha > 127, alpha, 0)) if is_veiled else rgba), True


def masked(rgba: Rgba, mask: NDArray[Any]) -> Rgba:
    """The picture with a mask as its alpha.

    Args:
        rgba: (H, W, 4).
        mask: (H, W) bool or uint8, or a picture (H, W, 4); light = object. Where nothing is lighter
            than 1, 1 is light.

    Raises:
        ValueError: the mask is of another size, or nothing in it is light.
    """
    if mask.shape[:2] != rgba.shape[:2]:
        size, photo = ("{1}x{0}".format(*image.shape) for image in (mask, rgba))
        raise ValueError(f"mask: got {size} pixels, want the photo's {photo}")
    if mask.ndim == 3:  # a transparent pixel of a mask is no object, whatever its color
        mask = mask[..., :3].max(2).astype(np.uint16) * mask[..., 3] // 255
    largest = int(mask.max())
    if not (largest == 1 or largest > 127):
        fault = f"no light pixel (the lightest is {largest} of 255)"
        raise ValueError(f"mask: got {fault}, want the object in white")
    return _with_alpha(rgba, mask * 255 if largest == 1 else mask)


def _with_alpha(rgba: Rgba, alpha: NDArray[Any]) -> Rgba:
    return np.dstack([rgba[..., :3], alpha.astype(np.uint8)])
