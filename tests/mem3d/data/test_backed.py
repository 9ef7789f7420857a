"""Pictures before photos: the same ones each time, with the object whole."""

import numpy as np
import pytest

from mem3d.data.dataset import Subset
from mem3d.data.images.backgrounds import SIDE, Backgrounds
from mem3d.data.images.corruptions import before_photos, behind_occluders, laid_over
from tests.helpers.memory_dataset import MemoryDataset, lopsided


@pytest.fixture(scope="module")
def shapes():
    return MemoryDataset([lopsided(seed) for seed in range(3)])


@pytest.fixture(scope="module")
def photos():
    rng = np.random.default_rng(0)
    return Backgrounds(rng.integers(0, 256, (4, SIDE, SIDE, 3), np.uint8), "0" * 16)


def test_mixing_by_hand():
    rgba = np.array([[[200, 100, 0, 255], [200, 100, 0, 51], [1, 2, 3, 0]]], np.uint8)
    behind = np.array([[[10, 20, 30]] * 3], np.uint8)
    want = [[200, 100, 0], [48, 36, 24], [10, 20, 30]]  # .2 * 200 + .8 * 10, ...
    np.testing.assert_allclose(laid_over(rgba, behind)[0], want)


def test_the_object_stays_and_the_rest_is_a_photo(shapes, photos):
    shown = before_photos(shapes, photos, 0)
    for i in range(3):
        rgba, plain = shown.image(i, 1), shapes.image(i, 1)
        assert rgba.dtype == np.uint8 and (rgba[..., 3] == 255).all()
        inside = plain[..., 3] == 255
        np.testing.assert_array_equal(rgba[inside], plain[inside])
        assert rgba[plain[..., 3] == 0][:, :3].std() > 10
        np.testing.assert_array_equal(shown.grid(i), shapes.grid(i))
        assert (shown.shape_id(i), shown.category(i), shown.views(i)) == (f"chair/{i}", "chair", 2)
    assert len(shown) == 3
    assert shown.projection(0, 0, shapes.grid(0)).shape == (48, 48)


def test_a_picture_depends_on_the_seed_and_its_name_alone(shapes, photos):
    shown = before_photos(shapes, photos, 0)
    chosen = before_photos(Subset(shapes, [2, 0]), photos, 0)
    np.testing.assert_array_equal(chosen.image(0, 1), shown.image(2, 1))
    assert (shown.image(0, 0)[0, 0] != shown.image(1, 0)[0, 0]).any()
    assert (shown.image(0, 0) != before_photos(shapes, photos, 1).image(0, 0)).any()
    assert (shown.image(0, 0)[0, 0] != shown.image(0, 1)[0, 0]).any()


def test_hiding_leaves_the_photo_as_it_is(shapes, photos):
    plain = before_photos(shapes, photos, 0).image(1, 0)
    hidden = before_photos(behind_occluders(shapes, 0.3, 5), photos, 0).image(1, 0)
    covered = behind_occluders(shapes, 0.3, 5).image(1, 0) != shapes.image(1, 0)
    untouched = ~covered.any(axis=2)
    np.testing.assert_array_equal(hidden[untouched], plain[untouched])
    assert (hidden != plain).any()


def test_checking_and_bad_seeds(shapes, photos):
    assert len(before_photos(shapes, photos, 0).check()) == 3
    with pytest.raises(ValueError, match="seed"):
        before_photos(shapes, photos, -1)
