"""What a run writes down about itself can be read back."""

import json
from pathlib import Path

import pytest

from mem3d.runs.folder import read_log, run_data


def test_a_run_knows_its_data(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"data": "somewhere", "split": None}))
    assert run_data(tmp_path) == (Path("somewhere"), None)
    (tmp_path / "run.json").unlink()
    with pytest.raises(ValueError, match="name the data"):
        run_data(tmp_path)
    with pytest.raises(ValueError, match="absent: got nothing there, want a run's folder"):
        run_data(tmp_path / "absent")


def test_a_damaged_row_costs_itself_only(tmp_path):
    rows = [b'{"step": 2}', b'{"st\xff": 4}', b"[" * 100_000, b"7", bytes(9), b'{"step": 6}']
    (tmp_path / "log.jsonl").write_bytes(b"\n".join(rows))
    assert read_log(tmp_path / "log.jsonl", 6) == [{"step": 2}, {"step": 6}]
    assert read_log(tmp_path / "log.jsonl", 4) == [{"step": 2}]
