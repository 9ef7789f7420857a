"""No test on what a run knows: options and notices around `mem3d.leakage`."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from mem3d_cli.console import Subset, printable

if TYPE_CHECKING:
    from mem3d.data.shapes import Shapes
    from memstore import Memory


class Known(StrEnum):
    """What to do with models whose shapes the memory or the training knows."""

    refuse = "refuse"
    drop = "drop"
    keep = "keep"


KnownModels = Annotated[
    Known | None,
    typer.Option(
        help="Models whose shapes are in the memory or were trained on: refuse to go on, drop "
        "them, or keep them and say so. Default: refuse for test, keep for train and val."
    ),
]


def usual(subset: Subset) -> Known:
    """A memory is there to know its training shapes; only of a test must they be no part."""
    return Known.refuse if subset is Subset.test else Known.keep


class Learnt(NamedTuple):
    """What a run was trained on or has memorised."""

    names: set[str]
    is_whole: bool  # whether all that it was trained on could be listed


def learnt_by(run: Path) -> Learnt:
    """Names of the shapes that a run knows; a warning where its data are gone."""
    from mem3d.data.deforming import family
    from mem3d.data.opening import learning_subset, open_shapes
    from mem3d.run_copy import memorised_sources
    from mem3d.run_log import run_data, run_extras

    names, root = memorised_sources(run), run / "run.json"
    try:
        listed = [run_data(run), *run_extras(run)]
        for root, split in listed:
            data = open_shapes(root, learning_subset(root, split), split)
            names |= {family(data.source(i)) for i in range(len(data))}
    except ValueError as error:
        typer.echo(
            f"the run's data are not at {printable(root)} ({printable(error)}): shapes that it "
            "learnt from and that its memory has forgotten cannot be told",
            err=True,
        )
        return Learnt(names, is_whole=False)
    return Learnt(names, is_whole=True)


def guarded(
    memory: "Memory", test: "Shapes", learnt: Learnt, known: Known, purpose: str = "test on"
) -> tuple["Shapes", dict[str, Any]]:
    """The models to test on, or for another purpose, and how many of them were known."""
    from mem3d.data.selection import Selection
    from mem3d.leakage import known_shapes, told

    found = known_shapes(memory, test, learnt.names)
    if found and known is Known.refuse:
        raise ValueError(
            f"{test.root}: {told(found, len(test))}; this would be no test. Data sets do repeat "
            "shapes across their own splits: --known drop leaves these models out, --known keep "
            "tests on them and says so"
        )
    counts = {by: sum(one.by == by for one in found) for by in ("name", "grid", "training")}
    guard = {"models": known.value, **counts, "learnt_known": learnt.is_whole}
    if not found or known is Known.keep:
        return test, guard
    if len(found) == len(test):
        raise ValueError(f"{test.root}: {told(found, len(test))}; none is left to {purpose}")
    left_out = {one.model for one in found}
    return Selection(test, [i for i in range(len(test)) if i not in left_out]), guard
