"""One training run, read from top to bottom.

Each step recalls, reconstructs, learns and then remembers: the batch's true shapes are written to
the memory under the features they were seen with. A run that died goes on exactly from its last
checkpoint: on a CPU with the same number of threads, weights and memory come out as if it had never
stopped. (On a GPU some sums run in no fixed order, so there they come out close, not equal.)
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from mem3d import checkpoint
from mem3d.config import Preset, TrainConfig
from mem3d.data.files import write_atomic
from mem3d.data.r2n2 import R2N2
from mem3d.data.views import Batch, Schedule, TrainingViews, collate
from mem3d.encoder import load_stem
from mem3d.evaluation import FIXED_THRESHOLD, macro, score
from mem3d.losses import reconstruction_loss, voxel_triplet_loss
from mem3d.model import Mem3D
from mem3d.picture import curves
from mem3d.recall import contrast_keys, remember
from memstore import Memory

Row = dict[str, Any]
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


def train(
    data: R2N2,
    validation: R2N2 | None,
    folder: str | Path,
    preset: Preset,
    *,
    stem: str | Path = "none",
    device: str = "cpu",
    on_step: Callable[[int, int, Row], None] | None = None,
    on_epoch: Callable[[Row], None] | None = None,
) -> Row:
    """Train, or go on where the folder's last checkpoint stands.

    Writes `run.json` (configuration), `log.jsonl` (a row per epoch), `curves.png`, the memory and
    the checkpoints (see `checkpoint`).

    Args:
        data: models to learn from.
        validation: models that choose the best epoch; None keeps the last.
        folder: of the run; made if missing. One that holds a checkpoint is resumed.
        preset: network, memory and run; a resumed run must have been started with the same one.
        stem: see `encoder.load_stem`; not used when resuming.
        device: where the network computes; the memory lives on the CPU.
        on_step: called after each step with steps done, steps in all, the step's figures.
        on_epoch: called after each epoch with its log row.

    Returns:
        the last log row.

    Raises:
        ValueError: there is nothing to train on, the folder belongs to another run, or the loss
            is no longer finite.
        memstore.MemstoreError: the memory cannot be written, or another process writes it.
    """
    if preset.train.freeze_stem and stem == "none" and not (Path(folder) / LAST).exists():
        raise ValueError(
            "freeze_stem: got a stem of random weights, want trained ones (see load_stem) or a "
            "stem that learns"
        )
    if not len(data):
        raise ValueError(f"{data.root}: got no usable model, want at least 1 to train on")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(preset.train.seed)
    run = _begin(folder, preset, stem, device)
    with run.memory:
        return _loop(run, data, validation, folder, preset, device, on_step, on_epoch)


def _begin(folder: Path, preset: Preset, stem: str | Path, device: str) -> Run:
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


def _loop(
    run: Run,
    data: R2N2,
    validation: R2N2 | None,
    folder: Path,
    preset: Preset,
    device: str,
    on_step: Callable[[int, int, Row], None] | None,
    on_epoch: Callable[[Row], None] | None,
) -> Row:
    config = preset.train
    schedule = Schedule(len(data), config.batch, config.epochs, seed=config.seed, start=run.step)
    log = _read_log(folder / "log.jsonl", run.step)
    _write_description(folder, preset, data, validation)
    sums = _Means()
    began = time.monotonic()
    for batch in _batches(data, preset, schedule):
        set_learning_rate(run.optimizer, config, run.step / schedule.steps)
        figures = train_step(run, batch, data, config, device)
        run.step += 1
        sums.add(figures)
        if on_step:
            on_step(run.step, schedule.steps, figures)
        if run.step % schedule.steps_per_epoch:
            continue
        row = {"epoch": run.step // schedule.steps_per_epoch, "step": run.step, **sums.take()}
        row["learning_rate"] = run.optimizer.param_groups[0]["lr"]
        row["memory_slots"] = len(run.memory)
        is_last = run.step == schedule.steps
        if validation is not None and (row["epoch"] % config.validate_every == 0 or is_last):
            row |= _validate(run, validation, config, device)
        _save(run, folder, preset, row, is_last)
        row["seconds"] = round(time.monotonic() - began, 2)
        began = time.monotonic()
        log.append(row)
        write_atomic(folder / "log.jsonl", "".join(json.dumps(r) + "\n" for r in log).encode())
        if is_last or row["epoch"] % 10 == 0:
            curves(log, folder / "curves.png")
        if on_epoch:
            on_epoch(row)
    return log[-1]


def train_step(run: Run, batch: Batch, data: R2N2, config: TrainConfig, device: str) -> Row:
    """One step: recall, reconstruct, learn, remember.

    Returns:
        the step's figures: losses, share of images that recalled something, how many priors, how
        similar, what the memory did with the batch.

    Raises:
        ValueError: the loss is not finite; nothing was changed.
    """
    model = run.model.train()
    images = batch.images.to(device, non_blocking=True)
    grids = batch.grids.to(device, non_blocking=True)
    true = batch.grids.numpy()
    sources = [data.source(model_index) for model_index in batch.models]

    output = model(images, run.memory, sources if config.exclude_self else None)
    recon = reconstruction_loss(output.logits, grids)
    positive, negative, valid = contrast_keys(run.memory, output.features, true)
    triplet = voxel_triplet_loss(output.features, positive, negative, valid, margin=config.margin)
    loss = config.recon_weight * recon + config.triplet_weight * triplet
    if not torch.isfinite(loss):
        raise ValueError(
            f"loss: got {loss.item()} at step {run.step}, want a finite number; lower the "
            "learning rate and resume from the last checkpoint"
        )
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    run.optimizer.step()
    written = remember(run.memory, output.features, true, sources)

    recalled, kinds = output.recalled, list(written.kinds)
    hits = recalled.counts > 0
    return {
        "loss": loss.item(),
        "bce": recon.item(),
        "triplet": triplet.item(),
        "triplet_valid": valid.float().mean().item(),
        "hit_rate": hits.float().mean().item(),
        "priors": recalled.counts.float().mean().item(),
        "top_cosine": float(recalled.cosines[hits.cpu().numpy(), 0].mean()) if hits.any() else None,
        "merged": kinds.count("merge"),
        "inserted": kinds.count("insert"),
        "evicted": kinds.count("evict"),
    }


def set_learning_rate(optimizer: torch.optim.Optimizer, config: TrainConfig, done: float) -> None:
    """Halve the rate once for each share of the run that is behind us; `done` is in [0, 1]."""
    halvings = sum(done >= share for share in config.halve_at)
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate * 0.5**halvings


def _batches(data: R2N2, preset: Preset, schedule: Schedule) -> Iterator[Batch]:
    config = preset.train
    views = TrainingViews(data, preset.model.image_size, seed=config.seed, augment=config.augment)
    loader = DataLoader(
        views, batch_sampler=schedule, num_workers=config.workers, collate_fn=collate
    )
    yield from loader


def _validate(run: Run, validation: R2N2, config: TrainConfig, device: str) -> Row:
    scores = score(run.model, run.memory, validation, batch=config.batch, device=device)
    value = macro(scores, "network", FIXED_THRESHOLD)
    return {
        "val_iou": value,
        "val_iou_nearest": macro(scores, "nearest recalled", FIXED_THRESHOLD),
        "val_hit_rate": float((scores.priors > 0).mean()),
    }


def _save(run: Run, folder: Path, preset: Preset, row: Row, is_last: bool) -> None:
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


class _Means:
    """Means of the steps' figures over an epoch; counts of writes are summed."""

    _SUMMED = ("merged", "inserted", "evicted")

    def __init__(self) -> None:
        self._rows: list[Row] = []

    def add(self, row: Row) -> None:
        self._rows.append(row)

    def take(self) -> Row:
        means: Row = {}
        for name in self._rows[0]:
            values = [row[name] for row in self._rows if row[name] is not None]
            total = sum(values)
            mean = total / len(values) if values else None
            means[name] = total if name in self._SUMMED else mean
        self._rows = []
        return means


def _read_log(path: Path, step: int) -> list[Row]:
    """Rows up to the checkpoint; later ones belong to steps that will be done again."""
    if step == 0 or not path.exists():
        return []
    rows = []
    with suppress(json.JSONDecodeError):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if row["step"] <= step]


def _write_description(folder: Path, preset: Preset, data: R2N2, validation: R2N2 | None) -> None:
    described = {
        "preset": preset.to_dict(),
        "data": str(data.root),
        "training_models": len(data),
        "validation_models": 0 if validation is None else len(validation),
        "skipped": [f"{skip.source}: {skip.reason}" for skip in data.skipped],
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    write_atomic(folder / "run.json", json.dumps(described, indent=2).encode())
