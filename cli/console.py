"""What the commands of both programs share: options, progress, notices."""

import inspect
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from rich.table import Table

    from mem3d.config import Preset
    from mem3d.data.backgrounds import Backgrounds
    from mem3d.data.shapes import Shapes


class Which(StrEnum):
    """The best epoch on validation, or the last."""

    best = "best"
    last = "last"


class Subset(StrEnum):
    """Lists of a split file."""

    train = "train"
    val = "val"
    test = "test"


def png(path: Path | None) -> Path | None:
    """The path, unless its ending promises another kind of picture."""
    if path is not None and path.suffix.lower() not in ("", ".png"):
        raise typer.BadParameter(f"got {printable(path)}, want a name that ends in .png")
    return path


MemoryFolder = Annotated[Path, typer.Argument(help="Folder of a memory.")]
At = Annotated[str | None, typer.Option(help="Snapshot id or tag; by default the last commit.")]
DataFolder = Annotated[Path, typer.Argument(help="The data set.")]
RunFolder = Annotated[Path, typer.Argument(help="Folder of the run.")]
Checkpoint = Annotated[Which, typer.Option(help="Best epoch on validation, or the last.")]
SheetOut = Annotated[Path, typer.Option(help="PNG to write.", callback=png)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
VariantsOfPhoto = Annotated[
    int,
    typer.Option(
        "--tta",
        "--variants-of-photo",
        min=0,
        help="Average over so many variants of each photo besides: its mirror image first, then "
        "small moves. Each takes as long as the photo.",
    ),
]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Threads = Annotated[
    int | None, typer.Option(help="CPU threads to compute with; default: all.", min=1)
]


class Commands(TyperGroup):
    """All commands of a program; Ctrl-C ends each with a line and exit status 130."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command. Typer itself would swallow the interrupt without a word."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo(f"{self.name}: stopped", err=True)
            raise typer.Exit(130) from None


Command = Callable[..., None]  # a function whose parameters say what a command takes


def add_command(
    app: typer.Typer,
    command: Command,
    name: str | None = None,
    panel: str | None = None,
) -> None:
    """Add a command; its docstring is its help, each paragraph on as wide lines as there are."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    told = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    app.command(name, help=told, rich_help_panel=panel)(command)


@contextmanager
def progress_bar(quiet: bool, what: str) -> Iterator[Any]:
    """Progress bar on stderr, where that is a terminal; gives a callable (done, total, note="")."""
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[note]}"),
    )
    console = Console(stderr=True)
    hidden = quiet or not console.is_terminal
    with progress.Progress(*columns, console=console, disable=hidden, transient=True) as bar:
        task = bar.add_task(what, total=None, note="")

        def show(done: int, total: int, note: str = "") -> None:
            bar.update(task, completed=done, total=total, note=note)

        yield show


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Ctrl-C within is one line on stderr and exit status 130."""
    try:
        yield
    except KeyboardInterrupt:
        told = f"{printable(folder)}: interrupted; the same command goes on from there"
        typer.echo(told, err=True)
        raise typer.Exit(130) from None


def printable(text: object) -> str:
    """As text on one line, in which what steers a terminal is shown as Python would write it."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))


def print_table(table: "Table") -> None:
    """Print a table, as wide as the terminal; into a file or pipe, as wide as it is."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 1000
    console.print(table)


def print_json(found: Any) -> None:
    """Print one JSON object."""
    typer.echo(json.dumps(found))


def print_made(path: Path, slots: int, as_json: bool) -> None:
    """Tell what was made, and of how many slots."""
    if as_json:
        print_json({"path": str(path), "slots": slots})
    else:
        typer.echo(f"{printable(path)}: {slots:,} slots")


def set_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def named_preset(name: str, is_random: bool, wishes: dict[str, Any]) -> "Preset":
    """The preset of that name, with the wishes for its training that are not None.

    Args:
        name: of a preset.
        is_random: whether the stem begins with random weights, which have to learn.
        wishes: fields of `TrainConfig`.
    """
    from mem3d.presets import PRESETS

    if name not in PRESETS:
        raise ValueError(f"preset: got {name!r}, want one of {', '.join(PRESETS)}")
    preset = PRESETS[name]
    given = {field: value for field, value in wishes.items() if value is not None}
    train = replace(preset.train, **given)
    if is_random:
        train = replace(train, freeze_stem=False, variants=0, pose_epochs=0)
    return replace(preset, train=train)


def warn_of_random_stem(preset: str, is_random: bool) -> None:
    """Say on stderr that a stem learns that the preset would keep as it was loaded."""
    from mem3d.presets import PRESETS

    if is_random and PRESETS[preset].train.freeze_stem:
        typer.echo(
            "stem: random weights, so it is trained too: slower and worse (--stem)", err=True
        )


def warn_of_short_floats(preset: "Preset", device: str) -> None:
    """Say on stderr that a run that asks for bfloat16 computes in float32 here."""
    from mem3d.machine import computes_bfloat16

    if preset.train.precision == "bfloat16" and not computes_bfloat16(device):
        typer.echo("precision: this CPU has no bfloat16, so float32 is computed instead", err=True)


def open_data(
    root: Path,
    subset: "Literal['train', 'val', 'test'] | None",
    split: Path | None,
    quiet: bool,
    views: int | None = None,
) -> "Shapes":
    """Open a data set, read it once, and name on stderr what is missing or broken."""
    from mem3d.data.opening import open_shapes

    with progress_bar(quiet, f"checking {subset or root}") as show:
        data = open_shapes(root, subset, split).check(views, show)
    if data.skipped:
        typer.echo(f"{printable(root)}: missing or broken: {len(data.skipped)}", err=True)
        print_skipped((skip.source, skip.reason) for skip in data.skipped)
    return data


def open_learning(root: Path, extra: list[Path], split: Path | None, quiet: bool) -> "Shapes":
    """The training models of a data set, and of others besides."""
    from mem3d.data.joined import Joined
    from mem3d.data.opening import learning_subset

    learning = open_data(root, "train", split, quiet)
    if not extra:
        return learning
    others = [open_data(path, learning_subset(path), None, quiet) for path in extra]
    return Joined([learning, *others])


def print_skipped(skipped: Iterable[tuple[str, str]]) -> None:
    """Name on stderr what was left out, and why: the first ten, and how many more."""
    listed = list(skipped)
    for name, reason in listed[:10]:
        typer.echo(f"  skipped {printable(name)}: {printable(reason)}", err=True)
    if len(listed) > 10:
        typer.echo(f"  ... and {len(listed) - 10:,} more", err=True)


def open_backgrounds(folder: Path, quiet: bool) -> "Backgrounds":
    """Open a folder of photos, and name on stderr those that cannot be read."""
    from mem3d.data.backgrounds import Backgrounds

    with progress_bar(quiet, "background photos") as show:
        found = Backgrounds.open(folder, show)
    print_skipped(found.skipped)
    return found


def before(preset: "Preset", photos: "Backgrounds | None") -> "Preset":
    """A preset whose training pictures lie before photos; None: on plain ground."""
    named = "" if photos is None else photos.fingerprint
    augmentation = replace(preset.train.augmentation, backgrounds=named)
    return replace(preset, train=replace(preset.train, augmentation=augmentation))
