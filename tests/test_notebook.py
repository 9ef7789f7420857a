"""The notebook's cells run in order, as they stand there."""

import json
from pathlib import Path

import pytest

BOOK = Path(__file__).parents[1] / "docs" / "first_steps.ipynb"


def cells():
    for cell in json.loads(BOOK.read_text())["cells"]:
        if cell["cell_type"] == "code":
            yield "".join(cell["source"]), cell["outputs"]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the cells print, and the folder that they leave."""
    folder, space = tmp_path_factory.mktemp("notebook"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        lines = []
        space["print"] = lambda *words: lines.append(" ".join(map(str, words)))
        for number, (code, _) in enumerate(cells()):
            exec(compile(code, f"cell {number}", "exec"), space)
    return lines, folder


def test_the_network_recalls_shapes_and_a_mesh_is_written(told):
    lines, folder = told
    assert "6 models to learn from, 3 to test on" in lines
    assert any(line.startswith("slot ") and "cosine" in line for line in lines)
    assert (folder / "shape.glb").read_bytes().startswith(b"glTF")


def test_the_memory_alone_tells_what_it_did(told):
    lines, _ = told
    [report] = [line for line in lines if "insert" in line and line.startswith("[")]
    assert report.count("insert") == 2 and report.count("merge") == 1
    assert lines[-1].startswith("recalled slots [0] with cosines [0.9")


def test_no_output_is_kept():
    assert all(outputs == [] for _, outputs in cells())
