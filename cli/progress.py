"""How far long work is, on stderr."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from typing import Any

import typer

LINE_EVERY = 60.0  # seconds between lines where stderr is no terminal


@contextmanager
def progress_bar(quiet: bool, what: str) -> Iterator[Any]:
    """Progress on stderr; gives a callable (count, total, note="").

    A bar where that is a terminal; else, as in a log, a line a minute. The note comes after the
    numbers: what is counted, then what else there is to say.
    """
    if quiet or not sys.stderr.isatty():  # told before rich is loaded, which takes .1 s
        yield _silent if quiet else _by_lines(what)
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[note]}"),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None, note="")

        def show(count: int, total: int, note: str = "") -> None:
            bar.update(task, completed=count, total=total, note=note)

        yield show


def _silent(count: int, total: int, note: str = "") -> None:
    """Show nothing."""


def _by_lines(what: str) -> Callable[..., None]:
    """Shows progress as lines, the first after a minute."""
    last = monotonic()
    pace = _Pace()

    def show(count: int, total: int, note: str = "") -> None:
        nonlocal last
        remaining = pace.remaining(count, total)
        if monotonic() - last >= LINE_EVERY:
            last = monotonic()
            words = f"{what}: {count:,} of {total:,}{note and f' {note}'}"
            typer.echo(f"{words}{remaining and f', {remaining} left'}", err=True)

    return show


class _Pace:
    """How long work takes, by how fast it went since it began; other work begins anew."""

    def __init__(self) -> None:
        self._since, self._first, self._count, self._total = 0.0, 0, 0, -1

    def remaining(self, count: int, total: int) -> str:
        """Time that is left, as hours:minutes:seconds; "" if that cannot be told yet."""
        if total != self._total or count < self._count:
            self._since, self._first, self._total = monotonic(), count, total
        self._count = count
        if count == self._first:
            return ""
        seconds = (monotonic() - self._since) / (count - self._first) * (total - count)
        return _clock(seconds)


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def step_note(step: int, total: int, epochs: int, metrics: Mapping[str, Any]) -> str:
    """What a training says of a step beside its number: the epoch and the loss.

    Args:
        step: optimizer steps so far.
        total: of them.
        epochs: in all.
        metrics: of the last step.
    """
    return f"steps, epoch {-(-step * epochs // total)} of {epochs}, loss {metrics['loss']:.4f}"


def epoch_line(row: Mapping[str, Any], epochs: int) -> str:
    """What a training says of an epoch at its end: its loss, and how it was validated.

    Args:
        row: of the run's log.
        epochs: in all.
    """
    names = {
        "val_iou": "validation IoU",
        "val_iou_nearest": "recalled first",
        "val_iou_mean": "mean shapes",
    }
    scores = [f"{name} {row[key]:.3f}" for key, name in names.items() if row.get(key) is not None]
    parts = [
        f"epoch {row['epoch']} of {epochs}: loss {row['loss']:.4f}",
        *(scores or ["not validated"]),
        f"slots in use {row['memory_slots']:,}",
        f"in {_clock(row['seconds'])}",
    ]
    return ", ".join(parts)
