"""What the memstore commands print for people."""

import itertools
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from mem3d_cli.console import counted, printable

BAR = 40  # characters of a histogram's longest bar
EIGHTHS = " ▏▎▍▌▋▊▉█"
LEAST = 20  # columns that a table's last column has, however narrow the terminal


def print_stats(path: Path, facts: dict[str, Any]) -> None:
    """What `memstore inspect` shows.

    Args:
        path: folder of the memory.
        facts: `Stats` as a dict, maybe with "duplicates".
    """
    typer.echo(f"{typer.style(printable(path), bold=True)} at snapshot {facts['snapshot']}")
    used, capacity = facts["used"], facts["capacity"]
    typer.echo(_bar("slots", facts["fill"], f"{used:,} of {capacity:,} used"))
    typer.echo(_overview(facts))
    if used:
        for name, title in (("ages", "age, in pairs written"), ("reads", "times read")):
            typer.echo(_histogram(title, facts[name]["edges"], facts[name]["counts"]))
        typer.echo(_slots("most read", facts["most_read"]))
        typer.echo(_slots("least read", facts["least_read"]))
    if "duplicates" in facts:
        typer.echo(_duplicates(facts["duplicates"]))


def _overview(facts: dict[str, Any]) -> str:
    """Two columns: what, and how much."""
    written = ("merges", "inserts", "evictions", "removals")
    ram = {name: facts[f"{name}_bytes"] for name in ("key", "value", "bookkeeping")}
    lines = [
        ("key, value", f"{facts['key_dim']:,} channels, {facts['resolution']}³ voxels"),
        (
            "rules",
            f"beta {facts['beta']}, delta {facts['delta']}, {facts['value_similarity']} similarity",
        ),
        ("pairs written", f"{facts['clock']:,}"),
        ("of them", ", ".join(f"{facts[name]:,} {name}" for name in written)),
    ]
    if facts["used"]:
        spread = [facts[f"occupancy_{name}"] for name in ("min", "median", "max")]
        oldest = facts["oldest"]
        lines += [
            (
                "occupancy",
                f"{spread[0]:.1%} to {spread[2]:.1%}, median {spread[1]:.1%}",
            ),
            ("never read", counted(facts["never_read"], "slot")),
            ("stale", f"{facts['stale']:.0%} untouched by the last {facts['capacity']:,} pairs"),
            ("oldest", f"slot {oldest['slot']}, age {oldest['age']:,}, {oldest['source']}"),
        ]
    lines.append(("RAM", _sizes(ram)))
    if facts["disk_bytes"] is not None:
        lines.append(("disk", _sizes(facts["disk_bytes"])))
    return "\n".join(f"{name:<15}{printable(text)}" for name, text in lines)


def print_neighbours(found: list[dict[str, Any]]) -> None:
    """What `memstore query` shows: a table per query."""
    for query in found:
        rows = [
            (
                f"{near['slot']}",
                f"{near['cosine']:.4f}",
                f"{near['age']:,}",
                f"{near['reads']:,}",
                near["source"],
            )
            for near in query["neighbours"]
        ]
        if len(found) > 1:
            typer.echo(f"\nquery {query['query']}")
        typer.echo(_table(("slot", "cosine", "age", "reads", "source"), rows))


def print_history(rows: list[dict[str, Any]], elsewhere: dict[str, str]) -> None:
    """What `memstore history` shows."""
    cells = [(row["id"], row["time"], ", ".join(row["tags"]), row["message"]) for row in rows]
    typer.echo(_table(("snapshot", "time (UTC)", "tags", "message"), cells, right=0))
    for name, snapshot in elsewhere.items():
        typer.echo(f"tag {printable(name)} outside this history: {snapshot}")


def slots_in_words(slots: Sequence[int], most: int = 12) -> str:
    """Slots as text, neighbours joined: "0-3, 7, 9 ..."."""
    runs: list[list[int]] = []
    for slot in slots:
        if runs and slot == runs[-1][1] + 1:
            runs[-1][1] = slot
        else:
            runs.append([slot, slot])
    texts = [f"{low}" if low == high else f"{low}-{high}" for low, high in runs[:most]]
    return ", ".join(texts) + (" ..." if len(runs) > most else "")


def _bar(name: str, share: float, text: str) -> str:
    """A share in [0, 1] as a bar."""
    whole, eighths = divmod(round(share * BAR * 8), 8)
    drawn = EIGHTHS[8] * whole + (EIGHTHS[eighths] if eighths else "")
    return f"{name}  {drawn:<{BAR}}  {text}"


def _histogram(title: str, edges: Sequence[int], counts: Sequence[int]) -> str:
    """A bar per bin."""
    names = [
        f"{low:,}" if high == low + 1 else f"{low:,}-{high - 1:,}"
        for low, high in itertools.pairwise(edges)
    ]
    width, most = max(map(len, names)), max(counts)
    bars = [
        _bar(f"  {name:>{width}}", count / most, f"{count:,}")
        for name, count in zip(names, counts, strict=True)
    ]
    return "\n".join([f"\n{title}", *bars])


def _slots(title: str, facts: Sequence[dict[str, Any]]) -> str:
    """Slots with what is known of them."""
    rows = [(f"{f['slot']}", f"{f['reads']:,}", f"{f['age']:,}", f["source"]) for f in facts]
    return f"\n{title}\n" + _table(("slot", "reads", "age", "source"), rows, right=3)


def _duplicates(found: dict[str, Any]) -> str:
    """How many values are alike, and the largest group."""
    whole = f"all {found['used']:,} values"
    if found["compared"] < found["used"]:
        whole = f"a sample of {found['compared']:,} of {found['used']:,} values"
    text = f"\nnear duplicates (similarity from {found['similarity']}): "
    pairs, groups = counted(found["total"], "pair"), counted(len(found["groups"]), "group")
    text += f"{pairs} and {groups} among {whole}"
    if found["groups"]:
        text += f"\nlargest group: slots {slots_in_words(found['groups'][0])}"
    return text


def _sizes(parts: dict[str, int]) -> str:
    """Bytes per part and in all."""
    shown = [f"{'other' if name == '.' else name} {_size(size)}" for name, size in parts.items()]
    return f"{_size(sum(parts.values()))} ({', '.join(shown)})"


def _size(size: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: int = 4) -> str:
    """Columns in full, but for the last on a terminal; the first `right` hold numbers."""
    from rich.cells import cell_len, set_cell_size

    lines = [list(heads), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    if (width := _terminal_width()) is not None:
        room = max(LEAST, width - sum(widths[:-1]) - 2 * (len(widths) - 1))
        for line in lines:
            if cell_len(line[-1]) > room:
                line[-1] = set_cell_size(line[-1], room - 3) + "..."
        widths[-1] = min(widths[-1], room)
    lines.insert(1, ["-" * width for width in widths])
    for line in lines:
        for column, width in enumerate(widths):
            spaces = " " * (width - cell_len(line[column]))
            line[column] = spaces + line[column] if column < right else line[column] + spaces
    return "\n".join("  ".join(line).rstrip() for line in lines)


def _terminal_width() -> int | None:
    """Columns of the terminal; None if stdout is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
