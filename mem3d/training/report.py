"""What a run writes to be read: run.json, the log and its curves, and a README at its end."""

import io
import json
import shlex
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mem3d import system
from mem3d.data.dataset import ShapeDataset, Subset, roots
from mem3d.data.splits import spread
from mem3d.evaluation.evaluate import NEAREST, NETWORK, Scores, score, summarise
from mem3d.inference.reconstruct import comparison
from mem3d.markdown import code, table
from mem3d.network import checkpoint
from mem3d.network.checkpoint import PAGE, PICTURE
from mem3d.runs.folder import Row
from mem3d.training.state import TrainingJob, TrainingState
from memstore.files import write_atomic
from memstore.json_text import read_json
from memstore.voxels.contact_sheet import save_png

MOST_SHAPES = 8  # on the picture
_SUMMED = ("merged", "inserted", "evicted")  # over an epoch; of all else the mean is taken
_VALIDATION = """\
## Validation

IoU of the best weights and their memory, view 00 of each model, threshold .3.
"""
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
# Of each panel: its title, its axis, and the log's fields with their names.
_PANELS = (
    (
        *("loss", "loss, mean over an epoch"),
        {"loss": "all terms", "bce": "cross-entropy, nats per voxel", "triplet": "triplet"},
    ),
    (
        *("validation", "IoU, mean over categories"),
        {
            "val_iou": "network",
            "val_iou_nearest": "recalled first",
            "val_iou_mean": "mean shape of the category",
        },
    ),
    (
        *("recall", "share, or cosine"),
        {
            "hit_rate": "pictures that recall",
            "val_hit_rate": "the same, validation",
            "top_cosine": "best cosine",
            "key_cosine": "stored and new key",
            "triplet_valid": "pictures with a triplet",
            "memory_share": "memory's share of time",
        },
    ),
    (
        *("memory", "slots, or pairs per epoch"),
        {
            "memory_slots": "slots in use",
            "merged": "merged",
            "inserted": "inserted",
            "evicted": "evicted",
        },
    ),
)
_DASHED = {"val_iou_mean": "#444444"}  # no curves: what learns nothing while the network learns
_WIDEST = 28  # characters in a legend of two columns
_LONE = "osD^v<>p"  # hollow markers of points without a curve, which may lie on each other
_LETTERS: Any = {
    "font.size": 12,
    "axes.titlesize": 15,
    "axes.titleweight": "bold",
}  # at 800 px: 13, 16


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
        self._description = {
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
        write_atomic(self._path, json.dumps(self._description, indent=2).encode())


def _starts(path: Path) -> list[Row]:
    """What an earlier description tells of starts."""
    try:
        starts = read_json(path)["starts"]
        return [dict(start) for start in starts]
    except (ValueError, KeyError, TypeError):
        return []


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class EpochMeans:
    """Means of the steps' metrics over an epoch; counts of writes are summed."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._since = time.monotonic()

    def add(self, row: Row) -> None:
        """Count a step's metrics."""
        self._rows.append(row)

    def take(self) -> Row:
        """The epoch's metrics; begins the next epoch."""
        means: Row = {}
        for name in self._rows[0]:
            values = [row[name] for row in self._rows if row[name] is not None]
            total = sum(values)
            mean = total / len(values) if values else None
            means[name] = total if name in _SUMMED else mean
        if means.get("step_ms"):
            memory = sum(means[f"{phase}_ms"] for phase in ("read", "contrast", "write"))
            means["memory_share"] = memory / means["step_ms"]  # of the steps' time
        means["seconds"] = round(time.monotonic() - self._since, 2)
        self._rows, self._since = [], time.monotonic()
        return means


def write_log(path: Path, rows: list[Row]) -> None:
    """One JSON object per line."""
    write_atomic(path, "".join(json.dumps(row) + "\n" for row in rows).encode())


class TensorBoard:
    """A writer of the numbers in log rows, for TensorBoard.

    Args:
        folder: where to; rows after `epoch` that lie there are dropped.
        epoch: the last one before.
    """

    def __init__(self, folder: Path, epoch: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder), purge_step=epoch + 1)

    @staticmethod
    def check_installed() -> None:
        """Raise ValueError unless the package tensorboard is there."""
        try:
            import torch.utils.tensorboard  # noqa: F401
        except ImportError as error:
            raise ValueError(
                f"tensorboard: got {error}, want the package: pip install tensorboard"
            ) from error

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


def curves(rows: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Draw a training run: losses, validation IoU, recall, what the memory did.

    Args:
        rows: one per epoch, as in the run's log; fields may be missing, None or not finite.
        path: PNG file to make or replace.
    """
    from matplotlib import rc_context  # imported late: it is slow, and only training draws
    from matplotlib.figure import Figure  # no pyplot: it keeps global state
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with rc_context(_LETTERS):
        figure = Figure(figsize=(10, 9), layout=ConstrainedLayoutEngine(h_pad=0.15, w_pad=0.1))
        for axes, (title, unit, names) in zip(figure.subplots(2, 2).flat, _PANELS, strict=True):
            axes.set(title=title, xlabel="epoch", ylabel=unit, xlim=_epochs(rows))
            axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
            axes.grid(alpha=0.3)
            for field, name in names.items():
                _line(axes, rows, field, name)
            if not axes.lines:
                axes.text(0.5, 0.5, "nothing measured", transform=axes.transAxes, ha="center")
            else:  # below the panel, where no curve is
                place: Any = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.17)}
                widest = max(len(line.get_label()) for line in axes.lines)
                ncols = 1 if widest > _WIDEST else 2
                axes.legend(**place, ncols=ncols, frameon=False, columnspacing=1, handlelength=1.5)
        data = io.BytesIO()
        figure.savefig(data, format="png", dpi=110)
    write_atomic(path, data.getvalue())


def _epochs(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Ends of the axis of epochs, a little before the first and after the last."""
    epochs = [row.get("epoch", i) for i, row in enumerate(rows, 1)] or [1]
    margin = max(0.5, 0.04 * (max(epochs) - min(epochs)))
    return min(epochs) - margin, max(epochs) + margin


def _line(axes: Any, rows: Sequence[Mapping[str, Any]], field: str, name: str) -> None:
    """Draw a field's curve, if the rows have one; of a lone point the legend has the value."""
    values = [(row.get("epoch", i), row.get(field)) for i, row in enumerate(rows, 1)]
    points = [(x, y) for x, y in values if y is not None and np.isfinite(y)]
    how: dict[str, Any] = {"marker": "." * (len(points) < 30)}
    if field in _DASHED:
        how |= {"color": _DASHED[field], "linestyle": "--"}
    if len(points) == 1:
        value = points[0][1]
        name += f": {value:,}" if isinstance(value, int) else f": {value:.3g}"
        marker = _LONE[len(axes.lines)]
        how |= {"marker": marker, "markersize": 10, "markerfacecolor": "none", "linestyle": "none"}
    if points:
        axes.plot(*zip(*points, strict=True), label=name, **how)


def write(job: TrainingJob, state: TrainingState, log: list[Row]) -> None:
    """Write README.md and, where there is validation data, validation.png.

    The picture is by the best checkpoint, with its snapshot of the memory; so are the scores, which
    the state has from when they were best. A run that was resumed since has them no more: they are
    computed again, and are the same. Run and random state stay as they are.

    Args:
        job: what the run was to do.
        state: as its last epoch left it.
        log: rows of its epochs; some may be lost.

    Raises:
        ValueError: a validation model cannot be read.
    """
    scores = None
    if job.validation is not None:
        scores = _draw(job, job.validation, state.best_scores)
    write_atomic(job.folder / PAGE, page(job, state, log, scores).encode())


def _draw(job: TrainingJob, validation: ShapeDataset, scores: Scores | None) -> Scores:
    """Draw the picture; the scores of the best checkpoint, computed if there are none."""
    model, memory, _ = checkpoint.load(job.folder, "best", job.device)
    with memory:
        if scores is None:
            batch = job.preset.train.batch
            scores = score(model, memory, validation, batch=batch, device=job.device)
        shapes = spread(scores.categories, MOST_SHAPES)
        sheet = comparison(model, memory, Subset(validation, shapes), len(shapes))
    save_png(job.folder / PICTURE, sheet)
    return scores


def page(
    job: TrainingJob, state: TrainingState, log: list[Row], scores: Scores | None = None
) -> str:
    """Markdown text of README.md; see `write`."""
    model, train, last = job.preset.model, job.preset.train, log[-1]
    folder, data = shlex.quote(str(job.folder)), code(job.data.root)
    validation_shapes = 0 if job.validation is None else len(job.validation)
    files = [f"- `{name}`: {text}" for name, text in _FILES.items() if (job.folder / name).exists()]
    early = f", ended early: {last['stopped']}" if "stopped" in last else ""
    lines = [
        "# A trained Mem3D",
        "",
        f"Trained on {len(job.data):,} models of {data}, validated on {validation_shapes:,} "
        f"(fingerprint {job.fingerprint()}).",
        f"{last['epoch']} of {train.epochs} epochs, {state.step:,} steps{early}.",
        f"Images of {model.image_size} pixels, grids of {model.resolution}^3 voxels; the memory "
        f"has {len(state.memory):,} of {job.preset.memory.capacity:,} slots in use.",
        _best(job, state),
        "",
        *([] if scores is None else [_VALIDATION, _table(summarise(scores)), ""]),
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


def _best(job: TrainingJob, state: TrainingState) -> str:
    """The line on the best epoch."""
    if state.best_step < 0:
        return "Nothing was validated: the best weights are the last."
    epoch = state.best_step // job.sampler().steps_per_epoch
    return (
        f"Best epoch: {epoch}, with a validation IoU of {state.best_iou:.3f} (mean over "
        "categories, threshold .3)."
    )


def _table(summary: Row) -> str:
    """IoU on validation, per category and on average."""
    columns = [summary["methods"][name]["fixed"] for name in (NETWORK, NEAREST)]
    rows: list[list[object]] = [["category", "models", NETWORK, NEAREST]]
    for name, count in summary["categories"].items():
        ious = [column["categories"][name] for column in columns]
        rows.append([code(name), f"{count:,}", *(f"{iou:.3f}" for iou in ious)])
    for name, key in (("mean over categories", "macro"), ("mean over models", "weighted")):
        ious = [column[key] for column in columns]
        rows.append([name, f"{summary['samples']:,}", *(f"{iou:.3f}" for iou in ious)])
    return table(rows, align="lrrr")
