"""Keys trained on views of one shape: the memory as the dictionary of a contrastive loss."""

# B = batch, S = slots that are compared, n = used slots, C = channels of a feature, R = voxels/side

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mem3d.memory.interface import Grids, WritableMemory, to_numpy

NEAREST = 64  # slots among which an image's negatives are: the hard ones


@dataclass(frozen=True)
class Candidates:
    """What the images of a batch are compared with.

    Attributes:
        keys: (S, C) float32 unit keys of distinct slots, without a gradient.
        positive: (B, S) bool, slots that hold the image's own shape.
        negative: (B, S) bool, slots that hold a different one.
    """

    keys: Tensor
    positive: Tensor
    negative: Tensor

    @property
    def valid(self) -> Tensor:
        """(B,) bool, images that have both."""
        return self.positive.any(dim=1) & self.negative.any(dim=1)


def candidates(
    memory: WritableMemory,
    features: Tensor,
    grids: Grids,
    sources: Sequence[str],
    nearest: int = NEAREST,
) -> Candidates:
    """Find each image's own slots, and the near ones that hold something else.

    Positives are all slots of the image's source. Negatives are those of the nearest slots that
    have another source, unless their value is similar to the true shape: such a slot is neither.
    An image without a positive gets no negatives either.

    Args:
        memory: where to look.
        features: (B, C); a row of zeros has no candidates.
        grids: (B, R, R, R) bool, the true shapes.
        sources: per image, as written to the memory; "" is nobody's.
        nearest: slots per image among which its negatives are, >= 1.

    Raises:
        memstore.FeatureError: a feature is not finite (the network diverged).
    """
    queries, slots = to_numpy(features), memory.slots
    positive = _of_source(memory.sources, sources)
    positive[~queries.any(axis=1)] = False
    negative = np.zeros_like(positive)
    rows = np.flatnonzero(positive.any(axis=1))
    found = memory.search(queries[rows], nearest).slots
    for row, hits in zip(rows.tolist(), found, strict=True):
        near = np.searchsorted(slots, hits[hits >= 0])
        others = near[~positive[row, near]]
        similar = memory.value_similarities(grids[row], slots[others])
        negative[row, others] = similar < memory.config.delta
    kept = np.flatnonzero((positive | negative).any(axis=0))
    arrays = (memory.keys(slots[kept]), positive[:, kept], negative[:, kept])
    return Candidates(*(torch.from_numpy(array).to(features.device) for array in arrays))


def contrastive_loss(features: Tensor, found: Candidates, *, temperature: float) -> Tensor:
    """Pull each feature to the keys of its own shape, away from near keys of others.

    -log(sum over positives of exp(cos / t) / sum over positives and negatives of exp(cos / t)),
    averaged over valid images.

    Args:
        features: (B, C), gradients flow here only.
        found: what they are compared with.
        temperature: t > 0; the smaller, the more the nearest keys count.

    Returns:
        Scalar >= 0, float32 even under autocast; 0 with no valid image.

    Source: InfoNCE (van den Oord et al. 2018) with a dictionary of past keys as in MoCo (He et al.
        2020), and several positives inside the logarithm as in MIL-NCE (Miech et al. 2020); that a
        shape's identity tells them apart is ours.
    """
    valid = found.valid
    positive, negative = found.positive[valid], found.negative[valid]
    with torch.autocast(features.device.type, enabled=False):
        unit = functional.normalize(features[valid].float(), dim=1)
        scores = unit @ found.keys.T / temperature
        own = scores.masked_fill(~positive, -torch.inf).logsumexp(dim=1)
        all_of_them = scores.masked_fill(~(positive | negative), -torch.inf).logsumexp(dim=1)
        return (all_of_them - own).sum() / valid.sum().clamp(min=1)


def _of_source(slot_sources: Sequence[str], sources: Sequence[str]) -> NDArray[np.bool_]:
    """(B, n) which slots have the source of each image; texts are looked at once per slot."""
    codes = {source: code for code, source in enumerate(sources) if source}
    wanted = np.array([codes.get(source, -1) for source in sources], np.int64)
    held = np.array([codes.get(source, -1) for source in slot_sources], np.int64)
    is_own: NDArray[np.bool_] = (wanted[:, None] == held) & (held >= 0)
    return is_own
