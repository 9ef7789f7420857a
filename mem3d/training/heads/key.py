"""The ranked key trained first, by itself, to put shapes in the order of their IoU.

In a batch of many shapes, two pictures of each, every picture ranks all others by the cosine of
their keys. The loss is the cross-entropy of that with a ranking by the IoU of the true shapes,
those of the same kind put before others; another picture of the own shape is left out. The guess
learns beside it, by cross-entropy.

Source: ListNet (Cao et al. 2007), top-one probabilities. Not in the paper.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mem3d.data.dataset import ShapeDataset
from mem3d.data.loader import Batch
from mem3d.data.taxonomy import category_of
from mem3d.network.heads.key import RankedKey
from mem3d.network.model import Mem3D
from mem3d.training.heads.pretraining import HeadTraining, pretrain, stem_maps_of
from mem3d.training.state import TrainingJob
from mem3d.training.stem_cache import StemCache
from memstore.files import Progress

SHAPES = 192  # in a batch
PICTURES = 2  # of each
GUESS = 20.0  # weight of the guess's cross-entropy, a mean over voxels, beside the ranking
TEMPERATURE = 0.06  # of the ranking by IoU
KIND = 0.2  # IoU that a shape of the same kind has more in the ranking
_SHARPNESS = 10.0  # of the ranking by cosine, to begin with; it is learned
_OUT = -1e4  # a score that stands for a picture left out


class KeyLearner(nn.Module):
    """A key, and how sharply its cosines rank, which is of no use afterwards."""

    def __init__(self, key: RankedKey) -> None:
        super().__init__()
        self.key = key
        self.log_sharpness = nn.Parameter(torch.tensor(_SHARPNESS).log())

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Within, it changes."""
        self.key.is_learning = True
        self.requires_grad_(True)
        try:
            yield
        finally:
            self.key.is_learning = False
            self.key.eval()
            self.requires_grad_(False)


def pretrain_key(
    model: Mem3D,
    job: TrainingJob,
    cache: StemCache,
    on_step: Progress | None = None,
    folder: Path | None = None,
) -> float | None:
    """Train a network's ranked key, for `train.key_epochs` epochs.

    Args:
        model: one with a ranked key; its other weights stay as they are.
        job: see `pretrain`; its preset tells the epochs.
        cache: the stem's maps of all pictures, several of each shape.
        on_step: called with steps done and in all.
        folder: see `pretrain`.

    Returns:
        mean loss of the last epoch, over this process's parts; None if there is no epoch, or the
        folder had it.

    Raises:
        ValueError: the network has no key of its own.
    """
    if model.key is None:
        raise ValueError("key: got none, want a network with model.key=ranked")
    learner, config = KeyLearner(model.key).to(job.device), job.preset.train
    batches = ranking_batches(len(job.data), cache.maps.shape[1], config.key_epochs, config.seed)
    kinds = torch.tensor(kind_numbers(job.data), device=job.device)
    head = HeadTraining(
        name="keys",
        parts=learner,
        batches=batches,
        loss=lambda batch: _loss(learner, batch, kinds, job.device),
        settings=[config.key_epochs, SHAPES, TEMPERATURE, GUESS, KIND],
    )
    with learner.learning():
        losses = pretrain(head, job, cache, on_step, folder)
    last = losses[-(len(batches) // max(1, config.key_epochs)) :]
    return sum(last) / len(last) if last else None


def ranking_batches(
    shapes: int, pictures: int, epochs: int, seed: int
) -> list[list[tuple[int, int]]]:
    """Lists of (picture, shape): every epoch shows each shape once, by two pictures of it.

    Args:
        shapes: in all.
        pictures: of each, at least two.
        epochs: how many.
        seed: of the order, and of which pictures.
    """
    batches = []
    for epoch in range(epochs):
        rng = np.random.default_rng([seed, 2, epoch])
        order = rng.permutation(shapes)
        for start in range(0, shapes, SHAPES):
            some = order[start : start + SHAPES].tolist()
            views = rng.permuted(np.tile(np.arange(pictures), (len(some), 1)), axis=1)
            batches.append(
                [
                    (int(view), shape)
                    for shape, row in zip(some, views[:, :PICTURES], strict=True)
                    for view in row
                ]
            )
    return batches


def kind_numbers(data: ShapeDataset) -> list[int]:
    """A number for each shape's category, as its id names it; one of its own if it names none."""
    names = [category_of(data.shape_id(i)) or str(i) for i in range(len(data))]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return [numbers[name] for name in names]


def _loss(learner: KeyLearner, batch: Batch, kinds: Tensor, device: str) -> Tensor:
    """Of a batch with stem maps; kinds are those of all shapes."""
    query = learner.key(stem_maps_of(batch, device))
    shapes = torch.tensor(batch.shapes, device=device)
    grids = batch.grids.to(device)
    sharpness = learner.log_sharpness.exp()
    ranking = ranking_loss(query.keys, grids, shapes, kinds[shapes], sharpness)
    coarse = functional.avg_pool3d(grids[:, None].float(), 2).squeeze(1)
    return ranking + GUESS * functional.binary_cross_entropy_with_logits(query.guess, coarse)


def ranking_loss(
    keys: Tensor, grids: Tensor, shapes: Tensor, kinds: Tensor, sharpness: Tensor
) -> Tensor:
    """How far the order of the cosines is from that of IoU and kind.

    Args:
        keys: (B, C), of any length.
        grids: (B, R, R, R) bool, the true shapes.
        shapes: (B,) numbers of the shapes; pictures of one do not rank each other.
        kinds: (B,) numbers of their categories, see `KIND`.
        sharpness: scalar that cosines are multiplied by.

    Returns:
        Scalar >= 0: mean Kullback-Leibler divergence.
    """
    is_own = shapes[:, None] == shapes
    with torch.autocast(keys.device.type, enabled=False):
        units = functional.normalize(keys.float(), dim=1)
        scores = (sharpness * units @ units.T).masked_fill(is_own, _OUT)
        likeness = pairwise_iou(grids) + KIND * (kinds[:, None] == kinds)
        targets = (likeness / TEMPERATURE).masked_fill(is_own, _OUT)
        return functional.kl_div(
            scores.log_softmax(1), targets.log_softmax(1), reduction="batchmean", log_target=True
        )


def pairwise_iou(grids: Tensor) -> Tensor:
    """(B, B) float32 IoU of grids (B, R, R, R) bool with each other; 0 where both are empty."""
    voxels = grids.flatten(1).float()
    shared, counts = voxels @ voxels.T, voxels.sum(1)
    return shared / (counts[:, None] + counts - shared).clamp(min=1)
