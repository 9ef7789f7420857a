"""Bodies to print: right sizes, one closed piece, a flat base, in files that others read."""

import io
import zipfile
from xml.etree import ElementTree

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from mem3d.inference.printing import is_closed, millimeters, printable
from mem3d.inference.reconstruct import Reconstruction
from memstore.voxels.binvox import read_binvox
from memstore.voxels.mesh import Mesh, blocky
from tests.helpers.r2n2_folder import blob, box

SURFACES = ("smooth", "blocky")


def body_of(grid, size=100, surface="smooth", **values):
    """Printed from sure voxels, unless a grid of occupancies is given."""
    occupancy = np.where(grid, np.float32(0.9), np.float32(0.1))
    return printable(values.get("occupancy", occupancy), 0.3, size, surface)


def grid_of(*cells, side=4):
    """Full at these voxels (x, y, z), y up."""
    grid = np.zeros((side,) * 3, np.bool_)
    grid[tuple(np.transpose(cells))] = True
    return grid


def check_printable(body, size=100):
    """One closed manifold on z = 0, of that size: by counting, and as trimesh sees it."""
    corners, faces = body.mesh.vertices, body.mesh.faces
    edges = {}
    for a, b, c in faces.tolist():
        for edge in ((a, b), (b, c), (c, a)):
            edges[edge] = edges.get(edge, 0) + 1
    assert set(edges.values()) == {1}  # an edge is walked once each way
    assert all(edge[::-1] in edges for edge in edges)
    for corner, fan in enumerate(fans(faces, len(corners))):
        assert one_ring(fan), corner  # no two cones meet in a point
    assert (corners.min(0) == 0).all()
    assert_allclose(body.size, corners.max(0), rtol=1e-6)
    assert max(body.size) == pytest.approx(size, rel=1e-6)
    mesh = trimesh.Trimesh(
        corners, faces, process=True
    )  # merges what is at one place, as slicers do
    assert len(mesh.vertices) == len(corners)
    assert mesh.is_watertight and mesh.is_winding_consistent and mesh.body_count == 1
    assert mesh.volume > 0
    on_bed = (mesh.triangles[:, :, 2] == 0).all(1)
    assert mesh.area_faces[on_bed].sum() > 0
    assert (mesh.face_normals[on_bed][:, 2] < -0.999).all()
    return mesh


def fans(faces, count):
    """Of each vertex, the edges opposite to it in its faces."""
    opposite = [[] for _ in range(count)]
    for a, b, c in faces.tolist():
        opposite[a].append((b, c))
        opposite[b].append((c, a))
        opposite[c].append((a, b))
    return opposite


def one_ring(edges):
    """Whether directed edges make one circle."""
    follow = dict(edges)
    start = place = edges[0][0]
    for _ in edges:
        place = follow.pop(place, None)
    return place == start and not follow


@pytest.mark.parametrize("surface", SURFACES)
@settings(max_examples=40)
@given(data=st.data())
def test_any_grid_is_printed(surface, data):
    side = data.draw(st.integers(1, 5))
    grid = data.draw(arrays(np.bool_, (side,) * 3).filter(np.any))
    check_printable(body_of(grid, surface=surface))


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9])
def test_occupancies_at_random_are_printed(share, surface):
    """Values of every kind, exactly at the threshold too."""
    rng = np.random.default_rng(int(100 * share))
    occupancy = rng.random((12, 12, 12), np.float32) ** 3
    occupancy[rng.random(occupancy.shape) < 0.2] = 0.3
    occupancy[rng.random(occupancy.shape) < share] = 1
    check_printable(body_of(None, surface=surface, occupancy=occupancy))


def test_a_box_by_hand():
    """8 x 4 x 2 voxels, y up: 100 mm long, 50 high, 25 wide; the volume is that of the box."""
    body = body_of(box((0, 3, 1), (8, 7, 3), 8), surface="blocky")
    check_printable(body)
    assert_allclose(body.size, (100, 25, 50))
    assert body.mesh.volume() == pytest.approx(100 * 25 * 50, rel=1e-6)
    assert (body.voxel, body.thinnest) == (12.5, 12.5)
    assert str(body) == "100 x 25 x 50 mm (deep x wide x high); no wall or bar under 12.5 mm"


@pytest.mark.parametrize(
    ("high", "asked", "hint"),
    [
        (2, 60, "LONGEST SIDE 240 mm, 4.0 times the height: ask for the size of the longest side "),
        (2, 70, "LONGEST SIDE 280 mm, 4.0 times the height, over the 256 mm of common printers: "),
        (4, 140, "LONGEST SIDE 280 mm, 2.0 times the height, over the 256 mm of common printers:"),
        (4, 120, ""),  # twice as long, and fits
        (8, 300, ""),  # the height itself is the longest: asked for
    ],
)
def test_a_height_that_makes_another_side_long_is_told(high, asked, hint):
    """Boxes 8 voxels long, by hand."""
    grid = box((0, 0, 1), (8, high, 5), 8)
    words = str(printable(grid.astype(np.float32), 0.3, surface="blocky", height=asked))
    assert hint in words and ("LONGEST" in words) == bool(hint)
    assert "LONGEST" not in str(body_of(grid, 300, "blocky"))


@pytest.mark.parametrize("surface", SURFACES)
def test_a_height_is_the_height(surface):
    """The box of 8 x 4 x 2 voxels again: 80 mm high makes it 160 mm long."""
    occupancy = np.where(box((0, 3, 1), (8, 7, 3), 8), np.float32(0.9), np.float32(0.1))
    body = printable(occupancy, 0.3, surface=surface, height=80)
    assert body.size[2] == pytest.approx(80, rel=1e-6)
    check_printable(body, max(body.size))
    assert body.voxel == pytest.approx(80 / 4, rel=0.2)  # smooth ones end within a voxel
    for size, height, says in (
        (None, 5, "print height: got 5 mm, want 10 to 2000"),
        (50, 80, "print size: got 50 mm and a height of 80 mm, want one"),
    ):
        with pytest.raises(ValueError, match=says):
            printable(occupancy, 0.3, size, height=height)


@pytest.mark.parametrize("surface", SURFACES)
def test_what_is_drawn_is_what_is_printed(surface):
    """The drawn mesh lies where its voxels are, and is the printed one but for scale and place."""
    rng = np.random.default_rng(3)
    occupancy = np.where(blob(5), np.float32(0.8), rng.random((32,) * 3, np.float32) * 0.2)
    body = printable(occupancy, 0.3, 90, surface)
    cells = np.argwhere(body.body) / 32 - 0.5
    drawn = body.drawn.vertices
    assert_allclose(drawn.min(0), cells.min(0), atol=0.5 / 32 + 1e-6)
    assert_allclose(drawn.max(0), cells.max(0) + 1 / 32, atol=0.5 / 32 + 1e-6)
    turned = drawn[:, [0, 2, 1]] * [1, -1, 1]
    assert_allclose((turned - turned.min(0)) * 32 * body.voxel, body.mesh.vertices, atol=1e-3)
    assert not {"drawn", "mesh", "body"} & set(body.facts())


def test_up_is_up_and_the_front_stays():
    """Full at x = 0 on the floor, and a tower at x = 1, z = 0: grids' z is -y on the bed."""
    grid = grid_of((0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 2, 0))
    body = body_of(grid, size=30, surface="blocky")
    assert_allclose(body.size, (20, 20, 30))
    top = body.mesh.vertices[body.mesh.vertices[:, 2] > 29]
    assert_allclose((top.min(0), top.max(0)), [(10, 10, 30), (20, 20, 30)], atol=1e-4)


def test_a_full_grid_is_a_cube():
    body = body_of(np.ones((4, 4, 4), np.bool_), surface="blocky")
    assert_allclose(body.size, (100, 100, 100))
    assert body.mesh.volume() == pytest.approx(1e6, rel=1e-6)
    smooth = body_of(None, occupancy=np.ones((4, 4, 4), np.float32))
    check_printable(smooth)
    assert_allclose(smooth.size, (100, 100, 100), rtol=1e-6)


def test_a_smooth_base_is_as_large_as_its_lowest_voxels():
    """By hand: the square of 8 voxels, corners cut off along half a voxel."""
    mesh = check_printable(body_of(None, size=80, occupancy=np.ones((8, 8, 8), np.float32)), 80)
    base = mesh.area_faces[(mesh.triangles[:, :, 2] == 0).all(1)].sum()
    assert base == pytest.approx(80 * 80 - 4 * 5 * 5 / 2, rel=1e-6)


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("other", [(1, 1, 0), (1, 1, 1), (0, 1, 1)], ids=str)
def test_voxels_that_touch_are_joined_by_the_likeliest(other, surface):
    """Two cubes that share an edge or a corner; what is filled has the highest occupancy."""
    occupancy = np.where(grid_of((0, 0, 0), other), np.float32(0.9), np.float32(0.1))
    assert not is_closed(blocky(grid_of((0, 0, 0), (1, 1, 0))))  # four faces at one edge
    body = body_of(None, surface=surface, occupancy=occupancy)
    check_printable(body)
    assert (body.loose_bits, body.bridges) == (0, 0)
    count = {(1, 1, 1): 2}.get(other, 1)
    assert body.filling == pytest.approx(count / (2 + count))
    assert f"{body.filling:.1%} filled in" in str(body)


def test_the_likeliest_voxel_is_filled():
    """At x = 1 and not at y = 1: the tower stands on two voxels, and its top is one wide."""
    occupancy = np.where(grid_of((0, 0, 0), (1, 1, 0)), np.float32(0.9), np.float32(0.1))
    occupancy[1, 0, 0] = 0.2
    body = body_of(None, size=20, surface="blocky", occupancy=occupancy)
    top = body.mesh.vertices[body.mesh.vertices[:, 2] > 19]
    assert_allclose(top[:, 0].min(), 10, rtol=1e-6)
    assert_allclose(body.mesh.volume(), 3 * 1000, rtol=1e-5)


def test_loose_bits_are_dropped_and_told():
    """By hand: two bits of 1 voxel beside 98 are 2 % of 100."""
    grid = box((0, 0, 0), (7, 7, 2), 12)
    grid[9, 9, 9] = grid[11, 11, 4] = True
    body = body_of(grid, surface="blocky")
    check_printable(body)
    assert (body.loose_bits, body.loose_share, body.bridges, body.filling) == (2, 0.02, 0, 0)
    assert "dropped 2 loose bits, 2.0% of the volume" in str(body)
    assert_allclose(body.size, (100, 200 / 7, 100), rtol=1e-6)


def test_lost_legs_are_told_in_capitals():
    """A seat of a hundred voxels on the ends of four legs, whose middles are missing."""
    grid = np.zeros((16,) * 3, np.bool_)
    grid[3:13, 8:12, 3:13] = True
    grid[3, 2, 3] = grid[12, 2, 3] = grid[3, 2, 12] = grid[12, 2, 12] = True
    body = body_of(grid)
    assert (body.loose_bits, body.height_lost) == (4, 0.6)
    assert "NOTHING OF THE LOWEST 60.0% IS PRINTED, legs, foot or keel" in str(body)
    grid[3, 3:8, 3] = grid[12, 3:8, 3] = grid[3, 3:8, 12] = grid[12, 3:8, 12] = True
    assert body_of(grid).height_lost == 0 and "LEGS" not in str(body_of(grid))


def test_large_bodies_are_joined_by_the_shortest_line():
    """By hand: plates 3 voxels apart, one stepped towards the other, so that 2 voxels join them."""
    grid = box((0, 0, 0), (6, 1, 6), 12) | box((0, 4, 0), (6, 5, 6), 12)
    grid[2, 1, 3] = True
    body = body_of(grid, surface="blocky")
    check_printable(body)
    assert (body.loose_bits, body.bridges) == (0, 1)
    assert body.filling == pytest.approx(2 / (36 + 36 + 1 + 2))
    assert "loose parts joined by 1 bridge" in str(body)


def test_all_legs_reach_the_bed():
    """A seat on four legs of 5, 5, 4 and 3 voxels: 1 + 2 are added, and the base is 4 feet."""
    grid = box((1, 6, 1), (7, 7, 7), 8)
    for (x, z), end in zip(((1, 1), (1, 6), (6, 1), (6, 6)), (1, 1, 2, 3), strict=True):
        grid[x, end:6, z] = True
    mesh = check_printable(body_of(grid, size=60, surface="blocky"), 60)
    assert mesh.area_faces[(mesh.triangles[:, :, 2] == 0).all(1)].sum() == pytest.approx(400)
    assert mesh.volume == pytest.approx(1000 * (36 + 4 * 5), rel=1e-5)


def test_a_leg_far_above_the_bed_stays():
    """A rim that hangs 3 voxels above the foot is no foot; nor is a slope beside it."""
    grid = box((1, 4, 1), (7, 5, 7), 8) | box((3, 0, 3), (5, 5, 5), 8)
    grid[2, 1, 3] = True  # a step of the foot
    body = body_of(grid, surface="blocky")
    assert (body.filling, body.layers_cut, body.is_standing) == (0, 0, True)


def test_a_spike_below_is_cut_off_where_it_would_topple():
    """By hand: a plate with one voxel under its corner; without it, it lies flat."""
    grid = box((0, 1, 0), (6, 3, 6), 8)
    grid[0, 0, 0] = True
    body = body_of(grid, surface="blocky")
    check_printable(body)
    assert (body.layers_cut, body.is_standing, body.filling) == (1, True, 0)
    assert_allclose(body.size, (100, 100, 100 / 3), rtol=1e-6)
    assert "lowest layer of voxels cut off, to stand" in str(body)
    grid = box((0, 3, 0), (6, 5, 6), 8)
    grid[0, :3, 0] = True  # too long to be cut off
    body = body_of(grid)
    check_printable(body)
    assert (body.layers_cut, body.is_standing) == (0, False)
    assert str(body).endswith(
        "DOES NOT STAND by itself: falls over within 5 degrees (print it lying, or on supports)"
    )


def test_two_feet_at_corners_do_not_make_it_stand():
    """By hand: balanced on the line between them to a voxel's width, over ten voxels up."""
    grid = box((0, 12, 0), (9, 15, 9), 16)
    for corner in (0, 8):
        grid[corner, :12, corner] = True
    assert not body_of(grid, surface="blocky").is_standing
    grid[0, :12, 8] = True
    grid[8, :12, 0] = True
    assert body_of(grid, surface="blocky").is_standing


def test_hollows_are_filled():
    grid = np.ones((4, 4, 4), np.bool_)
    grid[1:3, 1:3, 1:3] = False
    body = body_of(grid, surface="blocky")
    check_printable(body)
    assert body.filling == 8 / 64
    grid = np.ones((32, 32, 32), np.bool_)
    grid[9, 9, 9] = False
    assert "under 0.1% filled in" in str(body_of(grid, surface="blocky"))


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.9])
def test_a_bar_is_as_thick_as_told(threshold):
    """The narrowest width of a bar that is barely there is what `thinnest` says."""
    occupancy = np.zeros((8, 8, 8), np.float32)
    occupancy[3, :, 3] = threshold + 0.01
    body = printable(occupancy, threshold, 80)
    check_printable(body, 80)
    assert body.voxel == pytest.approx(10, rel=0.1)
    corners = body.mesh.vertices
    middle = corners[np.abs(corners[:, 2] - 40) < body.voxel]
    across = (middle[:, :2] - middle[:, :2].mean(0)) @ np.array([1, 1]) / 2**0.5
    assert np.ptp(across) == pytest.approx(body.thinnest, rel=1e-3)


def test_no_shape_and_sizes_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"threshold: got 0.3, want less than the largest"):
        body_of(np.zeros((4, 4, 4), np.bool_))
    for size in (9.9, 2001, float("nan"), -1):
        with pytest.raises(ValueError, match=r"print size: got \S+ mm, want 10 to 2000"):
            body_of(np.ones((4, 4, 4), np.bool_), size=size)
    with pytest.raises(ValueError, match="surface: got 'round'"):
        body_of(np.ones((4, 4, 4), np.bool_), surface="round")


def test_sizes_are_read_with_their_unit():
    sizes = {"100mm": 100, "10cm": 100, "4in": 101.6, " 2.5 cm": 25, ".5in": 12.7, "2000mm": 2000}
    assert {text: millimeters(text) for text in sizes} == sizes
    with pytest.raises(ValueError, match=r"got '100', want .* such as 100mm, 100cm or 100in, from"):
        millimeters("100")
    for text in ("", "mm", "100 m", "1e3mm", "nanmm", "-10mm", "10 ft", "\u0661mm", "1,5cm"):
        with pytest.raises(
            ValueError, match=r"want a number with its unit, such as 100mm, from 10mm"
        ):
            millimeters(text)
    for text in ("9mm", "201cm", "9" * 400 + "mm"):
        with pytest.raises(ValueError, match=r"want from 10mm to 2000mm"):
            millimeters(text)


@pytest.fixture
def result():
    occupancy = np.where(blob(0), np.float32(0.9), np.float32(0.1))
    return Reconstruction(occupancy, 0.3, np.zeros((64, 64, 3), np.uint8), ())


def test_files_hold_the_body(result, tmp_path):
    result.save(tmp_path / "a.stl", print_size=80)
    body = result.printable(80)
    data = (tmp_path / "a.stl").read_bytes()
    assert len(data) == 84 + 50 * len(body.mesh.faces)  # a binary STL's length
    mesh = trimesh.load(tmp_path / "a.stl")
    assert mesh.is_watertight
    assert_allclose(mesh.extents, body.size, rtol=1e-6)
    result.save(tmp_path / "a.3mf")
    assert_allclose(box_of_3mf(tmp_path / "a.3mf"), result.printable().size, rtol=1e-6)
    assert max(result.printable().size) == pytest.approx(100)
    with pytest.raises(ValueError, match=r"a.glb: got the ending 'glb', want stl or 3mf"):
        result.save(tmp_path / "a.glb", print_size=80)
    assert not (tmp_path / "a.glb").exists()


def test_an_stl_without_a_size_is_as_ever(result, tmp_path):
    result.save(tmp_path / "a.stl", surface="blocky")
    assert trimesh.load(tmp_path / "a.stl").extents.max() == pytest.approx(1)


def box_of_3mf(path):
    """Extents in a 3MF file, whose parts and references are looked at."""
    with zipfile.ZipFile(path) as package:
        assert package.testzip() is None
        names = ["[Content_Types].xml", "_rels/.rels", "3D/3dmodel.model"]
        assert package.namelist() == names
        types, relations, model = (ElementTree.fromstring(package.read(name)) for name in names)
    assert relations[0].get("Target") == "/" + names[2]
    assert {entry.get("Extension") for entry in types} == {"rels", "model"}
    core = "{http://schemas.microsoft.com/3dmanufacturing/core/2015/02}"
    assert (model.tag, model.get("unit")) == (f"{core}model", "millimeter")
    [item] = model.iter(f"{core}item")
    [solid] = model.iter(f"{core}object")
    assert item.get("objectid") == solid.get("id")
    places = [[float(vertex.get(axis)) for axis in "xyz"] for vertex in model.iter(f"{core}vertex")]
    faces = [[int(face.get(f"v{i}")) for i in (1, 2, 3)] for face in model.iter(f"{core}triangle")]
    assert is_closed(Mesh(np.array(places, np.float32), np.array(faces, np.int32)))
    return np.ptp(places, axis=0)


def test_the_same_body_is_the_same_file(result, tmp_path):
    for name in ("a.3mf", "b.3mf"):
        result.save(tmp_path / name)
    data = (tmp_path / "a.3mf").read_bytes()
    assert data == (tmp_path / "b.3mf").read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        assert {entry.date_time[0] for entry in package.infolist()} == {1980}


def test_real_shapes_are_printed(real_data):
    grids = sorted((real_data / "r2n2_real" / "ShapeNetVox32").glob("*/*/model.binvox"))[::5][:6]
    assert grids
    for path in grids:
        check_printable(body_of(read_binvox(path)))
