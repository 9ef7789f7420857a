"""Mesh files as other programs write them, and as an enemy might; meshes in .npz files."""

import json
import os

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from trimesh.visual.material import PBRMaterial

from mem3d.data.meshes.reader import read_mesh
from mem3d.data.rendering.renderer import DEFAULT_COLOR
from mem3d.data.rendering.texture import LINEAR

# A wedge: no two of its corners, and no mirror image, are alike.
V = np.array([[0, 0, 0], [4, 0, 0], [0, 2, 0], [0, 0, 1]], float)
F = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
C = np.array([[200, 0, 0, 255], [0, 150, 0, 255], [0, 0, 100, 255], [9, 9, 9, 255]], np.uint8)
FRAMED = (V - [2, 1, 0.5]) / 4
SQUARES = np.array([[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (255, 255, 255)]], np.uint8)
TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"
WANT = sorted(sorted(map(tuple, triangle)) for triangle in FRAMED.astype(np.float32)[F].tolist())


def wedge(**visual):
    return trimesh.Trimesh(V, F, process=False, **visual)


def corners(found):
    """(F, 3, 3), sorted, so that the order of the faces does not matter."""
    triangles = found.mesh.vertices[found.mesh.faces].round(5) + 0.0
    return sorted(sorted(map(tuple, triangle)) for triangle in triangles.tolist())


@pytest.mark.parametrize("kind", ["obj", "ply", "stl", "off", "glb"])
def test_shapes_of_every_kind(kind, tmp_path):
    wedge().export(tmp_path / f"a.{kind}")
    found = read_mesh(tmp_path / f"a.{kind}")
    assert_allclose(corners(found), WANT, atol=1e-5)


@pytest.mark.parametrize("kind", ["ply", "stl_ascii"])
def test_text_kinds(kind, tmp_path):
    data = wedge().export(file_type=kind, **({"encoding": "ascii"} if kind == "ply" else {}))
    path = tmp_path / f"a.{kind[:3]}"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    assert_allclose(corners(read_mesh(path)), WANT, atol=1e-5)


def test_gltf_beside_its_buffer_and_npz(tmp_path):
    for name, data in trimesh.Scene(wedge()).export(file_type="gltf").items():
        (tmp_path / name).write_bytes(data)
    (gltf,) = tmp_path.glob("*.gltf")
    np.savez(tmp_path / "a.npz", v=V, f=F, c=C[:, :3])
    for path in (gltf, tmp_path / "a.npz"):
        assert_allclose(corners(read_mesh(path)), WANT, atol=1e-5)
    assert_array_equal(read_mesh(tmp_path / "a.npz").mesh.colors, C[:, :3])


def test_up_and_front_turn_it(tmp_path):
    z_up = np.stack([-V[:, 2], -V[:, 0], V[:, 1]], axis=1)  # front -y, up z: by hand
    trimesh.Trimesh(z_up, F, process=False).export(tmp_path / "a.ply")
    assert_allclose(corners(read_mesh(tmp_path / "a.ply", "z", "-y")), WANT, atol=1e-5)


def test_a_scene_is_flattened_with_its_transforms(tmp_path):
    scene = trimesh.Scene()
    half = trimesh.transformations.scale_matrix(0.5)
    there = trimesh.transformations.translation_matrix([7, 0, 0])
    cube = trimesh.creation.box((1, 1, 1))
    scene.add_geometry(cube, node_name="outer", geom_name="cube", transform=there)
    scene.add_geometry(cube, node_name="inner", parent_node_name="outer", transform=there @ half)
    scene.export(tmp_path / "a.glb")
    found = read_mesh(tmp_path / "a.glb")
    # x spans 6.5..7.5 and, 7 further on, 13.75..14.25: 7.75 in all.
    ends = np.unique((found.mesh.vertices[:, 0] * 7.75 + 10.375).round(4))
    assert_allclose(ends, [6.5, 7.5, 13.75, 14.25], atol=1e-3)


def test_colors_of_faces_and_corners(tmp_path):
    wedge(face_colors=C).export(tmp_path / "face.ply")
    found = read_mesh(tmp_path / "face.ply")
    assert_array_equal(found.mesh.colors, C[:, :3])
    assert found.paint is None
    wedge(vertex_colors=C).export(tmp_path / "corner.ply")
    assert_array_equal(read_mesh(tmp_path / "corner.ply").paint.corners, C[:, :3][F])
    wedge().export(tmp_path / "none.stl")
    none = read_mesh(tmp_path / "none.stl")
    assert (none.mesh.colors, none.paint) == (None, None)


def write_obj(folder, kd="0.2 0.4 0.6", picture=""):
    (folder / "a.obj").write_text(
        "mtllib a.mtl\nusemtl m\n"
        + TRIANGLE
        + "vt 0.25 0.75\nvt 0.75 0.75\nvt 0.25 0.25\nf 1/1 2/2 3/3\n"
    )
    (folder / "a.mtl").write_text(f"newmtl m\nKd {kd}\n{picture}\n")
    Image.fromarray(SQUARES).save(folder / "squares.png")
    return folder / "a.obj"


def test_an_obj_with_a_material_has_its_color(tmp_path):
    found = read_mesh(write_obj(tmp_path))
    assert_array_equal(found.mesh.colors, [[51, 102, 153]])  # 255 * Kd


def test_an_obj_with_a_picture_shows_it_where_its_corners_say(tmp_path):
    paint = read_mesh(write_obj(tmp_path, "0 0 0", "map_Kd squares.png")).paint
    corner = paint.at(
        np.zeros(3, np.int32), np.array([0, 1, 0], np.float32), np.array([0, 0, 1], np.float32)
    )
    # v 0.75 is the upper row: red and green; v 0.25 the lower: blue.
    assert_allclose(corner, np.eye(3), atol=1e-5)


def test_a_gltf_material_tints_its_picture_as_light(tmp_path):
    material = PBRMaterial(
        baseColorTexture=Image.fromarray(SQUARES), baseColorFactor=[128, 128, 128, 255]
    )
    uv = np.tile([0.75, 0.25], (4, 1))  # white
    visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    wedge(visual=visual).export(tmp_path / "a.glb")
    paint = read_mesh(tmp_path / "a.glb").paint
    third = np.full(1, 0.3, np.float32)
    light = paint.at(np.zeros(1, np.int32), third, third)
    assert_allclose(light, [[128 / 255] * 3], atol=0.005)  # stored as a byte of sRGB


def test_an_obj_without_its_material_file_is_gray(tmp_path):
    path = write_obj(tmp_path)
    (tmp_path / "a.mtl").unlink()
    found = read_mesh(path)
    assert found.paint is None
    assert found.mesh.colors is None or (found.mesh.colors == DEFAULT_COLOR).all()


def test_a_large_picture_is_shrunk(tmp_path):
    path = write_obj(tmp_path, picture="map_Kd big.png")
    Image.new("RGB", (1500, 300), (0, 99, 0)).save(tmp_path / "big.png")
    (picture,) = read_mesh(path).paint.pictures
    assert picture.shape == (102, 512, 3)
    assert_allclose(LINEAR[picture[50, 200]], LINEAR[[0, 99, 0]])


@pytest.mark.parametrize(
    "name",
    [
        "../../s.png",
        "/etc/passwd",
        "..\\..\\s.png",
        "sub/../../../s.png",
        "%2e%2e/../s.png",
        "link.png",
    ],
)
def test_no_file_of_another_folder_is_read(name, tmp_path):
    """Which costs the picture or the material, not the mesh, and is told."""
    folder = tmp_path / "above" / "mesh"
    folder.mkdir(parents=True)
    Image.fromarray(SQUARES).save(tmp_path / "s.png")
    (folder / "link.png").symlink_to(tmp_path / "s.png")
    painted = read_mesh(write_obj(folder, picture=f"map_Kd {name}"))
    assert_array_equal(painted.mesh.colors, [[51, 102, 153]])
    (text,) = painted.warnings
    assert repr(name)[1:-1] in text and "bounds" in text
    (folder / "b.obj").write_text(f"mtllib {name}\n{TRIANGLE}f 1 2 3\n")
    painted = read_mesh(folder / "b.obj")
    assert painted.mesh.colors is None
    assert "bounds" in painted.warnings[0]


def test_references_go_up_to_the_data_folder(tmp_path):
    """By default one above the mesh's own; with a root, to that and no farther."""
    folder = tmp_path / "03001627" / "1a2b" / "models"
    folder.mkdir(parents=True)
    path = write_obj(folder, picture="map_Kd ../../squares.png")
    (folder / "squares.png").rename(tmp_path / "03001627" / "squares.png")
    assert "bounds" in read_mesh(path).warnings[0]
    assert "bounds" in read_mesh(path, root=folder.parent).warnings[0]
    for root in (tmp_path, tmp_path / "03001627"):
        painted = read_mesh(path, root=root)
        assert (painted.warnings, len(painted.paint.pictures)) == ((), 1)
    path = write_obj(folder, picture="map_Kd ../images/texture0.png")  # ShapeNetCore v2
    (folder.parent / "images").mkdir()
    (folder / "squares.png").rename(folder.parent / "images" / "texture0.png")
    assert len(read_mesh(path).paint.pictures) == 1


def test_a_mesh_behind_a_link_keeps_its_own_folder(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    write_obj(tmp_path / "elsewhere", picture="map_Kd squares.png")
    root = tmp_path / "data"
    root.mkdir()
    (root / "chair").symlink_to(tmp_path / "elsewhere")
    assert read_mesh(root / "chair" / "a.obj", root=root).warnings == ()


@pytest.mark.parametrize(
    "name", ["http://localhost:1/x.png", "file:///etc/passwd", "a\0b", "x" * 999, ".", "pipe.png"]
)
def test_names_of_no_file(name, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    painted = read_mesh(write_obj(tmp_path, picture=f"map_Kd {name}"))
    assert painted.paint is None and len(painted.warnings) == 1
    assert str(tmp_path) not in painted.warnings[0]


def test_a_buffer_out_of_bounds_costs_the_mesh(tmp_path):
    folder = tmp_path / "above" / "mesh"
    folder.mkdir(parents=True)
    (tmp_path / "s.bin").write_bytes(bytes(99))
    tree = {
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "accessors": [{"bufferView": 0, "count": 3, "type": "VEC3", "componentType": 5126}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "buffers": [{"uri": "../../s.bin", "byteLength": 36}],
    }
    (folder / "a.gltf").write_text(json.dumps(tree))
    with pytest.raises(ValueError, match=r"a\.gltf: got a reference .*bounds"):
        read_mesh(folder / "a.gltf")


def test_names_in_letters_of_another_case(tmp_path):
    (tmp_path / "Tex").mkdir()
    path = write_obj(tmp_path, picture="map_Kd tex\\SQUARES.PNG")
    (tmp_path / "squares.png").rename(tmp_path / "Tex" / "Squares.png")
    (tmp_path / "a.mtl").rename(tmp_path / "A.MTL")
    assert read_mesh(path).warnings == ()
    (tmp_path / "tex").mkdir()  # two that are as near
    (tmp_path / "Tex" / "squares.PNG").write_bytes(b"")
    (tmp_path / "tex").rmdir()
    assert "not there" in read_mesh(path).warnings[0]


def test_a_picture_in_a_folder_within_is_read(tmp_path):
    (tmp_path / "tex").mkdir()
    path = write_obj(tmp_path, picture="map_Kd tex\\squares.png")
    (tmp_path / "squares.png").rename(tmp_path / "tex" / "squares.png")
    assert len(read_mesh(path).paint.pictures) == 1


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("a.obj", TRIANGLE + "f 1 2 9\n", "damaged|vertices"),
        ("a.obj", TRIANGLE, "no faces"),
        ("a.obj", TRIANGLE.replace("v 1", "v nan") + "f 1 2 3\n", "finite"),
        ("a.obj", TRIANGLE.replace("v 1", "v 1e999") + "f 1 2 3\n", "finite"),
        ("a.obj", "v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n", "longest side 0"),
        ("a.obj", "", "got"),
        ("a.off", "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n", "got"),
        ("a.ply", "ply\nformat ascii 1.0\nend_header\n", "got"),
        ("a.glb", "glTF", "got"),
        ("a.txt", "hello", "suffix"),
    ],
)
def test_broken_meshes_are_named(name, text, match, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=match) as raised:
        read_mesh(tmp_path / name)
    assert str(raised.value).startswith(f"{tmp_path / name}: got")


def test_missing_files_pipes_and_large_ones_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.stl")
    (tmp_path / "large.obj").write_text(TRIANGLE + "f 1 2 3\n" + " " * 1000)
    for name, limit in (("none.obj", 10**6), ("pipe.stl", 10**6), ("large.obj", 1000)):
        with pytest.raises(ValueError, match=name):
            read_mesh(tmp_path / name, max_bytes=limit)


def test_what_a_file_refers_to_counts_too(tmp_path):
    path = write_obj(tmp_path, picture="map_Kd squares.png")
    (tmp_path / "squares.png").write_bytes(bytes(2000))
    painted = read_mesh(path, max_bytes=1000)
    assert "more bytes" in painted.warnings[0]
    assert_array_equal(painted.mesh.colors, [[51, 102, 153]])


def test_a_picture_that_is_none_costs_itself(tmp_path):
    path = write_obj(tmp_path, picture="map_Kd squares.png")
    whole = (tmp_path / "squares.png").read_bytes()
    for data in (b"", b"hello", whole[:40], b"%!PS-Adobe-3.0 EPSF-3.0"):
        (tmp_path / "squares.png").write_bytes(data)
        painted = read_mesh(path)
        assert_array_equal(painted.mesh.colors, [[51, 102, 153]])
        assert "squares.png" in painted.warnings[0]


KINDS = ("obj", "ply", "stl", "off", "glb")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    for kind in KINDS:
        wedge(vertex_colors=C).export(folder / f"a.{kind}")
    np.savez(folder / "a.npz", v=V, f=F, c=C[:, :3])
    return folder


@given(
    kind=st.sampled_from([*KINDS, "npz"]),
    changes=st.lists(
        st.tuples(st.integers(0, 3000), st.binary(max_size=8)), min_size=1, max_size=6
    ),
    cut=st.none() | st.integers(0, 3000),
)
def test_any_damage_is_a_mesh_or_a_value_error(sound, kind, changes, cut):
    data = bytearray((sound / f"a.{kind}").read_bytes())
    for place, content in changes:
        data[place : place + len(content)] = content
    path = sound / f"damaged.{kind}"
    path.write_bytes(data[:cut])
    try:
        found = read_mesh(path)
    except ValueError as error:
        assert str(error).startswith(f"{path}: got")
    else:
        assert np.isfinite(found.mesh.vertices).all()
        assert np.abs(found.mesh.vertices).max() == pytest.approx(0.5)
