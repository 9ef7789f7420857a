"""Camera and extents trained first, by themselves.

What recalled shapes are worth depends on how well their extents are predicted (network/pose.py),
which takes many pictures to learn. No voxel is decoded meanwhile, so that an epoch over cached stem
maps takes seconds. Only the trunk and the heads for these change; afterwards they go on learning
with all the rest.

Not in the paper, which predicts neither.
"""

import hashlib
import json
from math import cos, pi
from pathlib import Path

import torch
from torch import nn

from mem3d.data.loader import Batch, BatchSampler
from mem3d.network.checkpoint import check_fit
from mem3d.network.model import Mem3D
from mem3d.network.pose import extent_loss, viewpoint_loss
from mem3d.system import uses_bfloat16
from mem3d.tensor_files import opened, save_tensors
from mem3d.training.schedule import set_learning_rate
from mem3d.training.state import TrainingJob
from mem3d.training.stem_cache import StemCache
from memstore.files import Progress

BATCH = 64
_WANT = "what another run learned of cameras and extents"
_WARMUP = 50  # steps
_CAMERA = 0.1  # weight of the camera's loss beside that of the extents


def pretrain_pose(
    model: Mem3D,
    job: TrainingJob,
    cache: StemCache,
    on_pose: Progress | None = None,
    folder: Path | None = None,
) -> float | None:
    """Train the parts of a network that predict camera and extents, for `train.pose_epochs` epochs.

    What it draws at random is drawn apart: what follows does not depend on whether it learned here.

    Args:
        model: one with a pose trunk; its other weights stay as they are.
        job: its preset tells epochs, rate, seed; every process takes its part of each batch.
        cache: the stem's maps of all pictures.
        on_pose: called with steps done and in all.
        folder: where runs on the same pictures, with the same settings, look for what was learned,
            and leave it; what is damaged there is learned again.

    Returns:
        mean loss of the last epoch, over this process's parts; None if there is no epoch, or the
        folder had it.
    """
    heads = {"pose": model.pose, "viewpoint": model.viewpoint, "extents": model.extents}
    parts = nn.ModuleDict({name: part for name, part in heads.items() if part is not None})
    name = f"poses-{_fingerprint(parts, job, cache)}.safetensors"
    file = None if folder is None else folder / name
    if file is not None and _load(file, parts):
        return None
    devices = [] if job.device == "cpu" else [torch.device(job.device)]
    with torch.random.fork_rng(devices):
        loss = _learn(model, parts, job, cache, on_pose)
    if file is not None and job.replicas.is_first:
        save_tensors(file, parts.state_dict(), {})
    return loss


def _load(path: Path, parts: nn.Module) -> bool:
    """Fill the parts with what another run has learned, if a whole file of it is there."""
    try:
        with opened(path, _WANT) as file:
            check_fit(path, file, parts, _WANT)
            parts.load_state_dict(file.tensors())
    except ValueError:
        return False
    return True


def _fingerprint(parts: nn.Module, job: TrainingJob, cache: StemCache) -> str:
    """Of all that decides what is learned, but for the weights to begin with."""
    train = job.preset.train
    settings = [train.pose_epochs, train.seed, train.learning_rate, train.weight_decay]
    shapes = {name: [*value.shape] for name, value in parts.state_dict().items()}
    facts = json.dumps([cache.fingerprint, settings, shapes])
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def _learn(
    model: Mem3D, parts: nn.Module, job: TrainingJob, cache: StemCache, on_pose: Progress | None
) -> float | None:
    config, replicas = job.preset.train, job.replicas
    weights = list(parts.parameters())
    optimizer = torch.optim.AdamW(
        weights, config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    sampler = BatchSampler(len(job.data), BATCH, config.pose_epochs, seed=config.seed)
    whole = [samples for samples in sampler if len(samples) >= replicas.count]  # one for each
    parts.train()
    kind, short = torch.device(job.device).type, uses_bfloat16(config.precision, job.device)
    losses: list[float] = []
    batches = cache.batches(list(replicas.part(samples)) for samples in whole)
    for step, (batch, samples) in enumerate(zip(batches, whole, strict=True)):
        factor = min(1, (step + 1) / _WARMUP) * (1 + cos(pi * step / len(whole))) / 2
        set_learning_rate(optimizer, config.learning_rate * factor)
        with torch.autocast(kind, torch.bfloat16, short):
            loss = _loss(model, batch, job.device)
        optimizer.zero_grad(set_to_none=True)
        (loss * len(batch.shapes) / len(samples)).backward()  # type: ignore[no-untyped-call]
        replicas.add_gradients(weights)
        optimizer.step()
        losses.append(loss.item())
        if on_pose:
            on_pose(step + 1, len(whole))
    last = losses[-sampler.steps_per_epoch :]
    return sum(last) / len(last) if last else None


def _loss(model: Mem3D, batch: Batch, device: str) -> torch.Tensor:
    """Of a batch with stem maps; a camera that is not known does not count."""
    if model.pose is None or batch.stem_maps is None:
        raise ValueError("pose: got none, want a network with a pose trunk, and stem maps")
    maps = batch.stem_maps.to(device, memory_format=torch.channels_last)
    pose_features = model.pose(maps)
    loss: torch.Tensor = pose_features.new_zeros(())
    if model.viewpoint is not None:
        viewpoints = batch.viewpoints.to(device)
        loss = loss + _CAMERA * viewpoint_loss(model.viewpoint(pose_features), viewpoints)
    if model.extents is not None:
        loss = loss + extent_loss(model.extents(pose_features), batch.grids.to(device))
    return loss
