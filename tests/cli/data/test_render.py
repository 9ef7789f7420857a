"""mem3d-cli data render, as a user calls it."""

import json

import trimesh
from typer.testing import CliRunner

from mem3d_cli.mem3d.app import app


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_help_has_an_example():
    result = call("data", "render", "--help")
    assert result.exit_code == 0
    assert "Example" in result.output


def test_meshes_become_a_data_set_and_broken_ones_are_named(tmp_path):
    (tmp_path / "in" / "lamp").mkdir(parents=True)
    trimesh.creation.box((1, 2, 3)).export(tmp_path / "in" / "lamp" / "a.stl")
    (tmp_path / "in" / "lamp" / "b.stl").write_bytes(b"\0" * 83 + b"\xff")
    command = ("data", "render", tmp_path / "in", tmp_path / "out", "--views", 1, "--size", 16)
    command += ("--processes", 1, "--quiet", "--up", "z", "--front", "-y")
    first = call(*command)
    assert first.exit_code == 0, first.output
    assert first.stdout == f"{tmp_path / 'out'}: 1 shape (1 made now), 1 file skipped\n"
    assert first.stderr.startswith("  skipped lamp/b.stl: got 84 bytes")
    second = json.loads(call(*command, "--json").stdout)
    assert (second["models"], second["made"]) == (1, 0)
    assert [row["file"] for row in second["skipped"]] == ["lamp/b.stl"]
    assert call("data", "show", tmp_path / "out", "--out", tmp_path / "a.png").exit_code == 0
