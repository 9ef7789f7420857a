"""OBJ files as programs and hands write them: the same solid, or an error that names the line."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from mem3d.data.meshes.reader import read_mesh
from tests.helpers.solids import POLYGONS, TRIANGLES, VERTICES, grid_of, obj_text, read_whole

TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\n"


def joined_from_the_end():
    """Each face after its own vertices, which it counts back."""
    lines = []
    for polygon in POLYGONS:
        lines += ["v {} {} {}".format(*VERTICES[i]) for i in polygon]
        lines.append("f " + " ".join(str(-n) for n in range(len(polygon), 0, -1)))
    return "\n".join(lines) + "\n"


TEXTS = {
    "polygons": obj_text(),
    "triangles": obj_text(polygons=TRIANGLES),
    "negative, interleaved": joined_from_the_end(),
    "tabs": obj_text().replace(" ", "\t"),
    "some tabs": obj_text(face="f\t{}"),
    "indented": obj_text("  v  {} {} {}", "\tf {} "),
    "byte order mark": "\ufeff" + obj_text(),
    "comments": "# made by hand\n" + obj_text("v {} {} {} # c", "f {} # c"),
    "comment at once": obj_text("v {} {} {}#c", "f {}#c"),
    "weights": obj_text("v {} {} {} 1.0"),
    "old Mac": obj_text(end="\r"),
    "DOS": obj_text(end="\r\n"),
    "lines that go on": obj_text().replace(" ", " \\\n "),
    "lines that go on, DOS": obj_text().replace(" ", "\\\r\n"),
    "comment like a line that goes on": obj_text("# C:\\meshes\\\nv {} {} {}"),
    "groups": "o a\ng b c\ns off\n" + obj_text(face="s 1\ng d\nf {}") + "\n\n",
    "faces before vertices": "".join(
        line + "\n" for line in obj_text().splitlines() if line[0] == "f"
    )
    + "".join(line + "\n" for line in obj_text().splitlines() if line[0] == "v"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_forms_of_the_same_solid(name, tmp_path):
    (tmp_path / "a.obj").write_bytes(TEXTS[name].encode())
    assert read_whole(tmp_path / "a.obj").warnings == ()


def test_names_in_latin_1(tmp_path):
    (tmp_path / "a.obj").write_bytes(
        ("# Straße\no Grün\nusemtl Grün\n" + obj_text()).encode("latin-1")
    )
    (tmp_path / "a.mtl").write_text("newmtl Grün\nKd 0 1 0\n", encoding="latin-1")
    read_whole(tmp_path / "a.obj")


@pytest.mark.parametrize("encodings", [("latin-1", "utf-8"), ("utf-8", "latin-1")])
def test_material_files_in_another_encoding(encodings, tmp_path):
    first, second = encodings
    text = f"mtllib Grün.mtl\n{TRIANGLE}usemtl Grün\nf 1 2 3\n"
    (tmp_path / "a.obj").write_bytes(text.encode(first))
    (tmp_path / "Grün.mtl").write_bytes("newmtl Grün\nKd 0 1 0\n".encode(second))
    assert_array_equal(read_mesh(tmp_path / "a.obj").mesh.colors, [[0, 255, 0]])


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("f 11", "line 27 'f 11': 1 corners"),
        ("f 1 2", "2 corners"),
        ("f 1 2 17", r"0\.\.16, want 0\.\.15"),
        ("f 1 2 0", "vertex 0"),
        ("f 1 2 -17", "-17"),
        ("f 1 2 3.5", "whole numbers"),
        ("f 1 2 1_0", "whole numbers"),
        ("f 1/ 2/ x/", "whole numbers"),
        ("f 1/1 2/2 3/3", "places in a picture"),
        ("f 1 2 99999999999999999999", "line 27"),
        ("v 1 2", "2 numbers"),
        ("v 1,5 2 3", "want numbers"),
        ("v 1_0 2 3", "want numbers"),
        ("surf 0 1 0 1 1 2 3", "polygon mesh"),
        ("F 1 2 3", "polygon mesh"),
        ("\0\0\0", "polygon mesh"),
    ],
)
def test_lines_that_are_not_understood_are_named(line, match, tmp_path):
    (tmp_path / "a.obj").write_text(obj_text() + line + "\n")
    with pytest.raises(ValueError, match=match):
        read_mesh(tmp_path / "a.obj")


def test_a_file_cut_short_is_refused_or_told(tmp_path):
    whole = obj_text(polygons=TRIANGLES).encode()
    outcomes = set()
    for end in range(len(whole) - 1):
        (tmp_path / "a.obj").write_bytes(whole[:end])
        try:
            painted = read_mesh(tmp_path / "a.obj")
        except ValueError:
            outcomes.add("refused")
            continue
        if painted.warnings:
            outcomes.add("told")
        elif end != len(whole) - 1:
            # Whole lines, and faces of the last vertex: nothing in the file tells.
            assert whole[end - 1 : end] == b"\n" and len(painted.mesh.faces) > 6
    assert outcomes == {"refused", "told"}


def test_lines_and_points_are_told(tmp_path):
    (tmp_path / "a.obj").write_text(obj_text() + "l 1 2\np 1\n")
    assert read_whole(tmp_path / "a.obj").warnings == ("lines and points are left out",)


@pytest.mark.parametrize("most", ["MAX_FACES", "MAX_CORNERS"])
def test_more_than_we_take(most, tmp_path, monkeypatch):
    monkeypatch.setattr(f"mem3d.data.meshes.formats.obj.{most}", 5)
    (tmp_path / "a.obj").write_text(obj_text())
    with pytest.raises(ValueError, match=r"got 1[06] .*want at most 5"):
        read_mesh(tmp_path / "a.obj")


def test_more_materials_than_we_take(tmp_path):
    names = "".join(f"usemtl {number}\n" for number in range(30_000))
    (tmp_path / "a.obj").write_text(TRIANGLE + names + "f 1 2 3\n")
    with pytest.raises(ValueError, match="materials"):
        read_mesh(tmp_path / "a.obj")


def test_long_numbers_and_blanks_cost_no_time(tmp_path):
    """What makes careless patterns try for hours."""
    for text in ("1" * 10**6, " " * 10**6, "-s " + "1" * 10**6, "-s 1 " * 10**5, "-s e e e a.png"):
        read_painted(tmp_path, f"newmtl m\nmap_Kd {text}\n")
        read_painted(tmp_path, f"newmtl m\nmap_Kd -s {text}\n")
    (tmp_path / "a.ply").write_bytes(b"ply\n" + b"\n" * 65_000)
    with pytest.raises(ValueError, match="header"):
        read_mesh(tmp_path / "a.ply")


def test_colors_of_vertices(tmp_path):
    (tmp_path / "a.obj").write_text("v 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 0 1 0 0 0 0.2\nf 1 2 3\n")
    corners = read_mesh(tmp_path / "a.obj").paint.corners
    assert_array_equal(corners, [[[255, 0, 0], [0, 255, 0], [0, 0, 51]]])


def read_painted(folder, mtl, faces="usemtl m\nf 1/1 2/2 3/3\n"):
    (folder / "a.obj").write_text(f"mtllib a.mtl\n{TRIANGLE}{faces}")
    (folder / "a.mtl").write_text(mtl)
    Image.new("RGB", (8, 8), (255, 0, 0)).save(folder / "red sea.png")
    return read_mesh(folder / "a.obj")


@pytest.mark.parametrize(
    "mtl",
    [
        "newmtl m # c\nKd 1 0 0 # c\n",
        "\ufeffnewmtl m\nKd 1 0 0\n",
        "newmtl m\n\tKd\t1\t0\t0\n",
        "newmtl m\nkd 1 0 0\n",
        "newmtl other\nKd 0 1 0\nnewmtl m\nKd 1 0 0\n",
    ],
)
def test_colors_of_materials(mtl, tmp_path):
    painted = read_painted(tmp_path, mtl)
    assert (painted.mesh.colors.tolist(), painted.warnings) == ([[255, 0, 0]], ())


def test_names_with_a_number_sign_are_told_apart(tmp_path):
    mtl = "newmtl Material #1\nKd 1 0 0\nnewmtl Material #2\nKd 0 1 0\n"
    painted = read_painted(
        tmp_path, mtl, "usemtl Material #2\nf 1 2 3\nusemtl Material #1\nf 3 2 1\n"
    )
    assert sorted(painted.mesh.colors.tolist()) == [[0, 255, 0], [255, 0, 0]]


@pytest.mark.parametrize(
    "line",
    [
        "map_Kd red sea.png",
        "map_kd red sea.png # c",
        'map_Kd "red sea.png"',
        "map_Kd -s 1 1 1 red sea.png",
        "map_Kd -s 1 1 -o 0 0 0 -clamp on red sea.png",
        "map_Kd -blendu on -mm 0 1 -t 0.5 -bm .2 -texres 8 red sea.png",
    ],
)
def test_options_before_a_pictures_name(line, tmp_path):
    painted = read_painted(tmp_path, f"newmtl m\nKd 0 0 1\n{line}\n")
    assert painted.warnings == ()
    assert painted.paint.pictures[0].reshape(-1, 3).max(0).tolist() == [255, 0, 0]


def test_options_that_move_a_picture(tmp_path):
    mtl = "newmtl m\nmap_Kd -s 0.5 0.25 1 -o 0.25 0.5 red sea.png\n"
    uv = read_painted(tmp_path, mtl).paint.uv
    assert_allclose(uv, [[[0.25, 0.5], [0.75, 0.5], [0.75, 0.75]]])  # 0.5 u + 0.25, 0.25 v + 0.5


def test_what_is_missing_is_told_and_costs_only_itself(tmp_path):
    mtl = "newmtl m\nKd 0 0 1\nmap_Kd gone.png\n"
    painted = read_painted(tmp_path, mtl, "usemtl m\nf 1/1 2/2 3/3\nusemtl n\nf 1 2 3\n")
    assert painted.mesh.colors[0].tolist() == [0, 0, 255]
    assert ["gone.png" in painted.warnings[1], "'n'" in painted.warnings[0]] == [True, True]
    (tmp_path / "a.mtl").unlink()
    assert "a.mtl" in read_mesh(tmp_path / "a.obj").warnings[0]


def test_faces_without_places_in_the_picture_keep_the_color(tmp_path):
    faces = "usemtl m\nf 1/1 2/2 3/3\nf 1 2 3\nf 1//1 2//1 3//1\n"
    painted = read_painted(tmp_path, "newmtl m\nKd 0 0 1\nmap_Kd red sea.png\n", faces)
    assert sorted(painted.paint.picture.tolist()) == [-1, -1, 0]
    assert (painted.paint.corners[painted.paint.picture < 0] == [0, 0, 255]).all()


def test_several_material_files_in_a_line(tmp_path):
    (tmp_path / "a.obj").write_text(f"mtllib a.mtl b c.mtl\n{TRIANGLE}usemtl m\nf 1 2 3\n")
    (tmp_path / "a.mtl b c.mtl").write_text("newmtl m\nKd 1 0 0\n")
    assert_array_equal(read_mesh(tmp_path / "a.obj").mesh.colors, [[255, 0, 0]])
    (tmp_path / "a.mtl b c.mtl").rename(tmp_path / "a.mtl")
    (tmp_path / "b").write_text("newmtl k\n")
    (tmp_path / "c.mtl").write_text("newmtl m\nKd 0 1 0\n")
    assert_array_equal(read_mesh(tmp_path / "a.obj").mesh.colors, [[0, 255, 0]])


def test_the_helper_is_right():
    """A bar and two posts: of 32 voxels a side, by hand."""
    grid = grid_of()
    assert not grid[8:24, 6:18, :].any()
    assert np.count_nonzero(grid) == pytest.approx(3.2 * 1.5 * 8**3, rel=0.35)  # touched voxels too


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize("line", ["g a", "# a", "usemtl a", "f 1 2 3 # C:\\"])
def test_faces_after_any_line_with_any_end(line, end, tmp_path):
    """Ends may be mixed; a backslash that ends a comment does not go on."""
    text = f"v 0 0 0\nv 1 0 0\nv 0 1 1\n{line}{end}f 1 2 3\nf 3 2 1\n"
    (tmp_path / "a.obj").write_bytes(text.encode())
    faces = read_mesh(tmp_path / "a.obj").mesh.faces
    assert len(faces) == (3 if line.startswith("f") else 2)
