"""A study's table as a page."""

from typing import Any

from mem3d.study import MEMORISED, UNSEEN
from mem3d.study_variants import BASE, WITHOUT

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
    if MEMORISED in table["samples"]:
        parts.append(_memorising(table))
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


def _memorising(table: Table) -> str:
    rows = [["variant", "before", "after memorising", "gain", "nearest before", "nearest after"]]
    for row in table["rows"]:
        before, after = row[UNSEEN]["0"], row[MEMORISED]["0"]
        cells = [told(one["network"]) for one in (before, after)]
        cells += [told(row["memorising"], "+.3f")]
        cells += [told(one["nearest"]) for one in (before, after)]
        rows.append([label(row), *cells])
    return f"## shapes of an unseen source, memorised without training\n\n{_lines(rows)}"


def _cost(table: Table) -> str:
    rows = [["variant", "what it is", "minutes", "hits", "priors", "slots"]]
    forms = {"minutes": ".1f", "hit_rate": ".2f", "priors": ".1f", "slots": ".0f"}
    if any("blend" in row for row in table["rows"]):
        rows[0] += ["blend", "shift"]
        forms |= {"blend": ".2f", "shift": "+.2f"}
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
