"""What the commands print: tables by rich, and the facts of a memory as plain text."""

import itertools
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mem3d_cli.app import counted, printable

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = 6  # of numbers per table of an evaluation, so that it fits 80 characters


def _new_table(title: str, caption: str = "") -> "Table":
    """An empty table; text in its cells is to be escaped."""
    from rich import box
    from rich.table import Table

    return Table(
        title=title or None,
        title_justify="left",
        caption=caption or None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )


def training_summary(run: Path, row: dict[str, Any], remarks: Sequence[str] = ()) -> str:
    """Where a run ended, in two lines, after what is wrong with its memory.

    Args:
        run: its folder.
        row: its last log row.
        remarks: of its memory, see `memstore.remarks`.
    """
    validation = f"validation IoU {row['val_iou']:.3f}, " if "val_iou" in row else ""
    warnings = "".join(f"! {remark}\n" for remark in remarks)
    return warnings + (
        f"{run}: epoch {row['epoch']}, loss {row['loss']:.4f}, {validation}"
        f"{counted(row['memory_slots'], 'slot')} in use\n"
        f"curves: {run / 'curves.png'}; next: mem3d-cli evaluate {run}"
    )


def _leak_note(leaks: dict[str, Any]) -> str:
    """What was done with models whose shapes were known; "" if there were none."""
    count = leaks["name"] + leaks["grid"] + leaks["training"]
    if not count:
        return ""
    if leaks["models"] == "drop":
        return f"\nleft out, as the memory knows them: {counted(count, 'model')} more"
    return f"\nNO TEST: {count} of these models are known to the memory"


def _leak_notes(summary: dict[str, Any]) -> str:
    """The same for all networks that answered; of the others with the name of the run."""
    text = _leak_note(summary["known"])
    for run, leaks in summary.get("with", {}).items():
        if note := _leak_note(leaks):
            text += f"{note} of {printable(run)}"
    return text


def evaluation_tables(summary: dict[str, Any]) -> list["Table"]:
    """IoU per category and both averages; one column per method and threshold, COLUMNS a table.

    Where the best threshold gives what the fixed one does, it has no column: grids that are full or
    empty are the same at each.

    Args:
        summary: from `mem3d.evaluation.evaluate.summarise`, with "subset", "step" and "known"; of
            an ensemble also "with", what the others know by run.
    """
    what = f"photos {summary['photos']}" if "photos" in summary else "models, view 00"
    if summary.get("flip"):
        what += " and its mirror image"
    if others := summary.get("with", {}):
        what += f", {1 + len(others)} networks together"
    title = (
        f"IoU on {summary['samples']} {summary['subset']} {what}, after "
        f"{counted(summary['step'], 'step')}; {summary['hit_rate']:.0%} recalled something, "
        f"{summary['mean_priors']:.1f} shapes on average{_leak_notes(summary)}"
    )
    columns = {}
    for method, results in summary["methods"].items():
        for column, result in results.items():
            is_best = column.startswith("best")
            if is_best and _same_numbers(result, results["fixed"]):
                continue
            heading = [*method.split(), "F-score", "@1%"]
            if "threshold" in result:
                heading[-2:] = "best cut" if is_best else "cut at", str(result["threshold"])
            columns["\n".join(heading)] = result
    averages = {"over samples": "weighted", "over categories": "macro"}
    caption = (
        f"{summary['protocol']}.\nA voxel is full where the occupancy is over the cut; the best "
        "cut is a method's on validation shapes."
    )
    pages = [list(columns)[at : at + COLUMNS] for at in range(0, len(columns), COLUMNS)]
    tables = []
    for page in pages:
        table = _new_table(title if page is pages[0] else "", caption if page is pages[-1] else "")
        tables.append(_fill(table, summary, {name: columns[name] for name in page}, averages))
    return tables


def _same_numbers(result: dict[str, Any], fixed: dict[str, Any]) -> bool:
    """Whether two columns show the same."""
    return all(result[name] == fixed[name] for name in ("categories", "weighted", "macro"))


def pix3d_table(summary: dict[str, Any]) -> "Table":
    """IoU per category by Pix3D's protocol; one column per method.

    Args:
        summary: as of `evaluation_tables`, with "pix3d".
    """
    columns = {
        "\n".join([*method.split(), "best cut", str(result["threshold"])]): result
        for method, result in summary["pix3d"]["methods"].items()
    }
    title = f"The same by Pix3D's own protocol, not to be compared{_leak_notes(summary)}"
    table = _new_table(title, summary["pix3d"]["protocol"])
    return _fill(table, summary, columns, {"over samples": "weighted"})


def _fill(
    table: "Table",
    summary: dict[str, Any],
    columns: dict[str, dict[str, Any]],
    averages: dict[str, str],
) -> "Table":
    """With a row per category, then the averages."""
    from rich.markup import escape

    table.add_column("category", no_wrap=True)
    table.add_column("n", justify="right")
    for heading in columns:
        table.add_column(heading, justify="right", vertical="bottom")
    results = columns.values()
    for name, count in summary["categories"].items():
        table.add_row(escape(name), str(count), *(f"{c['categories'][name]:.3f}" for c in results))
    table.add_section()
    for label, key in averages.items():
        table.add_row(label, str(summary["samples"]), *(f"{c[key]:.3f}" for c in results))
    return table


def robustness_tables(report: dict[str, Any]) -> list["Table"]:
    """IoU per share hidden; a table per ground, a row per run and method.

    Args:
        report: from `mem3d.evaluation.robustness.report`, with "subset" and "known".
    """
    grounds = list(dict.fromkeys(curve["ground"] for curve in report["curves"]))
    note = next((text for text in map(_leak_note, report["known"].values()) if text), "")
    title = f"{report['protocol']}; {report['models']} {report['subset']} models{note}"
    titles = [f"{title}\n{grounds[0]}", *grounds[1:]]
    return [_ground_table(report, *pair) for pair in zip(titles, grounds, strict=True)]


def _ground_table(report: dict[str, Any], title: str, ground: str) -> "Table":
    """What was hidden, then mean and deviation of each label's runs."""
    from rich.markup import escape

    table = _new_table(title)
    table.add_column("runs")
    table.add_column("method", no_wrap=True)
    shares = [f"{item['share']:.0%}" for item in report["hidden"]]
    means = [f"{item['mean']:.0%}" for item in report["hidden"]]
    for share in shares:
        table.add_column(share, justify="right", no_wrap=True)
    if means != shares:
        table.add_row("hidden", "", *means)
    if any(item["short"] for item in report["hidden"]):
        table.add_row("fell short", "pictures", *(str(item["short"]) for item in report["hidden"]))
    table.add_section()
    for curve in (curve for curve in report["curves"] if curve["ground"] == ground):
        scores = (f"{mean:.3f}" for mean in curve["mean"])
        table.add_row(escape(curve["label"]), curve["method"], *scores)
        if curve["deviation"] is not None:
            table.add_row("", "±", *(f"{spread:.3f}" for spread in curve["deviation"]))
    return table


def study_table(table: dict[str, Any], subset: str) -> "Table":
    """What fits a terminal: the network and its gain on one subset, cost and recall."""
    from mem3d.study.report import label, spread_text

    models, epochs = table["samples"][subset], table["epochs"]
    title = f"Macro IoU at .3 on {counted(models, f'{subset} model')} after "
    title += counted(epochs, "epoch")
    grid = _new_table(title, "mean ± standard deviation over the seeds")
    grid.add_column("variant", no_wrap=True)
    for share in table["shares"]:
        heading = "IoU" if share == "0" else f"{float(share):.0%}\nhidden"
        grid.add_column(heading, justify="right", vertical="bottom")
        grid.add_column("gain", justify="right", vertical="bottom")
    for heading in ("min", "hits"):
        grid.add_column(heading, justify="right", vertical="bottom")
    for row in table["rows"]:
        cells = []
        for share in table["shares"]:
            cell = row[subset][share]
            texts = spread_text(cell["network"]), spread_text(cell["gain"], "+.3f")
            cells += [text.replace(" ", "").replace("0.", ".") for text in texts]
        cells += [f"{row['minutes']['mean']:.0f}", f"{row['hit_rate']['mean']:.2f}"]
        grid.add_row(label(row), *cells)
    return grid


def reconstruction_lines(rows: list[dict[str, Any]]) -> str:
    """Per photo: how much, what was recalled (the first three), which files."""
    from mem3d.data.taxonomy import titled

    lines = []
    for row in rows:
        first, others = row["recalled"][:3], len(row["recalled"][3:])
        titles = [titled(prior["source"]).replace("\n", " ") for prior in first]
        recalled = ", ".join(
            f"{printable(title)} ({prior['cosine']:.3f})"
            for title, prior in zip(titles, first, strict=True)
        )
        recalled += f" and {others} more" if others else ""
        what = f"background {row['background']}" if row["background"] != "masked" else "masked"
        what += f", doubtful: {', '.join(row['doubts'])}" if row["doubts"] else ""
        photo, recalled = printable(row["photo"]), recalled or "nothing"
        lines.append(f"{photo}: {what}; {row['voxels']} voxels; recalled {recalled}")
        lines += [f"  {remark}" for remark in row["remarks"]]
        lines.append("  " + "  ".join(row["files"]))
        if row["to_print"]:
            lines.append(f"  to print: {row['to_print']['in_words']}")
    return "\n".join(lines)


BAR = 40  # characters of a histogram's longest bar
EIGHTHS = " ▏▎▍▌▋▊▉█"
LEAST = 20  # columns that a table's last column has, however narrow the terminal


def print_stats(path: str | Path, facts: dict[str, Any]) -> None:
    """What `memstore inspect` shows.

    Args:
        path: folder or URL of the memory.
        facts: `Stats` as a dict, with "remarks" and maybe "duplicates".
    """
    typer.echo(f"{typer.style(printable(path), bold=True)} at snapshot {facts['snapshot']}")
    used, capacity = facts["used"], facts["capacity"]
    typer.echo(_bar("slots", facts["fill"], f"{used:,} of {capacity:,} used"))
    typer.echo(_overview(facts))
    if used:
        for name, title in (("ages", "age, in pairs written"), ("reads", "times read")):
            typer.echo(_histogram(title, facts[name]["edges"], facts[name]["counts"]))
        if facts["most_read"]:
            typer.echo(_slots("most read", facts["most_read"]))
        typer.echo(_slots("least read", facts["least_read"]))
    if "duplicates" in facts:
        typer.echo(_duplicates(facts["duplicates"]))
    for remark in facts["remarks"]:
        typer.echo(f"! {remark}")


def _overview(facts: dict[str, Any]) -> str:
    """Two columns: what, and how much."""
    written = ("merges", "inserts", "evictions", "removals")
    ram = {name: facts[f"{name}_bytes"] for name in ("key", "value", "bookkeeping")}
    lines = [
        ("key, value", f"{facts['key_dim']:,} channels, {facts['resolution']}³ voxels"),
        ("rules", _rules(facts)),
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
    lines += [(f"column {name}", _column(column)) for name, column in facts["columns"].items()]
    lines.append(("mapped" if facts["rows"] == "disk" else "RAM", _sizes(ram)))
    if facts["disk_bytes"] is not None:
        lines.append(("disk", _sizes(facts["disk_bytes"])))
    return "\n".join(f"{name:<14} {printable(text)}" for name, text in lines)


def _column(facts: dict[str, Any]) -> str:
    """What slots have in a column."""
    distinct = f"{facts['distinct']:,} distinct"
    if "most" in facts:
        return f"{distinct}: " + ", ".join(f"{name} {n:,}" for name, n in facts["most"])
    if "min" in facts:
        return f"{facts['min']:g} to {facts['max']:g}, median {facts['median']:g}, {distinct}"
    return distinct


def _rules(facts: dict[str, Any]) -> str:
    """What a memory recalls, what it merges, and what it does when it is full."""
    merges = "merges nothing"
    full = {"error": "refuses new values", "evict": "evicts the oldest"}[facts["when_full"]]
    if facts["delta"] is not None:
        merges = f"merges from {facts['value_similarity']} similarity {facts['delta']} on"
    search = ", searches by lists of keys" * (facts.get("search") == "ivf")
    return f"recalls above cosine {facts['beta']}, {merges}, if full {full}{search}"


def print_neighbors(queries: list[dict[str, Any]]) -> None:
    """What `memstore query` shows: a table per query."""
    for query in queries:
        rows = [
            (
                f"{near['slot']}",
                f"{near['cosine']:.4f}",
                f"{near['age']:,}",
                f"{near['reads']:,}",
                near["source"],
            )
            for near in query["neighbors"]
        ]
        if len(queries) > 1:
            typer.echo(f"\nquery {query['query']}")
        typer.echo(_text_table(("slot", "cosine", "age", "reads", "source"), rows))


def print_slots(rows: list[dict[str, Any]]) -> None:
    """What `memstore list` shows."""
    names = [*rows[0]["columns"]] if rows else []
    cells = [
        (
            *(f"{row['slot']}", f"{row['age']:,}", f"{row['reads']:,}"),
            *(str(row["columns"][name]) for name in names),
            row["source"],
        )
        for row in rows
    ]
    typer.echo(_text_table(("slot", "age", "reads", *names, "source"), cells, right=3))


def print_history(rows: list[dict[str, Any]], elsewhere: dict[str, str]) -> None:
    """What `memstore history` shows."""
    cells = [(row["id"], row["time"], ", ".join(row["tags"]), row["message"]) for row in rows]
    typer.echo(_text_table(("snapshot", "time (UTC)", "tags", "message"), cells, right=0))
    for name, snapshot in elsewhere.items():
        typer.echo(f"tag {printable(name)} outside this history: {snapshot}")


def slots_in_words(slots: Sequence[int], most: int = 12) -> str:
    """Slots as text, neighbors joined: "0-3, 7, 9 ..."."""
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
    return f"\n{title}\n" + _text_table(("slot", "reads", "age", "source"), rows, right=3)


def _duplicates(report: dict[str, Any]) -> str:
    """How many values are alike, and the largest group."""
    whole = f"all {report['used']:,} values"
    if report["compared"] < report["used"]:
        whole = f"a sample of {report['compared']:,} of {report['used']:,} values"
    text = f"\nnear duplicates (similarity from {report['similarity']}): "
    pairs, groups = counted(report["total"], "pair"), counted(len(report["groups"]), "group")
    text += f"{pairs} and {groups} among {whole}"
    if report["groups"]:
        text += f"\nlargest group: slots {slots_in_words(report['groups'][0])}"
    return text


def _sizes(parts: dict[str, int]) -> str:
    """Bytes per part and in all."""
    texts = [f"{'other' if name == '.' else name} {_size(size)}" for name, size in parts.items()]
    return f"{_size(sum(parts.values()))} ({', '.join(texts)})"


def _size(size: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def _text_table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: int = 4) -> str:
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
