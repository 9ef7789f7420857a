"""mem3d-cli evaluate."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mem3d.data.splits import SplitName
from mem3d_cli.app import MORE, printable
from mem3d_cli.options import (
    AsJson,
    Checkpoint,
    Device,
    Ensemble,
    Flip,
    KnownPolicy,
    KnownShapes,
    Quiet,
    Threads,
    TrainedFolder,
    Which,
    apply_policy,
    check_distinct,
    data_of,
    default_policy,
    learned_shapes,
    open_data,
    png,
    print_json,
    print_table,
    progress_bar,
    set_threads,
)
from mem3d_cli.paths import check_data, check_data_named, check_file
from mem3d_cli.tables import evaluation_tables, pix3d_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mem3d.data.dataset import ShapeDataset
    from mem3d.network.model import Mem3D
    from mem3d.network.predict import EnsembleMember


def evaluate(  # long: half of it are the options
    run: TrainedFolder = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Data set to measure on. Default: RUN's; published networks have none."),
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="Split file. Default: the run's, or DATA/split.json.")
    ] = None,
    subset: Annotated[SplitName, typer.Option(help="Shapes to measure on.")] = "test",
    known_shapes: KnownShapes = None,
    baselines: Annotated[
        Literal["quick", "all"],
        typer.Option(
            help="Simpler methods to compare with. quick: the nearest recalled shape, the means "
            "of those recalled and of the category. all: also the nearest training picture's "
            "shape, and oracles, the best shape there is to recall."
        ),
    ] = "quick",
    picture: Annotated[
        Path | None, typer.Option(help="Also draw reconstructions as this PNG.", callback=png)
    ] = None,
    f_score: Annotated[
        bool, typer.Option("--f-score", help="Also measure F-score@1%, which compares surfaces.")
    ] = False,
    device: Device = "cpu",
    flip: Flip = False,
    ensemble: Ensemble = None,
    background: Annotated[
        bool,
        typer.Option(
            "--background",
            help="Pix3D: leave the photos their background.",
            rich_help_panel=MORE,
        ),
    ] = False,
    rows: Annotated[
        int, typer.Option(help="Shapes on the picture.", min=1, rich_help_panel=MORE)
    ] = 12,
    which: Checkpoint = "best",
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure a trained network, beside simpler methods.

    Prints IoU for each category: the overlap of predicted and true voxels, at most 1. Best
    thresholds come from DATA's validation shapes, category means from its training shapes; Pix3D
    without a split file takes both from RUN's data, and is measured by both of its protocols.

    Example: mem3d-cli evaluate runs/first --picture test.png

    In Python: mem3d.evaluate.
    """
    from mem3d.bundled import bundled_model

    check_data_named(run, data)
    run, others = run or bundled_model(), ensemble or []
    policy = known_shapes or default_policy(subset)
    check_distinct(run, others)
    check_data(data)
    check_file(split)

    from mem3d.evaluation.baselines import category_means, costly_baselines
    from mem3d.evaluation.evaluate import doubts
    from mem3d.evaluation.evaluate import evaluate as score_shapes
    from mem3d.inference.pretrained import load_trained
    from mem3d.inference.reconstruct import comparison
    from mem3d.memory.projection_cache import projections_of
    from memstore import remarks
    from memstore.voxels.contact_sheet import save_png

    set_threads(threads)
    root, own_split = data_of(run, data)
    split = split or own_split
    model, memory, state = load_trained(run, which, device)
    test = open_data(root, subset, split, quiet, views=1)
    test, leaks = apply_policy(policy, memory, test, learned_shapes(run))
    members = _members(model, others, which, device)
    test, leaks_of_members = _unknown_to(members, policy, test)
    test, truth = _as_pix3d(test, background)
    learned, validation = _references(run, root, split, quiet, own=truth is not None)
    means = category_means(learned) if learned is not None else None
    costly = {}
    if baselines == "all":
        with progress_bar(quiet, "training pictures") as show:
            costly = costly_baselines(model, memory, learned, show)
    summary: dict[str, Any] = {
        "subset": subset,
        "step": state.step,
        "known": leaks,
        "flip": flip,
    }
    if members:
        summary["with"] = leaks_of_members
    if truth is not None:
        summary["photos"] = "with their background" if background else "masked"
    with progress_bar(quiet, subset) as show:
        summary |= score_shapes(
            model,
            memory,
            test,
            validation=validation,
            means=means,
            baselines=costly,
            flip=flip,
            projections=projections_of(model, memory),
            ensemble=list(members.values()),
            with_f_score=f_score,
            pix3d_truth=truth,
            device=device,
            progress=show,
        )
    summary["remarks"] = [*remarks(memory), *doubts(summary)]
    _print(summary, as_json)
    if picture is not None:  # last: the figures are not lost where it cannot be written
        save_png(picture, comparison(model, memory, test, rows, list(members.values())))
        if not as_json:
            typer.echo(f"picture: {printable(picture)}")


def _print(summary: dict[str, Any], as_json: bool) -> None:
    """The tables, or one JSON object."""
    if as_json:
        print_json(summary)
        return
    for table in evaluation_tables(summary):
        print_table(table)
    if "pix3d" in summary:
        print_table(pix3d_table(summary))
    for remark in summary["remarks"]:
        typer.echo(f"! {remark}")


def _members(
    model: "Mem3D", runs: list[Path], which: Which, device: str
) -> "dict[str, EnsembleMember]":
    """The other networks by their folders."""
    from mem3d.inference.pretrained import load_trained
    from mem3d.memory.projection_cache import projections_of
    from mem3d.network.predict import EnsembleMember, check_alike

    members = {}
    for run in runs:
        other, memory, _ = load_trained(run, which, device)
        members[str(run)] = EnsembleMember(other, memory, projections_of(other, memory))
        try:
            check_alike(model, [members[str(run)]])
        except ValueError as error:
            raise ValueError(f"--ensemble {run}: {error}") from error
    return members


def _unknown_to(
    members: "dict[str, EnsembleMember]", policy: KnownPolicy, test: "ShapeDataset"
) -> tuple["ShapeDataset", dict[str, Any]]:
    """What is left to test on after all members' known shapes, and what each knew, by folder."""
    leaks = {}
    for run, member in members.items():
        try:
            test, leaks[run] = apply_policy(policy, member.memory, test, learned_shapes(Path(run)))
        except ValueError as error:
            raise ValueError(f"--ensemble {run}: {error}") from error
    return test, leaks


def _as_pix3d(
    test: "ShapeDataset", background: bool
) -> tuple["ShapeDataset", "Callable[[int], NDArray[np.bool_]] | None"]:
    """The models, and for Pix3D the grids that its own protocol compares with."""
    from mem3d.data.dataset import Subset
    from mem3d.data.readers.pix3d import Pix3D

    rows: Sequence[int] = range(len(test))
    whole = test
    while isinstance(whole, Subset):  # of a subset, where several runs leave shapes out
        rows, whole = [whole.positions[i] for i in rows], whole.data
    if not isinstance(whole, Pix3D):
        if background:
            raise ValueError(f"--background: got it with {whole.root}, want it for Pix3D only")
        return test, None
    photos = whole.unmasked() if background else whole
    return Subset(photos, rows), lambda i: whole.pooled(rows[i])


def _references(
    run: Path, root: Path, split: Path | None, quiet: bool, *, own: bool
) -> tuple["ShapeDataset | None", "ShapeDataset | None"]:
    """Training and validation models; None where the run's own data are wanted and are gone."""
    from mem3d.runs.folder import run_data

    if split is not None or not own:
        learned, validation = (open_data(root, name, split, quiet, 1) for name in ("train", "val"))
        return learned, validation
    try:
        root, split = run_data(run)
        learned, validation = (open_data(root, name, split, quiet, 1) for name in ("train", "val"))
    except ValueError as error:
        typer.echo(f"no category means, no best threshold: {error}", err=True)
        return None, None
    return learned, validation
