"""A study's table as a page."""

import io
import json
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mem3d.study.study import MEMORIZED, RESULTS, UNSEEN, Result, Study, part, read_result
from mem3d.study.variants import BASE, WHAT, WITHOUT, twins
from memstore.files import write_atomic

Spread = dict[str, Any]  # {"mean": ..., "std": ..., "n": ...}
Table = dict[str, Any]


def told(value: Spread, form: str = ".3f") -> str:
    """ "0.406 ± 0.012", without the spread of a single value; "-" for none."""
    if value["mean"] is None:
        return "-"
    mean = format(value["mean"], form)
    return mean if value["std"] is None else f"{mean} ± {value['std']:{form.lstrip('+')}}"


def markdown(table: Table) -> str:
    """The table for a page: a part per subset, one for cost and recall, and what they show."""
    parts = [_scores_of(table, subset) for subset in table["samples"]]
    if any(row["variant"] == BASE for row in table["rows"]):
        parts.append(_leads(table))
    if MEMORIZED in table["samples"]:
        parts.append(_memorizing(table))
    parts += [_cost(table), _NOTE.format(epochs=table["epochs"], views=table["views"])]
    if table["passed_over"]:
        lines = [f"- {name}: {why}" for name, why in table["passed_over"].items()]
        parts.append("\n".join(["Passed over in the last call:", "", *lines]))
    return "\n\n".join(parts) + "\n"


_NOTE = f"""IoU: macro, at .3, of the network (first) and of the nearest recalled shape, after
{{epochs}} epochs, mean of {{views}} views of each model; mean ± standard deviation over the seeds.
gain: of the network over `{WITHOUT}`, seed by seed. `(= x)`: the settings are those of x, and so
are the numbers. hits, priors: share of validation models that recalled something, and how many
shapes on average. minutes: of a run's epochs."""


def _scores_of(table: Table, subset: str) -> str:
    lines = []
    for share in table["shares"]:
        hidden = _hidden(share)
        lines += [f"IoU{hidden}", f"nearest{hidden}", f"gain{hidden}"]
    rows = [["variant", "seeds", *lines]]
    for row in table["rows"]:
        cells = [label(row), str(row[subset]["0"]["network"]["n"])]
        for share in table["shares"]:
            cell = row[subset][share]
            cells += [told(cell["network"]), told(cell["nearest"]), told(cell["gain"], "+.3f")]
        rows.append(cells)
    return f"## {subset}: {table['samples'][subset]} models\n\n{_lines(rows)}"


def _leads(table: Table) -> str:
    places = [(subset, share) for subset in table["samples"] for share in table["shares"]]
    heads = [f"{subset}{_hidden(share)}" for subset, share in places]
    rows = [["variant", *heads]]
    for row in table["rows"]:
        if row["variant"] != BASE and row["same_as"] is None:
            cells = [told(row[subset][share]["lead"], "+.3f") for subset, share in places]
            rows.append([label(row), *cells])
    return f"## what `{BASE}` has before each, seed by seed\n\n{_lines(rows)}"


def _hidden(share: str) -> str:
    return "" if share == "0" else f" ({float(share):.0%} hidden)"


def _memorizing(table: Table) -> str:
    rows = [["variant", "before", "after memorizing", "gain", "nearest before", "nearest after"]]
    for row in table["rows"]:
        before, after = row[UNSEEN]["0"], row[MEMORIZED]["0"]
        cells = [told(one["network"]) for one in (before, after)]
        cells += [told(row["memorizing"], "+.3f")]
        cells += [told(one["nearest"]) for one in (before, after)]
        rows.append([label(row), *cells])
    return f"## shapes of an unseen source, memorized without training\n\n{_lines(rows)}"


def _cost(table: Table) -> str:
    rows = [["variant", "what it is", "minutes", "hits", "priors", "slots"]]
    forms = {"minutes": ".1f", "hit_rate": ".2f", "priors": ".1f", "slots": ".0f"}
    for row in table["rows"]:
        cells = [told(row[field], form) for field, form in forms.items()]
        rows.append([label(row), row["what"], *cells])
    return f"## cost and recall\n\n{_lines(rows)}"


def label(row: dict[str, Any]) -> str:
    """Name of a row, and whose results stand there: "k4 (= base)"."""
    stands_in = f" (= {row['same_as']})" if row["same_as"] else ""
    return f"{row['variant']}{stands_in}"


def _lines(rows: list[list[str]]) -> str:
    """A Markdown table; the first row is its heading."""
    ruled = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in ruled)


def write_table(
    study: Study,
    passed_over: Mapping[str, str] | None = None,
    names: Collection[str] | None = None,
) -> Table:
    """Write table.json, table.md and plot.png from all results there are.

    Args:
        study: whose.
        passed_over: from `study_work.work`.
        names: see `collect`.

    Returns:
        what table.json holds: what `collect` gives and "passed_over".
    """
    table = collect(study, names) | {"passed_over": dict(passed_over or {})}
    study.folder.mkdir(parents=True, exist_ok=True)
    write_atomic(study.folder / "table.json", json.dumps(table, indent=1).encode())
    write_atomic(study.folder / "table.md", markdown(table).encode())
    if table["rows"]:
        draw(table, [label(row) for row in table["rows"]], study.folder / "plot.png")
    return table


def collect(study: Study, names: Collection[str] | None = None) -> Table:
    """Gather the results of all variants and seeds.

    Args:
        study: whose.
        names: variants that are asked for: of those whose settings are another one's, only these
            get a row; None for all.

    Returns:
        "epochs"; "views" of each model; "shares": hidden, as texts, and "samples": models per
        subset, both as the results have them, whatever the study asks for now; "rows": per variant
        that has a result, in the order of `variants`: "variant", "what" it changes, "same_as" (the
        variant whose results stand here, or None), "seeds", spreads of "minutes", "slots",
        "hit_rate" and "priors" (validation, nothing hidden), and per subset and share spreads of
        "network" and "nearest" (macro IoU at .3), of the network's "gain" over no-memory and of
        its "lead", base less it; with unseen shapes also "memorizing", what these give: the
        network after less the network before. Differences are taken seed by seed. A spread is
        "mean", "std" and "n", None where n is too small.

    Raises:
        ValueError: a result cannot be read, or is of other settings or other models.
    """
    results = {name: _results(study, name) for name in WHAT}
    listed = [result for found in results.values() for result in found.values()]
    samples = _samples(study, listed)
    known = {share for result in listed for name in samples for share in result.get(name, {})}
    shares = sorted(known, key=float)
    rows = []
    for name, first in twins(study.base, len(study.learning)).items():
        found = results[first]
        if not found or not (name == first or names is None or name in names):
            continue
        row: dict[str, Any] = {
            "variant": name,
            "what": WHAT[name],
            "same_as": None if first == name else first,
            "seeds": sorted(found),
        }
        row |= {field: spread(one[field] for one in found.values()) for field in _OF_A_RUN}
        whole = _at(found, "val", "0")
        row |= {field: spread(one[field] for one in whole.values()) for field in _OF_RECALL}
        without = {} if first == WITHOUT else results[WITHOUT]
        base = {} if first == BASE else results[BASE]
        for subset in samples:
            row[subset] = {share: _cell(found, without, base, subset, share) for share in shares}
        if MEMORIZED in samples:
            after, before = (_at(found, subset, "0") for subset in (MEMORIZED, UNSEEN))
            row["memorizing"] = _difference(after, before)
        rows.append(row)
    epochs, views = study.base.train.epochs, study.views
    return {"epochs": epochs, "views": views, "shares": shares, "samples": samples, "rows": rows}


def _samples(study: Study, results: list[Result]) -> dict[str, int]:
    """Models of each subset that was scored; of a subset that is not at hand, as a result says."""
    said = {name: n for result in results for name, n in result.get("models", {}).items()}
    said |= {name: len(data) for name, data in study.subsets().items()}
    return {name: n for name, n in said.items() if any(name in result for result in results)}


_OF_A_RUN, _OF_RECALL = ("minutes", "slots"), ("hit_rate", "priors")


def _results(study: Study, name: str) -> dict[int, Result]:
    """Seed -> result, of one variant."""
    found = {}
    for path in (study.folder / RESULTS).glob(f"{name}-s*.json"):
        if seed := re.fullmatch(rf"{name}-s(\d+)\.json", path.name):
            result = read_result(study, part(study, name, int(seed[1])))
            if result is not None:
                found[int(seed[1])] = result
    return found


def _at(results: dict[int, Result], subset: str, share: str) -> dict[int, Any]:
    """Seed -> scores of one subset and share, where there are any."""
    return {
        seed: result[subset][share]
        for seed, result in results.items()
        if share in result.get(subset, {})
    }


def _cell(
    results: dict[int, Result],
    without: dict[int, Result],
    base: dict[int, Result],
    subset: str,
    share: str,
) -> dict[str, Spread]:
    found, lone, full = (_at(some, subset, share) for some in (results, without, base))
    return {
        "network": spread(one["network"] for one in found.values()),
        "nearest": spread(one["nearest"] for one in found.values()),
        "gain": _difference(found, lone),
        "lead": _difference(full, found),
    }


def _difference(found: dict[int, Any], other: dict[int, Any]) -> Spread:
    """Of the networks of the seeds that both have."""
    both = [seed for seed in found if seed in other]
    return spread(found[seed]["network"] - other[seed]["network"] for seed in both)


def spread(values: Iterable[float]) -> Spread:
    """Mean and sample standard deviation (n - 1); None where there are too few values."""
    listed = list(values)
    return {
        "mean": float(np.mean(listed)) if listed else None,
        "std": float(np.std(listed, ddof=1)) if len(listed) > 1 else None,
        "n": len(listed),
    }


_COLORS = ("#1f5fa8", "#d9772b", "#4a9c5d", "#8c5aa8", "#777777")
_MARKERS = "osD^v"


def draw(table: dict[str, Any], labels: list[str], path: Path) -> None:
    """Draw the network's IoU of each variant, in the table's order, bars of one standard deviation.

    Args:
        table: from `study_table.collect`, with at least one row.
        labels: of the rows.
        path: PNG file to make or replace.
    """
    from matplotlib.figure import Figure  # imported late: it is slow

    rows, subsets = table["rows"], list(table["samples"])
    size = (2.2 + 4.6 * len(subsets), 1.5 + 0.32 * len(rows))
    figure = Figure(figsize=size, layout="constrained")  # no pyplot: it keeps global state
    panels = figure.subplots(1, len(subsets), sharey=True, squeeze=False)[0]
    for axes, subset in zip(panels, subsets, strict=True):
        for number, share in enumerate(table["shares"]):
            _dots(axes, rows, subset, share, number)
        axes.set_title(f"{table['samples'][subset]} {subset} models", fontsize="medium")
        axes.set_xlabel("macro IoU at .3 (mean ± standard deviation)")
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    panels[0].set_yticks(range(len(rows)), labels)
    panels[0].set_ylim(len(rows) - 0.5, -0.5)  # the first on top
    dots = panels[0].get_legend_handles_labels()
    figure.legend(*dots, loc="outside upper center", ncols=len(dots[0]), frameon=False)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=120)
    write_atomic(path, data.getvalue())


def _dots(axes: Any, rows: list[dict[str, Any]], subset: str, share: str, number: int) -> None:
    """One share of one panel; a line marks the first row, from which the others are changed."""
    found = [(y, row[subset][share]["network"]) for y, row in enumerate(rows)]
    known = [(y, one) for y, one in found if one["mean"] is not None]
    color = _COLORS[number % len(_COLORS)]
    axes.errorbar(
        [one["mean"] for _, one in known],
        [y for y, _ in known],
        xerr=[one["std"] or 0.0 for _, one in known],
        fmt=_MARKERS[number % len(_MARKERS)],
        color=color,
        capsize=3,
        markersize=5,
        label="nothing hidden" if share == "0" else f"{float(share):.0%} hidden",
    )
    if known and rows[0]["variant"] == "base" and known[0][0] == 0:
        axes.axvline(known[0][1]["mean"], color=color, linewidth=0.8, linestyle=":")
