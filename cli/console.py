"""What the commands of both programs share: options, progress, notices."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mem3d_cli.progress import progress_bar as progress_bar  # for the commands too

if TYPE_CHECKING:
    from rich.table import Table

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


def placed(path: Path | None) -> Path | None:
    """The path, unless its folder is missing: to be told before the work, not after it."""
    if path is not None and not path.parent.is_dir():
        raise ValueError(f"{path}: cannot be written: there is no folder {path.parent}")
    return path


def check_distinct(run: Path, others: list[Path]) -> None:
    """Raise ValueError where a run is to answer twice."""
    seen: set[Path] = set()
    for one in (run, *others):
        if one.resolve() in seen:
            raise ValueError(f"--with: got {one} twice, want each run once")
        seen.add(one.resolve())


def png(path: Path | None) -> Path | None:
    """The path, unless its ending promises another kind of picture, or its folder is missing."""
    if path is not None and path.suffix.lower() not in ("", ".png"):
        raise typer.BadParameter(f"got {printable(path)}, want a name that ends in .png")
    return placed(path)


DataFolder = Annotated[Path, typer.Argument(help="The data set.")]
RunFolder = Annotated[Path, typer.Argument(help="Folder of the run.")]
Checkpoint = Annotated[Which, typer.Option(help="Best epoch on validation, or the last.")]
SheetOut = Annotated[Path, typer.Option(help="PNG to write.", callback=png)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Others = Annotated[
    list[Path] | None,
    typer.Option(
        "--with",
        metavar="<path>",
        help="Another run that answers too, from its own memory; the mean of logits counts. May "
        "be given several times; each takes as long as alone. Those that take other pictures get "
        "the first's, scaled: let the one with the largest be RUN.",
    ),
]
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


def counted(count: int, noun: str) -> str:
    """A number and what it counts: "1 file", "2,000 files"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def in_words(error: BaseException) -> str:
    """One line for an error; the system's own begin with the file, not with their number."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return printable(f"{error.filename}: {error.strerror}")
    return printable(error) or type(error).__name__


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
        typer.echo(f"{printable(path)}: {counted(slots, 'slot')}")


def print_picture(path: Path, models: int, as_json: bool) -> None:
    """Tell which picture was drawn, and of how many models."""
    if as_json:
        print_json({"path": str(path), "models": models})
    else:
        typer.echo(printable(path))


def set_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


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
