"""README.md of a finished run's folder: what it is, how good, and what to do with it."""

import shlex
from typing import Any

from mem3d.run import Job, Run
from memstore.files import write_atomic

Row = dict[str, Any]

_FILES = {
    "best.safetensors": "weights of the best epoch; names its snapshot of the memory",
    "last.safetensors": "weights, optimiser and random state of the last epoch, to resume from",
    "memory": "the memory of shapes, with those snapshots (`memstore inspect`)",
    "run.json": "settings, data, code and machine",
    "log.jsonl": "a row of figures per epoch",
    "curves.png": "the same as curves",
    "stem_maps.npy": "the frozen stem's maps, to resume fast; can be deleted",
    "stem_maps.safetensors": "their grids and fingerprint",
    "tensorboard": "the same figures for TensorBoard",
}


def write_page(run: Run, job: Job, log: list[Row]) -> None:
    """Write README.md."""
    write_atomic(job.folder / "README.md", page(run, job, log).encode())


def page(run: Run, job: Job, log: list[Row]) -> str:
    """Markdown text of the page.

    Args:
        run: as its last epoch left it.
        job: what it was to do.
        log: rows of its epochs; some may be lost.
    """
    model, train, last = job.preset.model, job.preset.train, log[-1]
    folder, data = shlex.quote(str(job.folder)), _code(job.data.root)
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


def _code(text: object) -> str:
    """As Markdown code, whatever is in it."""
    plain = "".join(c if c.isprintable() and c != "`" else "?" for c in str(text))
    return f"`{plain}`"
