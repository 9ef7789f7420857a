"""Some models of a data set behave as a data set."""

from numpy.testing import assert_array_equal

from mem3d.data.dataset import Subset
from mem3d.data.readers.r2n2 import R2N2
from tests.helpers.r2n2_folder import make_r2n2


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
    some = Subset(data, [0, 1, 2]).check(1, lambda done, total: calls.append((done, total)))
    assert some.positions == (0, 2)
    assert [one.shape_id for one in some.skipped] == [data.shape_id(1)]
    assert calls == [(1, 3), (2, 3), (3, 3)]
