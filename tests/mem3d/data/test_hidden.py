"""Hidden pictures: how much is hidden, always the same way, and nothing else changes."""

import numpy as np
import pytest

from mem3d.data.dataset import Subset
from mem3d.data.images.corruptions import behind_occluders as behind
from tests.helpers.memory_dataset import MemoryDataset, lopsided


@pytest.fixture(scope="module")
def data():
    return MemoryDataset([lopsided(seed) for seed in range(3)])


def test_the_share_of_the_object_is_hidden(data):
    hidden = behind(data, 0.4, seed=0)
    for i in range(len(data)):
        whole, seen = data.image(i, 1), hidden.image(i, 1)
        mask = whole[..., 3] > 127
        changed = (whole != seen).any(axis=2)[mask].mean()
        assert changed == pytest.approx(0.4, abs=0.05)


def test_nothing_hidden_is_the_picture_itself(data):
    np.testing.assert_array_equal(behind(data, 0, seed=5).image(2, 0), data.image(2, 0))


def test_a_picture_is_hidden_the_same_way_wherever_it_stands(data):
    chosen = behind(Subset(data, [2]), 0.4, seed=7)
    np.testing.assert_array_equal(chosen.image(0, 1), behind(data, 0.4, seed=7).image(2, 1))


def test_seed_view_and_shape_change_the_occluder():
    same = MemoryDataset([lopsided(0)] * 2, views=1)
    same.images = [[same.images[0][0]] * 2 for _ in range(2)]  # one picture for all
    pictures = [behind(same, 0.4, seed).image(i, v) for seed, i, v in ((0, 0, 0), (1, 0, 0))]
    pictures += [
        behind(same, 0.4, 0).image(0, 1),
        behind(same, 0.4, 0).image(1, 0),
    ]
    assert len({picture.tobytes() for picture in pictures}) == 4


def test_all_but_the_pictures_is_as_it_was(data):
    hidden = behind(data, 0.4, seed=0).check(views=1)
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
        behind(data, share, seed)
