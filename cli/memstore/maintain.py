"""`memstore history`, `tag`, `verify`, `expire` and `copy`: keeping a memory."""

from typing import Annotated

import typer

from mem3d_cli.app import counted, printable
from mem3d_cli.memstore.inspect import At, MemoryPlace, is_in_shards, new_memory_place
from mem3d_cli.options import AsJson, Quiet, Search, print_json, print_made, progress_bar


def history(
    path: MemoryPlace, at: At = None, as_json: AsJson = False, quiet: Quiet = False
) -> None:
    """List a memory's commits, newest first, with their tags.

    Each can be opened, until it expires. Of a damaged memory it lists all that can be found.

    Example: memstore history runs/first/memory

    In Python: memstore.history, memstore.tags.
    """
    import memstore

    if is_in_shards(path):
        from memstore import sharded

        commits, tags = sharded.history(path, at), sharded.tags(path)
    else:
        commits, tags = memstore.history(path, at), memstore.tags(path)
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
    path: MemoryPlace,
    name: Annotated[str, typer.Argument(help="Name: letters, digits and . _ -")],
    at: At = None,
    delete: Annotated[bool, typer.Option("--delete", help="Take the name away again.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Name a commit, so that it never expires.

    Example: memstore tag runs/first/memory before-cars

    In Python: memstore.Memory.tag, memstore.Memory.untag.
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
    path: MemoryPlace,
    every: Annotated[
        bool, typer.Option("--all", help="Check all commits, not just the one at --at.")
    ] = False,
    at: At = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check that a memory on disk is whole.

    It reads every chunk and checks every slot. The exit status is 1 if something is damaged.

    Example: memstore verify runs/first/memory --all

    In Python: memstore.verify_folder.
    """
    from memstore import verify_folder

    if is_in_shards(path):
        from memstore.sharded import ShardedMemory

        with ShardedMemory.open(path, at=at, workers="local") as shards:
            report = shards.verify(every)
    else:
        with progress_bar(quiet, "hundredths of snapshots") as show:
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
    path: MemoryPlace,
    keep: Annotated[int, typer.Option(help="Latest commits to keep.", min=1)] = 8,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Delete old commits, to free disk space.

    The latest commits and those with a tag stay. What the memory holds now stays as it is.

    Example: memstore expire runs/first/memory --keep 3

    In Python: memstore.Memory.expire.
    """
    from memstore import Memory

    with Memory.open(path, "r+") as memory:
        gone = memory.expire(keep)
    if as_json:
        print_json(gone._asdict())
    else:
        typer.echo(f"{gone.snapshots} snapshots gone, {gone.bytes / 1e6:,.1f} MB freed")


def copy(
    path: MemoryPlace,
    out: Annotated[
        str,
        typer.Option(
            "--out",
            "-o",
            path_type=str,
            help="Folder of the copy, or URL; nothing may be there yet.",
            callback=new_memory_place,
        ),
    ],
    capacity: Annotated[
        int | None, typer.Option(help="Slots of the copy. Default: as many.", min=1)
    ] = None,
    search: Annotated[
        Search | None, typer.Option(help="How the copy searches keys. Default: as the memory.")
    ] = None,
    at: At = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Copy a memory without its history, maybe with more slots.

    Of one in shards it makes one in one piece.

    Example: memstore copy runs/first/memory --out chairs.memory

    In Python: memstore.Memory.copy_to.
    """
    from memstore import ArgumentError, Memory
    from memstore.sharded import ShardedMemory

    if is_in_shards(path):
        if search == "ivf":
            raise ArgumentError(
                "--search: got ivf, want exact of a memory in shards; copy the copy"
            )
        with ShardedMemory.open(path, at=at, workers="local") as memory:
            memory.copy_to(out, capacity)
            print_made(out, len(memory), as_json)
        return
    with Memory.open(path, at=at) as memory:
        memory.copy_to(out, capacity, search=search)
        print_made(out, len(memory), as_json)
