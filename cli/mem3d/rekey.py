"""mem3d-cli rekey."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mem3d_cli.app import counted, printable
from mem3d_cli.mem3d.memorize import SplitFile, whole
from mem3d_cli.options import (
    AsJson,
    Checkpoint,
    Device,
    Quiet,
    RunFolder,
    Threads,
    check_out,
    data_of,
    print_json,
    print_skipped,
    progress_bar,
    set_threads,
)

if TYPE_CHECKING:
    from mem3d.data.dataset import ShapeDataset
    from mem3d.runs.folder import Record
    from memstore import Memory


def rekey(
    run: RunFolder,
    data: Annotated[
        Path | None, typer.Option(help="Where the shapes' pictures are; default: the run's data.")
    ] = None,
    split: SplitFile = None,
    views: Annotated[
        int, typer.Option(help="Most pictures of each shape; a key is their mean.", min=1)
    ] = 24,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the new run; RUN stays as it is.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only report; write nothing.")] = False,
    which: Checkpoint = "best",
    device: Device = "cpu",
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Tell how stale a memory's keys are, and compute them anew with the present encoder.

    A slot's shape is looked for in the data by family and grid; other slots keep their key. Give
    --out, or --dry-run to be told only. Library: mem3d.runs.rekey.

    Example: mem3d-cli rekey runs/first --data shapes --out runs/rekeyed
    """
    from mem3d.network.checkpoint import load
    from mem3d.runs.copy import REKEYED, copy_run
    from mem3d.runs.folder import run_extras
    from mem3d.runs.rekey import agreement
    from mem3d.runs.rekey import rekey as replace_keys
    from mem3d.runs.staleness import compare_keys, fresh_keys

    check_out(out, dry_run)
    set_threads(threads)
    root, own_split = data_of(run, data)
    places = [(root, split or own_split), *([] if data is not None else run_extras(run))]
    with whole(out or run):
        model, memory, state = load(run, which, device)
        models = _of_memory(memory, places, views, quiet)
        with progress_bar(quiet, "pictures") as show:
            fresh = fresh_keys(model, memory, models, views=views, device=device, progress=show)
        report: dict[str, Any] = compare_keys(memory, fresh).to_dict()
        report["top1"] = {key: _number(n) for key, n in asdict(agreement(memory, fresh)).items()}
        record = {"kind": REKEYED, "data": str(root.resolve()), "views": views, **report}

        def change(copy: "Memory") -> "Record":
            replace_keys(copy, fresh)
            return record

        if out is not None:
            copy_run(run, out, model, memory, state, change)
    report["out"] = None if out is None else str(out)
    print_json(report) if as_json else typer.echo(_rekeyed(report))


def _of_memory(
    memory: "Memory", places: list[tuple[Path, Path | None]], views: int, quiet: bool
) -> "ShapeDataset":
    """The models whose families the memory names, each read once, for a data set may be large."""
    from mem3d.data.dataset import ConcatDataset, Subset
    from mem3d.data.meshes.transforms import shape_family
    from mem3d.data.open import open_dataset

    whole = ConcatDataset([open_dataset(root, None, split) for root, split in places])
    names = {shape_family(name) for name in memory.sources}
    named = [i for i in range(len(whole)) if shape_family(whole.shape_id(i)) in names]
    with progress_bar(quiet, "checking") as show:
        models = Subset(whole, named, ()).check(views, show)
    print_skipped((skip.shape_id, skip.reason) for skip in models.skipped)
    return models


def _rekeyed(report: dict[str, Any]) -> str:
    """What `rekey` found, a line each."""
    lines = [f"{counted(report['slots'], 'slot')} with a fresh key"]
    if report["slots"]:
        figures = ", ".join(f"{name} {report[name]:.3f}" for name in ("mean", "median", "p5"))
        lines.append(f"cosine of stored and fresh key: {figures}")
        top1 = {name: f"{share:.1%}" for name, share in report["top1"].items()}
        lines.append(f"nearest shape changes for {top1['changed']} of their first views")
        lines.append(f"it is their own for {top1['own_before']} before, {top1['own_after']} after")
    for reason, count in report["kept"].items():
        lines.append(f"{counted(count, 'slot')} with the old key: {reason}")
    if report["out"] is not None:
        lines.append(f"{printable(report['out'])}: written")
    return "\n".join(lines)


def _number(share: float) -> float | None:
    """None for nan, which JSON lacks."""
    return share if share == share else None


def average(
    run: RunFolder,
    others: Annotated[
        list[Path], typer.Argument(help="More checkpoints: files, or runs, whose best is taken.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the new run; RUN stays as it is.")],
    which: Checkpoint = "best",
    as_json: AsJson = False,
) -> None:
    """Average the weights of checkpoints of one training, or of runs with one beginning.

    The new run has RUN's settings and a copy of its memory; whether it is better, "evaluate
    --subset val" tells. Library: mem3d.runs.average.

    Example: mem3d-cli average runs/first runs/first/last.safetensors --out runs/mean
    """
    from mem3d.runs.averaging import average as write
    from memstore.files import check_free

    check_free(out)
    with whole(out):
        record = write(run, others, out, which)
    if not record["same_data"]:
        typer.echo(
            "note: not all of them learned from the same models; evaluate knows only those of "
            f"{printable(run)}",
            err=True,
        )
    report = {"out": str(out), "checkpoints": len(others) + 1, "same_data": record["same_data"]}
    print_json(report) if as_json else typer.echo(f"{printable(out)}: mean of {len(others) + 1}")
