"""Files that claim more than they hold are refused before anything of that size is made."""

import json
import struct

import pytest

from mem3d.data.meshes.limits import MAX_CORNERS, MAX_FACES, MAX_NODES, check_claims

BILLION = 10**9


def glb(tree):
    text = json.dumps(tree).encode()
    return struct.pack("<4sIIII", b"glTF", 2, 20 + len(text), len(text), 0x4E4F534A) + text


def gltf(tree):
    return json.dumps(tree).encode()


CLAIMS = {
    "ply": b"ply\nformat ascii 1.0\nelement vertex %d\nproperty float x\nend_header\n",
    "off": b"OFF\n# made by hand\n%d 1 0\n0 0 0\n",
}


@pytest.mark.parametrize("kind", CLAIMS)
@pytest.mark.parametrize("count", [BILLION, MAX_CORNERS, 10**18])
def test_counts_in_headers(kind, count):
    with pytest.raises(ValueError, match=f"got {count} "):
        check_claims(CLAIMS[kind] % count, kind)
    check_claims(CLAIMS[kind] % 3, kind)


def test_faces_of_an_off_file():
    with pytest.raises(ValueError, match="faces"):
        check_claims(b"COFF 3 %d 0\n" % BILLION, "off")


@pytest.mark.parametrize("count", [b"-1", b"x", b"9" * 400])
def test_counts_that_are_no_numbers(count):
    with pytest.raises(ValueError, match="got"):
        check_claims(b"ply\nelement vertex " + count + b"\nend_header\n", "ply")


def test_a_ply_header_without_an_end():
    with pytest.raises(ValueError, match="end_header"):
        check_claims(b"ply\n" + b"comment x\n" * 100_000, "ply")


def test_binary_stl_whose_length_disagrees():
    with pytest.raises(ValueError, match="50 \\* 4294967295"):
        check_claims(b"\0" * 80 + b"\xff" * 4 + b"\0" * 50, "stl")
    check_claims(b"\0" * 80 + struct.pack("<I", 1) + b"\0" * 50, "stl")
    check_claims(b" solid x\nendsolid x\n" + b" " * 80, "stl")


def test_lines_of_an_obj_file():
    with pytest.raises(ValueError, match="faces"):
        check_claims(b"\nf" * (MAX_FACES + 1), "obj")
    with pytest.raises(ValueError, match="material"):
        check_claims(b"\nusemtl a" * 30_000, "obj")


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
        {"nodes": "x" * 10},
        {"meshes": [{"primitives": [{}] * 30_000}]},
        [],
    ],
    ids=lambda tree: str(tree)[:40],
)
def test_gltf_headers(tree):
    for data, kind in ((glb(tree), "glb"), (gltf(tree), "gltf")):
        with pytest.raises(ValueError, match="got"):
            check_claims(data, kind)


def test_gltf_that_nests_without_end():
    with pytest.raises(ValueError, match="damaged"):
        check_claims(b"[" * 200_000, "gltf")


def test_a_sound_gltf_header():
    tree = {"accessors": [{"count": 8, "type": "VEC3"}], "nodes": [{"children": [1]}, {}]}
    check_claims(glb(tree), "glb")
    check_claims(gltf(tree), "gltf")
