"""Procedural shapes of every category."""

from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mem3d.data.procedural.shape import CATEGORIES, make_shape, voxelize
from mem3d.data.procedural.solids import box
from mem3d.data.rendering.renderer import Scene, project

GRAY = (128, 128, 128)


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_longest_side_fills_the_grid_and_the_others_are_centered(category):
    for seed in range(4):
        used = np.argwhere(make_shape(category, seed).grid())
        low, high = used.min(0), used.max(0)
        assert (low.min(), high.max()) == (0, 31)
        assert np.abs(low + high - 31).max() <= 2


@pytest.mark.parametrize("category", CATEGORIES)
def test_shapes_of_a_category_differ_but_are_alike(category):
    grids = [make_shape(category, seed).grid() for seed in range(100, 112)]
    pairs = [iou(a, b) for i, a in enumerate(grids) for b in grids[:i]]
    assert 0.08 < np.mean(pairs) < 0.7
    assert np.median([max(iou(a, b) for b in grids if b is not a) for a in grids]) < 0.93


@pytest.mark.parametrize("category", CATEGORIES)
def test_picture_and_grid_show_one_object(category):
    scores, mirrored = [], []
    for seed in range(3):
        shape, row = make_shape(category, seed), [40 + 100 * seed, 27, 0, 0.75, 25]
        picture = Scene(shape.mesh()).render(azimuth=row[0], elevation=row[1], ratio=row[3])
        mask = picture[:, :, 3] > 127
        scores.append(iou(project(shape.grid(), row), mask))
        mirrored.append(iou(project(shape.grid().transpose(0, 2, 1), row), mask))
    assert np.mean(scores) > 0.7  # a voxel is thicker than a rifle's barrel
    assert np.mean(scores) > np.mean(mirrored) + 0.05


def changed(design, name, rng):
    """The design with another value of one field."""
    while (value := fields_of(design)[name].metadata["draw"](rng)) == getattr(design, name):
        pass
    return replace(design, **{name: value})


def fields_of(design):
    return {one.name: one for one in fields(design)}


def grid(design):
    return voxelize(design.parts(np.random.default_rng(0)))


@pytest.mark.parametrize("category", CATEGORIES)
def test_twelve_kinds_of_variation_change_most_shapes_and_all_kinds_some(category):
    rng, draws = np.random.default_rng(0), 3
    seen = dict.fromkeys(fields_of(CATEGORIES[category]), 0)
    for _ in range(draws):
        design = CATEGORIES[category].draw(rng)
        before = grid(design)
        for name in seen:
            seen[name] += (grid(changed(design, name, rng)) != before).any()
    assert sum(count > draws / 2 for count in seen.values()) >= 12
    for name in (name for name, count in seen.items() if not count):
        designs = [CATEGORIES[category].draw(rng) for _ in range(40)]
        assert any((grid(changed(d, name, rng)) != grid(d)).any() for d in designs), name


@pytest.mark.parametrize("category", CATEGORIES)
def test_no_two_seeds_give_one_grid(category):
    grids = {make_shape(category, seed).grid().tobytes() for seed in range(40)}
    assert len(grids) == 40


def test_the_same_seed_gives_the_same_shape_and_another_another():
    first, again, other = (make_shape("chair", seed) for seed in (7, 7, 8))
    assert_array_equal(first.grid(), again.grid())
    assert_array_equal(first.mesh().vertices, again.mesh().vertices)
    assert (first.grid() != other.grid()).any()


def test_meshes_have_unit_length_and_a_color_per_face():
    mesh = make_shape("lamp", 3).mesh()
    size = mesh.vertices.max(0) - mesh.vertices.min(0)
    assert size.max() == pytest.approx(1, abs=1e-6)
    assert mesh.colors.shape == mesh.faces.shape


def test_a_box_by_hand():
    grid = voxelize([box((0, 8), (0, 4), (0, 2), GRAY)], 8)
    want = np.zeros((8, 8, 8), np.bool_)
    want[:, 2:6, 3:5] = True
    assert_array_equal(grid, want)


@pytest.mark.parametrize("shift", [0.0, 0.13, 0.25, 0.41])
def test_a_pole_half_a_voxel_thick_is_not_lost(shift):
    plate = box((0, 32), (0, 4), (0, 32), GRAY)
    pole = box((10 + shift, 10.5 + shift), (4, 20), (7 + shift, 7.5 + shift), GRAY)
    grid = voxelize([plate, pole])
    assert (grid.any((0, 2)).sum(), grid.any((1, 2)).sum()) == (20, 32)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="category: got 'unicorn'"):
        make_shape("unicorn", 0)
    with pytest.raises(ValueError, match="seed: got -1"):
        make_shape("chair", -1)
