"""The state of a training run, and its way to disk and back."""

import hashlib
import math
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mem3d.bundled import STEM
from mem3d.data.dataset import ShapeDataset
from mem3d.data.images.backgrounds import Backgrounds
from mem3d.data.loader import BatchSampler
from mem3d.evaluation.evaluate import Scores
from mem3d.network import checkpoint
from mem3d.network.checkpoint import BEST, LAST, check_run
from mem3d.network.config import Preset
from mem3d.network.encoder import load_stem
from mem3d.network.heads.key import load_bundled_key
from mem3d.network.model import Mem3D
from mem3d.training.distributed import ALONE, Replicas, share_norms
from memstore import FormatError, Memory
from memstore.json_text import read_json

TAG = "step-"  # how tags of snapshots that checkpoints name begin
_OWN = ("data", "memory", LAST)  # what a run may hold before it is described
_PRINTED = (".log", ".out")  # where a shell may have begun to write what training prints


@dataclass(frozen=True)
class TrainingJob:
    """What a run is to do; a resumed run must be given the same.

    Attributes:
        data: shapes to learn from.
        validation: shapes that choose the best epoch.
        folder: where the run lives.
        preset: network, memory and run.
        device: where the network computes.
        backgrounds: photos to lay training views over; their fingerprint is in the preset.
        replicas: this process among those that train together; their number may change.
    """

    data: ShapeDataset
    validation: ShapeDataset | None
    folder: Path
    preset: Preset
    device: str
    backgrounds: Backgrounds | None = None
    replicas: Replicas = ALONE

    def sampler(self, start: int = 0) -> BatchSampler:
        """Which shapes make up each batch, from a step on; it counts the steps of an epoch."""
        train = self.preset.train
        return BatchSampler(len(self.data), train.batch, train.epochs, seed=train.seed, start=start)

    def fingerprint(self) -> str:
        """Of the shapes, in their order; 16 hexadecimal digits."""
        sets = [self.data] if self.validation is None else [self.data, self.validation]
        listed = "\n\n".join("\n".join(data.shape_id(i) for i in range(len(data))) for data in sets)
        return hashlib.sha256(listed.encode()).hexdigest()[:16]


@dataclass
class TrainingState:
    """Everything that changes while training."""

    model: Mem3D
    optimizer: torch.optim.Optimizer
    memory: Memory
    step: int = 0  # optimizer steps done
    best_iou: float = math.nan
    best_step: int = -1
    best_scores: Scores | None = None  # on validation; None also after a resume


def check_folder(folder: Path) -> None:
    """Raise ValueError for a folder with other files, which a run would lie among or replace.

    A run that died early is told by what it holds, and needs no checkpoint; hidden files are left
    by writes that were cut off, or are no run's concern.
    """
    if not folder.is_dir() or (folder / LAST).exists() or _is_described(folder):
        return
    names = sorted(path.name for path in folder.iterdir() if path.suffix not in _PRINTED)
    others = [name for name in names if name not in _OWN and not name.startswith(".")]
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise ValueError(
            f"{folder}: got a folder with other files ({others[0]}{more}), want a new folder, an "
            "empty one, or a run to go on with"
        )


def _is_described(folder: Path) -> bool:
    """Whether there is a run.json as training writes it."""
    try:
        described = read_json(folder / "run.json")
    except FormatError:
        return False
    return isinstance(described, dict) and "preset" in described


@contextmanager
def start_or_resume(
    job: TrainingJob, stem: str | Path, weights: Path | None = None
) -> Iterator[TrainingState]:
    """Build a run, fresh (from the weights of another run, if given) or from its own last.

    The first process writes the checkpoint that the others begin with, each with a memory of its
    own: a copy of the checkpoint's snapshot.
    """
    if not job.replicas.is_first:
        job.replicas.wait()
    is_fresh = not (job.folder / LAST).exists()
    model, optimizer = _network(job, stem if is_fresh else "none", weights if is_fresh else None)
    with ExitStack() as stack:  # the memory is closed whatever fails from here on
        if is_fresh:
            memory = _empty_memory(job.folder / "memory", job.preset)
            stack.callback(memory.close, discard=True)  # what counts, checkpoints commit
            state = TrainingState(model, optimizer, memory)
            # A death in the first epoch loses no run.
            _write_checkpoint(state, job, LAST, math.nan)
        else:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            saved = checkpoint.restore_run(job.folder / LAST, model, optimizer)
            memory = _memory_at(job, saved.snapshot, scratch)
            stack.callback(memory.close, discard=True)
            state = TrainingState(
                model, optimizer, memory, saved.step, saved.best_iou, saved.best_step
            )
        if job.replicas.is_first:
            job.replicas.wait()
        job.replicas.wait()  # from here on the first may commit: all have read the snapshot
        yield state


def _network(
    job: TrainingJob, stem: str | Path, weights: Path | None
) -> tuple[Mem3D, torch.optim.Optimizer]:
    """Network and optimizer of a job, which is found to be its folder's."""
    last, train = job.folder / LAST, job.preset.train
    if last.exists():
        _check_same(job, checkpoint.read_state(last, resuming=True))
    model = Mem3D(job.preset.model)
    load_stem(model.encoder.stem, stem)
    if stem == STEM and model.key is not None:
        load_bundled_key(model.key)
    if weights is not None:
        check_run(weights)
        checkpoint.load_weights(weights / BEST, model)
    if train.freeze_stem:
        model.encoder.freeze_stem()
    if model.key is not None:  # it learns before, by itself
        model.key.requires_grad_(False)
    if job.replicas.count > 1:
        share_norms(model, job.device)
    model.to(job.device)
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(  # equals Adam without weight decay
        learning, train.learning_rate, weight_decay=train.weight_decay, fused=True
    )
    return model, optimizer


def _memory_at(job: TrainingJob, snapshot: str, scratch: Path) -> Memory:
    """The folder's memory at a snapshot, to be written; for all but the first process, a copy."""
    path = job.folder / "memory"
    if job.replicas.is_first:
        return Memory.open(path, mode="r+", at=snapshot)
    with Memory.open(path, at=snapshot) as memory:
        memory.copy_to(scratch / "memory")
    return Memory.open(scratch / "memory", mode="r+")


def _check_same(job: TrainingJob, state: checkpoint.State) -> None:
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


def note_best(state: TrainingState, row: dict[str, Any], scores: Scores | None = None) -> bool:
    """Whether the row's validation is the best so far; the state then has it."""
    value = row.get("val_iou", math.nan)
    improved = not math.isnan(value) and not value <= state.best_iou
    if improved:
        state.best_iou, state.best_step, state.best_scores = value, state.step, scores
    return improved


def save_due(
    state: TrainingState, job: TrainingJob, row: dict[str, Any], improved: bool, is_last: bool
) -> None:
    """Write the checkpoints that are due."""
    value = row.get("val_iou", math.nan)
    is_due = is_last or row["epoch"] % job.preset.train.checkpoint_every == 0
    if improved or (is_due and state.best_step < 0):
        _write_checkpoint(state, job, BEST, value)
    if is_due:
        _write_checkpoint(state, job, LAST, value)
    if improved or is_due:
        _forget_snapshots(state, job)


def _forget_snapshots(state: TrainingState, job: TrainingJob) -> None:
    """Keep of the memory's history what the checkpoints name, and what others have tagged.

    Only once the checkpoints are on stable storage, as `checkpoint.save` leaves them: until then a
    power cut brings back the ones before, and they want their snapshots.
    """
    files = [job.folder / name for name in (BEST, LAST)]
    named = {checkpoint.read_state(file).snapshot for file in files if file.exists()}
    for tag, snapshot in state.memory.tags().items():
        if tag.startswith(TAG) and snapshot not in named:
            state.memory.untag(tag)
    state.memory.expire(keep=1)


def _write_checkpoint(
    state: TrainingState, job: TrainingJob, name: str, validation_iou: float
) -> None:
    """Commit the memory and tag the snapshot, then write the file that names it."""
    snapshot = state.memory.commit(f"step {state.step}")
    if snapshot not in state.memory.tags().values():
        # a tag's name is used once, a step may recur
        state.memory.tag(f"{TAG}{state.step}-{snapshot}")
    saved = checkpoint.State(
        preset=job.preset,
        step=state.step,
        snapshot=snapshot,
        validation_iou=validation_iou,
        best_iou=state.best_iou,
        best_step=state.best_step,
        data=job.fingerprint(),
    )
    optimizer = state.optimizer if name == LAST else None
    checkpoint.save(job.folder / name, saved, state.model, optimizer)
