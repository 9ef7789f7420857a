"""How much of what is recalled to blend into the answers: what validation shapes say.

Two numbers are tried on a grid, against the field's measure, IoU at .3 averaged over categories.
"""

# N = pictures, B = batch, S = shares, H = shifts, R = voxels per side

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mem3d.data.dataset import ShapeDataset
from mem3d.data.images.preprocess import test_pixels
from mem3d.data.loader import normalize
from mem3d.memory.interface import WritableMemory
from mem3d.metrics import FIXED_THRESHOLD
from mem3d.network.blending import blended
from mem3d.network.features import View, first_views
from mem3d.network.model import Mem3D

SHARES = tuple(round(0.1 * i, 1) for i in range(10))  # 0 to .9
SHIFTS = tuple(round(0.1 * i, 1) for i in range(-20, 11))  # -2 to 1


@dataclass(frozen=True)
class Blend:
    """What was chosen.

    Attributes:
        share: for `config.blend`.
        shift: for `config.shift`.
        before: IoU at .3 over categories of the network's own answers.
        after: with both.
        shifted: with the best shift alone, nothing blended in.
        pictures: that were looked at.
    """

    share: float
    shift: float
    before: float
    after: float
    shifted: float
    pictures: int


@torch.inference_mode()
def choose_blend(
    model: Mem3D,
    memory: WritableMemory,
    data: ShapeDataset,
    *,
    views: int = 4,
    batch: int = 32,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Blend:
    """Try all shares and shifts on the pictures of a data set.

    Args:
        model: what it blends now does not matter, and stays; put into evaluation mode.
        memory: where it recalls; is not written.
        data: models that neither weights nor memory have learned: validation models.
        views: pictures of each model, from view 00 on; fewer where a model has fewer.
        batch: pictures at a time.
        device: where the network is.
        progress: called with pictures done and pictures in all.

    Returns:
        the best; of equal ones the smallest share, then the smallest change of the logits. A
        network that reads no memory is only shifted.

    Raises:
        ValueError: there is no model, or a picture cannot be read.
    """
    if not len(data):
        raise ValueError(f"{data.root}: got no usable model, want at least 1 to choose by")
    shown = [view for i in range(len(data)) for view in first_views(data, i, views)]
    shares = SHARES if model.shape_encoder.reads else SHARES[:1]
    found = []
    was = model.config
    model.eval()
    try:
        model.config = replace(was, blend=0.0, shift=0.0)
        for start in range(0, len(shown), batch):
            found.append(_tried(model, memory, data, shown[start : start + batch], shares, device))
            if progress:
                progress(min(start + batch, len(shown)), len(shown))
    finally:
        model.config = was
    names = np.array([data.category(view.model) for view in shown])
    scores = _over_categories(np.concatenate(found), names)
    share, shift = _best(scores)
    none = SHIFTS.index(0.0)
    return Blend(
        share=SHARES[share],
        shift=SHIFTS[shift],
        before=float(scores[0, none]),
        after=float(scores[share, shift]),
        shifted=float(scores[0].max()),
        pictures=len(shown),
    )


def _tried(
    model: Mem3D,
    memory: WritableMemory,
    data: ShapeDataset,
    shown: list[View],
    shares: tuple[float, ...],
    device: str,
) -> NDArray[np.float32]:
    """(B, S, H) IoU of some pictures."""
    size = model.config.image_size
    pixels = np.stack([test_pixels(data.image(one.model, one.view), size) for one in shown])
    grids = torch.from_numpy(np.stack([data.grid(one.model) for one in shown])).to(device)
    output = model(normalize(torch.from_numpy(pixels)).to(device), memory)
    priors = output.recalled.priors if output.laid is None else output.laid
    tried = [
        _at_shifts(blended(output.logits, priors, output.recalled.counts, share, 0.0), grids)
        for share in shares
    ]
    return torch.stack(tried, dim=1).cpu().numpy()


def _at_shifts(logits: Tensor, grids: Tensor) -> Tensor:
    """(B, H) IoU of logits (B, R, R, R) with true grids, cut at .3 after each shift."""
    found = []
    cut = float(np.log(FIXED_THRESHOLD / (1 - FIXED_THRESHOLD)))
    for shift in SHIFTS:
        full = logits > cut - shift
        either = (full | grids).flatten(1).sum(1)
        ious = (full & grids).flatten(1).sum(1) / either.clamp(min=1)
        found.append(ious.masked_fill(either == 0, 1.0))  # as metrics.iou has it
    return torch.stack(found, dim=1)


def _over_categories(ious: NDArray[np.float32], names: NDArray[np.str_]) -> NDArray[np.float64]:
    """(S, H) mean over categories of the means of their pictures; `ious` is (N, S, H)."""
    means = [ious[names == name].mean(axis=0, dtype=np.float64) for name in sorted(set(names))]
    return np.asarray(np.mean(means, axis=0))


def _best(scores: NDArray[np.float64]) -> tuple[int, int]:
    """Indices of the best score; of equal ones the least change."""
    order = [
        (-score, share, abs(SHIFTS[shift]), shift)
        for (share, shift), score in np.ndenumerate(scores)
    ]
    _, share, _, shift = min(order)
    return share, shift
