"""OFF files: headers as ModelNet has them, polygons, colors; and other than what they claim."""

import pytest
from numpy.testing import assert_array_equal

from mem3d.data.meshes.pieces import MAX_CORNERS
from mem3d.data.meshes.reader import read_mesh
from tests.helpers.solids import POLYGONS, TRIANGLES, VERTICES, off_text, read_whole


def dense_text(header="OFF\n{} {} 0\n"):
    rows = off_text(header).splitlines()
    head = len(rows) - len(VERTICES) - len(POLYGONS)
    middle = head + len(VERTICES)
    lines = [*rows[:head], " ".join(rows[head:middle]), " ".join(rows[middle:]), ""]
    return "\n".join(lines)


TEXTS = {
    "polygons": off_text(),
    "triangles": off_text(polygons=TRIANGLES),
    "ModelNet's defect": off_text("OFF{} {} 0\n"),
    "lower case": off_text("off\n{} {} 0\n"),
    "one line": off_text("OFF {} {} 0\n"),
    "two numbers": off_text("OFF\n{} {}\n"),
    "counts in two lines": off_text("OFF\n{}\n{}\n"),
    "byte order mark": "\ufeff" + off_text(),
    "DOS": off_text().replace("\n", "\r\n"),
    "old Mac": off_text().replace("\n", "\r"),
    "comments": "# by hand\n"
    + off_text("OFF # c\n\n# c\n{} {} 0 # c\n\n").replace("4 2\n", "4 2 # c\n"),
    "several a line": dense_text(),
    "several a line, ModelNet's defect": dense_text("OFF{} {} 0 "),
    "tabs": off_text().replace(" ", "\t"),
    "blank lines": off_text(end="\n \n"),
    "no last line end": off_text().rstrip(),
}
TEXTS["normals"] = "NOFF\n16 10 0\n" + "".join(
    line + (" 0 0 1\n" if i < 16 else "\n") for i, line in enumerate(off_text("").splitlines())
)


@pytest.mark.parametrize("name", TEXTS)
def test_forms_of_the_same_solid(name, tmp_path):
    (tmp_path / "a.off").write_bytes(TEXTS[name].encode())
    assert read_whole(tmp_path / "a.off").warnings == ()


@pytest.mark.parametrize("text_of", [off_text, dense_text])
@pytest.mark.parametrize("change", [-1, 1])
@pytest.mark.parametrize("what", ["vertices", "faces"])
def test_other_numbers_than_claimed(what, change, text_of, tmp_path):
    counts = {"vertices": len(VERTICES), "faces": len(POLYGONS)}
    counts[what] += change
    text = text_of("OFF\n{vertices} {faces} 0\n".format(**counts))
    (tmp_path / "a.off").write_text(text)
    with pytest.raises(ValueError, match=r"a\.off: got .*want"):
        read_mesh(tmp_path / "a.off")


def test_every_cut_is_refused(tmp_path):
    """But within the last number, which may be whole."""
    for whole in (off_text(), dense_text()):
        for end in range(len(whole.rstrip()) - 1):
            (tmp_path / "a.off").write_text(whole[:end])
            with pytest.raises(ValueError, match="got"):
                read_mesh(tmp_path / "a.off")


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ("3 0 1 16", r"0\.\.16, want 0\.\.15"),
        ("3 0 1 -1", "-1"),
        ("3 0 1", "want its corners"),
        ("3 0 1 2.5", "whole numbers"),
        ("-3 0 1 2", "want its corners"),
        ("nan 0 1 2", "want its corners"),
        ("inf 0 1 2", "want its corners"),
        ("3 0 1 x", "want numbers"),
        ("3 0 1 1_0", "want numbers"),
    ],
)
def test_faces_that_cannot_be(row, match, tmp_path):
    text = off_text("OFF\n16 11 0\n") + row + "\n"
    (tmp_path / "a.off").write_text(text)
    with pytest.raises(ValueError, match=match):
        read_mesh(tmp_path / "a.off")


def test_faces_of_two_corners_are_told(tmp_path):
    (tmp_path / "a.off").write_text(off_text("OFF\n16 11 0\n") + "2 0 1\n")
    assert "two" not in read_whole(tmp_path / "a.off").warnings
    assert "fewer than three" in read_whole(tmp_path / "a.off").warnings[0]


TRIANGLE = "0 0 0{}\n1 0 0{}\n0 1 0{}\n"


@pytest.mark.parametrize(
    ("text", "color"),
    [
        ("OFF 3 1 0\n" + TRIANGLE.format("", "", "") + "3 0 1 2 255 0 51\n", [255, 0, 51]),
        ("OFF 3 1 0\n" + TRIANGLE.format("", "", "") + "3 0 1 2 1.0 0 0.2 1.0\n", [255, 0, 51]),
        ("COFF 3 1 0\n" + TRIANGLE.format(*[" 255 0 51 255"] * 3) + "3 0 1 2\n", [255, 0, 51]),
        ("CNOFF 3 1 0\n" + TRIANGLE.format(*[" 0 0 1 1 0 .2 1"] * 3) + "3 0 1 2\n", [255, 0, 51]),
        ("OFF 3 1 0\n" + TRIANGLE.format("", "", "") + "3 0 1 2 7\n", None),
    ],
)
def test_colors(text, color, tmp_path):
    (tmp_path / "a.off").write_text(text)
    colors = read_mesh(tmp_path / "a.off").mesh.colors
    assert colors is None if color is None else colors.tolist() == [color]


@pytest.mark.parametrize("count", [10**9, MAX_CORNERS, 10**18, "9" * 400, "-1", "x"])
def test_counts_in_headers(count, tmp_path):
    for text in (f"OFF\n# by hand\n{count} 1 0\n0 0 0\n", f"COFF 3 {count} 0\n"):
        (tmp_path / "a.off").write_text(text)
        with pytest.raises(ValueError, match=r"a\.off: got "):
            read_mesh(tmp_path / "a.off")


@pytest.mark.parametrize("header", ["4OFF\n", "OFF BINARY\n", "nOFF\n", "FOO\n", ""])
def test_other_kinds_are_refused(header, tmp_path):
    (tmp_path / "a.off").write_text(off_text(header + "{} {} 0\n"))
    with pytest.raises(ValueError, match="want 'OFF'"):
        read_mesh(tmp_path / "a.off")


def test_the_first_vertex_is_not_taken_for_a_count(tmp_path):
    (tmp_path / "a.off").write_text("OFF\n3 1\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    vertices = read_mesh(tmp_path / "a.off").mesh.vertices
    assert_array_equal(sorted(vertices.tolist()), [[-0.5, -0.5, 0], [-0.5, 0.5, 0], [0.5, -0.5, 0]])
