"""`memstore inspect`, `query` and `diff`: what is in a memory."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mem3d_cli.app import printable
from mem3d_cli.memstore.conditions import Conditions, parsed
from mem3d_cli.options import AsJson, Quiet, png, print_json, progress_bar
from mem3d_cli.paths import nothing_there

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from memstore import Memory


def memory_folder(path: Path) -> Path:
    """The path, unless it is a run's, which has its memory within."""
    if (path / "run.json").is_file() and (path / "memory").is_dir():
        raise ValueError(f"{path}: got the folder of a run, want its memory: {path / 'memory'}")
    if not path.exists() and path.parent.is_dir():
        raise nothing_there(path, f"the folder of a memory, {MAKERS}")
    return path


MAKERS = "as training, memstore import or Memory.create makes it"
MemoryFolder = Annotated[Path, typer.Argument(help="Folder of a memory.", callback=memory_folder)]
At = Annotated[str | None, typer.Option(help="Snapshot id or tag; by default the last commit.")]
Picture = Annotated[Path | None, typer.Option(help="PNG to draw, made or replaced.", callback=png)]


def inspect(
    path: MemoryFolder,
    at: At = None,
    picture: Picture = None,
    count: Annotated[int, typer.Option(help="Shapes in the picture.", min=1)] = 48,
    duplicates: Annotated[
        bool, typer.Option(help="Also look for slots whose values are alike.")
    ] = True,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Show how full a memory is, how old and how often read its slots are, and what it costs.

    Then what is wrong with it, if anything is: keys that have collapsed, near-duplicates, slots
    that are never read or stale. Library: Memory.stats, memstore.remarks,
    memstore.near_duplicates, memstore.contact_sheet.

    Example: memstore inspect runs/chairs/memory --picture shapes.png
    """
    from memstore import Memory, contact_sheet, near_duplicates, remarks
    from memstore.voxels.contact_sheet import save_png

    with Memory.open(path, at=at) as memory:
        facts: dict[str, Any] = asdict(memory.stats())
        alike = None
        if duplicates:
            with progress_bar(quiet, "comparing values") as show:
                alike = near_duplicates(memory, progress=show)
                facts["duplicates"] = asdict(alike)
        facts["remarks"] = list(remarks(memory, alike))
        if picture:
            save_png(picture, contact_sheet(memory, count=count))
    if as_json:
        print_json(facts)
        return
    from mem3d_cli.tables import print_stats

    print_stats(path, facts)
    if picture:
        typer.echo(f"picture: {printable(picture)}")


def query(
    path: MemoryFolder,
    features: Annotated[
        Path | None, typer.Option(help=".npy file of features, (C,) or (n, C).")
    ] = None,
    slot: Annotated[
        list[int] | None,
        typer.Option(metavar="<int>", help="Look up with a slot's own key; may be repeated."),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Neighbors per query.", min=1)] = 8,
    where: Conditions = None,
    at: At = None,
    picture: Picture = None,
    as_json: AsJson = False,
) -> None:
    """Find the slots whose keys are nearest to features, or to a slot's key.

    Library: Memory.search, memstore.neighbour_sheet.

    Example: memstore query runs/chairs/memory --slot 17 --picture near.png
    """
    from memstore import Memory, neighbour_sheet, read_features
    from memstore.voxels.contact_sheet import save_png

    if (features is None) == (not slot):
        raise typer.BadParameter("want --features FILE or --slot N, one of them")
    with Memory.open(path, at=at) as memory:
        k = min(k, max(1, len(memory)))
        queries = memory.keys(slot or []) if features is None else read_features(features)
        conditions = parsed(memory, where)
        rows = _neighbors(memory, queries, k, conditions)
        if picture:
            save_png(picture, neighbour_sheet(memory, queries, k, conditions))
    if as_json:
        print_json({"queries": rows})
        return
    from mem3d_cli.tables import print_neighbors

    print_neighbors(rows)
    if picture:
        typer.echo(f"picture: {printable(picture)}")


def diff(
    path: MemoryFolder,
    before: Annotated[
        str, typer.Argument(help="Snapshot id or tag, else another memory's folder.")
    ],
    after: Annotated[
        str | None, typer.Argument(help="The same; by default the last commit.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what changed between two snapshots of a memory, or between two memories.

    Library: memstore.diff.

    Example: memstore diff runs/chairs/memory best-so-far
    """
    from memstore import diff as compare

    with _snapshot(path, before) as old, _snapshot(path, after) as new:
        changes = asdict(compare(old, new))
    if as_json:
        print_json(changes)
        return
    from mem3d_cli.tables import slots_in_words

    for name, slots in changes.items():
        counted = slots if isinstance(slots, int) else len(slots)
        typer.echo(f"{name:<10}{counted:>8,}  {'' if counted is slots else slots_in_words(slots)}")


def _snapshot(path: Path, named: str | None) -> "Memory":
    """The memory at a snapshot or tag; what is none, or has a separator, may name a folder."""
    from memstore import Memory, SnapshotError

    if named is None or not Path(named).is_dir():
        return Memory.open(path, at=named)
    if Path(named).name != named:
        return Memory.open(named)
    try:
        return Memory.open(path, at=named)
    except SnapshotError:
        return Memory.open(named)


def _neighbors(
    memory: "Memory", queries: "NDArray[np.floating]", k: int, where: dict[str, Any]
) -> list[dict[str, Any]]:
    """Per query its hits, with the facts of each slot."""
    columns = memory.slots, memory.sources, memory.ages, memory.reads
    facts = {
        int(slot): {"source": source, "age": int(age), "reads": int(reads)}
        for slot, source, age, reads in zip(*columns, strict=True)
    }
    rows = []
    hits = memory.search(queries, k, where=where)
    for number, (slots, cosines) in enumerate(zip(hits.slots, hits.cosines, strict=True)):
        pairs = zip(slots.tolist(), cosines.tolist(), strict=True)
        neighbors = [{"slot": s, "cosine": c, **facts[s]} for s, c in pairs if s >= 0]
        rows.append({"query": number, "neighbors": neighbors})
    return rows
