"""The state of a training run, and its way to disk and back."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mem3d import checkpoint
from mem3d.config import Preset
from mem3d.encoder import load_stem
from mem3d.model import Mem3D
from memstore import Memory

LAST, BEST = "last.safetensors", "best.safetensors"


@dataclass
class Run:
    """Everything that changes while training."""

    model: Mem3D
    optimizer: torch.optim.Optimizer
    memory: Memory
    step: int = 0  # optimiser steps done
    best_iou: float = math.nan
    best_step: int = -1


def begin(folder: Path, preset: Preset, stem: str | Path, device: str) -> Run:
    """Build a run, fresh or from the folder's last checkpoint."""
    last = folder / LAST
    model = Mem3D(preset.model)
    if not last.exists():
        load_stem(model.encoder.stem, stem)
    if preset.train.freeze_stem:
        model.encoder.freeze_stem()
    model.to(device)
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(  # equals Adam without weight decay
        learning, preset.train.learning_rate, weight_decay=preset.train.weight_decay, fused=True
    )
    if not last.exists():
        run = Run(model, optimizer, _empty_memory(folder / "memory", preset))
        _write_checkpoint(run, last, preset, math.nan, optimizer)  # a death in epoch 1 loses no run
        return run
    state = checkpoint.read_state(last)
    if state.preset != preset:
        raise ValueError(
            f"{folder}: got a run with other settings, want those in its run.json; "
            "choose another folder to start anew"
        )
    checkpoint.restore_run(last, model, optimizer)
    memory = Memory.open(folder / "memory", mode="r+", at=state.snapshot)
    return Run(model, optimizer, memory, state.step, state.best_iou, state.best_step)


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


def save_due(run: Run, folder: Path, preset: Preset, row: dict[str, Any], is_last: bool) -> None:
    """Write the checkpoints that are due."""
    value = row.get("val_iou", math.nan)
    improved = not math.isnan(value) and not value <= run.best_iou
    due = is_last or row["epoch"] % preset.train.checkpoint_every == 0
    if not (improved or due):
        return
    if improved:
        run.best_iou, run.best_step = value, run.step
    if improved or run.best_step < 0:
        _write_checkpoint(run, folder / BEST, preset, value)
    if due:
        _write_checkpoint(run, folder / LAST, preset, value, run.optimizer)


def _write_checkpoint(
    run: Run,
    path: Path,
    preset: Preset,
    validation_iou: float,
    optimizer: torch.optim.Optimizer | None = None,
) -> None:
    """Commit the memory, then write the file that names the snapshot."""
    state = checkpoint.State(
        preset=preset,
        step=run.step,
        snapshot=run.memory.commit(f"step {run.step}"),
        validation_iou=validation_iou,
        best_iou=run.best_iou,
        best_step=run.best_step,
    )
    checkpoint.save(path, state, run.model, optimizer)
