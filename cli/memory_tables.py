"""What the memstore commands print for people."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BAR = 40  # characters of a histogram's longest bar
EIGHTHS = " ▏▎▍▌▋▊▉█"


def print_stats(path: Path, facts: dict[str, Any]) -> None:
    """What `memstore inspect` shows.

    Args:
        path: folder of the memory.
        facts: `Stats` as a dict, maybe with "duplicates".
    """
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]{_plain(str(path))}[/bold] at snapshot {facts['snapshot']}")
    used, capacity = facts["used"], facts["capacity"]
    console.print(_bar("slots", facts["fill"], f"{used:,} of {capacity:,} used"))
    console.print(_overview(facts))
    if used:
        for name, title in (("ages", "age, in pairs written"), ("reads", "times read")):
            console.print(_histogram(title, facts[name]["edges"], facts[name]["counts"]))
        console.print(_slots("most read", facts["most_read"]))
        console.print(_slots("least read", facts["least_read"]))
    if "duplicates" in facts:
        console.print(_duplicates(facts["duplicates"]))


def _overview(facts: dict[str, Any]) -> Any:
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
            ("never read", f"{facts['never_read']:,} slots"),
            ("stale", f"{facts['stale']:.0%} untouched by the last {facts['capacity']:,} pairs"),
            ("oldest", f"slot {oldest['slot']}, age {oldest['age']:,}, {oldest['source']}"),
        ]
    lines.append(("RAM", _sizes(ram)))
    if facts["disk_bytes"] is not None:
        lines.append(("disk", _sizes(facts["disk_bytes"])))
    return _columns([(name, what) for name, what in lines])


def print_neighbours(found: list[dict[str, Any]]) -> None:
    """What `memstore query` shows: a table per query."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
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
        title = f"query {query['query']}" if len(found) > 1 else None
        console.print(_table(title, ("slot", "cosine", "age", "reads", "source"), rows))


def print_history(rows: list[dict[str, Any]], elsewhere: dict[str, str]) -> None:
    """What `memstore history` shows."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    cells = [(row["id"], row["time"], ", ".join(row["tags"]), row["message"]) for row in rows]
    console.print(_table(None, ("snapshot", "time (UTC)", "tags", "message"), cells, right=0))
    for name, snapshot in elsewhere.items():
        console.print(f"tag {_plain(name)} outside this history: {snapshot}")


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


def _slots(title: str, facts: Sequence[dict[str, Any]]) -> Any:
    """Slots with what is known of them."""
    rows = [(f"{f['slot']}", f"{f['reads']:,}", f"{f['age']:,}", f["source"]) for f in facts]
    return _table(title, ("slot", "reads", "age", "source"), rows, right=3)


def _duplicates(found: dict[str, Any]) -> str:
    """How many values are alike, and the largest group."""
    whole = f"all {found['used']:,} values"
    if found["compared"] < found["used"]:
        whole = f"a sample of {found['compared']:,} of {found['used']:,} values"
    text = f"\nnear duplicates (similarity from {found['similarity']}): {found['total']:,} pairs"
    text += f" and {len(found['groups']):,} groups among {whole}"
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


def _columns(lines: list[tuple[str, str]]) -> str:
    """Names and texts, aligned."""
    return "\n".join(f"{name:<15}{_plain(text)}" for name, text in lines)


def _table(
    title: str | None, heads: Sequence[str], rows: Sequence[Sequence[str]], right: int = 4
) -> Any:
    """A table; the first `right` columns hold numbers."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0))
    for column, head in enumerate(heads):
        table.add_column(head, justify="right" if column < right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _plain(text: str) -> str:
    """The text, whose brackets are not markup."""
    from rich.markup import escape

    return escape(text)
