"""README.md of a finished run's folder: what it is, how good, and what to do with it."""

import shlex
from typing import Any

from mem3d import checkpoint
from mem3d.data.sampling import spread
from mem3d.data.selection import Selection
from mem3d.data.shapes import Shapes
from mem3d.evaluation import NEAREST, NETWORK, score, summarise
from mem3d.reconstruction import comparison
from mem3d.run import Job, Run
from memstore.files import write_atomic
from memstore.sheets import save_png

Row = dict[str, Any]

PAGE, PICTURE = "README.md", "validation.png"
SHOWN = 8  # most models on the picture

_FILES = {
    "best.safetensors": "weights of the best epoch; names its snapshot of the memory",
    "last.safetensors": "weights, optimiser and random state of the last epoch, to resume from",
    "memory": "the memory of shapes, with those snapshots (`memstore inspect`)",
    "run.json": "settings, data, code and machine",
    "log.jsonl": "a row of figures per epoch",
    "curves.png": "the same as curves",
    PICTURE: "some validation models: view 00, truth, the best weights' answer, what they recalled",
    "stem_maps.npy": "the frozen stem's maps, to resume fast; can be deleted",
    "stem_maps.safetensors": "their grids and fingerprint",
    "tensorboard": "the same figures for TensorBoard",
}


def write_page(run: Run, job: Job, log: list[Row]) -> None:
    """Write README.md and, where there is validation data, validation.png.

    The weights validated are those of the best checkpoint, with its snapshot of the memory; run and
    random state stay as they are.

    Raises:
        ValueError: a validation model cannot be read.
    """
    found = None if job.validation is None else _validated(job, job.validation)
    write_atomic(job.folder / PAGE, page(run, job, log, found).encode())


def _validated(job: Job, validation: Shapes) -> Row:
    """Draw the picture; see `evaluation.summarise`."""
    model, memory, _ = checkpoint.load(job.folder, "best", job.device)
    with memory:
        batch = job.preset.train.batch
        scores = score(model, memory, validation, batch=batch, device=job.device)
        chosen = spread(scores.categories, SHOWN)
        sheet = comparison(model, memory, Selection(validation, chosen), len(chosen))
    save_png(job.folder / PICTURE, sheet)
    return summarise(scores)


def page(run: Run, job: Job, log: list[Row], found: Row | None = None) -> str:
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


def _best(run: Run, job: Job) -> str:
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


def code(text: object) -> str:
    """A text as Markdown code, also in a table, whatever is in it."""
    plain = "".join(c if c.isprintable() and c not in "`|" else "?" for c in str(text))
    return f"`{plain}`"
