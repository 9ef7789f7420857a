"""One training run, read from top to bottom.

Each step recalls, reconstructs, learns and then remembers: the batch's true shapes are written to
the memory under the features they were seen with. A run that died goes on exactly from its last
checkpoint: on a CPU with the same number of threads, weights and memory come out as if it had never
stopped. (On a GPU some sums run in no fixed order, so there they come out close, not equal.)
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from mem3d.checkpoint import check_device
from mem3d.config import Preset, TrainConfig
from mem3d.data.backgrounds import Backgrounds
from mem3d.data.shapes import Shapes
from mem3d.data.views import Batch, Schedule, TrainingViews, loader
from mem3d.evaluation import FIXED_THRESHOLD, macro, score
from mem3d.losses import reconstruction_loss, voxel_triplet_loss
from mem3d.picture import curves
from mem3d.recall import contrast_keys, remember
from mem3d.run import LAST, Job, Run, begin, save_due
from mem3d.run_log import Means, Row, read_log, write_description, write_log
from mem3d.stem_cache import StemCache

Progress = Callable[[int, int], None]


def train(
    data: Shapes,
    validation: Shapes | None,
    folder: str | Path,
    preset: Preset,
    *,
    stem: str | Path = "none",
    weights: str | Path | None = None,
    device: str = "cpu",
    backgrounds: Backgrounds | None = None,
    on_prepare: Progress | None = None,
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
        weights: folder of a run of the same network, whose best weights (stem and all) this one
            begins with; its memory begins empty all the same. Not used when resuming.
        device: where the network computes; the memory lives on the CPU.
        backgrounds: photos to lay training views over; the preset's augmentation names their
            fingerprint, so that a resumed run is given the same ones.
        on_prepare: called with pictures done and in all while a stem cache is filled.
        on_step: called after each step with steps done, steps in all, the step's figures.
        on_epoch: called after each epoch with its log row.

    Returns:
        the last log row.

    Raises:
        ValueError: there is nothing to train on, the folder belongs to another run, the
            backgrounds are not the preset's, or the loss is no longer finite.
        memstore.MemstoreError: the memory cannot be written, or another process writes it.
    """
    job = Job(data, validation, Path(folder), preset, check_device(device), backgrounds)
    given, named = "" if backgrounds is None else backgrounds.fingerprint, preset.train.augmentation
    if given != named.backgrounds:
        raise ValueError(
            f"backgrounds: got photos of fingerprint {given or 'none'}, want the preset's "
            f"({named.backgrounds or 'none'}); name the folder that the run began with"
        )
    is_random = stem == "none" and weights is None
    if preset.train.freeze_stem and is_random and not (job.folder / LAST).exists():
        raise ValueError(
            "freeze_stem: got a stem of random weights, want trained ones (see load_stem) or a "
            "stem that learns"
        )
    if not len(data):
        raise ValueError(f"{data.root}: got no usable model, want at least 1 to train on")
    job.folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(preset.train.seed)
    run = begin(job, stem, None if weights is None else Path(weights))
    with run.memory:
        return _loop(run, job, on_prepare, on_step, on_epoch)


def _loop(
    run: Run,
    job: Job,
    on_prepare: Progress | None,
    on_step: Callable[[int, int, Row], None] | None,
    on_epoch: Callable[[Row], None] | None,
) -> Row:
    config = job.preset.train
    models = len(job.data)
    schedule = Schedule(models, config.batch, config.epochs, seed=config.seed, start=run.step)
    log = read_log(job.folder / "log.jsonl", run.step)
    write_description(job)
    means = Means()
    for batch in _batches(run, job, schedule, on_prepare):
        set_learning_rate(run.optimizer, config, run.step / schedule.steps)
        figures = train_step(run, batch, job.data, config, job.device)
        run.step += 1
        means.add(figures)
        if on_step:
            on_step(run.step, schedule.steps, figures)
        if run.step % schedule.steps_per_epoch == 0:
            epoch = run.step // schedule.steps_per_epoch
            log.append({"epoch": epoch, "step": run.step, **means.take()})
            _end_epoch(run, job, log, is_last=run.step == schedule.steps)
            if on_epoch:
                on_epoch(log[-1])
    return log[-1] if log else {"epoch": config.epochs, "step": run.step}


def _end_epoch(run: Run, job: Job, log: list[Row], is_last: bool) -> None:
    """Validate, log, save; the log goes first, as a resumed run drops rows of steps to come."""
    row, config = log[-1], job.preset.train
    row["learning_rate"] = run.optimizer.param_groups[0]["lr"]
    row["memory_slots"] = len(run.memory)
    if job.validation is not None and (is_last or row["epoch"] % config.validate_every == 0):
        row |= _validate(run, job.validation, config, job.device)
    write_log(job.folder / "log.jsonl", log)
    save_due(run, job, row, is_last)
    if is_last or row["epoch"] % 10 == 0:
        curves(log, job.folder / "curves.png")


def train_step(run: Run, batch: Batch, data: Shapes, config: TrainConfig, device: str) -> Row:
    """One step: recall, reconstruct, learn, remember.

    Returns:
        the step's figures: losses, share of images that recalled something, how many priors, how
        similar, what the memory did with the batch.

    Raises:
        ValueError: the loss is not finite; weights and memory are as before.
    """
    model = run.model.train()
    images = batch.images.to(device, non_blocking=True)
    features = model.encoder.finish(images) if batch.is_stem_maps else model.encoder(images)
    grids = batch.grids.to(device, non_blocking=True)
    true = batch.grids.numpy()
    sources = [data.source(model_index) for model_index in batch.models]

    output = model.reconstruct(features, run.memory, sources if config.exclude_self else None)
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


def _batches(
    run: Run, job: Job, schedule: Schedule, on_prepare: Progress | None
) -> Iterator[Batch]:
    """The rest of the run, from files or from a stem cache."""
    config = job.preset.train
    size = job.preset.model.image_size
    views = TrainingViews(
        job.data,
        size,
        seed=config.seed,
        augment=config.augment,
        augmentation=config.augmentation,
        backgrounds=job.backgrounds,
    )
    if not config.variants or not len(schedule):
        return iter(loader(views, schedule, config.workers))
    cache = StemCache.build(
        run.model.encoder,
        views,
        config.variants,
        batch=config.batch,
        workers=config.workers,
        progress=on_prepare,
    )
    return cache.batches(schedule)


def _validate(run: Run, validation: Shapes, config: TrainConfig, device: str) -> Row:
    scores = score(run.model, run.memory, validation, batch=config.batch, device=device)
    value = macro(scores, "network", FIXED_THRESHOLD)
    return {
        "val_iou": value,
        "val_iou_nearest": macro(scores, "nearest recalled", FIXED_THRESHOLD),
        "val_hit_rate": float((scores.priors > 0).mean()),
    }
