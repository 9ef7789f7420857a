"""mem3d-cli robustness."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mem3d.data.splits import SplitName
from mem3d_cli.app import MORE, printable
from mem3d_cli.options import (
    AsJson,
    Checkpoint,
    Device,
    KnownPolicy,
    KnownShapes,
    Quiet,
    Threads,
    Which,
    apply_policy,
    data_of,
    default_policy,
    learned_shapes,
    open_backgrounds,
    open_data,
    print_json,
    print_table,
    progress_bar,
    set_threads,
)
from mem3d_cli.paths import (
    check_data,
    check_data_named,
    check_file,
    check_folder,
    trained_folders,
)
from mem3d_cli.tables import robustness_tables

if TYPE_CHECKING:
    from mem3d.data.dataset import ShapeDataset
    from mem3d.evaluation.robustness import Curve, TestSets

Labeled = dict[str, list[Path]]  # label -> its runs


def robustness(  # long: half of it are the options
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Folders of runs or published networks. LABEL=RUN,RUN,... averages runs of "
            "several seeds. Default: the bundled model."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Data set to measure on. Default: that of the first run.")
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="Split file. Default: the run's, or DATA/split.json.")
    ] = None,
    subset: Annotated[SplitName, typer.Option(help="Shapes to measure on.")] = "test",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")] = Path(
        "robustness"
    ),
    shares: Annotated[
        str, typer.Option(help="Shares of the object's pixels to hide, ascending.")
    ] = "0,0.1,0.2,0.3,0.4,0.5,0.6",
    backgrounds: Annotated[
        Path | None,
        typer.Option(help="Folder of photos: measure also with pieces of them as background."),
    ] = None,
    known_shapes: KnownShapes = None,
    device: Device = "cpu",
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<str>",
            help="Name of each run in turn, on the picture. Default: that of its folder.",
            rich_help_panel=MORE,
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            help="Random seed of what hides the object, and of backgrounds.",
            min=0,
            rich_help_panel=MORE,
        ),
    ] = 0,
    which: Checkpoint = "best",
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure how IoU falls as more of the object is hidden.

    IoU is the overlap of predicted and true voxels. Writes robustness.json, and curves.png with a
    curve for each run; all runs are shown the same pictures.

    Example: mem3d-cli robustness runs/first runs/second --out curves

    In Python: mem3d.evaluation.robustness.measure.
    """
    from mem3d.bundled import bundled_model

    names = runs or [str(bundled_model())]
    hidden_shares, labels = _shares(shares), _labeled(names, label or [])
    folders = [run for group in labels.values() for run in group]
    trained_folders(folders)
    check_data_named(folders[0] if runs else None, data)
    check_data(data)
    check_file(split)
    check_folder(backgrounds)
    check_folder(out if out.exists() else None)

    from mem3d.evaluation.robustness import PLAIN, draw, hiding, occluded_sets, report
    from memstore.files import write_atomic

    set_threads(threads)
    root, own_split = data_of(folders[0], data)
    photos = None if backgrounds is None else open_backgrounds(backgrounds, quiet)
    test = open_data(root, subset, split or own_split, quiet, views=1)
    test, leaks = _unknown(test, folders, which, known_shapes or default_policy(subset))
    views = occluded_sets(test, hidden_shares, photos, seed)
    coverage = hiding(test, views[PLAIN], hidden_shares)
    curves = _curves(labels, views, which, device, quiet)
    about: dict[str, Any] = {"subset": subset, "seed": seed, "known": leaks}
    result = {**about, **report(test, coverage, curves)}
    if as_json:
        print_json(result)
    else:
        for table in robustness_tables(result):
            print_table(table)
    # Last: the figures are not lost where these cannot be written.
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / "robustness.json", json.dumps(result, indent=2).encode())
    draw(curves, hidden_shares, out / "curves.png")
    if not as_json:
        typer.echo(f"{printable(out / 'curves.png')}  {printable(out / 'robustness.json')}")


def _unknown(
    test: "ShapeDataset", folders: list[Path], which: Which, policy: KnownPolicy
) -> tuple["ShapeDataset", dict[str, Any]]:
    """The models that none of the runs knows, to show them all, and what each knew of the set."""
    from mem3d.data.dataset import Subset
    from mem3d.inference.pretrained import load_trained

    leaks, unknown = {}, {test.shape_id(i) for i in range(len(test))}
    for run in folders:
        with load_trained(run, which)[1] as memory:
            rest, leaks[str(run)] = apply_policy(policy, memory, test, learned_shapes(run))
        unknown &= {rest.shape_id(i) for i in range(len(rest))}
    if not unknown:
        raise ValueError(f"{test.root}: got no model that is known to none of the runs, want some")
    return Subset(test, [i for i in range(len(test)) if test.shape_id(i) in unknown]), leaks


def _curves(
    labels: Labeled, views: "TestSets", which: Which, device: str, quiet: bool
) -> "list[Curve]":
    """What each run makes of the pictures; one network at a time is in RAM."""
    from mem3d.evaluation.robustness import as_curves, measure
    from mem3d.inference.pretrained import load_trained

    curves = []
    for name, group in labels.items():
        measurements = []
        for run in group:
            model, memory, _ = load_trained(run, which, device)
            with memory, progress_bar(quiet, printable(run.name)) as show:
                measurements.append(measure(model, memory, views, device=device, progress=show))
        curves += as_curves(name, measurements)
    return curves


def _shares(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"shares: got {text!r}, want numbers such as 0,0.3,0.6") from None


def _labeled(runs: list[str], labels: list[str]) -> Labeled:
    """Each label's runs, in the order given."""
    if labels and len(labels) != len(runs):
        raise ValueError(f"label: got {len(labels)}, want one per run ({len(runs)})")
    named: Labeled = {}
    for number, text in enumerate(runs):
        name, equals, several = text.partition("=")
        if not equals or Path(text).exists():
            name, several = Path(text).resolve().name, text
        name = labels[number] if labels else name
        if name in named:
            raise ValueError(
                f"label: got {name!r} twice, want one each: LABEL=RUN, or --label for every run"
            )
        folders = [text] if several == text else [part for part in several.split(",") if part]
        if not folders:
            raise ValueError(f"runs: got {text!r}, want LABEL=RUN,RUN,...")
        named[name] = [Path(folder) for folder in folders]
    return named
