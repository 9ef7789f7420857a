"""What the script of more shapes takes for what; the packages themselves are not here."""

import numpy as np
import pytest

from benchmarks.data import debian_shapes
from benchmarks.data.debian_shapes import MeshFile, category_of, convert, copies, furniture
from mem3d.data.meshes.reader import read_mesh


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("Office chair", "chair"),
        ("Bedside table", "cabinet"),
        ("Bed", "bed"),
        ("Table fan", None),
        ("Coffee table", "table"),
        ("TV stand", "cabinet"),
        ("Wall lamp artwork", None),
        ("Corner sofa", "sofa"),
        ("Teddy bear", None),
    ],
)
def test_categories_of_names(name, category):
    assert category_of(name) == category


def test_a_mesh_is_written_in_the_frame_of_the_data(tmp_path):
    path = tmp_path / "wedge.obj"
    path.write_text("v 0 0 0\nv 1 0 0\nv 0 2 0\nv 0 0 4\nf 1 2 3\nf 1 3 4\nf 1 4 2\nf 2 4 3\n")
    assert convert(MeshFile("chair", "a", path, "z"), tmp_path) is None
    mesh = read_mesh(tmp_path / "chair" / "a.npz").mesh
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), [1, 0.5, 0.25])  # +z has become +x
    assert (mesh.colors == 160).all()


def test_what_cannot_be_read_is_told(tmp_path):
    path = tmp_path / "broken.obj"
    path.write_text("v 0 0\n")
    assert convert(MeshFile("chair", "b", path, "z"), tmp_path).startswith("b: ")
    assert not (tmp_path / "chair").exists()


def test_a_catalog_lists_what_is_plain_furniture(tmp_path):
    entries = [
        ("Chair", "a/one.obj", "Office", ""),
        ("Chair", "a/turned.obj", "Office", "modelRotation#{}=1 0 0 0 0 1 0 -1 0"),
        ("Door", "a/door.obj", "Doors and windows", ""),
        ("Bed", "a/two.obj", "Bedroom", ""),
    ]
    text = "name=A catalog\n"
    for i, (name, model, category, more) in enumerate(entries, 1):
        text += f"name#{i}={name}\nmodel#{i}=/{model}\ncategory#{i}={category}\n{more.format(i)}\n"
    (tmp_path / "PluginFurnitureCatalog.properties").write_text(text)
    files = [
        (mesh.category, mesh.path.relative_to(tmp_path).as_posix()) for mesh in furniture(tmp_path)
    ]
    assert files == [("chair", "a/one.obj"), ("bed", "a/two.obj")]


def test_held_out_shapes_are_known_turned_and_mirrored(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    held = rng.random((2, 8, 8, 8)) < 0.3
    ours = [np.rot90(held[0], axes=(0, 2)), held[1][:, :, ::-1], rng.random((8, 8, 8)) < 0.3]

    class Held:
        def __init__(self, grids):
            self.grids = grids

        def __len__(self):
            return len(self.grids)

        def grid(self, i):
            return self.grids[i]

    class Pool:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def map(self, _, meshes, chunksize):
            return [ours[int(path.stem)] for path in meshes]

    monkeypatch.setattr(debian_shapes, "Pool", Pool)
    parts = {"val": Held(held[:1]), "test": Held(held[1:])}
    monkeypatch.setattr(debian_shapes, "open_dataset", lambda data, part: parts[part])
    paths = [tmp_path / f"{i}.npz" for i in range(3)]
    assert copies(paths, tmp_path).tolist() == [True, True, False]
