"""mem3d-cli data render, as a user calls it."""

import json
import re
import shutil

import numpy as np
import trimesh
from PIL import Image
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
    command = (
        "data",
        "render",
        tmp_path / "in",
        "-o",
        tmp_path / "out",
        "--views",
        1,
        "--size",
        16,
    )
    command += ("--processes", 1, "--quiet", "--up", "z", "--front", "-y")
    first = call(*command)
    assert first.exit_code == 0, first.output
    assert first.stdout == f"{tmp_path / 'out'}: 1 shape (1 made now), 1 file skipped\n"
    assert first.stderr.startswith("  skipped lamp/b.stl: got 84 bytes")
    second = json.loads(call(*command, "--json").stdout)
    assert (second["models"], second["made"]) == (1, 0)
    assert [row["file"] for row in second["skipped"]] == ["lamp/b.stl"]
    assert call("data", "show", tmp_path / "out", "--out", tmp_path / "a.png").exit_code == 0


def test_no_shape_at_all_is_an_error(tmp_path):
    (tmp_path / "in" / "lamp").mkdir(parents=True)
    (tmp_path / "in" / "lamp" / "b.stl").write_bytes(b"\0" * 83 + b"\xff")
    command = (
        "data",
        "render",
        tmp_path / "in",
        "-o",
        tmp_path / "out",
        "--processes",
        1,
        "--quiet",
    )
    result = call(*command, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["models"] == 0
    assert "no mesh that can be used" in str(result.exception)


def test_what_shapes_lack_is_told(tmp_path):
    """ShapeNetCore v2 keeps pictures beside the mesh's own folder."""
    models = tmp_path / "in" / "03001627" / "1a2b" / "models"
    models.mkdir(parents=True)
    trimesh.creation.box((1, 2, 3)).export(models / "model_normalized.obj")
    text = (models / "model_normalized.obj").read_text()
    (models / "model_normalized.obj").write_text("mtllib m.mtl\nusemtl m\nvt 0 0\n" + text)
    (models / "m.mtl").write_text("newmtl m\nKd 1 0 0\nmap_Kd ../images/texture0.jpg\n")
    lines = (models / "model_normalized.obj").read_text().splitlines()
    placed = [re.sub(r"(\d+)(//\d+)?", r"\1/1", x) if x[:2] == "f " else x for x in lines]
    (models / "model_normalized.obj").write_text("\n".join(placed) + "\n")
    command = (
        "data",
        "render",
        tmp_path / "in",
        "-o",
        tmp_path / "out",
        "--views",
        1,
        "--size",
        16,
    )
    command += ("--processes", 1, "--quiet")
    first = call(*command)
    assert first.exit_code == 0, first.output
    assert "warning: 03001627/1a2b/models/model_normalized.obj" in first.stderr
    again = json.loads(call(*command, "--json").stdout)  # though nothing is read anew
    assert [again["models"], again["made"], len(again["warnings"])] == [1, 0, 1]
    assert "texture0.jpg" in again["warnings"][0]["reason"]
    (models.parent / "images").mkdir()
    Image.new("RGB", (8, 8), (0, 200, 0)).save(models.parent / "images" / "texture0.jpg")
    shutil.rmtree(tmp_path / "out" / "ShapeNetRendering")
    anew = json.loads(call(*command, "--json").stdout)
    assert [anew["made"], anew["warnings"]] == [1, []]
    (view,) = (tmp_path / "out" / "ShapeNetRendering").rglob("00.png")
    red, green, _, alpha = np.asarray(Image.open(view)).reshape(-1, 4).T.astype(int)
    assert (green >= red)[alpha == 255].all() and (green > red + 20).any()
