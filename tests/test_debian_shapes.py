"""What the script of more shapes takes for what; the packages themselves are not here."""

import numpy as np
import pytest

from benchmarks.debian_shapes import Found, category_of, convert
from mem3d.data.meshes import read_mesh


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
    assert convert(Found("chair", "a", path, "z"), tmp_path) is None
    mesh = read_mesh(tmp_path / "chair" / "a.npz").mesh
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), [1, 0.5, 0.25])  # +z has become +x
    assert (mesh.colors == 160).all()


def test_what_cannot_be_read_is_told(tmp_path):
    path = tmp_path / "broken.obj"
    path.write_text("v 0 0\n")
    assert convert(Found("chair", "b", path, "z"), tmp_path).startswith("b: ")
    assert not (tmp_path / "chair").exists()
