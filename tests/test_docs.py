"""The documentation says what the code does, and its links lead somewhere."""

import re
import shlex

import pytest
from typer.testing import CliRunner

import mem3d
import memstore
from docs.generate.__main__ import DOCS, pages
from docs.generate.cli import EXAMPLE, PROGRAMS, commands

ROOT = DOCS.parent
WRITTEN = sorted(DOCS.rglob("*.md"))
COMMANDS = {command.words: command for program in PROGRAMS for command in commands(program)}
NOTEBOOK = DOCS / "results.md"  # its commands are those of their commits
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


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
    known = {spelling for one in command.parameters for spelling in one.spellings}
    used = {word.split("=")[0] for word in words[depth:] if re.match(r"--?[a-z]", word)}
    assert used <= known, call


def anchors(page):
    """Ids of a page's headings, as the site and the repository's viewer make them."""
    found: list[str] = []
    for heading in HEADING.findall(re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)):
        plain = re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading)
        anchor = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain.strip().lower()))
        found.append(f"{anchor}_{found.count(anchor)}" if anchor in found else anchor)
    return found


@pytest.mark.parametrize(("place", "text"), pages().items())
def test_generated_pages_are_up_to_date(place, text):
    assert (DOCS / place).read_text() == text, "run: python -m docs.generate"


@pytest.mark.parametrize("package", [mem3d, memstore], ids=lambda package: package.__name__)
def test_every_public_name_has_its_place(package):
    page = (DOCS / "api" / f"{package.__name__}.md").read_text()
    headings = HEADING.findall(page)
    assert set(package.__all__) <= set(headings)
    assert [name for name in package.__all__ if headings.count(name) != 1] == []


def test_every_command_has_its_place_and_an_example():
    for program in PROGRAMS:
        listed = [command.words for command in commands(program)]
        assert HEADING.findall((DOCS / "cli" / f"{program}.md").read_text()) == [program, *listed]


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_explains_itself(words):
    command = COMMANDS[words]
    [example] = EXAMPLE.findall(command.help)
    assert example.startswith(f"{words} ")
    check_call(example)
    assert [one.name for one in command.parameters if not one.help] == []


@pytest.mark.parametrize("words", COMMANDS)
def test_help_is_shown_as_it_is_written(words):
    """Brackets too: rich would take [demo] in mem3d[demo] for markup."""
    program, *rest = words.split()
    shown = CliRunner().invoke(PROGRAMS[program], [*rest, "--help"], env={"COLUMNS": "1000"})
    told = "".join(shown.output.split())
    command = COMMANDS[words]
    for text in (command.help, *(one.help for one in command.parameters)):
        assert "".join(text.split()) in told


@pytest.mark.parametrize("page", [page for page in WRITTEN if page != NOTEBOOK], ids=place_of)
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
    assert sorted(listed) == sorted(map(place_of, WRITTEN))
    assert "\n  font: false\n" in menu  # others would be fetched from outside


def test_the_memory_s_code_runs(capsys):
    [code] = re.findall(
        r"```python\n(.*?)```", (DOCS / "memory_explained.md").read_text(), re.DOTALL
    )
    exec(compile(code, "memory_explained.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == re.findall(r"\)  # (.+)", code)


def test_pictures_are_small():
    assert [file.name for file in DOCS.glob("*.png") if file.stat().st_size > 150_000] == []


def test_the_memory_s_picture_shows_each_kind_of_write():
    from docs.generate.pictures import draw_writes, plt

    figure = draw_writes()
    titles = [panel.get_title() for panel in figure.axes]
    plt.close(figure)
    told = ["insert: slot 0", "insert: slot 1", "merge: slot 0", "insert: slot 2", "evict: slot 1"]
    assert titles == told  # by hand: chair, cupboard, chair; table; then the cupboard is the oldest
