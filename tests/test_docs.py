"""The documentation says what the code does, and its links lead somewhere."""

import inspect
import os
import pkgutil
import re
import shlex
from importlib import import_module
from unittest.mock import patch

import pytest
import typer

import mem3d
import memstore
from docs.generate.__main__ import DOCS, EXAMPLE, MODULES, PROGRAMS, pages
from mem3d_cli.app import HELP, MORE

ROOT = DOCS.parent
WRITTEN = sorted(DOCS.rglob("*.md"))
APPS = {program: import_module(module).app for program, module in PROGRAMS.items()}
EXPERIMENTS = DOCS / "experiments"  # their commands are those of their commits
PAGES = [page for page in WRITTEN if page.parent != EXPERIMENTS]
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def listed(words, command):
    """Words of each command and group below a group, and the command."""
    for name, below in getattr(command, "commands", {}).items():
        yield f"{words} {name}", below
        yield from listed(f"{words} {name}", below)


PLACES = {name: list(listed(name, typer.main.get_command(app))) for name, app in APPS.items()}
COMMANDS = {
    words: command
    for places in PLACES.values()
    for words, command in places
    if not hasattr(command, "commands")
}


def help_of(command):
    """A command's help, as it is written."""
    return inspect.getdoc(command.callback)


def shown(words):
    """A command's help in a terminal of 80 columns, which typer's test runner does not look at."""
    command = dict(place for places in PLACES.values() for place in places)[words]
    with patch.dict(os.environ, COLUMNS="80"):
        text = command.get_help(typer.Context(command, info_name=words, **HELP))
    return re.sub(r"\x1b\[\d+m", "", text) + "\n"


def options_of(command):
    """A command's options as its help lists them."""
    context = typer.Context(command)
    return [p for p in command.get_params(context) if p.param_type_name == "option"]


def place_of(page):
    return page.relative_to(DOCS).as_posix()


def shell_lines(text):
    """Calls of the two programs in a page's shell blocks."""
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            call = line.split(" #")[0].split(" | ")[0].strip().removeprefix(".venv/bin/")
            call = re.sub(r"^torchrun .*? (?=mem3d-cli)", "", call)
            if call.split(" ")[0] in PROGRAMS:
                yield call


def check_call(call):
    """Assert that a call names a command, and options that it has."""
    words = shlex.split(call)
    if words[1].startswith("--"):
        assert words[1] in ("--help", "--version", "--install-completion", "--show-completion")
        return
    depth = 3 if words[1] == "data" else 2
    command = COMMANDS[" ".join(words[:depth])]
    options = {"--help", "-h"}.union(*([*p.opts, *p.secondary_opts] for p in command.params))
    used = {word.split("=")[0] for word in words[depth:] if re.match(r"--?[a-z]", word)}
    assert used <= options, call


def anchors(page):
    """Ids of a page's headings, as the site and the repository's viewer make them."""
    ids: list[str] = []
    for heading in HEADING.findall(re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)):
        plain = re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading)
        anchor = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain.strip().lower()))
        ids.append(f"{anchor}_{ids.count(anchor)}" if anchor in ids else anchor)
    return ids


@pytest.mark.parametrize(("place", "text"), pages().items())
def test_generated_pages_are_up_to_date(place, text):
    assert (DOCS / place).read_text() == text, "run: python -m docs.generate"


@pytest.mark.parametrize("package", [mem3d, memstore], ids=lambda package: package.__name__)
def test_every_public_name_has_its_place(package):
    name = package.__name__
    page = (DOCS / "api" / f"{name}.md").read_text()
    directives = re.findall(rf"^::: {name}\.([\w.]+)$", page, re.MULTILINE)
    assert sorted(directives) == sorted([*package.__all__, *MODULES[name]])
    for public in package.__all__:
        thing = getattr(package, public)
        assert not callable(thing) or inspect.getdoc(thing), public
    for module in MODULES[name]:
        assert import_module(f"{name}.{module}").__doc__


def test_every_command_has_its_place():
    for program, places in PLACES.items():
        words = [f"`{words}`" for words, _ in [(program, None), *places]]
        headings = HEADING.findall((DOCS / "cli" / f"{program}.md").read_text())
        assert sorted(headings) == sorted(words)


@pytest.mark.parametrize("program", PROGRAMS)
def test_lines_in_the_commands_pages_fit_their_box(program):
    text = (DOCS / "cli" / f"{program}.md").read_text()
    blocks = re.findall(r"```\w+\n(.*?)```", text, re.DOTALL)
    assert max(len(line) for block in blocks for line in block.splitlines()) <= 80


def test_examples_in_the_commands_pages_are_code():
    text = "".join((DOCS / "cli" / f"{program}.md").read_text() for program in PROGRAMS)
    assert {call for call in shell_lines(text)} == {
        EXAMPLE.search(help_of(command))[1].split(" #")[0].strip() for command in COMMANDS.values()
    }


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_explains_itself(words):
    command = COMMANDS[words]
    [example] = EXAMPLE.findall(help_of(command))
    assert example.startswith(f"{words} ")
    check_call(example)
    assert f"  Example: {example}\n" in shown(words)  # on one line, to be copied
    for parameter in command.params:
        assert re.match(r"[A-Z.\[].*\.$", parameter.help or "") or parameter.name == "name"


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_names_what_it_is_in_python(words):
    [names] = re.findall(r"^In Python: (.+)\.$", help_of(COMMANDS[words]), re.DOTALL | re.MULTILINE)
    for name in names.split(","):
        assert pkgutil.resolve_name(name.strip())


@pytest.mark.parametrize("words", COMMANDS)
def test_help_is_shown_as_it_is_written(words):
    output = "".join(shown(words).split())
    command = COMMANDS[words]
    paragraphs = help_of(command).split("\n\n")
    for text in (*paragraphs, *(parameter.help for parameter in command.params)):
        assert "".join(text.split()) in output


@pytest.mark.parametrize("words", [words for places in PLACES.values() for words, _ in places])
def test_help_fits_80_columns_and_begins_with_what_matters(words):
    lines = shown(words).splitlines()
    assert max(map(len, lines)) <= 80
    first = lines[: lines.index("More:")] if "More:" in lines else lines
    assert len(first) <= 40


@pytest.mark.parametrize("words", COMMANDS)
def test_many_options_are_grouped(words):
    options = options_of(COMMANDS[words])
    more = [option.name for option in options if option.rich_help_panel]
    assert len(options) <= 12 or more
    assert {option.rich_help_panel for option in options} <= {None, MORE}
    if more:
        assert shown(words).count("\nMore:\n") == 1
        below = shown(words).split("\nMore:\n")[1]
        shared = {"which", "threads", "as_json", "quiet", "help"}
        for option in options:
            is_below = re.search(rf"^  (-\w, )?{option.opts[-1]}(?![\w-])", below, re.MULTILINE)
            assert bool(is_below) == (option.name in shared.union(more)), option.name
        assert sum(option.name not in shared.union(more) for option in options) <= 10


@pytest.mark.parametrize("words", COMMANDS)
def test_common_options_are_alike(words):
    """One meaning and one short form each, so that they need be learnt but once."""
    command = COMMANDS[words]
    options = {name: p for p in options_of(command) for name in p.opts}
    assert options["--quiet"].opts == ["--quiet", "-q"]
    assert options["--quiet"].help == "Show no progress."
    assert ("--json" in options) == (words != "mem3d-cli demo")  # as the commands' pages say
    assert sorted(command.get_help_option_names(typer.Context(command, **HELP))) == ["--help", "-h"]
    assert "--out" not in options or options["--out"].opts == ["--out", "-o"]
    assert not {"-o", "-q"} & set(options) - {
        o for n in ("out", "quiet") for o in _names(command, n)
    }


def _names(command, name):
    """Names of an option by the parameter that takes its value."""
    return [word for p in command.params if p.name == name for word in p.opts]


def test_what_is_made_goes_to_out():
    """Arguments are what commands work on; nothing but these begins what it is given."""
    begun = {"train": "run", "study": "folder", "data synth": "folder", "create": "path"}
    for words, command in COMMANDS.items():
        name = words.split(" ", 1)[1]
        arguments = [p.name for p in command.params if p.param_type_name == "argument"]
        assert "out" not in arguments and "to" not in arguments
        if name in begun:
            assert arguments == [begun[name]]


@pytest.mark.parametrize("page", PAGES, ids=place_of)
def test_calls_in_pages_exist(page):
    for call in shell_lines(page.read_text()):
        check_call(call)


@pytest.mark.parametrize("page", WRITTEN, ids=place_of)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(((?!http)[^)\s]+)\)", page.read_text()):
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.is_relative_to(DOCS) and target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_in_the_menu():
    menu = (ROOT / "mkdocs.yml").read_text()
    listed = re.findall(r": ([\w/-]+\.md)$", menu, re.MULTILINE)
    assert sorted(listed) == sorted(map(place_of, PAGES))
    assert "\n  font: false\n" in menu  # others would be fetched from outside


def test_the_memory_s_code_runs(capsys):
    page = (DOCS / "guide" / "memory.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(code, "memory.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == re.findall(r"\)  # (.+)", code)


def test_every_experiment_is_in_their_list():
    links = re.findall(r"\]\(([\w-]+\.md)\)", (EXPERIMENTS / "index.md").read_text())
    assert sorted([*links, "index.md"]) == sorted(page.name for page in EXPERIMENTS.glob("*.md"))


def test_the_paper_s_page_names_files_that_exist():
    places = re.findall(r"`((?:mem3d|memstore|tests)/[\w/.]+)`", (DOCS / "paper.md").read_text())
    assert len(places) > 30
    assert [place for place in places if not (ROOT / place).exists()] == []


def test_each_part_of_the_paper_s_page_has_a_test():
    for row in re.findall(r"^\|.+\.py`.+$", (DOCS / "paper.md").read_text(), re.MULTILINE):
        files = [ROOT / file for file in re.findall(r"`((?:mem3d|memstore)/[\w/]+\.py)`", row)]
        mirrored = [ROOT / "tests" / file.relative_to(ROOT) for file in files]
        tests = [file.with_name(f"test_{file.name}").exists() for file in mirrored]
        assert any(tests) or "`tests/" in row, row


def test_pictures_are_small():
    assert [file.name for file in DOCS.glob("*.png") if file.stat().st_size > 150_000] == []


def test_the_memory_s_picture_shows_each_kind_of_write():
    from docs.generate.pictures import draw_writes, plt

    figure = draw_writes()
    titles = [panel.get_title() for panel in figure.axes]
    plt.close(figure)
    # By hand: chair, cupboard, chair; table; then the cupboard is the oldest.
    expected = "insert: slot 0, insert: slot 1, merge: slot 0, insert: slot 2, evict: slot 1"
    assert ", ".join(titles) == expected
