"""What is printed for people: whole, aligned, and harmless to their terminals."""

import pytest
from rich.cells import cell_len

from mem3d_cli import tables
from mem3d_cli.options import print_table, printable
from mem3d_cli.tables import (
    evaluation_tables,
    print_history,
    print_neighbors,
    reconstruction_lines,
)

LONG = "chairs/" + "x" * 200
ID = "PGM1Z29MXNVK4G4C3S20"


@pytest.fixture
def columns(monkeypatch):
    """A call that sets the terminal's width."""
    return lambda width: monkeypatch.setattr(tables, "_terminal_width", lambda: width)


def near(source, slot=1234):
    return {"slot": slot, "cosine": 0.98765, "age": 54321, "reads": 17, "source": source}


@pytest.mark.parametrize("width", [10, 80, None])
def test_a_long_source_costs_no_other_column(width, columns, capsys):
    columns(width)
    print_neighbors([{"query": 0, "neighbors": [near(LONG), near("short", 7)]}])
    lines = capsys.readouterr().out.splitlines()
    for line, slot in ((lines[2], "1234"), (lines[3], "7")):
        assert line.split()[:4] == [slot, "0.9877", "54,321", "17"]
    assert lines[2].endswith(LONG if width is None else "...")
    assert width != 80 or max(map(len, lines)) == 80


@pytest.mark.parametrize("width", [80, None])
def test_a_history_shows_whole_ids_and_tags(width, columns, capsys):
    columns(width)
    tags = [f"before-the-cars-{i}" for i in range(9)]
    print_history([{"id": ID, "time": "2026-01-01", "tags": tags, "message": LONG}], {})
    line = capsys.readouterr().out.splitlines()[2]
    assert line.startswith(ID) and ", ".join(tags) in line
    assert (LONG in line) == (width is None)


def test_wide_characters_stay_aligned(columns, capsys):
    columns(None)
    rows = [{"id": ID, "time": "t", "tags": tags, "message": "m"} for tags in (["椅子"], ["ab"])]
    print_history(rows, {})
    _, _, wide, narrow = capsys.readouterr().out.splitlines()
    assert cell_len(wide) == cell_len(narrow)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tisch/ü 椅子", "tisch/ü 椅子"),
        ("\x1b[31m\0\r\n", r"\x1b[31m\x00\r\n"),
        ("\u202egnp\x9b\u2028", r"\u202egnp\x9b\u2028"),
        ("\udc80", r"\udc80"),
    ],
)
def test_what_steers_a_terminal_is_shown(text, shown, capsys):
    assert printable(text) == shown
    print_neighbors([{"query": 0, "neighbors": [near(text)]}])
    print_history([{"id": ID, "time": "t", "tags": [text], "message": text}], {text: ID})
    told = capsys.readouterr().out
    assert told.count(shown) == 4
    assert set(told) - set(shown) <= set(map(chr, range(32, 127))) | {"\n"}


def test_brackets_are_no_markup(capsys):
    print_history([{"id": ID, "time": "t", "tags": [], "message": "[red]x[/]"}], {})
    assert "[red]x[/]" in capsys.readouterr().out


def test_a_photos_lines_name_the_kinds_recalled_and_what_speaks_against_the_answer():
    prior = {"source": "03001627/0000005", "cosine": 0.5, "slot": 3}
    row = {"photo": "a.png", "background": "masked", "doubts": [], "files": ["a.glb"]}
    row |= {"voxels": 9, "to_print": None}
    text = reconstruction_lines([{**row, "remarks": ["nothing alike"], "recalled": [prior]}])
    assert text.splitlines() == [
        "a.png: masked; 9 voxels; recalled chair 0000005 (0.500)",
        "  nothing alike",
        "  a.glb",
    ]


def test_an_evaluations_heads_are_words(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    scores = {"categories": {"chair": 0.5}, "weighted": 0.5, "macro": 0.5}
    better = {"categories": {"chair": 0.6}, "weighted": 0.6, "macro": 0.6}
    results = {
        "fixed": {**scores, "threshold": 0.3},
        "best": {**better, "threshold": 0.2},
        "f_score": scores,
    }
    summary = {
        "methods": {"network": results, "nearest recalled": {**results, "best": results["fixed"]}},
        **{"categories": {"chair": 2}, "samples": 2, "subset": "test", "step": 1, "hit_rate": 1},
        **{"mean_priors": 8, "known": {"name": 0, "grid": 0, "training": 0}, "protocol": "IoU"},
    }
    [table] = evaluation_tables(summary)
    assert [column.header for column in table.columns] == [
        *("category", "n", "network\ncut at\n0.3", "network\nbest cut\n0.2"),
        *("network\nF-score\n@1%", "nearest\nrecalled\ncut at\n0.3"),
        "nearest\nrecalled\nF-score\n@1%",
    ]
    print_table(table)
    printed = capsys.readouterr().out
    assert "over the cut" in " ".join(printed.split()) and max(map(len, printed.splitlines())) <= 80
