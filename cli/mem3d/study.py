"""mem3d-cli study."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mem3d_cli.app import MORE, counted, printable
from mem3d_cli.options import (
    AsJson,
    Device,
    Quiet,
    Settings,
    Stem,
    Threads,
    open_backgrounds,
    open_data,
    open_learning,
    preset_name,
    preset_with,
    print_json,
    print_table,
    progress_bar,
    resumable,
    set_threads,
    warn_of_random_stem,
    warn_of_short_floats,
    with_backgrounds,
)
from mem3d_cli.paths import check_data, check_file, check_inputs, check_study

if TYPE_CHECKING:
    from mem3d.data.dataset import ShapeDataset
    from mem3d.study.study import Study, StudyRun, Unseen


def study(  # long: half of it are the options
    folder: Annotated[
        Path, typer.Argument(help="Folder of the study: new, or that of one to go on with.")
    ],
    data: Annotated[
        Path, typer.Option(help="Data set to learn from: a folder, a pack or an index.")
    ],
    split: Annotated[
        Path | None, typer.Option(help="Split file. Default: DATA/split.json.")
    ] = None,
    preset: Annotated[
        str,
        typer.Option(
            help="What is changed: small, best, paper, demo or tiny (see train).",
            callback=preset_name,
        ),
    ] = "small",
    epochs: Annotated[
        int | None, typer.Option(help="Passes through the data. Default: the preset's.", min=1)
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(help="Changes to try, with commas; --dry-run lists them. Default: all."),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Runs of each change, for a spread.", min=1)] = 3,
    test: Annotated[
        bool,
        typer.Option("--test", help="Also measure on test shapes; nothing is chosen by them."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the runs and how far they are; do none.")
    ] = False,
    device: Device = "cpu",
    extra: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="<path>",
            help="Another data set to learn from (see train). May be repeated.",
            rich_help_panel=MORE,
        ),
    ] = None,
    stem: Stem = "bundled",
    batch: Annotated[
        int | None,
        typer.Option(
            help="Pictures in a step. Default: the preset's.", min=2, rich_help_panel=MORE
        ),
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="<name=value>",
            help="A setting of all runs (see train). May be repeated.",
            rich_help_panel=MORE,
        ),
    ] = None,
    settings: Settings = False,
    backgrounds: Annotated[
        Path | None,
        typer.Option(
            help="Folder of photos to put behind half of the training pictures.",
            rich_help_panel=MORE,
        ),
    ] = None,
    seeds_from: Annotated[
        int, typer.Option(help="The first seed.", min=0, rich_help_panel=MORE)
    ] = 0,
    hide: Annotated[
        str,
        typer.Option(
            help="Shares of each object to hide when measuring; 0 is always among them.",
            rich_help_panel=MORE,
        ),
    ] = "0,0.4",
    unseen: Annotated[
        Path | None,
        typer.Option(
            help="Data set that no run learns from: its test shapes are measured before and after "
            "its training shapes are added to the memory.",
            rich_help_panel=MORE,
        ),
    ] = None,
    unseen_split: Annotated[
        Path | None,
        typer.Option(
            help="Split file of that data. Default: UNSEEN/split.json.", rich_help_panel=MORE
        ),
    ] = None,
    views: Annotated[
        int,
        typer.Option(
            help="Pictures of each shape to measure with; papers take one.",
            min=1,
            rich_help_panel=MORE,
        ),
    ] = 1,
    keep: Annotated[
        Literal["none", "best", "all"],
        typer.Option(
            help="Keep of a finished run nothing, its best checkpoint and memory, or all.",
            rich_help_panel=MORE,
        ),
    ] = "best",
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train one network many times, each with one change, and compare.

    Writes table.md, table.json and plot.png to FOLDER; the same command goes on where it was
    interrupted. It takes long: look at --dry-run first.

    Example: mem3d-cli study studies/first --data shapes --epochs 30

    In Python: mem3d.study.study.study_runs, mem3d.study.worker.run_study.
    """
    names, shares = _names(only), _shares(hide)
    is_random = stem == "none"
    options = {"epochs": epochs, "batch": batch}
    changes = [f"train.{name}={value}" for name, value in options.items() if value is not None]
    base = preset_with(preset, is_random, [*changes, *(change or [])])
    if unseen is None and unseen_split is not None:
        raise ValueError("--unseen-split: got it without --unseen, want it only with that")
    check_study(folder)
    check_inputs(data, extra, split, backgrounds, stem)
    check_data(unseen)
    check_file(unseen_split)

    from mem3d.network.checkpoint import check_device  # takes seconds
    from mem3d.study.report import write_table
    from mem3d.study.study import Study, study_runs
    from mem3d.study.worker import run_study
    from mem3d.system import keep_freed_memory
    from mem3d_cli.tables import study_table

    set_threads(threads)
    check_device(device)  # before the data are read
    keep_freed_memory()
    with resumable(folder):
        photos = None if backgrounds is None else open_backgrounds(backgrounds, quiet)
        base = with_backgrounds(base, photos)
        learning = open_learning(data, extra or [], split, quiet)
        warn_of_random_stem(preset, is_random)
        warn_of_short_floats(base, device)
        plan = Study(
            folder=folder,
            base=base,
            learning=learning,
            validation=open_data(data, "val", split, quiet, views),
            test=_test(data, split, learning, quiet, views) if test else None,
            shares=shares,
            stem=stem,
            device=device,
            keep=keep,
            backgrounds=photos,
            unseen=_unseen(unseen, unseen_split, learning, quiet, views),
            views=views,
        )
        todo = study_runs(plan, names, range(seeds_from, seeds_from + seeds))
        if dry_run:
            _print_plan(plan, todo, names, as_json)
            return
        with progress_bar(quiet, "runs") as show:
            passed_over = run_study(
                plan,
                todo,
                on_step=lambda count, note: show(count, len(todo), f"({note})"),
                on_result=lambda: write_table(plan, names=names),
            )
        table = write_table(plan, passed_over, names)
    for name, why in passed_over.items():
        typer.echo(f"{name}: passed over: {printable(why)}", err=True)
    if as_json:
        print_json(table)
        return
    for subset in table["samples"]:
        print_table(study_table(table, subset))
    typer.echo(f"{printable(folder)}: table.md, table.json, plot.png")


def _names(only: str | None) -> tuple[str, ...]:
    from mem3d.study.variants import WHAT, check_names

    if only is None:
        return tuple(WHAT)
    names = tuple(name.strip() for name in only.split(",") if name.strip())
    check_names(names)
    return names


def _shares(hide: str) -> tuple[float, ...]:
    """Shares as numbers, 0 among them, ascending."""
    try:
        return tuple(sorted({0.0, *(float(share) for share in hide.split(",") if share.strip())}))
    except ValueError as error:
        raise ValueError(f"hide: got {hide!r}, want numbers, as 0,0.4") from error


def _test(
    data: Path, split: Path | None, learning: "ShapeDataset", quiet: bool, views: int
) -> "ShapeDataset":
    """The test models that are not learned from under any name."""
    from mem3d.evaluation.leakage import unlearned

    whole = open_data(data, "test", split, quiet, views)
    test = unlearned(whole, learning)
    if left_out := len(whole) - len(test):
        count = f"{left_out} of {counted(len(whole), 'test model')}"
        typer.echo(f"left out: {count}, as they are learned from", err=True)
    return test


def _unseen(
    root: Path | None, split: Path | None, learning: "ShapeDataset", quiet: bool, views: int
) -> "Unseen | None":
    """What is memorized, and the test models that are neither among it nor learned from."""
    from mem3d.data.dataset import ConcatDataset
    from mem3d.study.study import MEMORIZED_VIEWS, Unseen

    if root is None:
        return None
    new = open_data(root, "train", split, quiet, views=MEMORIZED_VIEWS)
    test = _test(root, split, ConcatDataset([learning, new]), quiet, views)
    return Unseen(to_memorize=new, to_score=test)


def _print_plan(
    study: "Study", todo: "list[StudyRun]", names: tuple[str, ...], as_json: bool
) -> None:
    """How far each run is, and which variants need none of their own."""
    from mem3d.study.study import run_status
    from mem3d.study.variants import equivalent_variants

    states = {part.name: run_status(study, part) for part in todo}
    same = {
        name: first
        for name, first in equivalent_variants(study.base, len(study.learning)).items()
        if name in names and name != first
    }
    if as_json:
        print_json({"runs": states, "same_as": same})
        return
    width = max(map(len, states), default=0)
    for name, state in states.items():
        typer.echo(f"{name:<{width}}  {state}")
    for name, first in same.items():
        typer.echo(f"{name} is {first} in this preset: not run again")
    typer.echo(f"{sum(s == 'done' for s in states.values())} of {len(states)} runs done")
