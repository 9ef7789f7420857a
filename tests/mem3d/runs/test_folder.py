"""What a run writes down about itself can be read back."""

import json
from pathlib import Path

import pytest

from mem3d.runs.folder import run_data


def test_a_run_knows_its_data(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"data": "somewhere", "split": None}))
    assert run_data(tmp_path) == (Path("somewhere"), None)
    (tmp_path / "run.json").unlink()
    with pytest.raises(ValueError, match="name the data"):
        run_data(tmp_path)
    with pytest.raises(ValueError, match="absent: got nothing there, want a run's folder"):
        run_data(tmp_path / "absent")
