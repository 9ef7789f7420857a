"""Parts of a network that learn by themselves before all the rest, from cached stem maps.

No voxel is decoded meanwhile, so that an epoch takes seconds. Runs on the same pictures, with the
same settings, can share what was learned.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path

import torch
from torch import Tensor, nn

from mem3d.data.loader import Batch
from mem3d.network.checkpoint import check_fit
from mem3d.system import uses_bfloat16
from mem3d.tensor_files import opened, save_tensors
from mem3d.training.schedule import set_learning_rate
from mem3d.training.state import TrainingJob
from mem3d.training.stem_cache import StemCache
from memstore.files import Progress

_WARMUP = 50  # steps
_WANT = "what another run learned first"


@dataclass(frozen=True)
class HeadTraining:
    """What learns first, and how.

    Attributes:
        name: of what is learned, as its files are named: "poses".
        parts: what changes.
        batches: of all processes, each a list of (epoch, shape).
        loss: of a batch with stem maps: (mean, count) over this process's part.
        settings: all that decides what is learned, but for the pictures, the batches' order and the
            weights to begin with.
    """

    name: str
    parts: nn.Module
    batches: Sequence[list[tuple[int, int]]]
    loss: Callable[[Batch], Tensor]
    settings: list[float]


def pretrain(
    head: HeadTraining,
    job: TrainingJob,
    cache: StemCache,
    on_step: Progress | None = None,
    folder: Path | None = None,
) -> list[float]:
    """Train a head over its batches, with a rate that falls as half a cosine.

    What it draws at random is drawn apart: what follows does not depend on whether it learned here.

    Args:
        head: what learns.
        job: its preset tells rate, decay and precision; every process takes its part of each batch.
        cache: the stem's maps of all pictures.
        on_step: called with steps done and in all.
        folder: where runs on the same pictures, with the same settings, look for what was learned,
            and leave it; made if missing, and what is damaged there is learned again.

    Returns:
        loss of each step, over this process's parts; empty if there is none, or the folder had it.
    """
    file = None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)  # before all the work
        file = folder / f"{head.name}-{_fingerprint(head, job, cache)}.safetensors"
        if _load(file, head.parts):
            return []
    devices = [] if job.device == "cpu" else [torch.device(job.device)]
    with torch.random.fork_rng(devices):
        losses = _learn(head, job, cache, on_step)
    if file is not None and job.replicas.is_first:
        save_tensors(file, head.parts.state_dict(), {})
    return losses


def _load(path: Path, parts: nn.Module) -> bool:
    """Fill the parts with what another run has learned, if a whole file of it is there."""
    try:
        with opened(path, _WANT) as file:
            check_fit(path, file, parts, _WANT)
            parts.load_state_dict(file.tensors())
    except ValueError:
        return False
    return True


def _fingerprint(head: HeadTraining, job: TrainingJob, cache: StemCache) -> str:
    """Of all that decides what is learned, but for the weights to begin with."""
    train = job.preset.train
    settings = [*head.settings, train.seed, train.learning_rate, train.weight_decay]
    shapes = {name: [*value.shape] for name, value in head.parts.state_dict().items()}
    facts = json.dumps([cache.fingerprint, settings, shapes])
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def _learn(
    head: HeadTraining, job: TrainingJob, cache: StemCache, on_step: Progress | None
) -> list[float]:
    config, replicas = job.preset.train, job.replicas
    weights = list(head.parts.parameters())
    optimizer = torch.optim.AdamW(
        weights, config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    whole = [samples for samples in head.batches if len(samples) >= replicas.count]  # one for each
    head.parts.train()
    kind, short = torch.device(job.device).type, uses_bfloat16(config.precision, job.device)
    losses: list[float] = []
    batches = cache.batches(list(replicas.part(samples)) for samples in whole)
    for step, (batch, samples) in enumerate(zip(batches, whole, strict=True)):
        factor = min(1, (step + 1) / _WARMUP) * (1 + cos(pi * step / len(whole))) / 2
        set_learning_rate(optimizer, config.learning_rate * factor)
        with torch.autocast(kind, torch.bfloat16, short):
            loss = head.loss(batch)
        optimizer.zero_grad(set_to_none=True)
        (loss * len(batch.shapes) / len(samples)).backward()  # type: ignore[no-untyped-call]
        replicas.add_gradients(weights)
        optimizer.step()
        losses.append(loss.item())
        if on_step:
            on_step(step + 1, len(whole))
    return losses


def stem_maps_of(batch: Batch, device: str) -> Tensor:
    """(B, 512, S/8, S/8) on the device, channels innermost; ValueError for a batch without."""
    if batch.stem_maps is None:
        raise ValueError("batch: got no stem maps, want them from a cache")
    return batch.stem_maps.to(device, memory_format=torch.channels_last)
