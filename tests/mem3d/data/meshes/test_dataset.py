"""Data sets of meshes: names, resuming, broken files."""

import json
import shutil

import numpy as np
import pytest
import trimesh
from numpy.testing import assert_array_equal
from PIL import Image

from mem3d.data.meshes.dataset import REPORT, WARNINGS, RenderConfig, render_meshes
from mem3d.data.readers.r2n2 import R2N2
from mem3d.data.taxonomy import SYNSETS

CONFIG = RenderConfig(views=2, size=24, up="z", front="-y")


def write_box(path, sides=(4, 2, 1)):
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.creation.box(sides).export(path)


@pytest.fixture(scope="module")
def meshes(tmp_path_factory):
    """Two chairs, an aeroplane deeper down, a kind of its own, and three that cannot be used."""
    root = tmp_path_factory.mktemp("meshes")
    write_box(root / "chair" / "a.obj")
    write_box(root / "chair" / "b c.ply", (1, 1, 3))
    write_box(root / "chair" / "a.stl")  # the name is taken
    write_box(root / "airplane" / "one" / "models" / "model.glb", (3, 1, 1))
    write_box(root / "garden gnome" / "x.off")
    (root / "chair" / "empty.obj").touch()
    (root / "chair" / "._a.obj").touch()  # what some systems leave beside a file
    (root / "chair" / "notes.txt").touch()
    return root


@pytest.fixture(scope="module")
def made(meshes, tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "set"
    calls = []
    rendered = render_meshes(meshes, root, CONFIG, progress=lambda *call: calls.append(call))
    assert calls == [(done, 5) for done in range(1, 6)]
    assert (rendered.shapes, rendered.new) == (4, 4)
    assert [broken.file for broken in rendered.skipped] == ["chair/a.stl", "chair/empty.obj"]
    return root


def files(root):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_the_reader_reads_it(made):
    data = R2N2.open(made).check()
    assert data.skipped == ()
    assert {data.shape_id(i): data.category(i) for i in range(len(data))} == {
        "02691156/one-models-model": "aeroplane",
        "03001627/a": "chair",
        "03001627/b_c": "chair",
        "garden_gnome/x": "garden_gnome",
    }
    assert data.image(0, 1).shape == (24, 24, 4)


def test_grids_stand_as_the_directions_say(made):
    data = R2N2.open(made, categories=["chair"])
    # The box has x 4, y 2, z 1, with z up and the front to -y: in our frame x 2, y 1, z 4.
    want = np.zeros((32,) * 3, bool)
    want[8:24, 12:20, :] = True
    assert_array_equal(data.grid(0), want)


def test_the_report_names_what_is_wrong(made):
    report = json.loads((made / REPORT).read_text())
    assert [row["file"] for row in report] == ["chair/a.stl", "chair/empty.obj"]
    assert "same name 03001627/a as chair/a.obj" in report[0]["reason"]
    assert report[1]["reason"].startswith("got ")


def test_the_number_of_processes_changes_nothing(meshes, made, tmp_path):
    render_meshes(meshes, tmp_path / "set", CONFIG, processes=2)
    assert files(tmp_path / "set") == files(made)


def test_an_interrupted_run_is_taken_up(meshes, made, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(made, root)
    (root / REPORT).unlink()
    shutil.rmtree(root / "ShapeNetRendering" / "03001627" / "a" / "rendering")
    (root / ".partial" / "03001627-a").mkdir(parents=True)
    rendered = render_meshes(meshes, root, CONFIG)
    assert (rendered.shapes, rendered.new) == (4, 1)
    assert files(root) == files(made)


def test_another_mesh_changes_no_model(meshes, made, tmp_path):
    few = tmp_path / "few"
    shutil.copytree(meshes / "chair", few / "chair")
    (few / "chair" / "empty.obj").unlink()
    render_meshes(few, tmp_path / "set", CONFIG)
    same = files(tmp_path / "set")
    same.pop(REPORT)
    assert same.items() <= files(made).items()


def test_other_settings_and_other_folders_are_refused(meshes, made, tmp_path):
    with pytest.raises(ValueError, match=r"\(views 2 -> 24, "):
        render_meshes(meshes, made, RenderConfig())
    (tmp_path / "precious.txt").touch()
    with pytest.raises(ValueError, match="other files"):
        render_meshes(meshes, tmp_path, CONFIG)
    with pytest.raises(ValueError, match="no folder"):
        render_meshes(tmp_path / "none", tmp_path / "out")
    with pytest.raises(ValueError, match="no mesh"):
        render_meshes(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_flat_folder_needs_a_category(tmp_path):
    write_box(tmp_path / "in" / "a.obj")
    with pytest.raises(ValueError, match="--category"):
        render_meshes(tmp_path / "in", tmp_path / "out")
    config = RenderConfig(views=1, size=8, category="loudspeaker")
    render_meshes(tmp_path / "in", tmp_path / "out", config)
    assert SYNSETS["03691459"] == "speaker"
    assert R2N2.open(tmp_path / "out").shape_id(0) == "03691459/a"


@pytest.mark.parametrize(
    "setting",
    [{"views": 0}, {"size": 7}, {"seed": -1}, {"up": "q"}, {"front": "y"}, {"category": ""}],
)
def test_settings_out_of_range_are_named(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        RenderConfig(**setting)


def test_meshes_refer_to_files_up_to_the_folder_of_all(tmp_path):
    """And no farther; what is out of bounds is told, with any number of processes."""
    for name, picture in (("a", "../../red.png"), ("b", "../../../red.png")):
        folder = tmp_path / "in" / "chair" / name
        folder.mkdir(parents=True)
        (folder / "x.obj").write_text(
            "mtllib x.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nusemtl m\nf 1/1 2/1 3/1\n"
        )
        (folder / "x.mtl").write_text(f"newmtl m\nmap_Kd {picture}\n")
    for place in (tmp_path / "in" / "red.png", tmp_path / "red.png"):
        Image.new("RGB", (4, 4), (255, 0, 0)).save(place)
    rendered = render_meshes(tmp_path / "in", tmp_path / "out", CONFIG, processes=2)
    assert (rendered.shapes, rendered.skipped) == (2, ())
    assert [row.file for row in rendered.warnings] == ["chair/b/x.obj"]
    rows = json.loads((tmp_path / "out" / WARNINGS).read_text())
    assert rows == [{"file": "chair/b/x.obj", "reason": rendered.warnings[0].reason}]
