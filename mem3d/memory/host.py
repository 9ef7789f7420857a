"""A `memstore.Memory` on the CPU: features and grids are brought to it, what it has goes back."""

# B = batch, K = priors per image (padded), C = channels of a feature, R = voxels per side

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mem3d.memory.interface import Features, Recalled, to_numpy
from mem3d.memory.second_look import SHORTLIST, best_fits
from memstore import Memory, Priors, WriteReport


class HostMemory:
    """A memory as it is, as `TrainingMemory` wants it.

    Args:
        memory: to ask; opened to be written, if it is to be written.
    """

    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    def recall(
        self,
        features: Tensor,
        k: int,
        exclude: Sequence[str | None] | None = None,
        guess: Tensor | None = None,
    ) -> Recalled:
        """As `TrainingMemory.recall`."""
        queries = to_numpy(features)
        rows = np.flatnonzero(_is_alive(queries))
        sources = None if exclude is None else [exclude[row] for row in rows.tolist()]
        if guess is None:
            priors = self.memory.read(queries[rows], k, exclude=sources)
        else:
            shortlist = self.memory.read(queries[rows], SHORTLIST, exclude=sources)
            priors = _second_look(shortlist, guess.cpu()[rows], k)
        if len(rows) < len(queries):
            priors = _spread(priors, rows, len(queries))
        width = max(1, int(priors.counts.max(initial=0)))
        return Recalled(
            priors=torch.from_numpy(priors.values[:, :width])
            .to(features.device)
            .to(features.dtype),
            counts=torch.from_numpy(priors.counts).to(features.device),
            slots=priors.slots[:, :width],
            cosines=priors.cosines[:, :width],
        )

    def contrast_keys(self, features: Tensor, grids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `TrainingMemory.contrast_keys`."""
        queries = to_numpy(features)
        valid = _is_alive(queries)
        positive, negative = np.zeros_like(queries), np.zeros_like(queries)
        rows = np.flatnonzero(valid)
        if rows.size:
            pairs = self.memory.contrast(queries[rows], grids.cpu().numpy()[rows])
            both = (pairs.positive >= 0) & (pairs.negative >= 0)
            valid[rows] = both
            positive[valid] = self.memory.keys(pairs.positive[both])
            negative[valid] = self.memory.keys(pairs.negative[both])
        as_tensors = [torch.from_numpy(a).to(features.device) for a in (positive, negative, valid)]
        return as_tensors[0], as_tensors[1], as_tensors[2]

    def write(self, features: Tensor, grids: Tensor, sources: Sequence[str]) -> WriteReport:
        """As `TrainingMemory.write`."""
        queries = to_numpy(features)
        rows = np.flatnonzero(_is_alive(queries))
        names = [sources[row] for row in rows.tolist()]
        return self.memory.write(queries[rows], grids.cpu().numpy()[rows], names, warn=False)

    def flush(self) -> None:
        """Nothing is to be brought anywhere."""


def _second_look(shortlist: Priors, guess: Tensor, k: int) -> Priors:
    """The k of each shortlist that fit the guesses (B, N, N, N) best."""
    grids, cosines, counts = map(
        torch.from_numpy, (shortlist.values, shortlist.cosines, shortlist.counts)
    )
    places = best_fits(grids, cosines, counts, guess, k).numpy()
    rows = np.arange(len(places))[:, None]
    return Priors(
        shortlist.slots[rows, places],
        shortlist.cosines[rows, places],
        shortlist.values[rows, places],
        shortlist.counts.clip(max=k),
        shortlist.sources[rows, places],
        {},
        shortlist.exact,
    )


def _is_alive(features: Features) -> NDArray[np.bool_]:
    """(B,) features that point somewhere; a dead ReLU layer gives an all-zero one."""
    return np.asarray(features.any(axis=1))


def _spread(priors: Priors, rows: NDArray[np.int64], batch: int) -> Priors:
    """Priors of some rows (n,) of a batch; the others have none."""
    (k, *sides) = priors.values.shape[1:]
    spread = Priors(
        np.full((batch, k), -1, np.int64),
        np.full((batch, k), -np.inf, np.float32),
        np.zeros((batch, k, *sides), np.bool_),
        np.zeros(batch, np.int64),
        np.full((batch, k), "", object),
        {},
        np.ones(batch, np.bool_),
    )
    spread.exact[rows] = priors.exact
    spread.slots[rows], spread.cosines[rows] = priors.slots, priors.cosines
    spread.values[rows], spread.counts[rows] = priors.values, priors.counts
    spread.sources[rows] = priors.sources
    return spread
