"""One training run, read from top to bottom.

Each step recalls, reconstructs, learns and then writes the batch's true shapes to the memory, under
the features of their images. A run that died goes on exactly from its last checkpoint: on a CPU
with the same number of threads, weights and memory come out as if it had never stopped. (On a GPU
some sums run in no fixed order, so there they come out close, not equal.)
"""

from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import torch

from mem3d.bundled import STEM
from mem3d.data.dataset import ShapeDataset
from mem3d.data.images.backgrounds import Backgrounds
from mem3d.evaluation.evaluate import (
    NEAREST,
    NETWORK,
    Scores,
    macro,
    mean_shape_iou,
    score,
)
from mem3d.memory.device import memory_on
from mem3d.memory.host import HostMemory
from mem3d.memory.interface import TrainingMemory
from mem3d.metrics import FIXED_THRESHOLD
from mem3d.network.checkpoint import LAST, PAGE, check_device
from mem3d.network.config import Preset
from mem3d.runs.folder import Row, read_log
from mem3d.runs.staleness import Families, families, staleness
from mem3d.training import report
from mem3d.training.batches import Supply, batches, prepare
from mem3d.training.distributed import ALONE, Replicas
from mem3d.training.heads.key import pretrain_key
from mem3d.training.heads.pose import pretrain_pose
from mem3d.training.memory_filling import fill_memory
from mem3d.training.schedule import is_stale, learning_rate, set_learning_rate
from mem3d.training.state import (
    TrainingJob,
    TrainingState,
    check_folder,
    note_best,
    save_due,
    start_or_resume,
)
from mem3d.training.stem_cache import StemCache
from mem3d.training.step import finite, train_step
from memstore.files import Progress

STOPPED = "stopped"  # in the last row of a run that ended early: why
_PRIMES = (1_000_003, 8_191)  # keep the seeds of steps and processes apart


def train(
    data: ShapeDataset,
    validation: ShapeDataset | None,
    folder: str | Path,
    preset: Preset,
    *,
    stem: str | Path = STEM,
    weights: str | Path | None = None,
    device: str = "cpu",
    backgrounds: Backgrounds | None = None,
    replicas: Replicas = ALONE,
    cache: StemCache | None = None,
    keep_maps: bool = False,
    head_cache: Path | None = None,
    tensorboard: bool = False,
    on_prepare: Progress | None = None,
    on_pretrain: Callable[[int, int, str], None] | None = None,
    on_step: Callable[[int, int, Row], None] | None = None,
    on_epoch: Callable[[Row], None] | None = None,
) -> Row:
    """Train, or go on where the folder's last checkpoint stands.

    Writes `run.json` (configuration), `log.jsonl` (a row per epoch), `curves.png`, the memory, the
    checkpoints (see `checkpoint`) and, at its end, a `README.md` that tells what it did, and, where
    it is validated, `validation.png`.

    Args:
        data: shapes to learn from.
        validation: shapes that choose the best epoch; None keeps the last.
        folder: of the run; made if missing. One that holds a checkpoint is resumed, one with files
            that are no run's is refused.
        preset: network, memory and run; a resumed run must have been started with the same one.
        stem: see `encoder.load_stem`; not used when resuming.
        weights: folder of a run of the same network, whose best weights (stem and all) this one
            begins with; its memory begins empty all the same. Not used when resuming.
        device: where the network computes; the memory lives on the CPU.
        backgrounds: photos to lay training views over; the preset's augmentation names their
            fingerprint, so that a resumed run is given the same ones.
        replicas: this process among several that train together (see `replicas.joined`); all are
            given the same arguments, but for the device. Only the first writes and validates.
        cache: a stem cache for just these data, settings and stem, so that several runs share one;
            None lets the run make its own, if its preset has variants.
        keep_maps: whether the run's own stem cache stays in its folder, as `stem_maps.npy`.
        head_cache: folder where runs on the same pictures share what learns first: the key, and
            the heads for camera and extents (see `pretrain`).
        tensorboard: whether to write each epoch's row to the folder `tensorboard` in it too.
        on_prepare: called with pictures done and in all while a stem cache is filled.
        on_pretrain: called with steps done and in all, and what they are ("steps on the key"),
            before the first step.
        on_step: called after each optimizer step with steps done, steps in all, its metrics.
        on_epoch: called after each epoch with its log row.

    Returns:
        the last log row; `stopped` in it says why a run ended before its last epoch.

    Raises:
        ValueError: there is nothing to train on, the folder belongs to another run or to something
            else, the backgrounds are not the preset's, patience has no validation to look at, a
            batch has fewer images than there are processes, the cache is another's, or tensorboard
            is missing.
        DivergedError: a ValueError too: the loss or a feature is no longer finite.
        memstore.MemstoreError: the memory cannot be written, or another process writes it.
    """
    job = TrainingJob(
        data, validation, Path(folder), preset, check_device(device), backgrounds, replicas
    )
    _check_job(job, is_random=stem == "none" and weights is None)
    if tensorboard:
        report.TensorBoard.check_installed()
    job.folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(preset.train.seed)
    supply = Supply(on_prepare, cache, keep_maps, on_pretrain, head_cache)
    with ExitStack() as stack:
        start = start_or_resume(job, stem, None if weights is None else Path(weights))
        state = stack.enter_context(start)
        listeners = [] if on_epoch is None else [on_epoch]
        if tensorboard and replicas.is_first:
            epoch = state.step // job.sampler().steps_per_epoch
            board = report.TensorBoard(job.folder / "tensorboard", epoch)
            listeners.insert(0, stack.enter_context(closing(board)).add)
        return _loop(state, job, supply, on_step, listeners)


def _check_job(job: TrainingJob, is_random: bool) -> None:
    """Raise ValueError for what cannot be trained."""
    check_folder(job.folder)
    data, config = job.data, job.preset.train
    named = config.augmentation.backgrounds
    photos = "" if job.backgrounds is None else job.backgrounds.fingerprint
    if photos != named:
        raise ValueError(
            f"backgrounds: got photos of fingerprint {photos or 'none'}, want the preset's "
            f"({named or 'none'}); name the folder that the run began with"
        )
    if config.freeze_stem and is_random and not (job.folder / LAST).exists():
        raise ValueError(
            "freeze_stem: got a stem of random weights, want trained ones (see load_stem) or a "
            "stem that learns"
        )
    if not len(data):
        raise ValueError(f"{data.root}: got no usable model, want at least 1 to train on")
    if config.patience and job.validation is None:
        raise ValueError(f"patience: got {config.patience} without validation, want models for it")
    smallest = len(data) - (job.sampler().steps_per_epoch - 1) * config.batch
    if smallest < job.replicas.count:
        raise ValueError(
            f"batch: got {smallest} images in an epoch's last batch for {job.replicas.count} "
            "processes, want one for each at least; choose another batch size"
        )


def _loop(
    state: TrainingState,
    job: TrainingJob,
    supply: Supply,
    on_step: Callable[[int, int, Row], None] | None,
    listeners: list[Callable[[Row], None]],
) -> Row:
    """All steps that are left; the last log row."""
    config, sampler, replicas = job.preset.train, job.sampler(), job.replicas
    log = read_log(job.folder / "log.jsonl", state.step)
    if is_stale(config, sampler.steps_per_epoch, state.step, state.best_step):
        epoch = state.step // sampler.steps_per_epoch
        last = log[-1] if log else {"epoch": epoch, "step": state.step}
        _write_missing_report(state, job, log)
        return {**last, STOPPED: _reason(state, job)}
    description = report.Description(job, state.step) if replicas.is_first else None
    supply = prepare(state, job, supply)
    if not state.step:
        _pretrain(state, job, supply)
    means, members = report.EpochMeans(), _members(job)
    # Several processes write memories of their own, which must be equal bit for bit.
    is_alone = replicas.count == 1
    memory = memory_on(job.device, state.memory) if is_alone else HostMemory(state.memory)
    written = _fill(state, job, supply, memory)
    for batch in batches(state, job, supply):
        set_learning_rate(state.optimizer, learning_rate(config, state.step, sampler.steps))
        if not is_alone:  # each drops out other numbers, and a resumed run the same
            torch.manual_seed((config.seed * _PRIMES[0] + state.step) * _PRIMES[1] + replicas.rank)
        metrics = train_step(state, batch, job.data, config, job.device, replicas, memory)
        means.add(metrics)
        state.step += 1
        if on_step:
            on_step(state.step, sampler.steps, metrics)
        if state.step % sampler.steps_per_epoch == 0:
            epoch = state.step // sampler.steps_per_epoch
            log.append({"epoch": epoch, "step": state.step, **written, **means.take()})
            written = {}
            is_over = _end_epoch(state, job, log, members, memory)
            for listener in listeners:
                listener(log[-1])
            if is_over:
                break
    _write_missing_report(state, job, log)
    if description:
        description.end()
    return log[-1] if log else {"epoch": config.epochs, "step": state.step}


def _pretrain(state: TrainingState, job: TrainingJob, supply: Supply) -> None:
    """Let learn what is to learn before all the rest."""
    config, cache = job.preset.train, supply.cache
    if cache is None:
        return
    if config.key_epochs:
        words = _words(supply, "steps on the key")
        pretrain_key(state.model, job, cache, words, supply.head_cache)
    if config.pose_epochs:
        words = _words(supply, "steps on cameras and extents")
        pretrain_pose(state.model, job, cache, words, supply.head_cache)


def _fill(state: TrainingState, job: TrainingJob, supply: Supply, memory: TrainingMemory) -> Row:
    """Fill the memory of a run that has not begun, if its keys stay; what was merged and so on."""
    if state.model.key is None or state.step:
        return {}
    return fill_memory(state, job, supply, memory, _words(supply, "batches into the memory"))


def _words(supply: Supply, what: str) -> Progress:
    """Progress on the way to the first step."""
    return lambda step, total: supply.on_pretrain and supply.on_pretrain(step, total, what)


def _end_epoch(
    state: TrainingState,
    job: TrainingJob,
    log: list[Row],
    members: Families | None,
    memory: TrainingMemory,
) -> bool:
    """Validate, log, save, and tell whether it was the last.

    The log goes first, as a resumed run drops rows of steps to come.
    """
    row, config, sampler = log[-1], job.preset.train, job.sampler()
    is_last = state.step == sampler.steps
    row["learning_rate"] = state.optimizer.param_groups[0]["lr"]
    memory.flush()
    row["memory_slots"] = len(state.memory)
    if torch.device(job.device).type == "cuda":
        row["gpu_peak_gb"] = torch.cuda.max_memory_allocated(job.device) / 1e9
    if job.replicas.is_first:
        scores = None
        if job.validation is not None and (is_last or row["epoch"] % config.validate_every == 0):
            scores = _validate(state, job, job.validation, row, members)
            row["val_iou_mean"] = _mean_iou(job.data, job.validation, log)
        improved = note_best(state, row, scores)
        if not is_last and is_stale(config, sampler.steps_per_epoch, state.step, state.best_step):
            is_last, row[STOPPED] = True, _reason(state, job)
        report.write_log(job.folder / "log.jsonl", log)
        save_due(state, job, row, improved, is_last)
        if is_last or row["epoch"] % 10 == 0:
            report.curves(log, job.folder / "curves.png")
        if is_last:
            report.write(job, state, log)
    # what the first alone knows; the others wait for it here
    return job.replicas.total({"last": is_last and job.replicas.is_first}, job.device)["last"] > 0


def _validate(
    state: TrainingState,
    job: TrainingJob,
    validation: ShapeDataset,
    row: Row,
    members: Families | None,
) -> Scores:
    """Score the weights as they are; the epoch's row gets what they come to."""
    with finite(state.step):
        scores = score(
            state.model,
            state.memory,
            validation,
            batch=job.preset.train.batch,
            device=job.device,
        )
    row |= {
        "val_iou": macro(scores, NETWORK, FIXED_THRESHOLD),
        "val_iou_nearest": macro(scores, NEAREST, FIXED_THRESHOLD),
        "val_hit_rate": float((scores.priors > 0).mean()),
    }
    if members is not None:
        row["key_cosine"] = _key_cosine(state, job, members)
    return scores


def _mean_iou(data: ShapeDataset, validation: ShapeDataset, log: list[Row]) -> float | None:
    """What the mean shapes of categories score, computed once a run; None where a shape broke."""
    for row in log:
        if "val_iou_mean" in row:
            return row["val_iou_mean"]  # type: ignore[no-any-return]
    try:
        return mean_shape_iou(data, validation)
    except ValueError:
        return None


def _members(job: TrainingJob) -> Families | None:
    """Where to look for the shapes of slots; None if no epoch is to tell how stale its keys are."""
    is_asked = job.preset.train.staleness_sample and job.validation is not None
    return families(job.data) if is_asked and job.replicas.is_first else None


def _key_cosine(state: TrainingState, job: TrainingJob, members: Families) -> float | None:
    """Mean cosine of stored and fresh keys; None where nothing, or no longer, can be compared."""
    sample, device = job.preset.train.staleness_sample, job.device
    try:
        cosines = staleness(
            state.model, state.memory, job.data, sample=sample, device=device, members=members
        )
    except ValueError:  # a view 00 broke meanwhile: training takes another, and so goes on
        return None
    return cosines.mean if len(cosines.slots) else None


def _write_missing_report(state: TrainingState, job: TrainingJob, log: list[Row]) -> None:
    """The report of a run that is over, if it was stopped before it had written its own."""
    if job.replicas.is_first and log and not (job.folder / PAGE).exists():
        report.write(job, state, log)


def _reason(state: TrainingState, job: TrainingJob) -> str:
    best = state.best_step // job.sampler().steps_per_epoch
    return f"no better IoU in {job.preset.train.patience} validations since epoch {best}"
