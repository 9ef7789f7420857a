"""mem3d-cli rekey."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mem3d_cli.console import (
    AsJson,
    Checkpoint,
    Device,
    Quiet,
    RunFolder,
    Threads,
    Which,
    counted,
    print_json,
    print_skipped,
    printable,
    progress_bar,
    set_threads,
)
from mem3d_cli.memorise import SplitFile, whole
from mem3d_cli.run_in import check_out, data_of

if TYPE_CHECKING:
    from mem3d.data.shapes import Shapes
    from mem3d.run_copy import Record
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
    which: Checkpoint = Which.best,
    device: Device = "cpu",
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Tell how stale a memory's keys are, and compute them anew with the present encoder.

    A slot's shape is looked for in the data by family and grid; other slots keep their key. Give
    --out, or --dry-run to be told only. Library: mem3d.rekeying.

    Example: mem3d-cli rekey runs/first --data shapes --out runs/rekeyed
    """
    from mem3d.checkpoint import load
    from mem3d.fresh_keys import fresh_keys
    from mem3d.rekeying import agreement, compared
    from mem3d.rekeying import rekey as put_in
    from mem3d.run_copy import REKEYED, copy_run
    from mem3d.run_log import run_extras

    check_out(out, dry_run)
    set_threads(threads)
    root, listed = data_of(run, data)
    places = [(root, split or listed), *([] if data is not None else run_extras(run))]
    with whole(out or run):
        model, memory, state = load(run, which.value, device)
        models = _of_memory(memory, places, views, quiet)
        with progress_bar(quiet, "pictures") as show:
            fresh = fresh_keys(model, memory, models, views=views, device=device, progress=show)
        told: dict[str, Any] = compared(memory, fresh).to_dict()
        told["top1"] = {key: _number(n) for key, n in asdict(agreement(memory, fresh)).items()}
        record = {"kind": REKEYED, "data": str(root.resolve()), "views": views, **told}

        def change(copy: "Memory") -> "Record":
            put_in(copy, fresh)
            return record

        if out is not None:
            copy_run(run, out, model, memory, state, change)
    told["out"] = None if out is None else str(out)
    print_json(told) if as_json else typer.echo(_rekeyed(told))


def _of_memory(
    memory: "Memory", places: list[tuple[Path, Path | None]], views: int, quiet: bool
) -> "Shapes":
    """The models whose families the memory names, each read once, for a data set may be large."""
    from mem3d.data.deforming import family
    from mem3d.data.joined import Joined
    from mem3d.data.opening import open_shapes
    from mem3d.data.selection import Selection

    whole = Joined([open_shapes(root, None, split) for root, split in places])
    names = {family(name) for name in memory.sources}
    named = [i for i in range(len(whole)) if family(whole.source(i)) in names]
    with progress_bar(quiet, "checking") as show:
        models = Selection(whole, named, ()).check(views, show)
    print_skipped((skip.source, skip.reason) for skip in models.skipped)
    return models


def _rekeyed(told: dict[str, Any]) -> str:
    """What `rekey` found, a line each."""
    lines = [f"{counted(told['slots'], 'slot')} with a fresh key"]
    if told["slots"]:
        figures = ", ".join(f"{name} {told[name]:.3f}" for name in ("mean", "median", "p5"))
        lines.append(f"cosine of stored and fresh key: {figures}")
        top1 = {name: f"{share:.1%}" for name, share in told["top1"].items()}
        lines.append(f"nearest shape changes for {top1['changed']} of their first views")
        lines.append(f"it is their own for {top1['own_before']} before, {top1['own_after']} after")
    kept = told["kept"].items()
    lines += [f"{counted(count, 'slot')} with the old key: {why}" for why, count in kept]
    if told["out"] is not None:
        lines.append(f"{printable(told['out'])}: written")
    return "\n".join(lines)


def _number(share: float) -> float | None:
    """None for nan, which JSON lacks."""
    return share if share == share else None
