"""Pictures behind occluders and before photos: always the same ones, and nothing else changes."""

import numpy as np
import pytest

from mem3d.data.dataset import Subset
from mem3d.data.images.backgrounds import SIDE, Backgrounds
from mem3d.data.images.corruptions import before_photos, behind_occluders, laid_over
from tests.helpers.memory_dataset import MemoryDataset, lopsided


@pytest.fixture(scope="module")
def data():
    return MemoryDataset([lopsided(seed) for seed in range(3)])


@pytest.fixture(scope="module")
def photos():
    rng = np.random.default_rng(0)
    return Backgrounds(rng.integers(0, 256, (4, SIDE, SIDE, 3), np.uint8), "0" * 16)


def test_the_share_of_the_object_is_hidden(data):
    hidden = behind_occluders(data, 0.4, seed=0)
    for i in range(len(data)):
        whole, seen = data.image(i, 1), hidden.image(i, 1)
        mask = whole[..., 3] > 127
        changed = (whole != seen).any(axis=2)[mask].mean()
        assert changed == pytest.approx(0.4, abs=0.05)


def test_nothing_hidden_is_the_picture_itself(data):
    np.testing.assert_array_equal(behind_occluders(data, 0, seed=5).image(2, 0), data.image(2, 0))


def test_a_picture_is_hidden_the_same_way_wherever_it_stands(data):
    chosen = behind_occluders(Subset(data, [2]), 0.4, seed=7)
    np.testing.assert_array_equal(
        chosen.image(0, 1), behind_occluders(data, 0.4, seed=7).image(2, 1)
    )


def test_seed_view_and_shape_change_the_occluder():
    same = MemoryDataset([lopsided(0)] * 2, views=1)
    same.images = [[same.images[0][0]] * 2 for _ in range(2)]  # one picture for all
    pictures = [
        behind_occluders(same, 0.4, seed).image(i, v) for seed, i, v in ((0, 0, 0), (1, 0, 0))
    ]
    pictures += [
        behind_occluders(same, 0.4, 0).image(0, 1),
        behind_occluders(same, 0.4, 0).image(1, 0),
    ]
    assert len({picture.tobytes() for picture in pictures}) == 4


def test_all_but_the_pictures_is_as_it_was(data):
    hidden = behind_occluders(data, 0.4, seed=0).check(views=1)
    assert (len(hidden), hidden.root, hidden.split) == (3, data.root, data.split)
    assert hidden.skipped == data.skipped
    for i in range(3):
        assert hidden.shape_id(i) == data.shape_id(i)
        assert hidden.category(i) == data.category(i)
        assert hidden.views(i) == data.views(i)
        assert hidden.grid(i) is data.grid(i)
        shadow = hidden.projection(i, 0, data.grid(i))
        np.testing.assert_array_equal(shadow, data.projection(i, 0, data.grid(i)))


@pytest.mark.parametrize(
    ("share", "seed", "named"), [(1.1, 0, "share"), (-0.1, 0, "share"), (0.4, -1, "seed")]
)
def test_what_is_out_of_range_is_refused(data, share, seed, named):
    with pytest.raises(ValueError, match=f"{named}: got"):
        behind_occluders(data, share, seed)


def test_mixing_by_hand():
    rgba = np.array([[[200, 100, 0, 255], [200, 100, 0, 51], [1, 2, 3, 0]]], np.uint8)
    behind = np.array([[[10, 20, 30]] * 3], np.uint8)
    want = [[200, 100, 0], [48, 36, 24], [10, 20, 30]]  # .2 * 200 + .8 * 10, ...
    np.testing.assert_allclose(laid_over(rgba, behind)[0], want)


def test_the_object_stays_and_the_rest_is_a_photo(data, photos):
    shown = before_photos(data, photos, 0)
    for i in range(3):
        rgba, plain = shown.image(i, 1), data.image(i, 1)
        assert rgba.dtype == np.uint8 and (rgba[..., 3] == 255).all()
        inside = plain[..., 3] == 255
        np.testing.assert_array_equal(rgba[inside], plain[inside])
        assert rgba[plain[..., 3] == 0][:, :3].std() > 10
        np.testing.assert_array_equal(shown.grid(i), data.grid(i))
        assert (shown.shape_id(i), shown.category(i), shown.views(i)) == (f"chair/{i}", "chair", 2)
    assert len(shown) == 3
    assert shown.projection(0, 0, data.grid(0)).shape == (48, 48)


def test_a_picture_depends_on_the_seed_and_its_name_alone(data, photos):
    shown = before_photos(data, photos, 0)
    chosen = before_photos(Subset(data, [2, 0]), photos, 0)
    np.testing.assert_array_equal(chosen.image(0, 1), shown.image(2, 1))
    assert (shown.image(0, 0)[0, 0] != shown.image(1, 0)[0, 0]).any()
    assert (shown.image(0, 0) != before_photos(data, photos, 1).image(0, 0)).any()
    assert (shown.image(0, 0)[0, 0] != shown.image(0, 1)[0, 0]).any()


def test_hiding_leaves_the_photo_as_it_is(data, photos):
    plain = before_photos(data, photos, 0).image(1, 0)
    hidden = before_photos(behind_occluders(data, 0.3, 5), photos, 0).image(1, 0)
    covered = behind_occluders(data, 0.3, 5).image(1, 0) != data.image(1, 0)
    untouched = ~covered.any(axis=2)
    np.testing.assert_array_equal(hidden[untouched], plain[untouched])
    assert (hidden != plain).any()


def test_checking_and_bad_seeds(data, photos):
    assert len(before_photos(data, photos, 0).check()) == 3
    with pytest.raises(ValueError, match="seed"):
        before_photos(data, photos, -1)
