"""glTF: every way to give triangles, and what is not read is refused or told."""

import json
import struct

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from mem3d.data.meshes.formats.gltf import MAX_NODES
from mem3d.data.meshes.reader import read_mesh
from tests.helpers.solids import TRIANGLES, VERTICES, Gltf, read_whole, rich_gltf

BILLION = 10**9
CORNERS = np.array(VERTICES)


def written(folder, file):
    (folder / "a.glb").write_bytes(file.glb())
    return folder / "a.glb"


def read_places(folder, file):
    """Corners of the triangles (T, 3, 3), up to place and size."""
    mesh = read_mesh(written(folder, file)).mesh
    return mesh.vertices[mesh.faces]


def framed(triangles):
    """As the reader puts triangles (T, 3, 3): centered, longest side 1."""
    low, high = triangles.min((0, 1)), triangles.max((0, 1))
    return (triangles - (low + high) / 2) / (high - low).max()


def test_triangles_with_and_without_indices(tmp_path):
    file = Gltf()
    file.primitive()
    read_whole(written(tmp_path, file))
    file = Gltf()
    primitive = file.primitive(POSITION=file.accessor(CORNERS[np.ravel(TRIANGLES)]))
    del primitive["indices"]
    read_whole(written(tmp_path, file))


def test_fans_and_strips(tmp_path):
    """Three faces of a cube's corner each way, by hand."""
    for mode, indices, want in (
        (6, [0, 1, 2, 3], [(0, 1, 2), (0, 2, 3)]),
        (5, [0, 1, 2, 3, 4], [(0, 1, 2), (1, 3, 2), (2, 3, 4)]),
    ):
        file = Gltf()
        file.primitive(indices)["mode"] = mode
        assert_allclose(read_places(tmp_path, file), framed(CORNERS[np.array(want)]), atol=1e-6)
    file = Gltf()
    for triangle in TRIANGLES:
        file.primitive(triangle)["mode"] = 6
    read_whole(written(tmp_path, file))


def test_sparse_accessors(tmp_path):
    for has_base in (True, False):
        file = Gltf()
        places = np.arange(len(VERTICES)) if not has_base else np.array([3, 5])
        sparse = {
            "count": len(places),
            "indices": {"bufferView": file.view(places.astype("<u2")), "componentType": 5123},
            "values": {"bufferView": file.view(CORNERS[places].astype("<f4"))},
        }
        base = CORNERS.copy()
        base[[3, 5]] = 0
        number = file.accessor(base, sparse=sparse)
        if not has_base:
            del file.tree["accessors"][number]["bufferView"]
        file.primitive(POSITION=number)
        read_whole(written(tmp_path, file))


def test_strides_and_whole_numbers(tmp_path):
    file = Gltf()
    rows = np.zeros(16, [("place", "<f4", 3), ("other", "<f4", 2)])
    rows["place"] = CORNERS
    number = file.accessor(CORNERS)
    file.tree["accessors"][number]["bufferView"] = view = file.view(rows)
    file.tree["bufferViews"][view]["byteStride"] = 20
    file.primitive(POSITION=number)
    read_whole(written(tmp_path, file))
    file = Gltf()  # KHR_mesh_quantization
    file.primitive(POSITION=file.accessor(CORNERS / 4 * 32767, "<i2", normalized=True))
    file.tree["extensionsRequired"] = ["KHR_mesh_quantization"]
    read_whole(written(tmp_path, file))


def test_morph_targets_weigh(tmp_path):
    for owner in ("meshes", "nodes"):
        file = Gltf()
        half = file.accessor(CORNERS * [1, 0.5, 1])
        primitive = file.primitive(POSITION=half)
        primitive["targets"] = [
            {"POSITION": half},
            {"POSITION": file.accessor(CORNERS * [0, 2, 0])},
        ]
        file.tree[owner][0]["weights"] = [0, 0.25]
        read_whole(written(tmp_path, file))


def test_instances_stand_where_they_say(tmp_path):
    file = Gltf()
    file.primitive([0, 1, 2])
    half = np.sqrt(0.5)
    attributes = {
        "TRANSLATION": file.accessor([[0, 0, 0], [10, 0, 0]]),
        "ROTATION": file.accessor([[0, 0, 0, 1], [0, 0, half, half]]),  # a quarter about z
        "SCALE": file.accessor([[1, 1, 1], [2, 2, 2]]),
    }
    file.tree["nodes"][0]["extensions"] = {"EXT_mesh_gpu_instancing": {"attributes": attributes}}
    file.tree["nodes"][0]["scale"] = [1, 1, 3]
    triangle = CORNERS[[0, 1, 2]]
    turned = np.stack([-triangle[:, 1], triangle[:, 0], triangle[:, 2]], 1) * 2 + [10, 0, 0]
    want = np.stack([triangle, turned]) * [1, 1, 3]
    assert_allclose(read_places(tmp_path, file), framed(want), atol=1e-6)


def test_nodes_carry_their_children(tmp_path):
    file = Gltf()
    file.primitive([0, 1, 2])
    columns = np.array([[0, -1, 0, 5], [1, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]]).T.ravel().tolist()
    file.tree["nodes"] = [
        {"mesh": 0, "translation": [1, 2, 3]},
        {"matrix": columns, "children": [0]},
        {"mesh": 0},
    ]
    file.tree["scenes"][0]["nodes"] = [1, 2]
    x, y, z = (CORNERS[[0, 1, 2]] + [1, 2, 3]).T
    want = np.stack([np.stack([5 - y, x + 6, z + 7], 1), CORNERS[[0, 1, 2]]])
    assert_allclose(read_places(tmp_path, file), framed(want), atol=1e-6)


def test_skins_stand_as_their_joints_do(tmp_path):
    """A half of the corners moved by each of two joints; the node's own place says nothing."""
    file = Gltf()
    away = np.eye(4)
    away[0, 3] = -1  # undone at rest
    file.primitive(
        [0, 1, 2, 8, 9, 10],
        JOINTS_0=file.accessor([[1, 0, 0, 0]] * 8 + [[0, 1, 0, 0]] * 8, "u1"),
        WEIGHTS_0=file.accessor([[1, 0, 0, 0]] * 8 + [[0.5, 0.5, 0, 0]] * 8),
    )
    inverse = file.accessor([np.eye(4).ravel(), away.T.ravel()])
    file.tree["skins"] = [{"joints": [1, 2], "inverseBindMatrices": inverse}]
    file.tree["nodes"] = [
        {"mesh": 0, "skin": 0, "scale": [9, 9, 9]},
        {"translation": [0, 0, 4]},
        {"translation": [1, 0, 2]},
    ]
    file.tree["scenes"][0]["nodes"] = [0, 1, 2]
    want = np.stack([CORNERS[[0, 1, 2]] + [0, 0, 2], CORNERS[[8, 9, 10]] + [0, 0, 3]])
    assert_allclose(read_places(tmp_path, file), framed(want), atol=1e-6)


def test_files_without_scenes_or_nodes(tmp_path):
    for missing in (["scenes"], ["scenes", "nodes"]):
        file = Gltf()
        file.primitive()
        for name in missing:
            del file.tree[name]
        assert read_whole(written(tmp_path, file)).warnings == ()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_with_a_byte_order_mark(encoding, tmp_path):
    file = Gltf()
    file.primitive()
    (tmp_path / "a.gltf").write_bytes(file.gltf(encoding))
    read_whole(tmp_path / "a.gltf")


@pytest.mark.parametrize(
    "name", ["EXT_nobody_knows", "KHR_draco_mesh_compression", "EXT_meshopt_compression"]
)
def test_what_is_required_and_not_read_is_refused(name, tmp_path):
    file = Gltf()
    file.primitive()
    file.tree["extensionsRequired"] = ["KHR_materials_unlit", name]
    with pytest.raises(ValueError, match=rf"a\.glb: got '{name}', which it requires"):
        read_mesh(written(tmp_path, file))
    del file.tree["extensionsRequired"]
    file.tree["extensionsUsed"] = ["KHR_materials_unlit", "EXT_nobody_knows"]
    assert read_whole(written(tmp_path, file)).warnings == (
        "extension 'EXT_nobody_knows' is not read",
    )


def test_compressed_parts(tmp_path):
    """Read from what stands beside them, else refused."""
    file = Gltf()
    file.primitive()["extensions"] = {"KHR_draco_mesh_compression": {"bufferView": 0}}
    read_whole(written(tmp_path, file))
    del file.tree["accessors"][0]["bufferView"]
    with pytest.raises(ValueError, match="draco"):
        read_mesh(written(tmp_path, file))
    file = Gltf()
    file.primitive()
    file.tree["bufferViews"][0]["extensions"] = {"EXT_meshopt_compression": {"buffer": 0}}
    with pytest.raises(ValueError, match="meshopt"):
        read_mesh(written(tmp_path, file))


def test_what_is_left_out_is_told(tmp_path):
    file = Gltf()
    file.primitive()
    file.primitive([0, 1])["mode"] = 1
    file.tree["meshes"].append({"primitives": file.tree["meshes"][0]["primitives"]})
    assert read_whole(written(tmp_path, file)).warnings == (
        "lines and points are left out",
        "1 of 2 meshes are not in the scene",
    )


def test_all_at_once(tmp_path):
    """The file that others are spoiled from: three copies, one of them by its skin."""
    painted = read_mesh(written(tmp_path, rich_gltf()))
    assert len(painted.mesh.faces) == 3 * len(TRIANGLES)
    assert painted.warnings == ()


def test_colors_of_corners_are_light(tmp_path):
    """And sRGB in a mesh without a material; those above 1 are 1."""
    file = Gltf()
    corners = [[7.0, 0.0, 0.2140411]] * 16  # sRGB of the last: 127.5 of 255, by IEC 61966-2-1
    file.primitive(COLOR_0=file.accessor(corners))
    assert read_whole(written(tmp_path, file)).mesh.colors[0].tolist() == [255, 0, 55]
    file.tree["meshes"][0]["primitives"][0]["material"] = 0
    file.tree["materials"] = [{}]
    color = read_whole(written(tmp_path, file)).mesh.colors[0]
    assert_allclose(color, [255, 0, 128], atol=1)


def test_pictures_within_and_beside(tmp_path):
    Image.new("RGB", (4, 4), (9, 9, 9)).save(tmp_path / "a b.png")
    inside = np.frombuffer((tmp_path / "a b.png").read_bytes(), np.uint8)
    for image in ({"bufferView": 0}, {"uri": "a%20b.png"}, {"uri": "gone.png"}):
        file = Gltf()
        file.view(inside)
        file.primitive(TEXCOORD_1=file.accessor([[0.25, 0.25]] * 16))["material"] = 0
        file.tree["images"], file.tree["textures"] = [image], [{"source": 0}]
        texture = {"index": 0, "texCoord": 1}
        file.tree["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": texture}}]
        painted = read_whole(written(tmp_path, file))
        if "gone.png" in image.values():
            assert "gone.png" in painted.warnings[0]
            assert painted.paint is None
        else:
            assert_array_equal(painted.paint.pictures[0], np.full((4, 4, 3), 9))
            assert_allclose(painted.paint.uv, np.full((28, 3, 2), [0.25, 0.75]))  # v up


def test_a_picture_that_is_turned(tmp_path):
    """KHR_texture_transform's own example: a quarter turn about the upper left, halved, moved."""
    file = Gltf()
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    file.primitive(TEXCOORD_0=file.accessor([[1.0, 0.0]] * 16))["material"] = 0
    file.tree["images"], file.tree["textures"] = [{"uri": "a.png"}], [{"source": 0}]
    moved = {"offset": [0, 1], "rotation": np.pi / 2, "scale": [0.5, 0.5]}
    texture = {"index": 0, "extensions": {"KHR_texture_transform": moved}}
    file.tree["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": texture}}]
    # (1, 0) halved is (.5, 0), turned (0, -.5) in a frame with v down, moved (0, .5).
    assert_allclose(read_whole(written(tmp_path, file)).paint.uv[0, 0], [0, 0.5], atol=1e-6)


def glb(tree):
    text = json.dumps(tree).encode()
    return struct.pack("<4sIIII", b"glTF", 2, 20 + len(text), len(text), 0x4E4F534A) + text


@pytest.mark.parametrize(
    "tree",
    [
        {"accessors": [{"count": BILLION, "type": "VEC3", "componentType": 5126}]},
        {"accessors": [{"count": 10**7, "type": "MAT4"}] * 3},
        {"accessors": [{"count": -5, "type": "SCALAR"}]},
        {"accessors": [{"count": 2.5, "type": "SCALAR"}]},
        {"accessors": [{"count": 3, "type": "VEC9"}]},
        {"accessors": 7},
        {"bufferViews": [{"byteLength": 10**8}] * 100},
        {"nodes": [{}] * (MAX_NODES + 1)},
        {"nodes": [{"children": [1, 1]}, {}]},
        {"nodes": [{"children": [2]}, {"children": [2]}, {}]},
        {"nodes": [{"children": [1]}, {"children": [0]}], "scenes": [{"nodes": [0]}]},
        {"nodes": [{}], "scenes": [{"nodes": [0, 0]}]},
        {"nodes": [{}], "scenes": [{"nodes": [-1]}]},
        {"nodes": "x" * 10},
        {"meshes": [{"primitives": [{}] * 30_000}]},
        {"asset": {"version": "1.0"}},
        {},
        [],
    ],
    ids=lambda tree: str(tree)[:40],
)
def test_headers_that_cannot_be(tree, tmp_path):
    for name, data in (("a.glb", glb(tree)), ("a.gltf", json.dumps(tree).encode())):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=rf"{name}: got"):
            read_mesh(tmp_path / name)


def test_text_that_nests_without_end(tmp_path):
    (tmp_path / "a.gltf").write_bytes(b"[" * 200_000)
    with pytest.raises(ValueError, match="200000 deep"):
        read_mesh(tmp_path / "a.gltf")


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("accessors", {"count": 17}),
        ("accessors", {"byteOffset": 4}),
        ("accessors", {"byteOffset": -4}),
        ("bufferViews", {"byteLength": BILLION}),
        ("bufferViews", {"byteOffset": 10**6}),
        ("bufferViews", {"byteStride": 4}),
        ("bufferViews", {"buffer": 1}),
        ("bufferViews", {"buffer": -1}),
    ],
    ids=str,
)
def test_arrays_that_are_not_there(table, change, tmp_path):
    file = Gltf()
    file.primitive()
    file.tree[table][0] |= change
    with pytest.raises(ValueError, match=r"a\.glb: got"):
        read_mesh(written(tmp_path, file))


@pytest.mark.parametrize("indices", [[0, 1, 2, 3], [0, 1, 16], [0, 1]])
def test_triangles_that_cannot_be(indices, tmp_path):
    file = Gltf()
    file.primitive(indices)
    with pytest.raises(ValueError, match=r"a\.glb: got"):
        read_mesh(written(tmp_path, file))


def test_every_cut_is_refused(tmp_path):
    file = Gltf()
    file.primitive()
    whole = file.glb()
    for end in range(0, len(whole), 3):
        (tmp_path / "a.glb").write_bytes(whole[:end])
        with pytest.raises(ValueError, match="got"):
            read_mesh(tmp_path / "a.glb")


def test_copies_without_end_are_refused_before_they_are_made(tmp_path):
    file = Gltf()
    file.primitive()
    number = file.accessor(np.zeros((100_000, 3)))
    copies = {"attributes": {"TRANSLATION": number}}
    file.tree["nodes"][0]["extensions"] = {"EXT_mesh_gpu_instancing": copies}
    with pytest.raises(ValueError, match="got 2800000 faces"):
        read_mesh(written(tmp_path, file))
