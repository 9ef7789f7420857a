"""What both programs have in common: help, completion, interrupts, tables."""

import os
import subprocess
import sys
from typing import Annotated

import pytest
import typer
from rich.table import Table
from typer.testing import CliRunner

from mem3d_cli.app import MORE, Commands, add_command, app_of, counted, in_words
from mem3d_cli.mem3d.app import app as mem3d_app
from mem3d_cli.options import Quiet, preset_with, print_table

PROGRAMS = {"mem3d-cli": "mem3d", "memstore": "memstore"}


def run(program, *arguments, **environment):
    """A program as a process of its own, under its own name."""
    code = f"import sys; sys.argv[0] = {program!r}; "
    code += f"from mem3d_cli.{PROGRAMS[program]}.app import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_completion_is_shown_for_bash(program):
    # Without the variable typer asks which shell is running, and a test may run under none.
    given = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    shown = run(program, "--show-completion", "bash", **given)
    assert shown.returncode == 0, shown.stderr
    assert (
        f"complete -o default -F _{program.replace('-', '_')}_completion {program}" in shown.stdout
    )


@pytest.mark.parametrize(
    ("program", "typed", "offered"),
    [
        ("mem3d-cli", "mem3d-cli re", ["reconstruct"]),
        ("mem3d-cli", "mem3d-cli data sp", ["split"]),
        ("memstore", "memstore ex", ["expire", "export"]),
    ],
)
def test_the_tab_key_completes_commands(program, typed, offered):
    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    last = str(len(typed.split()) - 1)
    given = {variable: "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": last}
    assert sorted(run(program, **given).stdout.split()) == offered


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_has_no_colors_in_a_pipe(program):
    shown = run(program, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Usage" in shown.stdout and "\x1b" not in shown.stdout


def test_arguments_are_named_as_the_help_names_them():
    shown = CliRunner().invoke(mem3d_app, ["reconstruct", "--help"]).stdout
    assert "[OPTIONS] [RUN] PHOTOS..." in shown
    assert "Missing argument 'RUN'" in CliRunner().invoke(mem3d_app, ["publish"]).stderr


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            FileNotFoundError(2, "No such file or directory", "a.png"),
            "a.png: No such file or directory",
        ),
        (ValueError("a\nb"), "a\\nb"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_errors_are_one_line(error, told):
    assert in_words(error) == told


def test_one_is_not_several():
    told = [counted(count, "file") for count in (0, 1, 2000)]
    assert told == ["0 files", "1 file", "2,000 files"]


@pytest.mark.parametrize("words", [["nonsense"], ["train"], ["data", "show", "x", "--count", "0"]])
def test_a_mistyped_line_has_exit_status_2(words):
    assert CliRunner().invoke(mem3d_app, words).exit_code == 2


def test_ctrl_c_is_one_line_and_exit_status_130(monkeypatch, made_up_data):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("mem3d.data.curation.report.open_subsets", stopped)
    done = CliRunner().invoke(mem3d_app, ["data", "check", str(made_up_data)])
    assert (done.exit_code, done.stdout, done.stderr) == (130, "", "mem3d-cli: stopped\n")


def test_paragraphs_of_help_flow():
    app = typer.Typer(cls=Commands)

    def first() -> None:
        """Do.

        One line
        and another.

        Example: first
        """

    def second() -> None:
        """Do not."""

    add_command(app, first)
    add_command(app, second, "other")
    shown = CliRunner().invoke(app, ["first", "--help"]).output
    assert "One line and another." in shown and "Example: first" in shown
    assert CliRunner().invoke(app, ["other"]).exit_code == 0


def test_brackets_in_help_are_shown():
    app = app_of("app")

    def command(option: Annotated[str, typer.Option(help="Of a[b], [/c] or [0, 1].")] = "") -> None:
        """Wants mem3d[demo]."""

    add_command(app, command)
    shown = CliRunner().invoke(app, ["--help"]).output
    assert "Wants mem3d[demo]." in shown and "Of a[b], [/c] or [0, 1]." in shown


def test_tables_in_pipes_are_not_cut(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    table = Table(*["a column whose name is long"] * 6)
    table.add_row(*["a number that is long: 0.123"] * 6)
    print_table(table)
    assert capsys.readouterr().out.count("a number that is long: 0.123") == 6


@pytest.mark.parametrize("name", ["paper", "best", "small", "demo", "tiny"])
def test_every_preset_takes_a_stem_of_random_weights(name):
    train = preset_with(name, True, ["train.epochs=3"]).train
    assert (train.freeze_stem, train.cached_views, train.epochs) == (False, 0, 3)


def test_flags_show_no_type_and_numbers_a_plain_one():
    assert "<bool>" not in CliRunner().invoke(mem3d_app, ["-h"]).output
    for command in ("train", "reconstruct"):
        shown = CliRunner().invoke(mem3d_app, [command, "-h"]).output
        assert "--json  " in shown and "<bool>" not in shown and "<path>" in shown
        assert "--batch <int> " in shown and "range" not in shown


def test_usage_names_what_cannot_be_left_out():
    shown = CliRunner().invoke(mem3d_app, ["data", "pack", "-h"]).output
    assert shown.startswith("Usage: mem3d-cli data pack [OPTIONS] --out OUT DATA\n")


def test_options_under_more_take_the_shared_ones_with_them():
    app = app_of("app")

    def first(
        rare: Annotated[int, typer.Option(help="Rare.", min=1, rich_help_panel=MORE)] = 1,
        often: Annotated[int, typer.Option(help="Often.")] = 1,
        quiet: Quiet = False,
    ) -> None:
        """Do."""

    def second(quiet: Quiet = False) -> None:
        """Do not."""

    add_command(app, first)
    add_command(app, second)
    shown = CliRunner().invoke(app, ["first", "-h"]).output
    places = [shown.index(word) for word in ("Options:", "--often", "More:", "--rare", "--quiet")]
    assert places == sorted(places)
    assert "More:" not in CliRunner().invoke(app, ["second", "-h"]).output
