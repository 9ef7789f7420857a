"""The Python of the quickstart and of the guides runs as it stands there."""

import re
import shutil
from pathlib import Path

from mem3d.bundled import example_files

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("quickstart.md", "guide/data.md", "guide/meshes.md")


def test_the_guides_python_runs(made_up_data, tmp_path, monkeypatch):
    """One page after the other in one folder: the quickstart leaves the mesh of the last."""
    shutil.copytree(made_up_data, tmp_path / "DATA")
    shutil.copy(example_files()[0], tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    for page in PAGES:
        blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
        assert blocks, page
        for code in blocks:
            exec(compile(code, page, "exec"), {})
