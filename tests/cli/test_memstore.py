"""The memstore command."""

import json
import sys
from dataclasses import asdict
from importlib.metadata import version

import numpy as np
import pytest
from typer.testing import CliRunner

from mem3d_cli.memstore import app, main
from memstore import Memory, MemoryConfig

runner = CliRunner()


@pytest.fixture
def path(tmp_path):
    """A memory of one slot (tagged "one"), then two."""
    config = MemoryConfig(capacity=4, key_dim=3, resolution=2)
    with Memory.create(tmp_path / "memory", config) as memory:
        for i in range(2):
            memory.write(np.eye(3)[[i]], np.full((1, 2, 2, 2), bool(i)))
            memory.commit(f"slot {i}")
            if i == 0:
                memory.tag("one")
    return tmp_path / "memory"


def test_inspect(path):
    result = runner.invoke(app, ["inspect", str(path)])
    assert result.exit_code == 0
    lines = dict(line.rsplit(maxsplit=1) for line in result.stdout.splitlines())
    assert (lines["capacity"], lines["used"], lines["fill"]) == ("4", "2", "0.500")


def test_inspect_json_is_the_librarys_answer(path):
    result = runner.invoke(app, ["inspect", str(path), "--json"])
    expected = json.dumps(asdict(Memory.open(path).stats()))
    assert json.loads(result.stdout) == json.loads(expected)


def test_inspect_at_a_tag(path):
    result = runner.invoke(app, ["inspect", str(path), "--at", "one", "--json"])
    assert json.loads(result.stdout)["used"] == 1


def test_version_and_help():
    assert runner.invoke(app, ["--version"]).stdout == f"memstore {version('mem3d')}\n"
    assert "inspect" in runner.invoke(app, ["--help"]).stdout
    assert "Example" in runner.invoke(app, ["inspect", "--help"]).stdout


def test_errors_are_one_line_and_status_1(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["memstore", "inspect", str(tmp_path / "nothing")])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("memstore: ") and err.count("\n") == 1
