"""A few models that stand for a whole set."""

import pytest

from mem3d.data.splits import named, spread


def test_categories_share_evenly_by_hand():
    names = ["a"] * 10 + ["b"] * 2 + ["c"] * 6
    assert spread(names, 3) == [5, 11, 15]  # one of each, from their middles
    chosen = [names[i] for i in spread(names, 8)]
    assert [chosen.count(name) for name in "abc"] == [3, 2, 3]


def test_small_categories_leave_their_part_to_others():
    names = ["a"] * 10 + ["b"]
    assert len(spread(names, 6)) == 6
    assert 10 in spread(names, 6)
    assert spread(names, 99) == list(range(11))


def test_fewer_models_than_categories():
    names = [letter for letter in "abcdef" for _ in range(3)]
    chosen = spread(names, 3)
    assert len({names[i] for i in chosen}) == 3
    assert spread(names, 0) == spread([], 4) == []


def test_models_by_name():
    sources = ["x/1", "x/2", "y/2", "plain"]
    assert named(sources, ["1", "y/2", "plain"]) == [0, 2, 3]
    with pytest.raises(ValueError, match="'2', the name of 2 shapes, want that of one"):
        named(sources, ["2"])
    with pytest.raises(ValueError, match="of 0 shapes"):
        named(sources, ["z"])
