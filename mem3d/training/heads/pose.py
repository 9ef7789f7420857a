"""Camera and extents trained first, by themselves.

What recalled shapes are worth depends on how well their extents are predicted, which takes many
pictures to learn. Only the trunk and the heads for these change; afterwards they go on learning
with all the rest.

Not in the paper, which predicts neither.
"""

from pathlib import Path

import torch
from torch import nn

from mem3d.data.loader import Batch, BatchSampler
from mem3d.network.heads.pose import extent_loss, viewpoint_loss
from mem3d.network.model import Mem3D
from mem3d.training.heads.pretraining import HeadTraining, pretrain, stem_maps_of
from mem3d.training.state import TrainingJob
from mem3d.training.stem_cache import StemCache
from memstore.files import Progress

BATCH = 64
_CAMERA = 0.1  # weight of the camera's loss beside that of the extents


def pretrain_pose(
    model: Mem3D,
    job: TrainingJob,
    cache: StemCache,
    on_step: Progress | None = None,
    folder: Path | None = None,
) -> float | None:
    """Train the parts of a network that predict camera and extents, for `train.pose_epochs` epochs.

    Args:
        model: one with a pose trunk; its other weights stay as they are.
        job: see `pretrain`; its preset tells the epochs.
        cache: the stem's maps of all pictures.
        on_step: called with steps done and in all.
        folder: see `pretrain`.

    Returns:
        mean loss of the last epoch, over this process's parts; None if there is no epoch, or the
        folder had it.
    """
    heads = {"pose": model.pose, "viewpoint": model.viewpoint, "extents": model.extents}
    parts = nn.ModuleDict({name: part for name, part in heads.items() if part is not None})
    config = job.preset.train
    order = BatchSampler(len(job.data), BATCH, config.pose_epochs, seed=config.seed)
    head = HeadTraining(
        name="poses",
        parts=parts,
        batches=list(order),
        loss=lambda batch: _loss(model, batch, job.device),
        settings=[config.pose_epochs],
    )
    losses = pretrain(head, job, cache, on_step, folder)
    last = losses[-order.steps_per_epoch :]
    return sum(last) / len(last) if last else None


def _loss(model: Mem3D, batch: Batch, device: str) -> torch.Tensor:
    """Of a batch with stem maps; a camera that is not known does not count."""
    if model.pose is None:
        raise ValueError("pose: got none, want a network with a pose trunk")
    pose_features = model.pose(stem_maps_of(batch, device))
    loss: torch.Tensor = pose_features.new_zeros(())
    if model.viewpoint is not None:
        viewpoints = batch.viewpoints.to(device)
        loss = loss + _CAMERA * viewpoint_loss(model.viewpoint(pose_features), viewpoints)
    if model.extents is not None:
        loss = loss + extent_loss(model.extents(pose_features), batch.grids.to(device))
    return loss
