"""mem3d-cli evaluate."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    png,
    print_json,
    printable,
    progress_bar,
    set_threads,
)
from mem3d_cli.tables import evaluation_table, pix3d_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mem3d.data.shapes import Shapes
    from memstore import Memory


class Known(StrEnum):
    """What to do with models whose shapes the memory or the training knows."""

    refuse = "refuse"
    drop = "drop"
    keep = "keep"


def evaluate(  # long: half of it are the options
    run: RunFolder,
    data: Annotated[Path | None, typer.Option(help="Default: the data of the run.")] = None,
    split: Annotated[
        Path | None, typer.Option(help="Split file; default: the run's, or DATA/split.json.")
    ] = None,
    subset: Annotated[Subset, typer.Option(help="train, val or test.")] = Subset.test,
    known: Annotated[
        Known | None,
        typer.Option(
            help="Models whose shapes are in the memory or were trained on: refuse to go on, drop "
            "them, or keep them and say so. Default: refuse for test, keep for train and val."
        ),
    ] = None,
    background: Annotated[
        bool, typer.Option("--background", help="Pix3D: leave the photos their background.")
    ] = False,
    which: Checkpoint = Which.best,
    f_score: Annotated[bool, typer.Option("--f-score", help="Also F-score@1%.")] = False,
    picture: Annotated[
        Path | None, typer.Option(help="PNG of some reconstructions.", callback=png)
    ] = None,
    rows: Annotated[int, typer.Option(help="Models on the picture.", min=1)] = 12,
    device: Device = "cpu",
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Print IoU per category, for the network and its baselines; for Pix3D by both protocols.

    The best thresholds come from the validation set of the same data, the category means from its
    training set; for Pix3D without a split file, from the data of the run.
    Example: mem3d-cli evaluate runs/first --picture test.png
    """
    from rich.console import Console

    from mem3d.baselines import category_means
    from mem3d.checkpoint import load
    from mem3d.evaluation import score, summarise
    from mem3d.reconstruction import comparison
    from mem3d.run_copy import memorised_sources
    from mem3d.run_log import run_data
    from memstore.sheets import save_png

    set_threads(threads)
    root, listed = (data, None) if data is not None else run_data(run)
    split = split or listed
    model, memory, state = load(run, which.value, device)
    test = open_data(root, subset.value, split, quiet, views=1)
    learnt_names, memorised = _learnt(run), memorised_sources(run)
    test, guard = _guarded(memory, test, learnt_names, memorised, known or _usual(subset))
    test, truth = _as_pix3d(test, background)
    learnt, validation = _references(run, root, split, quiet, own=truth is not None)
    means = category_means(learnt) if learnt is not None else None
    chosen = None
    if validation is not None and len(validation):
        with progress_bar(quiet, "validation") as show:
            chosen = score(model, memory, validation, means=means, device=device, progress=show)
    with progress_bar(quiet, subset.value) as show:
        scores = score(
            model,
            memory,
            test,
            means=means,
            with_f_score=f_score,
            pix3d_truth=truth,
            device=device,
            progress=show,
        )
    told: dict[str, Any] = {"subset": subset.value, "step": state.step, "known": guard}
    if truth is not None:
        told["photos"] = "with their background" if background else "masked"
    summary = {**told, **summarise(scores, chosen)}
    if picture is not None:
        save_png(picture, comparison(model, memory, test, rows))
    if as_json:
        print_json(summary)
        return
    Console().print(evaluation_table(summary))
    if "pix3d" in summary:
        Console().print(pix3d_table(summary))


def _usual(subset: Subset) -> Known:
    """A memory is there to know its training shapes; only of a test must they be no part."""
    return Known.refuse if subset is Subset.test else Known.keep


def _learnt(run: Path) -> set[str] | None:
    """Names of the shapes that a run was trained on; None, with a warning, where they are gone."""
    from mem3d.data.opening import open_shapes
    from mem3d.run_log import run_data

    root = run / "run.json"
    try:
        root, split = run_data(run)
        data = open_shapes(root, "train", split)
    except ValueError as error:
        typer.echo(
            f"the run's data are not at {printable(root)} ({printable(error)}): shapes that it "
            "learnt from and that its memory has forgotten cannot be told",
            err=True,
        )
        return None
    return {data.source(i) for i in range(len(data))}


def _guarded(
    memory: "Memory",
    test: "Shapes",
    learnt: set[str] | None,
    memorised: set[str],
    known: Known,
) -> tuple["Shapes", dict[str, Any]]:
    """The models to test on, and how many of them were known."""
    from mem3d.data.selection import Selection
    from mem3d.leakage import known_shapes, told

    found = known_shapes(memory, test, memorised | (learnt or set()))
    if found and known is Known.refuse:
        raise ValueError(
            f"{test.root}: {told(found, len(test))}; this would be no test. Data sets do repeat "
            "shapes across their own splits: --known drop leaves these models out, --known keep "
            "tests on them and says so"
        )
    counts = {by: sum(one.by == by for one in found) for by in ("name", "grid", "training")}
    guard = {"models": known.value, **counts, "learnt_known": learnt is not None}
    if not found or known is Known.keep:
        return test, guard
    if len(found) == len(test):
        raise ValueError(f"{test.root}: {told(found, len(test))}; none is left to test on")
    left_out = {one.model for one in found}
    return Selection(test, [i for i in range(len(test)) if i not in left_out]), guard


def _as_pix3d(
    test: "Shapes", background: bool
) -> tuple["Shapes", "Callable[[int], NDArray[np.bool_]] | None"]:
    """The models, and for Pix3D the grids that its own protocol compares with."""
    from mem3d.data.pix3d import Pix3D
    from mem3d.data.selection import Selection

    chosen = test.positions if isinstance(test, Selection) else range(len(test))
    whole = test.data if isinstance(test, Selection) else test
    if not isinstance(whole, Pix3D):
        return test, None
    return Selection(whole.unmasked() if background else whole, chosen), lambda i: whole.pooled(
        chosen[i]
    )


def _references(
    run: Path, root: Path, split: Path | None, quiet: bool, *, own: bool
) -> tuple["Shapes | None", "Shapes | None"]:
    """Training and validation models; None where the run's own data are wanted and are gone."""
    from mem3d.run_log import run_data

    if split is not None or not own:
        learnt, validation = (open_data(root, name, split, quiet, 1) for name in ("train", "val"))
        return learnt, validation
    try:
        root, split = run_data(run)
        learnt, validation = (open_data(root, name, split, quiet, 1) for name in ("train", "val"))
    except ValueError as error:
        typer.echo(f"no category means, no best threshold: {error}", err=True)
        return None, None
    return learnt, validation
