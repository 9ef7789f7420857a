"""The state of a training run, and its way to disk and back."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mem3d import checkpoint
from mem3d.config import Preset
from mem3d.data.backgrounds import Backgrounds
from mem3d.data.shapes import Shapes
from mem3d.encoder import load_stem
from mem3d.model import Mem3D
from memstore import Memory

LAST, BEST = "last.safetensors", "best.safetensors"
TAG = "step-"  # how tags of snapshots that checkpoints name begin


@dataclass(frozen=True)
class Job:
    """What a run is to do; a resumed run must be given the same.

    Attributes:
        data: models to learn from.
        validation: models that choose the best epoch.
        folder: where the run lives.
        preset: network, memory and run.
        device: where the network computes.
        backgrounds: photos to lay training views over; their fingerprint is in the preset.
    """

    data: Shapes
    validation: Shapes | None
    folder: Path
    preset: Preset
    device: str
    backgrounds: Backgrounds | None = None

    def fingerprint(self) -> str:
        """Of the models, in their order; 16 hexadecimal digits."""
        sets = [self.data] if self.validation is None else [self.data, self.validation]
        listed = "\n\n".join("\n".join(one.source(i) for i in range(len(one))) for one in sets)
        return hashlib.sha256(listed.encode()).hexdigest()[:16]


@dataclass
class Run:
    """Everything that changes while training."""

    model: Mem3D
    optimizer: torch.optim.Optimizer
    memory: Memory
    step: int = 0  # optimiser steps done
    best_iou: float = math.nan
    best_step: int = -1


def begin(job: Job, stem: str | Path, weights: Path | None = None) -> Run:
    """Build a run, fresh (from the weights of another run, if given) or from its own last."""
    last, train = job.folder / LAST, job.preset.train
    is_fresh = not last.exists()
    if not is_fresh:
        _check_same(job, checkpoint.read_state(last))
    model = Mem3D(job.preset.model)
    if is_fresh:
        load_stem(model.encoder.stem, stem)
        if weights is not None:
            checkpoint.load_weights(weights / BEST, model)
    if train.freeze_stem:
        model.encoder.freeze_stem()
    model.to(job.device)
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(  # equals Adam without weight decay
        learning, train.learning_rate, weight_decay=train.weight_decay, fused=True
    )
    if is_fresh:
        run = Run(model, optimizer, _empty_memory(job.folder / "memory", job.preset))
        _write_checkpoint(run, job, LAST, math.nan)  # a death in the first epoch loses no run
        return run
    state = checkpoint.restore_run(last, model, optimizer)
    memory = Memory.open(job.folder / "memory", mode="r+", at=state.snapshot)
    return Run(model, optimizer, memory, state.step, state.best_iou, state.best_step)


def _check_same(job: Job, state: checkpoint.State) -> None:
    """Raise ValueError, saying what differs, unless the checkpoint is of this job."""
    began, now = _flat(state.preset.to_dict()), _flat(job.preset.to_dict())
    other = [f"{name} {began[name]} -> {now[name]}" for name in began if began[name] != now[name]]
    if other:
        raise ValueError(
            f"{job.folder}: got a run with other settings ({', '.join(other)}), want the ones it "
            "began with; choose another folder to start anew"
        )
    if state.data and state.data != job.fingerprint():
        raise ValueError(
            f"{job.folder}: got a run on other models or another split, want the data it began "
            "with, unchanged; choose another folder to start anew"
        )


def _flat(preset: dict[str, Any]) -> dict[str, Any]:
    """{"train.epochs": 250, "train.augmentation.flip": 0.5, ...}"""
    flat: dict[str, Any] = {}
    for name, value in preset.items():
        inner = _flat(value) if isinstance(value, dict) else {"": value}
        flat |= {f"{name}.{key}".rstrip("."): v for key, v in inner.items()}
    return flat


def _empty_memory(path: Path, preset: Preset) -> Memory:
    """A new memory, or the empty one of a run that died before its first checkpoint."""
    if not path.exists():
        return Memory.create(path, preset.memory)
    memory = Memory.open(path, mode="r+")
    if memory.clock or memory.config != preset.memory:
        memory.close()
        raise ValueError(
            f"{path}: got a memory without a checkpoint beside it, want an empty folder or a run "
            "to resume; delete it or choose another folder"
        )
    return memory


def save_due(run: Run, job: Job, row: dict[str, Any], is_last: bool) -> None:
    """Write the checkpoints that are due."""
    value = row.get("val_iou", math.nan)
    improved = not math.isnan(value) and not value <= run.best_iou
    if improved:
        run.best_iou, run.best_step = value, run.step
    is_due = is_last or row["epoch"] % job.preset.train.checkpoint_every == 0
    if improved or (is_due and run.best_step < 0):
        _write_checkpoint(run, job, BEST, value)
    if is_due:
        _write_checkpoint(run, job, LAST, value)
    if improved or is_due:
        _forget_snapshots(run, job)


def _forget_snapshots(run: Run, job: Job) -> None:
    """Keep of the memory's history what the checkpoints name, and what others have tagged."""
    files = [job.folder / name for name in (BEST, LAST)]
    named = {checkpoint.read_state(file).snapshot for file in files if file.exists()}
    for tag, snapshot in run.memory.tags().items():
        if tag.startswith(TAG) and snapshot not in named:
            run.memory.untag(tag)
    run.memory.expire(keep=1)


def _write_checkpoint(run: Run, job: Job, name: str, validation_iou: float) -> None:
    """Commit the memory and tag the snapshot, then write the file that names it."""
    snapshot = run.memory.commit(f"step {run.step}")
    if snapshot not in run.memory.tags().values():
        run.memory.tag(f"{TAG}{run.step}-{snapshot}")  # a tag's name is used once, a step may recur
    state = checkpoint.State(
        preset=job.preset,
        step=run.step,
        snapshot=snapshot,
        validation_iou=validation_iou,
        best_iou=run.best_iou,
        best_step=run.best_step,
        data=job.fingerprint(),
    )
    optimizer = run.optimizer if name == LAST else None
    checkpoint.save(job.folder / name, state, run.model, optimizer)
