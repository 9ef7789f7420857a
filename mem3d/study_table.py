"""A study's results as a table: mean and standard deviation over the seeds.

A gain is the mean over seeds of (variant - no-memory, same seed), with the standard deviation of
these differences: seeds differ more between each other than two variants of one seed do.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from mem3d.study import MEMORISED, RESULTS, UNSEEN, Result, Study, part, read_result
from mem3d.study_markdown import Spread, Table, label, markdown
from mem3d.study_plot import draw
from mem3d.study_variants import BASE, WHAT, WITHOUT, twins
from memstore.files import write_atomic


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
        its "lead", base less it; with unseen shapes also "memorising", what these give: the
        network after less the network before. Differences are taken seed by seed. A spread is
        "mean", "std" and "n", None where n is too small. Of a study that blends also "blend",
        "shift" and "shifted", validation with the best shift alone.

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
        if study.blend:
            chosen = [one["blend"] for one in found.values()]
            fields = {"blend": "share", "shift": "shift", "shifted": "shifted"}
            row |= {name: spread(one[of] for one in chosen) for name, of in fields.items()}
        if MEMORISED in samples:
            after, before = (_at(found, subset, "0") for subset in (MEMORISED, UNSEEN))
            row["memorising"] = _difference(after, before)
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
