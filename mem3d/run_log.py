"""What a run writes down about itself: one row per epoch, and what it was made of."""

import json
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from mem3d import machine
from mem3d.data.joined import roots
from mem3d.folders import check_run
from mem3d.run import Job
from memstore.files import write_atomic

Row = dict[str, Any]


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


def read_log(path: Path, step: int) -> list[Row]:
    """Rows up to the checkpoint; later ones belong to steps that will be done again."""
    if step == 0 or not path.exists():
        return []
    rows = []
    for line in path.read_text().splitlines():
        with suppress(json.JSONDecodeError):
            rows.append(json.loads(line))
    return [row for row in rows if row["step"] <= step]


class Description:
    """run.json: settings, data, and each time that the run was started: code, command, machine."""

    def __init__(self, job: Job, step: int) -> None:
        """Write it at the start, after `step` optimiser steps."""
        self._path = job.folder / "run.json"
        self._since = time.monotonic()
        data, validation, extra = job.data, job.validation, roots(job.data)[1:]
        self._start: Row = {
            **{"started": _now(), "ended": None, "seconds": None, "first_step": step},
            **{"processes": job.replicas.count, "device": job.device, **machine.described()},
        }
        self._described = {
            "preset": job.preset.to_dict(),
            "data": str(data.root.resolve()),
            "split": None if data.split is None else str(data.split.resolve()),
            "extra": [[str(at.resolve()), cut and str(cut.resolve())] for at, cut in extra],
            "training_models": len(data),
            "validation_models": 0 if validation is None else len(validation),
            "fingerprint": job.fingerprint(),
            "skipped": [f"{skip.source}: {skip.reason}" for skip in data.skipped],
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


def run_data(run: str | Path) -> tuple[Path, Path | None]:
    """Data folder and split file a run was trained on, from its run.json.

    Raises:
        ValueError: there is none to read.
    """
    check_run(run)
    path = Path(run) / "run.json"
    if not path.is_file():
        raise ValueError(f"{path}: got no file, want a run's; or name the data (--data)")
    try:
        described = json.loads(path.read_text())
        split = described["split"]
        return Path(described["data"]), None if split is None else Path(split)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: got {error!r}, want what training wrote; or name the data (--data)"
        ) from error


def run_extras(run: str | Path) -> list[tuple[Path, Path | None]]:
    """Folders and split files of what a run learnt from besides; none if it does not tell."""
    try:
        listed = json.loads((Path(run) / "run.json").read_text()).get("extra", [])
        return [(Path(root), None if split is None else Path(split)) for root, split in listed]
    except (OSError, ValueError, TypeError, AttributeError):
        return []


def write_log(path: Path, rows: list[Row]) -> None:
    """One JSON object per line."""
    write_atomic(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
