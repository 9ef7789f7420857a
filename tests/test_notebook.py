"""The notebook's cells run in order, as they stand there, and their outputs are kept."""

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


def test_a_photo_becomes_a_mesh(told):
    lines, folder = told
    assert lines[0].startswith("04256520/")  # a sofa
    assert (folder / "sofa.glb").read_bytes().startswith(b"glTF")


def test_what_was_added_is_recalled_first_and_helps(told):
    lines, _ = told
    before, after = (line for line in lines if line.startswith("recalled first: "))
    assert "my lamp" not in before and "my lamp" in after
    assert float(after.split()[-1]) > float(before.split()[-1])
    assert "[6925]" in lines


def test_the_memory_alone_tells_what_it_did(told):
    lines, _ = told
    assert lines[-2].startswith("WriteReport(3 pairs: 1 merged")
    assert lines[-1].startswith("recalled ['lamp'] with cosine [0.99")


def test_the_outputs_that_are_kept_are_those(told):
    """But for digits, in which processors may differ."""
    kept = [output for _, outputs in cells() for output in outputs]
    texts = "".join("".join(output.get("text", "")) for output in kept).splitlines()
    assert [line.split()[:2] for line in texts] == [line.split()[:2] for line in told[0]]
    assert sum("image/png" in output.get("data", {}) for output in kept) == 4
    assert BOOK.stat().st_size < 500_000
