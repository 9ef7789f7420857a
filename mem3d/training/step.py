"""One step of training: a batch forward, its losses, its gradients, and what is written."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from mem3d.data.dataset import ShapeDataset
from mem3d.data.loader import Batch
from mem3d.data.meshes.transforms import shape_family
from mem3d.memory.host import HostMemory
from mem3d.memory.interface import TrainingMemory
from mem3d.memory.timing import Timer
from mem3d.network.config import TrainConfig
from mem3d.network.heads.pose import extent_loss, viewpoint_loss
from mem3d.network.model import Mem3D, Output
from mem3d.runs.folder import Row
from mem3d.system import uses_bfloat16
from mem3d.training.distributed import ALONE, Replicas
from mem3d.training.losses import dice_loss, gate_loss, reconstruction_loss, voxel_triplet_loss
from mem3d.training.state import TrainingState
from memstore import FeatureError


class DivergedError(ValueError):
    """A loss or a feature is no longer finite: the run cannot go on."""

    def __init__(self, what: str, step: int) -> None:
        super().__init__(
            f"{what} at step {step}: the run has diverged; start anew in another folder with a "
            "lower learning rate (--weights with this one begins with its best)"
        )


@contextmanager
def finite(step: int) -> Iterator[None]:
    """A feature that the memory refuses within, since it is not finite, is a DivergedError."""
    try:
        yield
    except FeatureError as error:
        raise DivergedError(str(error), step) from error


@dataclass(frozen=True)
class LossTerm:
    """One loss of a batch.

    Attributes:
        weight: of the mean over the batch, in the sum of the losses.
        mean: scalar, over this process's part of the batch.
        count: of what it is the mean over.
    """

    weight: float
    mean: Tensor
    count: int


@dataclass(frozen=True)
class StepOutput:
    """A batch after its way forward.

    Attributes:
        output: of this process's part.
        loss: scalar that this process derives; its gradients, summed over the processes, are those
            of the whole batch's loss.
        metrics: of the whole batch, the same in every process.
    """

    output: Output
    loss: Tensor
    metrics: Row


def train_step(
    state: TrainingState,
    batch: Batch,
    data: ShapeDataset,
    config: TrainConfig,
    device: str,
    replicas: Replicas = ALONE,
    memory: TrainingMemory | None = None,
) -> Row:
    """Recall, reconstruct, learn, write.

    Args:
        state: its weights and its memory change.
        batch: this process's part of it.
        data: what the batch is of.
        config: losses and their weights.
        device: where the model is.
        replicas: this process among those that hold the other parts.
        memory: the state's own, or its working copy on the device; None is the state's own.

    Returns:
        metrics of the batch: losses, share of images that recalled something, how many priors, how
        similar, what the memory did with them, milliseconds.

    Raises:
        DivergedError: the loss or a feature is not finite. Weights and memory are as before this
            step; BatchNorm's running statistics have moved.
    """
    start, timer = perf_counter(), Timer(device, "read", "contrast", "write")
    memory = HostMemory(state.memory) if memory is None else memory
    sources = [shape_family(data.shape_id(shape)) for shape in batch.shapes]
    state.model.train()
    with finite(state.step):
        step = forward_loss(state.model, memory, batch, sources, config, device, replicas, timer)
    if not np.isfinite(step.metrics["loss"]):
        loss = f"loss: got {step.metrics['loss']}, want a finite number"
        raise DivergedError(loss, state.step)
    state.optimizer.zero_grad(set_to_none=True)
    step.loss.backward()  # type: ignore[no-untyped-call]
    weights = [w for group in state.optimizer.param_groups for w in group["params"]]
    replicas.add_gradients(weights)
    state.optimizer.step()

    written: Row = {}
    if state.model.key is None:  # else the memory was filled before the first step
        with timer("write"):
            written = write_batch(memory, step.output.keys, batch, data, device, replicas)
    return {
        **step.metrics,
        **written,
        **{f"{phase}_ms": 1000 * seconds for phase, seconds in timer.seconds.items()},
        "step_ms": 1000 * (perf_counter() - start),
    }


def write_batch(
    memory: TrainingMemory,
    keys: Tensor,
    batch: Batch,
    data: ShapeDataset,
    device: str,
    replicas: Replicas,
) -> Row:
    """Write the true shapes of a batch, of all processes, under their pictures' keys.

    Returns:
        how many were merged, inserted and evicted.
    """
    keys = replicas.gather(keys.detach(), device)
    grids = replicas.gather(batch.grids.to(device, non_blocking=True), device)
    shapes = replicas.gather(torch.tensor(batch.shapes), device).tolist()
    sources = [shape_family(data.shape_id(shape)) for shape in shapes]
    kinds = list(memory.write(keys, grids, sources).kinds)
    return {
        "merged": kinds.count("merge"),
        "inserted": kinds.count("insert"),
        "evicted": kinds.count("evict"),
    }


def forward_loss(
    model: Mem3D,
    memory: TrainingMemory,
    batch: Batch,
    sources: list[str],
    config: TrainConfig,
    device: str,
    replicas: Replicas,
    timer: Timer,
) -> StepOutput:
    """Recall, reconstruct and compare with the truth; see `train_step`."""
    images, stem_maps = (_channels_last(x, device) for x in (batch.images, batch.stem_maps))
    grids, viewpoints = (
        tensor.to(device, non_blocking=True) for tensor in (batch.grids, batch.viewpoints)
    )
    short = uses_bfloat16(config.precision, device)
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=short):
        encoded = model.encoder.encode(images, stem_maps)
        with timer("read"):
            exclude = sources if config.exclude_self else None
            query = model.query(encoded)
            recalled = model.recall(query, memory, exclude)
        output = model.forward_features(encoded, query, recalled, viewpoints, grids)
    logits = output.logits.float()
    terms = {"bce": LossTerm(1.0, reconstruction_loss(logits, grids), len(grids))}
    if model.key is None:  # else keys are as they were learned
        with timer("contrast"):
            positive, negative, valid = memory.contrast_keys(output.keys, grids)
        loss = voxel_triplet_loss(output.keys, positive, negative, valid, margin=config.margin)
        terms["triplet"] = LossTerm(config.triplet_weight, loss, int(valid.sum()))
    terms |= _optional_terms(output, logits, grids, viewpoints, config)
    return _over_all(terms, output, replicas, device)


def _channels_last(tensor: Tensor | None, device: str) -> Tensor | None:
    """Images or maps on the device, channels innermost."""
    if tensor is None:
        return None
    return tensor.to(device, non_blocking=True, memory_format=torch.channels_last)


def _optional_terms(
    output: Output, logits: Tensor, grids: Tensor, viewpoints: Tensor, config: TrainConfig
) -> dict[str, LossTerm]:
    """Losses that only some networks or runs have, by name."""
    terms: dict[str, LossTerm] = {}
    if config.dice_weight:
        terms["dice"] = LossTerm(config.dice_weight, dice_loss(logits, grids), len(grids))
    if output.log_weights is not None:
        counts, priors = output.recalled.counts, output.aligned_priors
        priors = output.recalled.priors if priors is None else priors
        loss = gate_loss(output.log_weights, priors, counts, grids)
        terms["gate"] = LossTerm(config.gate_weight, loss, int((counts > 0).sum()))
    if output.extents is not None:
        loss = extent_loss(output.extents, grids)
        terms["extents"] = LossTerm(config.extent_weight, loss, len(grids))
    if output.pose_logits is not None:
        loss = viewpoint_loss(output.pose_logits, viewpoints)
        count = int(viewpoints.isfinite().all(1).sum())
        terms["viewpoint"] = LossTerm(config.viewpoint_weight, loss, count)
    return terms


def _over_all(
    terms: dict[str, LossTerm], output: Output, replicas: Replicas, device: str
) -> StepOutput:
    """The loss and the metrics of a batch whose parts may lie with several processes."""
    counts = output.recalled.counts.cpu().numpy()
    own = {f"n {name}": float(term.count) for name, term in terms.items()}
    own |= {name: term.mean.item() * term.count for name, term in terms.items()}
    own |= {"n": len(counts), "hits": float((counts > 0).sum()), "priors": float(counts.sum())}
    own["top_cosine"] = float(output.recalled.cosines[counts > 0, 0].sum(dtype=np.float64))
    total = replicas.total(own, device)
    loss = torch.zeros((), device=device)
    for name, term in terms.items():
        loss = loss + term.weight * (term.count / max(1.0, total[f"n {name}"])) * term.mean
    means = {name: total[name] / max(1.0, total[f"n {name}"]) for name in terms}
    metrics: Row = {
        "loss": sum(term.weight * means[name] for name, term in terms.items()),
        **means,
        "hit_rate": total["hits"] / total["n"],
        "priors": total["priors"] / total["n"],
        "top_cosine": total["top_cosine"] / total["hits"] if total["hits"] else None,
    }
    if "triplet" in terms:
        metrics["triplet_valid"] = total["n triplet"] / total["n"]
    return StepOutput(output, loss, metrics)
