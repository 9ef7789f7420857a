"""`memstore history`, `tag`, `verify`, `expire` and `copy`: keeping a memory."""

from pathlib import Path
from typing import Annotated

import typer

from mem3d_cli.app import counted, printable
from mem3d_cli.memstore.inspect import At, MemoryFolder
from mem3d_cli.options import AsJson, Quiet, Search, print_json, print_made, progress_bar


def history(path: MemoryFolder, at: At = None, as_json: AsJson = False) -> None:
    """List the snapshots that can be opened, newest first, and their tags.

    Reads none of them; of a damaged memory, all that can be found. Library: memstore.history,
    memstore.tags.

    Example: memstore history runs/chairs/memory
    """
    from memstore import history as commits_of
    from memstore import tags as tags_of

    commits, tags = commits_of(path, at), tags_of(path)
    rows = [
        {
            "id": commit.id,
            "time": commit.time.isoformat(timespec="seconds"),
            "tags": [tag for tag, snapshot in tags.items() if snapshot == commit.id],
            "message": commit.message,
        }
        for commit in commits
    ]
    listed = {commit.id for commit in commits}
    elsewhere = {tag: snapshot for tag, snapshot in tags.items() if snapshot not in listed}
    if as_json:
        print_json({"commits": rows, "tags_elsewhere": elsewhere})
        return
    from mem3d_cli.tables import print_history

    print_history(rows, elsewhere)


def tag(
    path: MemoryFolder,
    name: Annotated[str, typer.Argument(help="Letters, digits and . _ -")],
    at: At = None,
    delete: Annotated[bool, typer.Option("--delete", help="Take the tag away.")] = False,
    as_json: AsJson = False,
) -> None:
    """Name a snapshot, so that it never expires; or take a name away.

    Library: Memory.tag, Memory.untag.

    Example: memstore tag runs/chairs/memory before-cars
    """
    from memstore import Memory

    with Memory.open(path, "r+", at=at) as memory:
        if delete:
            memory.untag(name)
        else:
            memory.tag(name)
        snapshot = None if delete else memory.snapshot
    if as_json:
        print_json({"tag": name, "snapshot": snapshot})
    else:
        typer.echo(f"{printable(name)}: {snapshot or 'taken away'}")


def verify(
    path: MemoryFolder,
    at: At = None,
    every: Annotated[
        bool, typer.Option("--all", help="All snapshots, not just the one opened.")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Read every chunk and check every slot; exit status 1 if something is damaged.

    Library: memstore.verify_folder.

    Example: memstore verify runs/chairs/memory --all
    """
    from memstore import verify_folder

    with progress_bar(quiet, "reading snapshots") as show:
        report = verify_folder(path, every=every, progress=show, at=at)
    if as_json:
        print_json(report._asdict())
    else:
        for problem in report.problems:
            typer.echo(printable(problem))
        what = f"{counted(report.snapshots, 'snapshot')}, {counted(report.slots, 'slot')}"
        many = len(report.problems)
        typer.echo(f"{what}: {counted(many, 'problem') if many else 'no problems'}")
    if report.problems:
        raise typer.Exit(1)


def expire(
    path: MemoryFolder,
    keep: Annotated[int, typer.Option(help="Latest commits that stay.", min=1)] = 8,
    as_json: AsJson = False,
) -> None:
    """Forget old snapshots, but for the latest and tagged ones, and free their space.

    Library: Memory.expire.

    Example: memstore expire runs/chairs/memory --keep 3
    """
    from memstore import Memory

    with Memory.open(path, "r+") as memory:
        gone = memory.expire(keep)
    if as_json:
        print_json(gone._asdict())
    else:
        typer.echo(f"{gone.snapshots} snapshots gone, {gone.bytes / 1e6:,.1f} MB freed")


def copy(
    path: MemoryFolder,
    to: Annotated[Path, typer.Argument(help="Where nothing is yet.")],
    at: At = None,
    capacity: Annotated[
        int | None, typer.Option(help="Slots of the copy; default: as many.", min=1)
    ] = None,
    search: Annotated[
        Search | None, typer.Option(help="How the copy searches keys; default: as the memory.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy a memory as it is at one snapshot, without its history, maybe with more slots.

    Library: Memory.copy_to.

    Example: memstore copy runs/chairs/memory chairs.memory --at before-cars
    """
    from memstore import Memory

    with Memory.open(path, at=at) as memory:
        memory.copy_to(to, capacity, search=search)
        print_made(to, len(memory), as_json)
