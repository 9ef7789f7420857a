"""README.md of a run that was made from another one: where it comes from, and what was changed."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mem3d.markdown import bullets, code, page, sections
from mem3d.network.checkpoint import PAGE

_COUNTS = ("inserted", "merged", "evicted")
# How a training's page and a model card tell what was in the first run's memory.
_FIRST_MEMORY = re.compile(
    r"; the memory has [\d,]+ of [\d,]+ slots in use(?=\.)"
    r"|, with a memory of [\d,]+ shapes(?=\.)"
)


def copy_page(run: Path, changes: Sequence[Mapping[str, Any]], slots: int, capacity: int) -> str:
    """Markdown text of the page.

    Args:
        run: folder that the new run was made from; what its page says comes first, but for the
            size of its memory.
        changes: as in run.json, oldest first, each with a "kind".
        slots: of the new run's memory that are used.
        capacity: all its slots.
    """
    first = sections(run / PAGE).get("", "").split("\nSince then:")[0].strip()
    first = _FIRST_MEMORY.sub("", first)
    return page(
        "# A trained Mem3D",
        first or f"Made from {code(run)}.",
        "Since then:",
        bullets([_line(change) for change in changes]),
        f"The memory has {slots:,} of {capacity:,} slots in use now.",
        "## What is not known",
        "It has not been validated since, but for what is said above: `mem3d-cli evaluate` does\n"
        "that. `run.json` has the details; training cannot resume it.",
    )


def _line(change: Mapping[str, Any]) -> str:
    kind = str(change.get("kind"))
    if kind == "memorised":
        counts = ", ".join(f"{change[name]:,} {name}" for name in _COUNTS if name in change)
        text = f"memorized {_many(change, 'picture')}{_from(change)}"
        return f"{text}: {counts}" if counts else text
    if kind == "rekeyed":
        return f"keys computed anew for {_many(change, 'slot')}{_from(change)}"
    if kind == "averaged":
        others = len(change.get("checkpoints", ()))
        return f"weights averaged with {others} other checkpoint{'' if others == 1 else 's'}"
    return kind


def _many(change: Mapping[str, Any], noun: str) -> str:
    count = change.get(f"{noun}s")
    return f"{count:,} {noun}{'' if count == 1 else 's'}" if isinstance(count, int) else f"{noun}s"


def _from(change: Mapping[str, Any]) -> str:
    place = change.get("data", change.get("photo"))
    return f" of {code(place)}" if place else ""
