"""The README's code runs as it stands there."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from mem3d.bundled import example_files
from mem3d.data.readers.r2n2 import R2N2
from mem3d.network.presets import TINY
from mem3d.training.trainer import train
from mem3d_cli.mem3d.app import app as mem3d_app
from mem3d_cli.memstore.app import app as memstore_app
from memstore import PathExistsError
from tests.helpers.r2n2_folder import picture

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [
    (ROOT / "docs" / place).read_text()
    for place in (
        "guide/reconstruct.md",
        "guide/evaluate.md",
        "publish.md",
        "troubleshooting.md",
        "experiments/2026-11-29-inference.md",
    )
]
GUIDE = (ROOT / "docs" / "memstore.md").read_text()


def blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def trained(made_up_data, tmp_path_factory):
    run = tmp_path_factory.mktemp("demo") / "run"
    preset = replace(TINY, train=replace(TINY.train, epochs=1))
    train(R2N2.open(made_up_data, "train"), None, run, preset)
    return run


@pytest.fixture
def demo(trained, made_up_data, tmp_path, monkeypatch):
    """What `make demo` leaves, in tiny."""
    shutil.copytree(trained, tmp_path / "demo" / "run")
    shutil.copytree(made_up_data, tmp_path / "demo" / "shapes")
    chair = tmp_path / "demo/shapes/ShapeNetRendering/03001627/9000005/rendering/00.png"
    chair.parent.mkdir(parents=True)
    Image.fromarray(picture(0)).save(chair)
    shutil.copy(example_files()[0], tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "code", [code for text in (README, *PAGES) for code in blocks("python", text)]
)
def test_every_python_block_runs(demo, code):
    """Those of the README and of the pages about mem3d."""
    exec(compile(code, "README.md", "exec"), {})


def test_the_guides_code_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    [code] = blocks("python", GUIDE)
    exec(compile(code, "memstore.md", "exec"), {})
    *reports, expired, problems, slots = capsys.readouterr().out.splitlines()
    assert reports == ["WriteReport(4 pairs: 4 inserted)"] * 5
    assert expired.startswith("Expired(snapshots=4, ")
    assert problems == "()"
    assert slots.strip("[ ").startswith("3")


def test_the_guides_program_prints_what_its_head_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = (ROOT / "docs" / "grasps.py").read_text()
    names = {}
    exec(compile(code, "grasps.py", "exec"), names)
    assert capsys.readouterr().out == names["__doc__"].split("\n\n")[1]
    assert 90 < len(code.splitlines()) < 120


def test_the_memory_s_lines_run(tmp_path, monkeypatch):
    """On the memory that the code before them makes; run again, it says how to go on."""
    monkeypatch.chdir(tmp_path)
    [code] = [code for code in blocks("python") if "shapes.memory" in code]
    exec(compile(code, "README.md", "exec"), {})
    with pytest.raises(PathExistsError, match="goes on with it"):
        exec(compile(code, "README.md", "exec"), {})
    [line] = [block for block in blocks("sh") if block.startswith(".venv/bin/memstore ")]
    result = CliRunner().invoke(memstore_app, line.split()[1:])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "shapes.png").exists()


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 90 and len(README.split()) <= 600


def commands():
    """Command words and options of every call in the README's shell blocks."""
    for block in blocks("sh"):
        for line in block.splitlines():
            words = line.split("#")[0].split()
            if words and words[0] in (".venv/bin/mem3d-cli", ".venv/bin/memstore"):
                yield pytest.param(words[0].removeprefix(".venv/bin/"), words[1:], id=line.strip())


@pytest.mark.parametrize(("program", "words"), list(commands()))
def test_every_shell_line_names_a_command_and_options_that_exist(program, words):
    app = {"mem3d-cli": mem3d_app, "memstore": memstore_app}[program]
    names = words[:2] if words[0] == "data" else words[:1]
    shown = CliRunner().invoke(app, [*names, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert all(word in shown.output for word in words if word.startswith("--"))


def test_every_file_the_readme_links_to_exists():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_target_the_readme_names_exists():
    targets = set(re.findall(r"\bmake (\w+)", README))
    made = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets <= set(made)
