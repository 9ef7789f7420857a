"""PLY files: mixed faces in text and binary, colors, pictures; and other than what they claim."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from mem3d.data.meshes.reader import read_mesh
from tests.helpers.solids import POLYGONS, TRIANGLES, ply_bytes, read_whole

ORDERS = pytest.mark.parametrize("order", ["", "<", ">"])


@ORDERS
@pytest.mark.parametrize("polygons", [POLYGONS, TRIANGLES], ids=["mixed", "triangles"])
def test_faces_of_any_numbers_of_corners(order, polygons, tmp_path):
    (tmp_path / "a.ply").write_bytes(ply_bytes(order, polygons))
    assert read_whole(tmp_path / "a.ply").warnings == ()


@ORDERS
def test_every_cut_is_refused(order, tmp_path):
    for polygons in (POLYGONS, TRIANGLES):
        whole = ply_bytes(order, polygons).rstrip(b"\n")
        for end in range(len(whole) - 1):  # the last number of a text may be whole without its end
            (tmp_path / "a.ply").write_bytes(whole[:end])
            with pytest.raises(ValueError, match="got"):
                read_mesh(tmp_path / "a.ply")


@ORDERS
@pytest.mark.parametrize("claim", [9, 11])
def test_other_numbers_than_claimed(order, claim, tmp_path):
    (tmp_path / "a.ply").write_bytes(ply_bytes(order, claim=claim))
    with pytest.raises(ValueError, match="got"):
        read_mesh(tmp_path / "a.ply")


@ORDERS
def test_blanks_behind_the_end(order, tmp_path):
    (tmp_path / "a.ply").write_bytes(ply_bytes(order, extra=b"\r\n\n"))
    read_whole(tmp_path / "a.ply")
    (tmp_path / "a.ply").write_bytes(ply_bytes(order, extra=b"3 0 1 2"))
    with pytest.raises(ValueError, match="after the rows"):
        read_mesh(tmp_path / "a.ply")


HEAD = "ply\nformat ascii 1.0\nelement vertex 3\n" + "".join(
    f"property float {axis}\n" for axis in "xyz"
)
FACE = "element face 1\nproperty list uchar int vertex_index\n"
ROWS = "0 0 0{}\n1 0 0{}\n0 1 0{}\n3 0 1 2{}\n"


def read_text(folder, vertex="", face="", rows=("", "", "", ""), comment=""):
    text = HEAD + vertex + FACE + face + comment + "end_header\n" + ROWS.format(*rows)
    (folder / "a.ply").write_text(text)
    return read_mesh(folder / "a.ply")


def colors(kind):
    return "".join(f"property {kind} {name}\n" for name in ("red", "green", "blue"))


@pytest.mark.parametrize(
    ("kind", "row", "color"),
    [
        ("uchar", " 255 0 51", [255, 0, 51]),
        ("uchar", " 1 1 1", [1, 1, 1]),  # nearly black
        ("float", " 1 0 0.2", [255, 0, 51]),
        ("float", " 1.0001 0 0.2", [255, 0, 51]),
        ("float", " 255 0 51", [255, 0, 51]),
        ("ushort", " 65535 0 13107", [255, 0, 51]),
        ("int", " 255 0 51", [255, 0, 51]),
    ],
)
def test_colors_of_faces_and_vertices(kind, row, color, tmp_path):
    painted = read_text(tmp_path, face=colors(kind), rows=("", "", "", row))
    assert painted.mesh.colors.tolist() == [color]
    painted = read_text(tmp_path, vertex=colors(kind), rows=(row, row, row, ""))
    assert painted.mesh.colors.tolist() == [color]


def test_a_picture_by_corner_or_by_vertex(tmp_path):
    Image.new("RGB", (4, 4), (9, 9, 9)).save(tmp_path / "a b.png")
    face = "property list uchar float texcoord\n"
    uv = " 6 0 .5 1 .5 .25 1"
    corner = read_text(
        tmp_path, face=face, rows=("", "", "", uv), comment="comment TextureFile a b.png\n"
    )
    vertex = read_text(
        tmp_path,
        vertex="property float s\nproperty float t\n",
        rows=(" 0 .5", " 1 .5", " .25 1", ""),
        comment="comment TextureFile a b.png\n",
    )
    for painted in (corner, vertex):
        assert_allclose(painted.paint.uv, [[[0, 0.5], [1, 0.5], [0.25, 1]]])
        assert_array_equal(painted.paint.pictures[0], np.full((4, 4, 3), 9))
    (tmp_path / "a b.png").unlink()
    lost = read_text(
        tmp_path, face=face, rows=("", "", "", uv), comment="comment TextureFile a b.png\n"
    )
    assert "a b.png" in lost.warnings[0]


def test_other_elements_are_told_and_lists_of_theirs_refused(tmp_path):
    text = HEAD + FACE + "element edge 1\nproperty int a\nproperty int b\nend_header\n"
    (tmp_path / "a.ply").write_text(text + ROWS.format("", "", "", "") + "0 1\n")
    assert read_mesh(tmp_path / "a.ply").warnings == ("element 'edge' is not read",)
    text = HEAD + FACE + "element tristrips 1\nproperty list int int vertex_indices\nend_header\n"
    (tmp_path / "a.ply").write_text(text + ROWS.format("", "", "", "") + "3 0 1 2\n")
    with pytest.raises(ValueError, match="tristrips"):
        read_mesh(tmp_path / "a.ply")


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ("3 0 1 3", r"want 0\.\.2"),
        ("3 0 1 -1", "-1"),
        ("3 0 1", "row that the header claims"),
        ("3 0 1 2 5", "row that the header claims"),
        ("-3 0 1 2", "row that the header claims"),
        ("3 0 1 1.5", "no int32"),
        ("3 0 1 9e9", "no int32"),
        ("nan 0 1 2", "row that the header claims"),
    ],
)
def test_faces_that_cannot_be(row, match, tmp_path):
    text = HEAD + FACE + "end_header\n" + "0 0 0\n1 0 0\n0 1 0\n" + row + "\n"
    (tmp_path / "a.ply").write_text(text)
    with pytest.raises(ValueError, match=match):
        read_mesh(tmp_path / "a.ply")


@pytest.mark.parametrize(
    "header",
    [
        "element vertex 1000000000\nproperty float x\n",
        "element vertex 1000000000000000000\nproperty float x\n",
        "element vertex -1\n",
        "element vertex x\n",
        "element vertex " + "9" * 400 + "\n",
        "element vertex 3\nproperty floaty x\n",
        "element vertex 3\nproperty list float int x\n",
        "element vertex 3\nelement vertex 3\n",
        "property float x\n",
        "nonsense\n",
        "comment x\n" * 100_000,
        "element vertex 3\n" + "property float x\n" * 1000,
    ],
    ids=lambda text: text[:40],
)
def test_headers_that_cannot_be(header, tmp_path):
    for kind in ("ascii", "binary_little_endian"):
        (tmp_path / "a.ply").write_text(f"ply\nformat {kind} 1.0\n{header}end_header\n0 0 0\n")
        with pytest.raises(ValueError, match=r"a\.ply: got"):
            read_mesh(tmp_path / "a.ply")


def test_a_point_cloud_is_no_mesh(tmp_path):
    (tmp_path / "a.ply").write_text(HEAD + "end_header\n0 0 0\n1 0 0\n0 1 0\n")
    with pytest.raises(ValueError, match="no faces"):
        read_mesh(tmp_path / "a.ply")
