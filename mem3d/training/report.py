"""README.md of a finished run's folder: what it is, how good, and what to do with it."""

import io
import json
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mem3d import system
from mem3d.data.dataset import ShapeDataset, Subset, roots
from mem3d.data.splits import spread
from mem3d.evaluation.evaluate import NEAREST, NETWORK, score, summarise
from mem3d.inference.figures import comparison
from mem3d.markdown import code
from mem3d.network import checkpoint
from mem3d.network.checkpoint import PAGE, PICTURE
from mem3d.runs.folder import Row
from mem3d.training.state import TrainingJob, TrainingState
from memstore.files import write_atomic
from memstore.voxels.contact_sheet import save_png


def check_installed() -> None:
    """Raise ValueError unless the package tensorboard is there."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"tensorboard: got {error}, want the package: pip install tensorboard"
        ) from error


class Scalars:
    """A writer of the numbers in log rows."""

    def __init__(self, folder: Path, epoch: int) -> None:
        """Write to a folder; rows after `epoch` that lie there are dropped."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder), purge_step=epoch + 1)

    def add(self, row: Mapping[str, Any]) -> None:
        """Write the numbers of an epoch's row."""
        for name, value in row.items():
            if isinstance(value, int | float) and name not in ("epoch", "step"):
                kind = "validation" if name.startswith("val_") else "training"
                self._writer.add_scalar(f"{kind}/{name}", value, row["epoch"])
        self._writer.flush()

    def close(self) -> None:
        """End the file."""
        self._writer.close()


def both(
    first: Callable[[dict[str, Any]], None], second: Callable[[dict[str, Any]], None] | None
) -> Callable[[dict[str, Any]], None]:
    """One function that calls the first, then the second if there is one."""

    def call(row: dict[str, Any]) -> None:
        first(row)
        if second:
            second(row)

    return call


SHOWN = 8  # most models on the picture

_FILES = {
    "best.safetensors": "weights of the best epoch; names its snapshot of the memory",
    "last.safetensors": "weights, optimizer and random state of the last epoch, to resume from",
    "memory": "the memory of shapes, with those snapshots (`memstore inspect`)",
    "run.json": "settings, data, code and machine",
    "log.jsonl": "a row of figures per epoch",
    "curves.png": "the same as curves",
    PICTURE: "some validation models: view 00, truth, the best weights' answer, what they recalled",
    "stem_maps.npy": "the frozen stem's maps, to resume fast; can be deleted",
    "stem_maps.safetensors": "their grids and fingerprint",
    "tensorboard": "the same figures for TensorBoard",
}


def write_page(run: TrainingState, job: TrainingJob, log: list[Row]) -> None:
    """Write README.md and, where there is validation data, validation.png.

    The weights validated are those of the best checkpoint, with its snapshot of the memory; run and
    random state stay as they are.

    Raises:
        ValueError: a validation model cannot be read.
    """
    found = None if job.validation is None else _validated(job, job.validation)
    write_atomic(job.folder / PAGE, page(run, job, log, found).encode())


def _validated(job: TrainingJob, validation: ShapeDataset) -> Row:
    """Draw the picture; see `evaluation.summarise`."""
    model, memory, _ = checkpoint.load(job.folder, "best", job.device)
    with memory:
        batch = job.preset.train.batch
        scores = score(model, memory, validation, batch=batch, device=job.device)
        chosen = spread(scores.categories, SHOWN)
        sheet = comparison(model, memory, Subset(validation, chosen), len(chosen))
    save_png(job.folder / PICTURE, sheet)
    return summarise(scores)


def page(run: TrainingState, job: TrainingJob, log: list[Row], found: Row | None = None) -> str:
    """Markdown text of the page.

    Args:
        run: as its last epoch left it.
        job: what it was to do.
        log: rows of its epochs; some may be lost.
        found: on validation, from `evaluation.summarise`.
    """
    model, train, last = job.preset.model, job.preset.train, log[-1]
    folder, data = shlex.quote(str(job.folder)), code(job.data.root)
    validated = 0 if job.validation is None else len(job.validation)
    files = [f"- `{name}`: {text}" for name, text in _FILES.items() if (job.folder / name).exists()]
    ended = f", ended early: {last['stopped']}" if "stopped" in last else ""
    lines = [
        "# A trained Mem3D",
        "",
        f"Trained on {len(job.data):,} models of {data}, validated on {validated:,} "
        f"(fingerprint {job.fingerprint()}).",
        f"{last['epoch']} of {train.epochs} epochs, {run.step:,} steps{ended}.",
        f"Images of {model.image_size} pixels, grids of {model.resolution}^3 voxels; the memory "
        f"has {len(run.memory):,} of {job.preset.memory.capacity:,} slots in use.",
        _best(run, job),
        "",
        *(() if found is None else _table(found)),
        "## Files",
        "",
        *files,
        "",
        "## Commands",
        "",
        "```sh",
        f"mem3d-cli evaluate {folder}",
        f"mem3d-cli reconstruct {folder} photo.png --out reconstructions",
        f"memstore inspect {folder}/memory",
        "```",
        "",
        "The command that trained it, in `run.json`, resumes it if it was interrupted.",
        "",
    ]
    return "\n".join(lines)


def _best(run: TrainingState, job: TrainingJob) -> str:
    """The line on the best epoch."""
    if run.best_step < 0:
        return "Nothing was validated: the best weights are the last."
    epoch = run.best_step // job.pace.steps_per_epoch
    return (
        f"Best epoch: {epoch}, with a validation IoU of {run.best_iou:.3f} (mean over "
        "categories, threshold .3)."
    )


def _table(found: Row) -> list[str]:
    """IoU on validation, per category and on average."""
    columns = [found["methods"][name]["fixed"] for name in (NETWORK, NEAREST)]
    counts, total = found["categories"], found["samples"]
    rows = [(code(name), n, [c["categories"][name] for c in columns]) for name, n in counts.items()]
    for name, key in (("mean over categories", "macro"), ("mean over models", "weighted")):
        rows.append((name, total, [column[key] for column in columns]))
    return [
        "## Validation",
        "",
        "IoU of the best weights and their memory, view 00 of each model, threshold .3.",
        "",
        f"| category | models | {NETWORK} | {NEAREST} |",
        "|---|---:|---:|---:|",
        *(
            f"| {name} | {n:,} | " + " | ".join(f"{v:.3f}" for v in ious) + " |"
            for name, n, ious in rows
        ),
        "",
    ]


_PANELS = {
    "loss": ("loss", "bce", "triplet"),
    "IoU (validation)": ("val_iou", "val_iou_nearest"),
    "recall": (
        *("hit_rate", "val_hit_rate", "top_cosine", "key_cosine"),
        *("triplet_valid", "memory_share"),
    ),
    "memory": ("memory_slots", "merged", "inserted", "evicted"),
}


def curves(rows: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Draw a training run: losses, validation IoU, recall, what the memory did.

    Args:
        rows: one per epoch, as in the run's log; fields may be missing, None or not finite.
        path: PNG file to make or replace.
    """
    from matplotlib.figure import Figure  # imported late: it is slow, and only training draws

    figure = Figure(figsize=(10, 6.4), layout="constrained")  # no pyplot: it keeps global state
    for axes, (name, fields) in zip(figure.subplots(2, 2).flat, _PANELS.items(), strict=True):
        for field in fields:
            points = [(_x(row, i), row.get(field)) for i, row in enumerate(rows)]
            known = [(x, y) for x, y in points if y is not None and np.isfinite(y)]
            if known:
                axes.plot(*zip(*known, strict=True), label=field, marker="." * (len(known) < 30))
        axes.set_title(name)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small")
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    write_atomic(path, data.getvalue())


def _x(row: Mapping[str, Any], number: int) -> float:
    """Epoch of a row, else its number."""
    return float(row.get("epoch", number + 1))


class Means:
    """Means of the forwards' figures over an epoch; counts of writes are summed."""

    _SUMMED = ("merged", "inserted", "evicted")

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._since = time.monotonic()

    def add(self, row: Row) -> None:
        self._rows.append(row)

    def take(self) -> Row:
        means: Row = {}
        for name in self._rows[0]:
            values = [row[name] for row in self._rows if row[name] is not None]
            total = sum(values)
            mean = total / len(values) if values else None
            means[name] = total if name in self._SUMMED else mean
        if means.get("step_ms"):
            memory = sum(means[f"{phase}_ms"] for phase in ("read", "contrast", "write"))
            means["memory_share"] = memory / means["step_ms"]  # of the steps' time
        means["seconds"] = round(time.monotonic() - self._since, 2)
        self._rows, self._since = [], time.monotonic()
        return means


class Description:
    """run.json: settings, data, and each time that the run was started: code, command, system."""

    def __init__(self, job: TrainingJob, step: int) -> None:
        """Write it at the start, after `step` optimizer steps."""
        self._path = job.folder / "run.json"
        self._since = time.monotonic()
        data, validation, extra = job.data, job.validation, roots(job.data)[1:]
        self._start: Row = {
            **{"started": _now(), "ended": None, "seconds": None, "first_step": step},
            **{"processes": job.replicas.count, "device": job.device, **system.described()},
        }
        self._described = {
            "preset": job.preset.to_dict(),
            "data": str(data.root.resolve()),
            "split": None if data.split is None else str(data.split.resolve()),
            "extra": [[str(at.resolve()), cut and str(cut.resolve())] for at, cut in extra],
            "training_models": len(data),
            "validation_models": 0 if validation is None else len(validation),
            "fingerprint": job.fingerprint(),
            "skipped": [f"{skip.shape_id}: {skip.reason}" for skip in data.skipped],
            "device": job.device,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "starts": [*(_starts(self._path) if step else []), self._start],
        }
        self._write()

    def end(self) -> None:
        """Tell when it ended; of a run that dies, the end stays open."""
        self._start |= {"ended": _now(), "seconds": round(time.monotonic() - self._since, 1)}
        self._write()

    def _write(self) -> None:
        write_atomic(self._path, json.dumps(self._described, indent=2).encode())


def _starts(path: Path) -> list[Row]:
    """What an earlier description tells of starts."""
    try:
        starts = json.loads(path.read_text())["starts"]
        return [dict(start) for start in starts]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_log(path: Path, rows: list[Row]) -> None:
    """One JSON object per line."""
    write_atomic(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
