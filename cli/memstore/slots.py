"""`memstore list`, `get`, `create`, `add` and `remove`: the slots of a memory, one by one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from mem3d_cli.app import counted, printable
from mem3d_cli.memstore.conditions import Conditions, parsed
from mem3d_cli.memstore.inspect import At, MemoryPlace, new_memory_place
from mem3d_cli.options import (
    AsJson,
    Quiet,
    Search,
    placed,
    print_json,
    print_made,
    progress_bar,
)
from memstore.files import ImportFormat
from memstore.voxels.grids import ValueSimilarity

if TYPE_CHECKING:
    from memstore import Item

WhenFull = Literal["error", "evict"]
Message = Annotated[str | None, typer.Option(help="Message of the commit. Default: what was done.")]
BATCH = 256  # pairs written at once


def list_(
    path: MemoryPlace,
    where: Conditions = None,
    source: Annotated[
        str | None, typer.Option(help="Only slots whose value came from this source.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Slots to show at most.", min=1)] = 50,
    at: At = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List what is in a memory: slots, sources, ages, columns.

    Example: memstore list grasps.memory --where category=chair --where ok=true

    In Python: memstore.Memory.find, memstore.Memory.__iter__.
    """
    from memstore import Memory

    with Memory.open(path, at=at) as memory:
        slots = memory.find(source, where=parsed(memory, where))
        rows = [_facts(memory[slot]) for slot in slots[:limit].tolist()]
    if as_json:
        print_json({"total": len(slots), "slots": rows})
        return
    from mem3d_cli.tables import print_slots

    print_slots(rows)
    if len(slots) > limit:
        typer.echo(f"{counted(len(slots), 'slot')}; --limit {len(slots)} shows all")


def get(
    path: MemoryPlace,
    slot: Annotated[int, typer.Argument(help="Number of the slot.", min=0)],
    value: Annotated[
        Path | None, typer.Option(help="Write its value to this .binvox file.", callback=placed)
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="Write its key to this .npy file.", callback=placed)
    ] = None,
    at: At = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show what a slot holds; write its value or key to a file.

    Example: memstore get grasps.memory 17 --value mug.binvox

    In Python: memstore.Memory.__getitem__.
    """
    import numpy as np

    from memstore import Memory
    from memstore.files import check_free
    from memstore.voxels.binvox import write_binvox

    for file, ending in ((value, ".binvox"), (key, ".npy")):
        if file is not None:
            if file.suffix.lower() != ending:
                raise ValueError(f"{file}: got the ending {file.suffix!r}, want {ending}")
            check_free(file)
    with Memory.open(path, at=at) as memory:
        item = memory[slot]
    if value is not None:
        write_binvox(value, item.value)
    if key is not None:
        with open(key, "xb") as output:  # given a name, numpy would append a suffix
            np.save(output, item.key, allow_pickle=False)
    facts = {**_facts(item), "full_voxels": int(item.value.sum()), "voxels": item.value.size}
    if as_json:
        print_json(facts)
        return
    for name, fact in {**facts, **facts.pop("columns")}.items():
        if name != "columns":
            typer.echo(printable(f"{name:<15}{fact}"))


def create(
    path: Annotated[
        str,
        typer.Argument(
            path_type=str,
            help="Folder of the memory to make, or URL.",
            callback=new_memory_place,
        ),
    ],
    capacity: Annotated[int, typer.Option(help="Most slots that it can hold.", min=1)],
    key_dim: Annotated[int, typer.Option(help="Length of a key.", min=1)],
    resolution: Annotated[int, typer.Option(help="Voxels per side of a value.", min=1)] = 32,
    beta: Annotated[
        float, typer.Option(help="A read recalls slots whose cosine is above this.")
    ] = 0.85,
    delta: Annotated[
        float | None,
        typer.Option(
            help="A write merges values that are at least this similar. Default: none are merged."
        ),
    ] = None,
    similarity: Annotated[
        ValueSimilarity,
        typer.Option(
            help="Of two values: iou, the overlap of their full voxels, or mse, the share of "
            "voxels that agree."
        ),
    ] = "iou",
    when_full: Annotated[
        WhenFull,
        typer.Option(help="A full memory refuses new values, or evicts its oldest slots."),
    ] = "error",
    search: Annotated[
        Search,
        typer.Option(help="Of keys: exact, or ivf, nearly so and sooner, from 32,768 slots on."),
    ] = "exact",
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<name=type>",
            help="A fact beside each value, such as category=str; types are str, int, float, "
            "bool. May be repeated.",
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make an empty memory.

    By default nothing that is added to it is ever lost: nothing merges, and a full memory refuses.

    Example: memstore create grasps.memory --capacity 1000 --key-dim 512

    In Python: memstore.Memory.create, memstore.MemoryConfig.
    """
    from memstore import Memory, MemoryConfig

    columns: dict[str, Any] = {}
    for text in column or []:
        name, _, kind = text.partition("=")
        if name in columns:
            raise typer.BadParameter(f"--column: got {name} twice, want each name once")
        columns[name] = kind
    rules = {"beta": beta, "delta": delta, "value_similarity": similarity, "when_full": when_full}
    sizes = {"capacity": capacity, "key_dim": key_dim, "resolution": resolution}
    config = MemoryConfig(**sizes, **rules, search=search, columns=columns)  # type: ignore[arg-type]
    Memory.create(path, config).close()
    print_made(path, 0, as_json)


def add(
    path: MemoryPlace,
    pairs: Annotated[
        Path, typer.Argument(help="Keys and values: a file as memstore import takes it.")
    ],
    format: Annotated[
        ImportFormat | None,
        typer.Option(
            "--format",
            "-f",
            metavar="<format>",
            help=f"One of {', '.join(get_args(ImportFormat))}. Default: as PAIRS ends.",
        ),
    ] = None,
    message: Message = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Add keys and values to a memory.

    Sources and columns come with them, if there are any. The memory's own rule says what is
    inserted, what is merged and what has to go. All are committed, or none.

    Example: memstore add grasps.memory new.npz

    In Python: memstore.import_memory, memstore.Memory.write.
    """
    from memstore import Memory, import_memory

    counts = dict.fromkeys(("insert", "merge", "evict"), 0)
    with Memory.open(path, "r+") as memory:
        addition = import_memory(pairs, format)
        with progress_bar(quiet, "adding") as show:
            for start in range(0, len(addition), BATCH):
                slots = addition.slots[start : start + BATCH]
                sources, columns = addition.sources_of(slots), addition.columns(slots) or None
                keys, values = addition.keys(slots), addition.values(slots)
                report = memory.write(keys, values, sources, columns, warn=False)
                counts = {kind: n + report.counts[kind] for kind, n in counts.items()}
                show(start + len(slots), len(addition))
        memory.commit(message or f"added {pairs.name}")
        used, capacity = len(memory), memory.config.capacity
    if as_json:
        print_json({"path": str(path), **counts, "slots": used})
        return
    summary = (
        f"{counts['insert']:,} inserted, {counts['merge']:,} merged, {counts['evict']:,} evicted"
    )
    typer.echo(f"{printable(path)}: {summary}; {used:,} of {capacity:,} slots used")


def remove(
    path: MemoryPlace,
    slot: Annotated[list[int] | None, typer.Argument(help="Numbers of slots.")] = None,
    source: Annotated[
        str | None, typer.Option(help="Remove all slots whose value came from this source.")
    ] = None,
    message: Message = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Remove slots from a memory, by number or by source.

    The change is committed. Earlier commits keep them until they expire (memstore expire).

    Example: memstore remove grasps.memory --source mug-17

    In Python: memstore.Memory.remove.
    """
    from memstore import Memory

    if (source is None) == (not slot):
        raise typer.BadParameter("want numbers of slots or --source, one of them")
    with Memory.open(path, "r+") as memory:
        gone = memory.remove(slot or None, source=source).tolist()
        memory.commit(message or f"removed {counted(len(gone), 'slot')}")
        used = len(memory)
    if as_json:
        print_json({"removed": gone, "slots": used})
    else:
        typer.echo(f"{printable(path)}: {counted(len(gone), 'slot')} removed, {used:,} used")


def _facts(item: "Item") -> dict[str, Any]:
    """What is told of a slot."""
    names = ("slot", "source", "age", "reads", "columns")
    return {name: getattr(item, name) for name in names}
