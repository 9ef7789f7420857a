"""mem3d-cli data split."""

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from mem3d_cli.console import AsJson, DataFolder, Quiet, print_json, printable, progress_bar


@dataclass(frozen=True, kw_only=True)
class _Made:
    """What is told of a new split."""

    path: str
    models: int
    skipped: int
    groups: int
    near_duplicates: int  # models in a group of more than one
    largest: list[str]
    counts: dict[str, dict[str, int]]  # category: subset: models


def split(
    data: DataFolder,
    out: Annotated[Path, typer.Option(help="Split file to write.")],
    share: Annotated[str, typer.Option(help="Shares of train, val, test.")] = ".7,.1,.2",
    iou: Annotated[
        float,
        typer.Option(help="Models with a higher voxel IoU stay on one side.", min=0, max=0.999),
    ] = 0.85,
    mirrored: Annotated[
        bool, typer.Option("--mirrored", help="Also compare with mirror images (left and right).")
    ] = False,
    seed: Annotated[int, typer.Option(help="Another seed, another split.", min=0)] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the file if it is there.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Share a data set out into train, val and test; near-duplicates stay together.

    The same data, shares and seed give the same split (library: mem3d.data.groups).
    Example: mem3d-cli data split shapes --out shapes/split.json
    """
    import numpy as np

    from mem3d.data.groups import mirror_images, near_groups, packed_grids, plan_split
    from mem3d.data.opening import open_shapes
    from mem3d.data.pix3d import Pix3D
    from mem3d.data.splits import check_new, write_split

    shares = _shares(share)
    if not force:
        check_new(out)
    shapes = open_shapes(data)
    if isinstance(shapes, Pix3D):
        raise ValueError(
            f"{data}: got Pix3D, want models in folders of their own; its photos are divided by "
            'split files of its own: pix3d_s1 or pix3d_s2, or {"train": ["img/chair/0001.png"], '
            '"val": [...], "test": [...]} (docs/pix3d.md)'
        )
    with progress_bar(quiet, "reading") as show:
        shapes = shapes.check(1, show)
    grids = packed_grids(shapes)
    also = mirror_images(shapes) if mirrored else None
    with progress_bar(quiet, "comparing") as show:
        groups = near_groups(grids, iou, also=also, progress=show)
    sources = [shapes.source(i) for i in range(len(shapes))]
    categories = [shapes.category(i) for i in range(len(shapes))]
    subsets = plan_split(groups, categories, shares, seed)
    write_split(out, sources, categories, subsets, replace=force)
    sizes = np.bincount(groups) if len(groups) else np.zeros(1, np.int64)
    counts = Counter(zip(categories, subsets, strict=True))
    made = _Made(
        path=str(out),
        models=len(shapes),
        skipped=len(shapes.skipped),
        groups=int(np.count_nonzero(sizes)),
        near_duplicates=int(sizes[sizes > 1].sum()),
        largest=[sources[i] for i in np.flatnonzero(groups == sizes.argmax())],
        counts={
            name: {part: counts[name, part] for part in ("train", "val", "test")}
            for name in sorted(set(categories))
        },
    )
    print_json(asdict(made)) if as_json else _print(asdict(made))


def _shares(text: str) -> tuple[float, float, float]:
    """Three numbers of ".7,.1,.2", which have to sum to 1."""
    try:
        train, val, test = (float(word) for word in text.split(","))
    except ValueError:
        raise ValueError(f"--share: got {text!r}, want three numbers: .7,.1,.2") from None
    if min(train, val, test) < 0 or not abs(train + val + test - 1) <= 0.001:
        got = f"{text!r} with sum {train + val + test:g}"
        raise ValueError(f"--share: got {got}, want three numbers >= 0 with sum 1: .7,.1,.2")
    return train, val, test


def _print(made: dict[str, Any]) -> None:
    """A table per category, then the groups."""
    from rich.console import Console
    from rich.table import Table

    table = Table("category", *("train", "val", "test"))
    rows = made["counts"]
    for name, row in rows.items():
        table.add_row(printable(name), *(str(count) for count in row.values()))
    total = [sum(row[part] for row in rows.values()) for part in ("train", "val", "test")]
    table.add_section()
    table.add_row("all", *map(str, total))
    Console().print(table)
    typer.echo(
        f"{made['models']:,} models in {made['groups']:,} groups; "
        f"{made['near_duplicates']:,} have a near-duplicate"
    )
    if len(made["largest"]) > 1:
        names = ", ".join(printable(name) for name in made["largest"][:3])
        typer.echo(f"largest group: {len(made['largest'])} ({names}, ...)")
    if made["skipped"]:
        typer.echo(f"left out: {made['skipped']:,} missing or broken (mem3d-cli data check)")
    typer.echo(printable(made["path"]))
