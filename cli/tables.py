"""Tables for the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mem3d_cli.console import counted, printable

if TYPE_CHECKING:
    from rich.table import Table


def training_summary(run: Path, row: dict[str, Any]) -> str:
    """Where a run ended, in two lines.

    Args:
        run: its folder.
        row: its last log row.
    """
    validated = f"validation IoU {row['val_iou']:.3f}, " if "val_iou" in row else ""
    return (
        f"{run}: epoch {row['epoch']}, loss {row['loss']:.4f}, {validated}"
        f"{counted(row['memory_slots'], 'slot')} in use\n"
        f"curves: {run / 'curves.png'}; next: mem3d-cli evaluate {run}"
    )


def _told(known: dict[str, Any]) -> str:
    """What was done with models whose shapes were known; "" if there were none."""
    count = known["name"] + known["grid"] + known["training"]
    if not count:
        return ""
    if known["models"] == "drop":
        return f"\nleft out, as the memory knows them: {counted(count, 'model')} more"
    return f"\nNO TEST: {count} of these models are known to the memory"


def _told_of_all(summary: dict[str, Any]) -> str:
    """The same for all networks that answered; of the others with the name of the run."""
    text = _told(summary["known"])
    for run, known in summary.get("with", {}).items():
        if told := _told(known):
            text += f"{told} of {printable(run)}"
    return text


COLUMNS = 6  # of numbers per table, so that it fits 80 characters


def evaluation_tables(summary: dict[str, Any]) -> list["Table"]:
    """IoU per category and both averages; one column per method and threshold, COLUMNS a table.

    Where the best threshold gives what the fixed one does, it has no column: grids that are full or
    empty are the same at each.

    Args:
        summary: from `mem3d.evaluation.summarise`, with "subset", "step" and "known"; of an
            ensemble also "with", what the others know by run.
    """
    what = f"photos {summary['photos']}" if "photos" in summary else "models, view 00"
    if summary.get("tta"):
        what += f" and {summary['tta']} variants of it"
    others = summary.get("with", {})
    if others:
        what += f", {1 + len(others)} networks together"
    title = (
        f"IoU on {summary['samples']} {summary['subset']} {what}, after "
        f"{counted(summary['step'], 'step')}; {summary['hit_rate']:.0%} recalled something, "
        f"{summary['mean_priors']:.1f} shapes on average"
    )
    columns = {}
    for method, results in summary["methods"].items():
        for column, result in results.items():
            best = "*" if column.startswith("best") else ""
            if best and _alike(result, results["fixed"]):
                continue
            what = f"t={result['threshold']}{best}" if "threshold" in result else "F@1%"
            columns["\n".join([*method.split(), what])] = result
    averages = {"over samples": "weighted", "over categories": "macro"}
    caption = f"{summary['protocol']}; * best threshold on the validation set"
    pages = [list(columns)[at : at + COLUMNS] for at in range(0, len(columns), COLUMNS)]
    tables = []
    for number, page in enumerate(pages):
        headed = title + _told_of_all(summary) if number == 0 else ""
        noted = caption if number == len(pages) - 1 else ""
        shown = {heading: columns[heading] for heading in page}
        tables.append(_table(headed, noted, summary, shown, averages))
    return tables


def _alike(result: dict[str, Any], fixed: dict[str, Any]) -> bool:
    """Whether two columns hold the same numbers."""
    return all(result[name] == fixed[name] for name in ("categories", "weighted", "macro"))


def pix3d_table(summary: dict[str, Any]) -> "Table":
    """IoU per category by Pix3D's protocol; one column per method.

    Args:
        summary: as of `evaluation_table`, with "pix3d".
    """
    columns = {
        "\n".join([*method.split(), f"t={result['threshold']}"]): result
        for method, result in summary["pix3d"]["methods"].items()
    }
    title = f"The same by Pix3D's own protocol, not to be compared{_told_of_all(summary)}"
    caption = summary["pix3d"]["protocol"]
    return _table(title, caption, summary, columns, {"over samples": "weighted"})


def robustness_tables(found: dict[str, Any]) -> list["Table"]:
    """IoU per share hidden; a table per ground, a row per run and method.

    Args:
        found: from `mem3d.robustness.report`, with "subset" and "known".
    """
    grounds = list(dict.fromkeys(curve["ground"] for curve in found["curves"]))
    told = next((text for text in map(_told, found["known"].values()) if text), "")
    title = f"{found['protocol']}; {found['models']} {found['subset']} models{told}"
    titles = [f"{title}\n{grounds[0]}", *grounds[1:]]
    return [_ground_table(found, *pair) for pair in zip(titles, grounds, strict=True)]


def _ground_table(found: dict[str, Any], title: str, ground: str) -> "Table":
    """What was hidden, then mean and deviation of each label's runs."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("runs")
    table.add_column("method", no_wrap=True)
    for one in found["hidden"]:
        table.add_column(f"{one['share']:.0%}", justify="right", no_wrap=True)
    reached = [f"{one['mean']:.0%}" for one in found["hidden"]]
    if reached != [f"{one['share']:.0%}" for one in found["hidden"]]:  # else as the head says
        table.add_row("hidden", "", *reached)
    if any(one["short"] for one in found["hidden"]):
        table.add_row("fell short", "pictures", *(str(one["short"]) for one in found["hidden"]))
    table.add_section()
    for curve in (one for one in found["curves"] if one["ground"] == ground):
        means = (f"{mean:.3f}" for mean in curve["mean"])
        table.add_row(escape(curve["label"]), curve["method"], *means)
        if curve["deviation"] is not None:
            table.add_row("", "±", *(f"{apart:.3f}" for apart in curve["deviation"]))
    return table


def _table(
    title: str,
    caption: str,
    summary: dict[str, Any],
    columns: dict[str, dict[str, Any]],
    averages: dict[str, str],
) -> "Table":
    """A row per category, then the averages."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.title, table.caption, table.caption_justify = title or None, caption or None, "left"
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


def reconstruction_lines(rows: list[dict[str, Any]]) -> str:
    """Per photo: how much, what was recalled (the first three), which files."""
    from mem3d.titles import titled

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
        photo, recalled = printable(row["photo"]), recalled or "nothing"
        lines.append(f"{photo}: {what}; {row['voxels']} voxels; recalled {recalled}")
        lines.append("  " + "  ".join(row["files"]))
    return "\n".join(lines)


def study_table(table: dict[str, Any], subset: str) -> "Table":
    """What fits a terminal: the network and its gain on one subset, cost and recall."""
    from rich import box
    from rich.table import Table

    from mem3d.study_markdown import label, told

    models, epochs = table["samples"][subset], table["epochs"]
    title = f"Macro IoU at .3 on {counted(models, f'{subset} model')} after "
    title += counted(epochs, "epoch")
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown.caption, shown.caption_justify = "mean ± standard deviation over the seeds", "left"
    shown.add_column("variant", no_wrap=True)
    for share in table["shares"]:
        heading = "IoU" if share == "0" else f"{float(share):.0%}\nhidden"
        shown.add_column(heading, justify="right", vertical="bottom")
        shown.add_column("gain", justify="right", vertical="bottom")
    for heading in ("min", "hits"):
        shown.add_column(heading, justify="right", vertical="bottom")
    for row in table["rows"]:
        cells = []
        for share in table["shares"]:
            cell = row[subset][share]
            told_both = told(cell["network"]), told(cell["gain"], "+.3f")
            cells += [text.replace(" ", "").replace("0.", ".") for text in told_both]
        cells += [f"{row['minutes']['mean']:.0f}", f"{row['hit_rate']['mean']:.2f}"]
        shown.add_row(label(row), *cells)
    return shown
