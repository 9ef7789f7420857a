"""A study's results gathered into a table: table.json, table.md and plot.png."""

import io
import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from mem3d import markdown
from mem3d.study.study import MEMORIZED, RESULTS, UNSEEN, Result, Study, read_result, study_run
from mem3d.study.variants import BASE, NO_MEMORY, WHAT, equivalent_variants
from memstore.files import write_atomic

Spread = dict[str, Any]  # {"mean": ..., "std": ..., "n": ...}
Table = dict[str, Any]
Scores = dict[int, dict[str, float]]  # by seed, of one subset and share

_RUN_FIELDS, _RECALL_FIELDS = ("minutes", "slots"), ("hit_rate", "priors")
_NOTE = f"""IoU: macro, at .3, of the network (first) and of the nearest recalled shape, after
{{epochs}} epochs, mean of {{views}} views of each shape; mean ± standard deviation over the seeds.
gain: of the network over `{NO_MEMORY}`, seed by seed. `(= x)`: the settings are those of x, and so
are the numbers. hits, priors: share of validation shapes that recalled something, and how many
shapes on average. minutes: of a run's epochs."""
_COLORS = ("#1f5fa8", "#d9772b", "#4a9c5d", "#8c5aa8", "#777777")
_MARKERS = "osD^v"


def write_table(
    study: Study,
    passed_over: Mapping[str, str] | None = None,
    names: Collection[str] | None = None,
) -> Table:
    """Write table.json, table.md and plot.png from all results there are.

    Args:
        study: whose.
        passed_over: from `run_study`.
        names: see `collect`.

    Returns:
        what table.json holds: what `collect` gives and "passed_over".
    """
    table = collect(study, names) | {"passed_over": dict(passed_over or {})}
    study.folder.mkdir(parents=True, exist_ok=True)
    write_atomic(study.folder / "table.json", json.dumps(table, indent=1).encode())
    write_atomic(study.folder / "table.md", as_markdown(table).encode())
    if table["rows"]:
        write_atomic(study.folder / "plot.png", plot(table))
    return table


def collect(study: Study, names: Collection[str] | None = None) -> Table:
    """Gather the results of all variants and seeds.

    Args:
        study: whose.
        names: variants that are asked for: of those whose settings are another one's, only these
            get a row; None for all.

    Returns:
        "epochs"; "views" of each shape; "shares": hidden, as texts, and "samples": shapes per
        subset, both as the results have them, whatever the study asks for now; "rows": per variant
        that has a result, in the order of `variants`: "variant", "what" it changes, "same_as" (the
        variant whose results stand here, or None), "seeds", spreads of "minutes", "slots",
        "hit_rate" and "priors" (validation, nothing hidden), and per subset and share spreads of
        "network" and "nearest" (macro IoU at .3), of the network's "gain" over no-memory and of
        its "lead", base less it; with unseen shapes also "memorizing", what these give: the
        network after less the network before. Differences are taken seed by seed. A spread is
        "mean", "std" and "n", None where n is too small.

    Raises:
        ValueError: a result cannot be read, or is of other settings or other shapes.
    """
    results = {name: _results(study, name) for name in WHAT}
    every = [result for by_seed in results.values() for result in by_seed.values()]
    samples = _samples(study, every)
    shares = {share for result in every for name in samples for share in result.get(name, {})}
    table: Table = {
        "epochs": study.base.train.epochs,
        "views": study.views,
        "shares": sorted(shares, key=float),
        "samples": samples,
        "rows": [],
    }
    for name, first in equivalent_variants(study.base, len(study.learning)).items():
        if results[first] and (name == first or names is None or name in names):
            table["rows"].append(_row(name, first, results, table))
    return table


def _row(name: str, first: str, results: dict[str, dict[int, Result]], table: Table) -> Table:
    """Of one variant, whose results are those of `first`."""
    own = results[first]
    row: Table = {
        "variant": name,
        "what": WHAT[name],
        "same_as": None if first == name else first,
        "seeds": sorted(own),
    }
    row |= {field: spread(result[field] for result in own.values()) for field in _RUN_FIELDS}
    whole = _scores(own, "val", "0")
    row |= {field: spread(score[field] for score in whole.values()) for field in _RECALL_FIELDS}
    baseline = {} if first == NO_MEMORY else results[NO_MEMORY]
    base = {} if first == BASE else results[BASE]
    for subset in table["samples"]:
        row[subset] = {
            share: _cell(*(_scores(some, subset, share) for some in (own, baseline, base)))
            for share in table["shares"]
        }
    if MEMORIZED in table["samples"]:
        after, before = (_scores(own, subset, "0") for subset in (MEMORIZED, UNSEEN))
        row["memorizing"] = _difference(after, before)
    return row


def _samples(study: Study, results: list[Result]) -> dict[str, int]:
    """Shapes of each subset that was scored; of a subset that is not at hand, as a result says."""
    counts = {name: n for result in results for name, n in result.get("models", {}).items()}
    counts |= {name: len(data) for name, data in study.subsets().items()}
    return {name: n for name, n in counts.items() if any(name in result for result in results)}


def _results(study: Study, name: str) -> dict[int, Result]:
    """Seed -> result, of one variant."""
    results = {}
    for path in (study.folder / RESULTS).glob(f"{name}-s*.json"):
        if seed := re.fullmatch(rf"{name}-s(\d+)\.json", path.name):
            result = read_result(study, study_run(study, name, int(seed[1])))
            if result is not None:
                results[int(seed[1])] = result
    return results


def _scores(results: dict[int, Result], subset: str, share: str) -> Scores:
    """Seed -> scores of one subset and share, where there are any."""
    return {
        seed: result[subset][share]
        for seed, result in results.items()
        if share in result.get(subset, {})
    }


def _cell(own: Scores, baseline: Scores, base: Scores) -> dict[str, Spread]:
    return {
        "network": spread(score["network"] for score in own.values()),
        "nearest": spread(score["nearest"] for score in own.values()),
        "gain": _difference(own, baseline),
        "lead": _difference(base, own),
    }


def _difference(scores: Scores, other: Scores) -> Spread:
    """Of the networks of the seeds that both have."""
    both = [seed for seed in scores if seed in other]
    return spread(scores[seed]["network"] - other[seed]["network"] for seed in both)


def spread(values: Iterable[float]) -> Spread:
    """Mean and sample standard deviation (n - 1); None where there are too few values."""
    listed = list(values)
    return {
        "mean": float(np.mean(listed)) if listed else None,
        "std": float(np.std(listed, ddof=1)) if len(listed) > 1 else None,
        "n": len(listed),
    }


def spread_text(value: Spread, form: str = ".3f") -> str:
    """ "0.406 ± 0.012", without the spread of a single value; "-" for none."""
    if value["mean"] is None:
        return "-"
    mean = format(value["mean"], form)
    return mean if value["std"] is None else f"{mean} ± {value['std']:{form.lstrip('+')}}"


def label(row: Table) -> str:
    """Name of a row, and whose results stand there: "k4 (= base)"."""
    stands_in = f" (= {row['same_as']})" if row["same_as"] else ""
    return f"{row['variant']}{stands_in}"


def as_markdown(table: Table) -> str:
    """The table for a page: a part per subset, one for cost and recall, and what they show."""
    parts = [_subset_part(table, subset) for subset in table["samples"]]
    if any(row["variant"] == BASE for row in table["rows"]):
        parts.append(_lead_part(table))
    if MEMORIZED in table["samples"]:
        parts.append(_memorizing_part(table))
    parts += [_cost_part(table), _NOTE.format(epochs=table["epochs"], views=table["views"])]
    if table["passed_over"]:
        reasons = [f"{name}: {why}" for name, why in table["passed_over"].items()]
        parts += ["Passed over in the last call:", markdown.bullets(reasons)]
    return markdown.page(*parts)


def _subset_part(table: Table, subset: str) -> str:
    heads = ["variant", "seeds"]
    for share in table["shares"]:
        heads += [f"{column}{_hidden(share)}" for column in ("IoU", "nearest", "gain")]
    rows = [heads]
    for row in table["rows"]:
        texts = [label(row), str(row[subset]["0"]["network"]["n"])]
        for cell in (row[subset][share] for share in table["shares"]):
            texts += [spread_text(cell["network"]), spread_text(cell["nearest"])]
            texts.append(spread_text(cell["gain"], "+.3f"))
        rows.append(texts)
    return f"## {subset}: {table['samples'][subset]} models\n\n{markdown.table(rows)}"


def _lead_part(table: Table) -> str:
    places = [(subset, share) for subset in table["samples"] for share in table["shares"]]
    rows = [["variant", *(f"{subset}{_hidden(share)}" for subset, share in places)]]
    for row in table["rows"]:
        if row["variant"] != BASE and row["same_as"] is None:
            leads = [row[subset][share]["lead"] for subset, share in places]
            rows.append([label(row), *(spread_text(lead, "+.3f") for lead in leads)])
    return f"## what `{BASE}` has before each, seed by seed\n\n{markdown.table(rows)}"


def _hidden(share: str) -> str:
    return "" if share == "0" else f" ({float(share):.0%} hidden)"


def _memorizing_part(table: Table) -> str:
    rows = [["variant", "before", "after memorizing", "gain", "nearest before", "nearest after"]]
    for row in table["rows"]:
        cells = row[UNSEEN]["0"], row[MEMORIZED]["0"]
        networks, nearest = (
            [spread_text(cell[name]) for cell in cells] for name in ("network", "nearest")
        )
        rows.append([label(row), *networks, spread_text(row["memorizing"], "+.3f"), *nearest])
    title = "## shapes of an unseen source, memorized without training"
    return f"{title}\n\n{markdown.table(rows)}"


def _cost_part(table: Table) -> str:
    rows = [["variant", "what it is", "minutes", "hits", "priors", "slots"]]
    forms = {"minutes": ".1f", "hit_rate": ".2f", "priors": ".1f", "slots": ".0f"}
    for row in table["rows"]:
        texts = [spread_text(row[field], form) for field, form in forms.items()]
        rows.append([label(row), row["what"], *texts])
    return f"## cost and recall\n\n{markdown.table(rows)}"


def plot(table: Table) -> bytes:
    """Draw the network's IoU of each variant, in the table's order, bars of one standard deviation.

    Args:
        table: from `collect`, with at least one row.

    Returns:
        a PNG file.
    """
    from matplotlib.figure import Figure  # imported late: it is slow

    rows, subsets = table["rows"], list(table["samples"])
    size = (2.2 + 4.6 * len(subsets), 1.5 + 0.32 * len(rows))
    figure = Figure(figsize=size, layout="constrained")  # no pyplot: it keeps global state
    panels = figure.subplots(1, len(subsets), sharey=True, squeeze=False)[0]
    for axes, subset in zip(panels, subsets, strict=True):
        for number, share in enumerate(table["shares"]):
            _plot_share(axes, rows, subset, share, number)
        axes.set_title(f"{table['samples'][subset]} {subset} models", fontsize="medium")
        axes.set_xlabel("macro IoU at .3 (mean ± standard deviation)")
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    panels[0].set_yticks(range(len(rows)), [label(row) for row in rows])
    panels[0].set_ylim(len(rows) - 0.5, -0.5)  # the first on top
    dots = panels[0].get_legend_handles_labels()
    figure.legend(*dots, loc="outside upper center", ncols=len(dots[0]), frameon=False)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=120)
    return data.getvalue()


def _plot_share(axes: Any, rows: list[Table], subset: str, share: str, number: int) -> None:
    """One share of one panel; a line marks the first row, from which the others are changed."""
    spreads = [(y, row[subset][share]["network"]) for y, row in enumerate(rows)]
    spreads = [(y, value) for y, value in spreads if value["mean"] is not None]
    color = _COLORS[number % len(_COLORS)]
    axes.errorbar(
        [value["mean"] for _, value in spreads],
        [y for y, _ in spreads],
        xerr=[value["std"] or 0.0 for _, value in spreads],
        fmt=_MARKERS[number % len(_MARKERS)],
        color=color,
        capsize=3,
        markersize=5,
        label="nothing hidden" if share == "0" else f"{float(share):.0%} hidden",
    )
    if spreads and rows[0]["variant"] == BASE and spreads[0][0] == 0:
        axes.axvline(spreads[0][1]["mean"], color=color, linewidth=0.8, linestyle=":")
