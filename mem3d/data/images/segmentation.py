"""Finding the object in a photo without a mask.

A network that was trained to find what a photo shows goes first (`u2netp`). Where it is unsure, the
object is looked for by its colors: what lies at the photo's border, or outside a box around the
object, is background; its colors and those of the rest are two mixtures of Gaussians, and a pixel
goes to the one that explains it and its neighbors better. docs/experiments/2026-11-29-photos.md has
the numbers.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mem3d.data.images.masks import BORDER, LACKING, LEAST, MOST, PIECES, SPECK, UNSURE, Mask
from mem3d.data.images.preprocess import Box

Mixture = list[tuple[float, NDArray[np.float64], NDArray[np.float64]]]  # share, mean, covariance

FADED = 0.1, 0.9  # likelihoods between which the network does not know
MOST_FADED = 0.5  # of such pixels over those of the object
FAINT = 0.25  # likelihood from which something may belong to the object as well
BESIDE = 2  # pixels from the object on, of those that the network sees
MOST_FAINT = 0.005  # share of faint pixels there
ROOM = 0.1  # around a box, of its longer side, that the network sees
SIDE = 192  # pixels of the longer side, as the object is looked for by its colors
RIM = 0.04  # of each side, taken for background
COLORS = 5  # Gaussians per mixture
SAMPLES = 4000  # pixels that a mixture is fitted to, at least, where there are so many
ROUNDS = 4  # of fitting both mixtures and sorting the pixels
NOISE = 4.0  # variance that every color has at least, in CIELAB units
MOST_SURE = 8.0  # largest log ratio that a pixel's color counts for
PULL, EDGE = 4.0, 8.0  # of neighbors on a pixel; color difference at which it ceases


class Cutout(NamedTuple):
    """A guess at an object.

    Attributes:
        mask: (H, W).
        doubts: why it may not be the object, beyond what the mask itself shows; as in `masks`.
    """

    mask: Mask
    doubts: tuple[str, ...]


def cut_out(rgb: NDArray[np.uint8], box: Box | None = None) -> Cutout | None:
    """Guess which pixels show the object.

    Args:
        rgb: (H, W, 3).
        box: left, top, right, bottom of the object, inside the picture; what lies outside is
            background.

    Returns:
        What the network is sure of, doubted where it may lack parts; else what stands out by its
        colors, if nothing speaks against that; else what the network takes for likely, doubted.
        None if nothing stands out.
    """
    if min(rgb.shape[:2]) < 8:
        return None
    likely = _cut_by_network(rgb, box)
    if likely is not None and UNSURE not in likely.doubts:
        return likely
    colored = _cut_by_color(rgb, box)
    if likely is None or (colored is not None and not colored.doubts):
        return colored
    return likely


def _cut_by_network(rgb: NDArray[np.uint8], box: Box | None) -> Cutout | None:
    """The salient object, in one piece or more."""
    from mem3d.data.images.u2netp import saliency  # loads torch

    height, width = rgb.shape[:2]
    left, top, right, bottom = box or (0, 0, width, height)
    room = 0 if box is None else round(ROOM * max(right - left, bottom - top))
    x, y = max(0, left - room), max(0, top - room)
    part = rgb[y : bottom + room, x : right + room]
    likelihood = saliency(part)
    large = Image.fromarray(likelihood).resize(part.shape[1::-1], Image.Resampling.BILINEAR)
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = (
        np.asarray(large)[top - y : bottom - y, left - x : right - x] > 0.5
    )
    if not LEAST <= mask.mean() <= MOST:
        return None
    faded = (likelihood > FADED[0]) & (likelihood < FADED[1])
    is_unsure = faded.sum() > MOST_FADED * (likelihood > 0.5).sum()
    scale = likelihood.shape[0] / part.shape[0], likelihood.shape[1] / part.shape[1]
    rows = slice(round((top - y) * scale[0]), round((bottom - y) * scale[0]))
    columns = slice(round((left - x) * scale[1]), round((right - x) * scale[1]))
    reasons = {UNSURE: is_unsure, LACKING: _lacks_parts(likelihood[rows, columns])}
    return Cutout(mask, tuple(reason for reason, holds in reasons.items() if holds))


def _lacks_parts(likelihood: NDArray[np.float32]) -> bool:
    """Whether something apart from the object (h, w) is faintly taken for it."""
    from scipy import ndimage

    near = ndimage.binary_dilation(likelihood > 0.5, np.ones((3, 3)), iterations=BESIDE)
    apart = likelihood[~near]
    return bool(apart.size and (apart > FAINT).mean() > MOST_FAINT)


def _cut_by_color(rgb: NDArray[np.uint8], box: Box | None) -> Cutout | None:
    """What is colored unlike its surroundings: one piece without holes.

    It is doubted if it reaches the border's strip or if it is not the only piece that stands out.

    Source: the mixtures are those of GrabCut (Rother et al. 2004); ours smooths by diffusion along
    color edges where GrabCut cuts a graph.
    """
    height, width = rgb.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    shape = max(1, round(height * scale)), max(1, round(width * scale))
    if min(shape) < 8:
        return None
    small = Image.fromarray(rgb).resize((shape[1], shape[0]), Image.Resampling.BOX)
    ground = _known_ground(shape, box, (shape[1] / width, shape[0] / height))
    sorted_pixels = _segment(np.asarray(small), ground)
    mask = _one_piece(sorted_pixels)
    if not LEAST <= mask.mean() <= MOST:
        return None
    doubts = _doubts(mask, sorted_pixels, ground if box is None else np.zeros_like(ground))
    large = Image.fromarray(mask.astype(np.uint8) * 255)
    result = np.asarray(large.resize((width, height), Image.Resampling.BILINEAR)) > 127
    return Cutout(result, doubts) if result.any() else None


def _doubts(mask: Mask, pieces: Mask, ground: Mask) -> tuple[str, ...]:
    """What speaks against a piece among others."""
    from scipy import ndimage

    labels, _ = ndimage.label(pieces & ~mask)
    sizes = np.bincount(labels.ravel(), minlength=2)[1:]
    reasons = (BORDER,) if (ndimage.binary_dilation(ground) & mask).any() else ()
    return (*reasons, PIECES) if sizes.max() >= SPECK * np.count_nonzero(mask) else reasons


def _known_ground(shape: tuple[int, int], box: Box | None, scale: tuple[float, float]) -> Mask:
    """(H, W): the border, or what lies outside the box where that is more than nothing."""
    ground = np.ones(shape, bool)
    rim = [max(1, round(RIM * side)) for side in shape]
    if box is None:
        ground[rim[0] : -rim[0], rim[1] : -rim[1]] = False
        return ground
    left, top = int(box[0] * scale[0]), int(box[1] * scale[1])
    right, bottom = np.ceil(box[2] * scale[0]), np.ceil(box[3] * scale[1])
    ground[top : int(bottom), left : int(right)] = False
    return ground if ground.any() else _known_ground(shape, None, scale)


def _segment(rgb: NDArray[np.uint8], ground: Mask) -> Mask:
    """Start from what looks unlike the known ground, then fit and sort in turns."""
    from scipy import ndimage
    from skimage.color import rgb2lab
    from skimage.filters import threshold_otsu

    lab = rgb2lab(rgb)
    unlike = _cost(lab, _mixture(lab[ground]), nearest_only=True)
    unlike = ndimage.gaussian_filter(np.log1p(unlike - unlike.min()), 1)
    level = threshold_otsu(unlike[~ground])  # type: ignore[no-untyped-call]
    mask: Mask = (unlike > level) & ~ground
    pull = _pull(lab)
    for _ in range(ROUNDS):
        if np.count_nonzero(mask) < 8 * COLORS:
            break
        surplus = _cost(lab, _mixture(lab[~mask])) - _cost(lab, _mixture(lab[mask]))
        mask = (_diffused(surplus.clip(-MOST_SURE, MOST_SURE), pull) > 0) & ~ground
        mask = ndimage.binary_opening(mask)
    return mask


def _mixture(colors: NDArray[np.float64]) -> Mixture:
    """COLORS Gaussians fitted to colors (n, 3), by k-means from quantiles of lightness."""
    colors = colors[:: max(1, len(colors) // SAMPLES)]
    order = np.argsort(colors[:, 0], kind="stable")
    centers = colors[order[((np.arange(COLORS) + 0.5) / COLORS * len(colors)).astype(int)]]
    nearest = np.zeros(len(colors), int)
    for _ in range(10):
        nearest = ((colors[:, None] - centers) ** 2).sum(2).argmin(1)
        groups = [colors[nearest == k] for k in range(len(centers))]
        centers = np.stack([group.mean(0) for group in groups if len(group)])
    groups = [colors[nearest == k] for k in range(len(centers))]
    return [
        (len(group) / len(colors), group.mean(0), np.cov(group.T) + NOISE * np.eye(3))
        for group in groups
        if len(group) >= 4
    ]


def _cost(
    lab: NDArray[np.float64], mixture: Mixture, nearest_only: bool = False
) -> NDArray[np.float64]:
    """(H, W): minus the log likelihood of each color, or its squared distance to a Gaussian."""
    costs = []
    for share, mean, covariance in mixture:
        away = lab - mean
        distance = np.einsum("...i,ij,...j->...", away, np.linalg.inv(covariance), away)
        constant = 0.0 if nearest_only else np.linalg.slogdet(covariance)[1] - 2 * np.log(share)
        costs.append(distance + constant)
    if nearest_only:
        return np.asarray(np.min(costs, axis=0))
    return np.asarray(-np.logaddexp.reduce([-cost / 2 for cost in costs], axis=0))


def _pull(lab: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How strongly each pixel pulls at the one below it, and at the one to its right."""
    down = ((lab[1:] - lab[:-1]) ** 2).sum(2)
    across = ((lab[:, 1:] - lab[:, :-1]) ** 2).sum(2)
    return PULL * np.exp(-down / (2 * EDGE**2)), PULL * np.exp(-across / (2 * EDGE**2))


def _diffused(
    values: NDArray[np.float64], pull: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Values (H, W) drawn to those of their neighbors, but not across color edges."""
    down, across = pull
    weight = np.ones_like(values)
    weight[1:] += down
    weight[:-1] += down
    weight[:, 1:] += across
    weight[:, :-1] += across
    smooth = values
    for _ in range(30):
        total = values.copy()
        total[1:] += down * smooth[:-1]
        total[:-1] += down * smooth[1:]
        total[:, 1:] += across * smooth[:, :-1]
        total[:, :-1] += across * smooth[:, 1:]
        smooth = total / weight
    return smooth


def _one_piece(mask: Mask) -> Mask:
    """The connected piece with most pixels, those near the middle counting more; holes filled."""
    from scipy import ndimage

    pieces, count = ndimage.label(mask)
    if not count:
        return mask
    y, x = (np.linspace(-0.5, 0.5, side) for side in mask.shape)
    central = np.exp(-(y[:, None] ** 2 + x**2) / (2 * 0.3**2))
    largest = 1 + int(np.argmax(ndimage.sum_labels(central, pieces, range(1, count + 1))))
    return np.asarray(ndimage.binary_fill_holes(pieces == largest), bool)
