"""STL files: text of any form, and binary ones with something behind their end."""

import struct

import numpy as np
import pytest

from mem3d.data.meshes.reader import read_mesh
from tests.helpers.solids import TRIANGLES, VERTICES, read_whole, stl_bytes, stl_text

TEXTS = {
    "plain": stl_text(),
    "words in its name": stl_text("solid facet normal endsolid vertex 1 2 3"),
    "no name": stl_text("solid"),
    "upper case": stl_text().upper(),
    "DOS": stl_text().replace("\n", "\r\n"),
    "tabs": stl_text().replace("  ", "\t"),
    "a facet a line": stl_text()
    .replace("\n   ", " ")
    .replace("\n  ", " ")
    .replace("\n endf", " endf"),
    "byte order mark": "\ufeff" + stl_text(),
}


@pytest.mark.parametrize("name", TEXTS)
def test_text(name, tmp_path):
    (tmp_path / "a.stl").write_text(TEXTS[name])
    assert read_whole(tmp_path / "a.stl").warnings == ()


def test_several_solids_are_one(tmp_path):
    (tmp_path / "a.stl").write_text(stl_text() + stl_text())
    painted = read_mesh(tmp_path / "a.stl")
    assert len(painted.mesh.faces) == 2 * len(TRIANGLES)


def test_every_cut_of_a_text_is_refused(tmp_path):
    whole = stl_text().rstrip().removesuffix(" x")
    for end in range(0, len(whole), 5):
        (tmp_path / "a.stl").write_text(whole[:end])
        with pytest.raises(ValueError, match="got"):
            read_mesh(tmp_path / "a.stl")


@pytest.mark.parametrize("cut", [("vertex 0 0 0\n", ""), ("outer loop", "outer"), ("0.4 2", "0.4"),
                                 ("endfacet", "endfacet x")])  # fmt: skip
def test_a_text_with_a_hole_is_refused(cut, tmp_path):
    (tmp_path / "a.stl").write_text(stl_text().replace(*cut, 1))
    with pytest.raises(ValueError, match="facet"):
        read_mesh(tmp_path / "a.stl")


@pytest.mark.parametrize(
    ("extra", "told"),
    [(b"", 0), (b"\0\0\0\0", 1), (b"made by x", 1), (bytes(2048), 1), (b"\r\n", 1)],
)
def test_binary(extra, told, tmp_path):
    (tmp_path / "a.stl").write_bytes(stl_bytes(extra))
    assert len(read_whole(tmp_path / "a.stl").warnings) == told


@pytest.mark.parametrize("claim", [0, 10, len(TRIANGLES) - 1, len(TRIANGLES) + 1, 2**32 - 1])
def test_other_numbers_than_claimed(claim, tmp_path):
    (tmp_path / "a.stl").write_bytes(stl_bytes(claim=claim))
    with pytest.raises(ValueError, match=rf"50 \* {claim} as its header says"):
        read_mesh(tmp_path / "a.stl")


def test_a_binary_file_that_is_whole_is_more_than_its_name(tmp_path):
    """Cuts of it are refused, though it begins as a text does."""
    whole = stl_bytes()
    for end in range(0, len(whole), 7):
        (tmp_path / "a.stl").write_bytes(whole[:end])
        with pytest.raises(ValueError, match="got"):
            read_mesh(tmp_path / "a.stl")


def test_a_binary_file_of_one_face(tmp_path):
    corners = np.array(VERTICES, "<f4")[[0, 1, 8]]
    data = bytes(80) + struct.pack("<I", 1) + bytes(12) + corners.tobytes() + bytes(2)
    (tmp_path / "a.stl").write_bytes(data)
    assert len(read_mesh(tmp_path / "a.stl").mesh.faces) == 1


def test_a_facet_on_the_line_of_a_name_is_refused(tmp_path):
    facet = "facet normal 0 0 1 outer loop vertex 0 0 0 vertex 1 0 0 vertex 0 1 0 endloop endfacet"
    (tmp_path / "a.stl").write_text(f"solid a {facet}\n{facet}\nendsolid a\n")
    with pytest.raises(ValueError, match="want facets on lines of their own"):
        read_mesh(tmp_path / "a.stl")
