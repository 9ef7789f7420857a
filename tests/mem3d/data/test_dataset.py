"""Some shapes of a data set, and those of several, behave as a data set."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mem3d.data.dataset import ConcatDataset, Skipped, Subset, roots
from mem3d.data.readers.r2n2 import R2N2
from tests.helpers.memory_dataset import MemoryDataset, lopsided
from tests.helpers.r2n2_folder import make_r2n2


@pytest.fixture(scope="module")
def sets():
    one = MemoryDataset([lopsided(0), lopsided(1)], ["chair", "car"], size=24)
    two = MemoryDataset([lopsided(2)], ["lamp"], size=24, seed=1)
    return one, Subset(one, []), two


def test_chosen_models_in_the_order_given(made_up_data):
    data = R2N2.open(made_up_data, "train")
    some = Subset(data, [5, 2])
    assert (len(some), some.root, some.split) == (2, data.root, data.split)
    for i, whole in enumerate((5, 2)):
        assert some.shape_id(i) == data.shape_id(whole)
        assert (some.category(i), some.views(i)) == (data.category(whole), data.views(whole))
        grid = data.grid(whole)
        assert_array_equal(some.grid(i), grid)
        assert_array_equal(some.image(i, 1), data.image(whole, 1))
        assert_array_equal(some.projection(i, 0, grid), data.projection(whole, 0, grid))


def test_check_leaves_out_the_broken_among_the_chosen(tmp_path):
    root = make_r2n2(tmp_path)
    data = R2N2.open(root, "train")
    for i in (1, 3):
        data.shapes[i].binvox.write_bytes(b"cut")
    calls = []
    some = Subset(data, [0, 1, 2]).check(1, lambda count, total: calls.append((count, total)))
    assert some.positions == (0, 2)
    assert [one.shape_id for one in some.skipped] == [data.shape_id(1)]
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_models_follow_each_other(sets):
    joined = ConcatDataset(sets)
    assert len(joined) == 3
    assert [joined.category(i) for i in range(3)] == ["chair", "car", "lamp"]
    assert [joined.shape_id(i) for i in range(3)] == ["chair/0", "car/1", "lamp/0"]
    for i, (data, at) in enumerate([(sets[0], 0), (sets[0], 1), (sets[2], 0)]):
        np.testing.assert_array_equal(joined.grid(i), data.grid(at))
        np.testing.assert_array_equal(joined.image(i, 1), data.image(at, 1))
        np.testing.assert_array_equal(joined.camera(i, 1), data.camera(at, 1))
        assert joined.views(i) == data.views(at)
        shown = joined.projection(i, 0, joined.grid(i))
        np.testing.assert_array_equal(shown, data.projection(at, 0, data.grid(at)))


@pytest.mark.parametrize("i", [-1, 3])
def test_a_position_outside_is_refused(sets, i):
    with pytest.raises(IndexError, match=r"want 0\.\.2"):
        ConcatDataset(sets).shape_id(i)


def test_root_and_split_are_the_first_ones_and_skipped_are_all(sets):
    broken = Subset(sets[2], [0], (Skipped("lamp/9", "torn"),))
    joined = ConcatDataset([sets[0], broken])
    assert (joined.root, joined.split) == (sets[0].root, None)
    assert [skip.shape_id for skip in joined.skipped] == ["lamp/9"]
    assert len(roots(joined)) == 2 and len(roots(sets[0])) == 1


def test_progress_runs_over_all_sets(sets):
    told = []
    assert len(ConcatDataset(sets).check(progress=lambda *now: told.append(now))) == 3
    assert told[-1] == (3, 3) and told == sorted(told)


def test_no_set_is_refused():
    with pytest.raises(ValueError, match="got none"):
        ConcatDataset([])
