"""mem3d-cli blend."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from mem3d_cli.app import counted, printable
from mem3d_cli.mem3d.memorize import SplitFile, whole
from mem3d_cli.options import (
    AsJson,
    Checkpoint,
    Device,
    Known,
    Quiet,
    RunFolder,
    SplitName,
    Threads,
    Which,
    check_out,
    data_of,
    guarded,
    learned_by,
    open_data,
    print_json,
    progress_bar,
    set_threads,
)


def blend(
    run: RunFolder,
    data: Annotated[
        Path | None, typer.Option(help="Folder, pack or index; default: the run's data.")
    ] = None,
    split: SplitFile = None,
    subset: Annotated[SplitName, typer.Option(help="Models to choose by.")] = SplitName.val,
    views: Annotated[int, typer.Option(help="Most pictures of each model.", min=1)] = 8,
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
    """Blend what is recalled into the answers, by as much as validation models say.

    Writes a new run: the same weights and memory, and two settings, model.blend and model.shift.
    Give --out, or --dry-run to be told only. Library: mem3d.runs.blend_search.choose_blend.

    Example: mem3d-cli blend runs/first --out runs/blended
    """
    from mem3d.network.checkpoint import load
    from mem3d.runs.blend_search import choose_blend
    from mem3d.runs.copy import BLENDED, copy_run

    check_out(out, dry_run)
    set_threads(threads)
    root, listed = data_of(run, data)
    with whole(out or run):
        model, memory, state = load(run, which.value, device)
        models = open_data(root, subset.value, split or listed, quiet, views)
        models, guard = guarded(memory, models, learned_by(run), Known.drop, "choose by")
        with progress_bar(quiet, "pictures") as show:
            found = choose_blend(model, memory, models, views=views, device=device, progress=show)
        told: dict[str, Any] = {"subset": subset.value, "known": guard, **asdict(found)}
        if out is not None:
            settings = replace(state.preset.model, blend=found.share, shift=found.shift)
            made = replace(state, preset=replace(state.preset, model=settings))
            record = {"kind": BLENDED, "data": str(root.resolve()), "views": views, **told}
            copy_run(run, out, model, memory, made, lambda _: record)
    told["out"] = None if out is None else str(out)
    print_json(told) if as_json else typer.echo(_blended(told))


def _blended(told: dict[str, Any]) -> str:
    """What was chosen, a line each."""
    lines = [
        f"model.blend {told['share']:g}, model.shift {told['shift']:+g}: chosen on "
        f"{counted(told['pictures'], 'picture')}",
        f"IoU at .3 over categories: {told['before']:.3f} before, {told['shifted']:.3f} shifted "
        f"only, {told['after']:.3f} with both",
    ]
    if told["out"] is not None:
        lines.append(f"{printable(told['out'])}: written")
    return "\n".join(lines)
