"""`memstore inspect`, `query` and `diff`: what is in a memory."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mem3d_cli.app import printable
from mem3d_cli.memstore.conditions import Conditions, parsed
from mem3d_cli.options import AsJson, Quiet, png, print_json, progress_bar
from mem3d_cli.paths import nothing_there
from memstore.paths import SHARDS_FILE, ObjectUrl, place_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from memstore import Memory


def memory_place(place: str) -> str:
    """The path or URL, unless it is a run's folder, which has its memory within."""
    path = place_of(place)
    if isinstance(path, ObjectUrl):
        return path
    if (path / "run.json").is_file() and (path / "memory").is_dir():
        raise ValueError(f"{path}: got the folder of a run, want its memory: {path / 'memory'}")
    if not path.exists() and path.parent.is_dir():
        raise nothing_there(path, f"the folder of a memory, {MAKERS}")
    return place


def new_memory_place(place: str) -> str:
    """The path or URL, unless it names no place where a memory may be made."""
    place_of(place)
    return place


def is_url(place: str) -> bool:
    """Whether a memory lies on an object store."""
    return isinstance(place_of(place), ObjectUrl)


def is_in_shards(path: str) -> bool:
    """Whether a folder is that of a memory in shards, of which some commands show as much."""
    return not is_url(path) and (Path(path) / SHARDS_FILE).is_file()


MAKERS = "as training, memstore import or Memory.create makes it"
MemoryPlace = Annotated[
    str,
    typer.Argument(
        path_type=str,  # pathlib would join the slashes of a URL
        help="Folder of a memory, or its URL on an object store: s3://BUCKET/PREFIX, gs://, az://.",
        callback=memory_place,
    ),
]
At = Annotated[
    str | None, typer.Option(help="Id or tag of an earlier commit. Default: the latest.")
]


def inspect(
    path: MemoryPlace,
    picture: Annotated[
        Path | None, typer.Option(help="Also draw its shapes as this PNG.", callback=png)
    ] = None,
    count: Annotated[int, typer.Option(help="Shapes in that picture.", min=1)] = 48,
    no_duplicates: Annotated[
        bool, typer.Option("--no-duplicates", help="Do not look for shapes that are alike.")
    ] = False,
    at: At = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show how full a memory is, and what is wrong with it.

    Also how old its slots are, how often they were read, and its size. Wrong may be: keys that are
    nearly the same, values that are near duplicates, slots that are never read. "memstore list"
    shows the slots themselves. Of a memory in shards there are the numbers alone.

    Example: memstore inspect runs/first/memory --picture shapes.png

    In Python: memstore.Memory.stats, memstore.remarks, memstore.near_duplicates,
    memstore.contact_sheet.
    """
    if is_in_shards(path):
        facts = _facts_of_shards(path, at, picture)
    else:
        facts = _facts(path, at, picture, count, not no_duplicates, quiet)
    if as_json:
        print_json(facts)
        return
    from mem3d_cli.tables import print_stats

    print_stats(path, facts)
    if picture:
        typer.echo(f"picture: {printable(picture)}")


def _facts(
    path: str, at: str | None, picture: Path | None, count: int, duplicates: bool, quiet: bool
) -> dict[str, Any]:
    """What there is to be said of a memory in one piece; draws the picture."""
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
    return facts


def _facts_of_shards(path: str, at: str | None, picture: Path | None) -> dict[str, Any]:
    """What there is to be said of a memory in shards."""
    from memstore.sharded import ShardedMemory

    if picture:
        raise ValueError(
            f"{path}: got a memory in shards, of which no picture is drawn; "
            f"memstore copy {path} --out FOLDER makes one in one piece"
        )
    with ShardedMemory.open(path, at=at, workers="local") as memory:
        return asdict(memory.stats()) | {"shards": memory.shards, "remarks": []}


def query(
    path: MemoryPlace,
    features: Annotated[
        Path | None,
        typer.Option(help="File of the features to look up: .npy, one or one in each row."),
    ] = None,
    slot: Annotated[
        list[int] | None,
        typer.Option(
            metavar="<int>", help="Look up the key of this slot instead; may be repeated."
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Neighbors of each.", min=1)] = 8,
    where: Conditions = None,
    picture: Annotated[
        Path | None, typer.Option(help="Also draw the neighbors as this PNG.", callback=png)
    ] = None,
    at: At = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find the slots whose keys are most like a feature or a key.

    Example: memstore query runs/first/memory --slot 17 --picture near.png

    In Python: memstore.Memory.search, memstore.neighbour_sheet.
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
            near = neighbour_sheet(memory, queries, k, conditions, slots=slot or None)
            save_png(picture, near)
    if as_json:
        print_json({"queries": rows})
        return
    from mem3d_cli.tables import print_neighbors

    print_neighbors(rows)
    if picture:
        typer.echo(f"picture: {printable(picture)}")


def diff(
    path: MemoryPlace,
    before: Annotated[
        str,
        typer.Argument(help="Id or tag of an earlier commit, or another memory's folder or URL."),
    ],
    after: Annotated[
        str | None, typer.Argument(help="What to compare it with. Default: the latest commit.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show what changed between two commits, or two memories.

    Example: memstore diff runs/first/memory best-so-far

    In Python: memstore.diff.
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


def _snapshot(path: str, named: str | None) -> "Memory":
    """The memory at a snapshot or tag; what is none, or has a separator, may name a folder."""
    from memstore import Memory, SnapshotError

    if named is not None and is_url(named):
        return Memory.open(named)
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
    import numpy as np

    hits = memory.search(queries, k, where=where)
    near = np.unique(hits.slots[hits.slots >= 0])
    at = np.searchsorted(memory.slots, near)
    columns = near, memory.sources_of(near), memory.ages[at], memory.reads[at]
    facts = {
        int(slot): {"source": source, "age": int(age), "reads": int(reads)}
        for slot, source, age, reads in zip(*columns, strict=True)
    }
    rows = []
    for number, (slots, cosines) in enumerate(zip(hits.slots, hits.cosines, strict=True)):
        pairs = zip(slots.tolist(), cosines.tolist(), strict=True)
        neighbors = [{"slot": s, "cosine": c, **facts[s]} for s, c in pairs if s >= 0]
        rows.append({"query": number, "neighbors": neighbors})
    return rows
