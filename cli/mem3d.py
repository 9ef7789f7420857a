"""mem3d-cli: make data, train, evaluate, reconstruct.

Each command is one library call plus printing. Libraries are imported inside the commands, so that
--help answers at once.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mem3d_cli.console import (
    AsJson,
    Checkpoint,
    Device,
    Quiet,
    RunFolder,
    Subset,
    Threads,
    Which,
    open_data,
    progress_bar,
    set_threads,
)
from mem3d_cli.data import data_app
from mem3d_cli.reconstruct import reconstruct
from mem3d_cli.tables import evaluation_table
from mem3d_cli.train import train

if TYPE_CHECKING:
    from mem3d.data.shapes import Shapes

app = typer.Typer(
    help="Mem3D: one photo in, a 32^3 shape out, with a memory of the shapes seen in training.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data")
app.command()(train)
app.command()(reconstruct)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("mem3d"))
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def evaluate(  # long: half of it are the options
    run: RunFolder,
    data: Annotated[Path | None, typer.Option(help="Default: the data of the run.")] = None,
    split: Annotated[
        Path | None, typer.Option(help="Split file; default: the run's, or DATA/split.json.")
    ] = None,
    subset: Annotated[Subset, typer.Option(help="train, val or test.")] = Subset.test,
    which: Checkpoint = Which.best,
    f_score: Annotated[bool, typer.Option("--f-score", help="Also F-score@1%.")] = False,
    picture: Annotated[Path | None, typer.Option(help="PNG of some reconstructions.")] = None,
    rows: Annotated[int, typer.Option(help="Models on the picture.", min=1)] = 12,
    device: Device = "cpu",
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Print IoU per category, for the network and its baselines.

    The best thresholds come from the validation set of the same data, the category means from its
    training set. Example: mem3d-cli evaluate runs/first --picture test.png
    """
    from rich.console import Console

    from mem3d.baselines import category_means
    from mem3d.checkpoint import load, run_data
    from mem3d.evaluation import score, summarise
    from mem3d.reconstruction import comparison
    from memstore.sheets import save_png

    set_threads(threads)
    root, known = (data, None) if data is not None else run_data(run)
    split = split or known
    model, memory, state = load(run, which.value, device)
    test, validation, learnt = (
        open_data(root, name, split, quiet, views=1) for name in (subset.value, "val", "train")
    )
    _say_known(memory.sources, test, quiet or subset is not Subset.test)
    means = category_means(learnt)
    chosen = None
    if len(validation):
        with progress_bar(quiet, "validation") as show:
            chosen = score(model, memory, validation, means=means, device=device, progress=show)
    with progress_bar(quiet, subset.value) as show:
        scores = score(
            model,
            memory,
            test,
            means=means,
            with_f_score=f_score,
            device=device,
            progress=show,
        )
    summary = {"subset": subset.value, "step": state.step, **summarise(scores, chosen)}
    if picture is not None:
        save_png(picture, comparison(model, memory, test, rows))
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        Console().print(evaluation_table(summary))


def _say_known(sources: list[str], data: "Shapes", quiet: bool) -> None:
    """Warn where the memory holds shapes of the models that it is tested on."""
    known = {data.source(i) for i in range(len(data))} & set(sources)
    if known and not quiet:
        typer.echo(
            f"{len(known)} of these models are in the memory ({min(known)}, ...): what follows "
            "is no test",
            err=True,
        )


def _foreseen() -> tuple[type[Exception], ...]:
    """Errors that the libraries raise on purpose; asked only once one was raised."""
    from memstore import MemstoreError

    return (ValueError, OSError, MemstoreError)


def main() -> None:
    """Console entry point: a foreseen error is one line on stderr and exit status 1."""
    try:
        app()
    except _foreseen() as error:
        typer.echo(f"mem3d-cli: {error}", err=True)
        raise SystemExit(1) from error
