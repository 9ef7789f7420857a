"""What a run writes down about itself can be read back."""

import json
from pathlib import Path

import pytest

from mem3d.runs.folder import read_description, read_log, run_data


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


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[]" * 2**25])
def test_a_hostile_description_is_named_or_none(text, tmp_path):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=r"run\.json: got .*want what training wrote"):
        run_data(tmp_path)
    assert read_description(tmp_path) == {}


def test_lines_of_a_log_that_are_no_rows_are_left_out(tmp_path):
    lines = ['{"step": 1}', "[" * 100_000, "7", '{"epoch": 2}', '{"step": 3}', '{"step": 4']
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    assert read_log(tmp_path / "log.jsonl", 5) == [{"step": 1}, {"step": 3}]
    assert read_log(tmp_path / "log.jsonl", 2) == [{"step": 1}]
