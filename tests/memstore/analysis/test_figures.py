"""Pictures of a memory."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from memstore import ArgumentError, Memory, ShapeError, SlotError
from memstore.analysis import figures
from memstore.analysis.figures import (
    _COLORS,
    contact_sheet,
    drawing,
    neighbour_sheet,
)
from tests.helpers.random_memories import SMALL, busy_memory

A, E = np.deg2rad(35), np.deg2rad(25)
BACK = np.array([np.cos(E) * np.cos(A), np.sin(E), np.cos(E) * np.sin(A)])
RIGHT = np.array([np.sin(A), 0, -np.cos(A)])
UP = np.array([-np.sin(E) * np.cos(A), np.cos(E), -np.sin(E) * np.sin(A)])


def traced(grid, size):
    """The oracle: for each pixel, a ray against every voxel; the axis of the face hit, or -1."""
    steps = (np.arange(size) + 0.5 - size / 2) * 1.55 / size
    eyes = steps[None, :, None] * RIGHT - steps[:, None, None] * UP + 5 * BACK
    nearest, axis = np.full((size, size), np.inf), np.full((size, size), -1)
    for voxel in np.argwhere(grid):
        enter = ((voxel + 1) / len(grid) - 0.5 - eyes) / -BACK
        leave = (voxel / len(grid) - 0.5 - eyes) / -BACK
        first = enter.max(axis=2)
        hit = (first < leave.min(axis=2)) & (first < nearest)
        nearest[hit], axis[hit] = first[hit], enter.argmax(axis=2)[hit]
    return axis


@pytest.mark.parametrize("seed", range(8))
def test_a_drawing_is_what_rays_see(seed):
    grid = np.random.default_rng(seed).random((4, 4, 4)) < 0.4
    palette = np.array([*_COLORS, (255, 255, 255)])
    picture = drawing(grid, 100)
    same = (picture == palette[traced(grid, 100)]).all(axis=2)
    smoothed = ~(picture[:, :, None] == palette).all(axis=3).any(axis=2)  # edges
    assert smoothed.mean() < 0.1
    assert same[~smoothed].mean() > 0.999


def test_what_is_inside_is_hidden():
    solid = np.ones((8, 8, 8), np.bool_)
    hollow = solid.copy()
    hollow[1:-1, 1:-1, 1:-1] = False
    assert_array_equal(drawing(solid), drawing(hollow))


def test_the_sides_of_a_cube_have_the_areas_of_their_shadows():
    picture = drawing(np.ones((2, 2, 2), np.bool_), 200)
    areas = [(picture == color).all(axis=2).sum() for color in _COLORS]
    assert_allclose(np.array(areas) * (1.55 / 200) ** 2, BACK, rtol=0.05)


def test_an_empty_grid_is_blank():
    assert (drawing(np.zeros((4, 4, 4), np.bool_)) == 255).all()


TOP = 8 + 15 + 8 + 15 + 8  # gap, title, gap, legend, gap
HEADS = 15 + 8
ROW = 137 + 3 * 15 + 8  # tile, caption, gap


@pytest.fixture
def sheets(monkeypatch):
    """Rows of tiles, and what else was asked for, of each sheet."""
    drawn = []
    monkeypatch.setattr(figures, "sheet", lambda rows, *_, **more: drawn.append((rows, more)))
    return drawn


def test_a_sheet_has_a_tile_per_shape():
    memory = busy_memory()
    rows = -(-len(memory) // 2)
    picture = contact_sheet(memory, columns=2)
    assert picture.shape == (TOP + 15 + rows * ROW, 8 + 2 * (137 + 8), 3)
    assert contact_sheet(memory, count=1).shape[1] == 8 + 145
    assert contact_sheet(Memory(SMALL)).shape[2] == 3


def test_the_most_read_comes_first_or_the_order_asked_for():
    memory = busy_memory()
    most, least = memory.slots[[memory.reads.argmax(), memory.reads.argmin()]]
    for sheet, slot in (
        (contact_sheet(memory), most),
        (contact_sheet(memory, [least, most]), least),
    ):
        top = TOP if sheet.shape[1] > 400 else TOP + 15  # a narrow sheet's legend is broken
        first = sheet[top : top + 137, 8 : 8 + 137]
        assert_array_equal(first, drawing(memory.values([slot])[0]))


def test_the_legend_has_the_colors_of_the_sides_once():
    picture = contact_sheet(busy_memory())
    tops = [np.argwhere((picture[:TOP] == color).all(axis=2)) for color in _COLORS]
    assert [len(pixels) for pixels in tops] == [20 * 11] * 3
    lefts = [pixels[:, 1].min() for pixels in tops]
    assert lefts == sorted(lefts)  # front, top, side


def test_neighbors_in_order():
    memory = busy_memory()
    features = np.random.default_rng(5).standard_normal((2, 5))
    reads = memory.reads
    picture = neighbour_sheet(memory, features, k=3)
    assert picture.shape == (TOP + HEADS + 2 * ROW, 8 + 4 * 145 + 16, 3)
    slots = memory.search(features, k=3).slots
    top, left = TOP + HEADS + ROW, 8 + 16 + 3 * 145
    tile = picture[top : top + 137, left : left + 137]
    assert_array_equal(tile, drawing(memory.values(slots[1, 2:])[0]))
    assert_array_equal(memory.reads, reads)  # to look is not to read


def test_a_query_is_set_apart_with_its_own_value(sheets):
    memory = busy_memory(config=replace(SMALL, delta=None), writes=12)
    asked = memory.slots[[2, 0]]
    neighbour_sheet(memory, memory.keys(asked), k=5, slots=asked)
    [(rows, more)] = sheets
    assert more["apart"] == 1
    assert [len(row) for row in rows] == [5, 2, 5, 2]  # four answers a row, then the rest
    for number, slot in enumerate(asked.tolist()):
        query, first = rows[2 * number][:2]
        assert_array_equal(query.image, drawing(memory.values([slot])[0]))
        assert query.caption.startswith(f"{slot}: ")
        assert first.caption.startswith(f"cosine 1.000\n{slot}: ")


def test_a_query_may_have_a_picture_or_none(sheets):
    memory, photo = busy_memory(), np.zeros((4, 4, 3), np.uint8)
    neighbour_sheet(memory, np.ones((1, 5)), k=1, pictures=[photo])
    neighbour_sheet(memory, np.ones((1, 5)), k=1)
    (seen, _), (blank, _) = (rows[0] for rows, _ in sheets)
    assert seen.image is photo
    assert blank.image.all()
    assert blank.caption == "query 0"
    with pytest.raises(ShapeError, match="slots: got 2 for 1 features"):
        neighbour_sheet(memory, np.ones((1, 5)), slots=memory.slots[:2])
    with pytest.raises(ShapeError, match="pictures: got 0 for 1"):
        neighbour_sheet(memory, np.ones((1, 5)), pictures=[])


def test_wrong_arguments_are_named():
    with pytest.raises(ArgumentError, match="columns: got 0"):
        contact_sheet(busy_memory(), columns=0)
    with pytest.raises(SlotError, match="want a slot"):
        contact_sheet(busy_memory(), [99])


def test_what_was_found_is_drawn_before_it_is_removed(monkeypatch):
    memory = busy_memory()
    guarded = []
    for name in ("search", "values"):
        call = getattr(memory, name)

        def spied(*arguments, call=call, **options):
            guarded.append(len(memory._lock._readers))
            return call(*arguments, **options)

        monkeypatch.setattr(memory, name, spied, raising=False)
    neighbour_sheet(memory, np.ones((1, 5)))
    assert guarded == [1, 1]
