"""One step of training: a batch forward, its losses, its gradients, and what is remembered."""

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
from mem3d.memory.device import DeviceMemory
from mem3d.memory.host import HostMemory, StepMemory
from mem3d.memory.timing import TimedMemory
from mem3d.network.config import TrainConfig
from mem3d.network.model import Mem3D, Output
from mem3d.network.pose import extent_loss, viewpoint_loss
from mem3d.runs.folder import Row
from mem3d.system import uses_bfloat16
from mem3d.training.distributed import ALONE, Replicas
from mem3d.training.losses import dice_loss, gate_loss, reconstruction_loss, voxel_triplet_loss
from mem3d.training.state import Run
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
    """One loss of a forward.

    Attributes:
        weight: of the mean over the batch, in the sum of the losses.
        mean: scalar, over this process's part of the batch.
        count: of what it is the mean over.
    """

    weight: float
    mean: Tensor
    count: int


@dataclass(frozen=True)
class Forward:
    """A batch on its way forward.

    Attributes:
        output: of this process's part.
        loss: scalar that this process derives; its gradients, summed over the processes, are those
            of the whole batch's loss.
        figures: of the whole batch, the same in every process.
    """

    output: Output
    loss: Tensor
    figures: Row


def forward_loss(
    model: Mem3D,
    memory: StepMemory,
    batch: Batch,
    sources: list[str],
    config: TrainConfig,
    device: str,
    replicas: Replicas = ALONE,
) -> Forward:
    """Recall, reconstruct and compare with the truth; see `train_step`, `Mem3D.reconstruct`."""
    images, stem_maps = (_placed(one, device) for one in (batch.images, batch.stem_maps))
    grids, viewpoints = (
        one.to(device, non_blocking=True) for one in (batch.grids, batch.viewpoints)
    )
    short = uses_bfloat16(config.precision, device)
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=short):
        seen = model.encoder.see(images, stem_maps)
        exclude = sources if config.exclude_self else None
        output = model.reconstruct(seen, memory, exclude, viewpoints, grids=grids)
    logits = output.logits.float()
    positive, negative, valid = memory.contrast_keys(output.features, grids)
    triplet = voxel_triplet_loss(output.features, positive, negative, valid, margin=config.margin)
    terms = {
        "bce": LossTerm(1.0, reconstruction_loss(logits, grids), len(grids)),
        "triplet": LossTerm(config.triplet_weight, triplet, int(valid.sum())),
    }
    if config.dice_weight:
        terms["dice"] = LossTerm(config.dice_weight, dice_loss(logits, grids), len(grids))
    if output.log_weights is not None:
        recalled = output.recalled
        laid = recalled.priors if output.laid is None else output.laid
        off = gate_loss(output.log_weights, laid, recalled.counts, grids)
        terms["gate"] = LossTerm(config.gate_weight, off, int((output.recalled.counts > 0).sum()))
    if output.extents is not None:
        off = extent_loss(output.extents, grids)
        terms["extents"] = LossTerm(config.extent_weight, off, len(grids))
    if output.guess is not None:
        known = int(viewpoints.isfinite().all(1).sum())
        off = viewpoint_loss(output.guess, viewpoints)
        terms["viewpoint"] = LossTerm(config.viewpoint_weight, off, known)
    return _over_all(terms, output, replicas, device)


def _placed(tensor: Tensor | None, device: str) -> Tensor | None:
    """Pictures or maps on the device, channels innermost."""
    if tensor is None:
        return None
    return tensor.to(device, non_blocking=True, memory_format=torch.channels_last)


def _over_all(
    terms: dict[str, LossTerm], output: Output, replicas: Replicas, device: str
) -> Forward:
    """The loss and the figures of a batch whose parts may lie with several processes."""
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
    figures: Row = {
        "loss": sum(term.weight * means[name] for name, term in terms.items()),
        **means,
        "triplet_valid": total["n triplet"] / total["n"],
        "hit_rate": total["hits"] / total["n"],
        "priors": total["priors"] / total["n"],
        "top_cosine": total["top_cosine"] / total["hits"] if total["hits"] else None,
    }
    return Forward(output, loss, figures)


def train_step(
    run: Run,
    batch: Batch,
    data: ShapeDataset,
    config: TrainConfig,
    device: str,
    replicas: Replicas = ALONE,
    resident: DeviceMemory | None = None,
) -> Row:
    """Recall, reconstruct, learn, remember.

    Args:
        run: its weights and its memory change.
        batch: this process's part of it.
        data: what the batch is of.
        config: losses and their weights.
        device: where the model is.
        replicas: this process among those that hold the other parts.
        resident: the run's memory on the device, which is written in its place.

    Returns:
        figures of the batch: losses, share of images that recalled something, how many priors, how
        similar, what the memory did with them, milliseconds.

    Raises:
        DivergedError: the loss or a feature is not finite. Weights and memory are as before this
            forward; BatchNorm's running statistics have moved.
    """
    began = perf_counter()
    memory = TimedMemory(HostMemory(run.memory) if resident is None else resident, device)
    sources = [shape_family(data.shape_id(model)) for model in batch.shapes]
    run.model.train()
    with finite(run.step):
        done = forward_loss(run.model, memory, batch, sources, config, device, replicas)
    if not np.isfinite(done.figures["loss"]):
        loss = f"loss: got {done.figures['loss']}, want a finite number"
        raise DivergedError(loss, run.step)
    run.optimizer.zero_grad(set_to_none=True)
    done.loss.backward()  # type: ignore[no-untyped-call]
    replicas.add_gradients([w for group in run.optimizer.param_groups for w in group["params"]])
    run.optimizer.step()

    features = replicas.gather(done.output.features.detach(), device)
    grids = replicas.gather(batch.grids.to(device, non_blocking=True), device)
    models = replicas.gather(torch.tensor(batch.shapes), device).tolist()
    written = memory.remember(
        features, grids, [shape_family(data.shape_id(model)) for model in models]
    )
    kinds = list(written.kinds)
    return {
        **done.figures,
        "merged": kinds.count("merge"),
        "inserted": kinds.count("insert"),
        "evicted": kinds.count("evict"),
        **{f"{phase}_ms": 1000 * spent for phase, spent in memory.seconds.items()},
        "step_ms": 1000 * (perf_counter() - began),
    }


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the rate of all weights."""
    for group in optimizer.param_groups:
        group["lr"] = rate
