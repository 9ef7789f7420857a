"""How far long work is, on stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import typer

LINE_EVERY = 60.0  # seconds between lines where stderr is no terminal


@contextmanager
def progress_bar(quiet: bool, what: str) -> Iterator[Any]:
    """Progress on stderr; gives a callable (count, total, note="").

    A bar where that is a terminal; else, as in a log, a line a minute.
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
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[note]}"),
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

    def show(count: int, total: int, note: str = "") -> None:
        nonlocal last
        if monotonic() - last >= LINE_EVERY:
            last = monotonic()
            typer.echo(f"{what}: {count:,} of {total:,}{note and f', {note}'}", err=True)

    return show


class Epochs:
    """What a training says of itself beside its progress."""

    def __init__(self, epochs: int) -> None:
        self._epochs, self._validation = epochs, ""

    def add(self, row: dict[str, Any]) -> None:
        """Remember what an epoch's log row says of validation."""
        if "val_iou" in row:
            self._validation = f"  val IoU {row['val_iou']:.3f}"

    def note(self, step: int, total: int, figures: dict[str, Any]) -> str:
        """The epoch, the step's figures, and the last validation.

        Args:
            step: optimizer steps so far.
            total: of them.
            figures: of the last one.
        """
        epoch = -(-step * self._epochs // total)
        text = f"epoch {epoch}/{self._epochs}  bce {figures['bce']:.4f}"
        return f"{text}  hits {figures['hit_rate']:.2f}{self._validation}"
