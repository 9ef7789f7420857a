"""Groups of near-duplicates; split files which have each on one side and overwrite nothing."""

import json
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from mem3d.data.curation.near_duplicates import (
    far_from,
    near_duplicate_groups,
    packed_grids,
    plan_split,
    split_dataset,
)
from mem3d.data.readers.r2n2 import R2N2
from memstore.voxels.binvox import write_binvox
from tests.helpers.r2n2_folder import blob, make_r2n2


def packed(grids):
    return np.stack([np.packbits(grid) for grid in grids])


def naive_groups(grids, above, forms):
    """Links every pair, one at a time; numbers the groups by their first members."""
    group = list(range(len(grids)))
    for i, j in combinations(range(len(grids)), 2):
        for form in forms[j]:
            joint = (grids[i] | form).sum()
            if joint == 0 or (grids[i] & form).sum() / joint > above:
                group = [group[i] if g == group[j] else g for g in group]
    order = list(dict.fromkeys(group))
    return [order.index(g) for g in group]


@pytest.fixture
def folder(tmp_path):
    return make_r2n2(tmp_path / "data", train=4, val=2, test=2, views=1)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 0.5, 0.85]), st.booleans())
def test_groups_match_the_oracle(seed, above, mirrored):
    rng = np.random.default_rng(seed)
    first = rng.random((4, 5, 5, 5)) < rng.random((4, 1, 1, 1))
    grids = first[rng.integers(0, 4, 14)] ^ (rng.random((14, 5, 5, 5)) < rng.choice([0, 0.03, 0.2]))
    if mirrored:
        grids = np.where(rng.random((14, 1, 1, 1)) < 0.5, grids, grids[..., ::-1])
    forms = [[grid, grid[..., ::-1]] if mirrored else [grid] for grid in grids]
    also = packed(grids[..., ::-1]) if mirrored else None

    found = near_duplicate_groups(packed(grids), above, also=also)

    assert found.tolist() == naive_groups(grids, above, forms)


def test_links_are_indirect_and_the_threshold_is_not_enough():
    """By hand: bars of 10, 9 and 8 voxels; IoU .9, .889 and .8."""
    bars = np.zeros((4, 8, 8, 8), np.bool_)
    for bar, length in zip(bars, (10, 9, 8, 4), strict=True):
        bar.ravel()[:length] = True
    assert near_duplicate_groups(packed(bars), 0.85).tolist() == [0, 0, 0, 1]
    assert near_duplicate_groups(packed(bars), 0.89).tolist() == [0, 0, 1, 2]
    assert near_duplicate_groups(packed(bars), 0.9).tolist() == [0, 1, 2, 3]


def test_settings_out_of_range():
    with pytest.raises(ValueError, match="above: got 1"):
        near_duplicate_groups(np.zeros((2, 8), np.uint8), 1)
    with pytest.raises(ValueError, match="shares"):
        plan_split(np.arange(2), ["a", "a"], (0.5, -0.1, 0.6))
    with pytest.raises(ValueError, match="categories"):
        plan_split(np.arange(2), ["a"])
    assert len(near_duplicate_groups(np.empty((0, 0), np.uint8))) == 0


@given(st.integers(0, 2**32 - 1))
def test_a_split_keeps_groups_whole_and_shares_close(seed):
    rng = np.random.default_rng(seed)
    category = rng.choice(["chair", "car"], 200).tolist()
    # Groups of one category each, as nearly all are; at most 4 members.
    groups = np.array([2 * int(rng.integers(80)) + (c == "car") for c in category])
    largest = max(Counter(groups.tolist()).values())

    subsets = plan_split(groups, category, seed=seed)

    assert subsets == plan_split(groups, category, seed=seed)
    assert len({*zip(groups.tolist(), subsets, strict=True)}) == len(set(groups.tolist()))
    for name, total in Counter(category).items():
        got = Counter(s for s, c in zip(subsets, category, strict=True) if c == name)
        for subset, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
            assert abs(got[subset] - share * total) <= largest


def test_a_share_of_nothing_gets_nothing():
    subsets = plan_split(np.arange(10), ["chair"] * 10, (8, 0, 2))
    assert Counter(subsets) == {"train": 8, "test": 2}


def test_grids_of_a_data_set(made_up_data):
    data = R2N2.open(made_up_data)
    calls = []
    grids = packed_grids(data, lambda count, total: calls.append((count, total)))
    assert calls[-1] == (16, 16)
    assert_array_equal(np.unpackbits(grids[3]).reshape(32, 32, 32), data.grid(3))


def test_every_model_is_dealt_out_once_and_copies_together(folder, tmp_path):
    copies = [f"ShapeNetVox32/03001627/{name}/model.binvox" for name in ("train0", "test1")]
    for copy in copies:
        write_binvox(folder / copy, blob(5))
    made = split_dataset(folder, tmp_path / "new.json", (0.5, 0.25, 0.25))
    parts = {
        name: R2N2.open(folder, name, tmp_path / "new.json") for name in ("train", "val", "test")
    }
    sources = {name: {one.shape_id(i) for i in range(len(one))} for name, one in parts.items()}
    assert sum(len(one) for one in sources.values()) == made.shapes == 16
    pair = {"03001627/train0", "03001627/test1"}
    assert sum(bool(pair & one) for one in sources.values()) == 1
    assert made.near_duplicates >= 2
    assert {name: len(one) for name, one in sources.items()} == {
        name: sum(row[name] for row in made.counts.values()) for name in sources
    }


def test_a_file_that_is_there_is_kept_unless_it_may_be_replaced(folder, tmp_path):
    out = tmp_path / "mine.json"
    out.write_text("mine")
    with pytest.raises(ValueError, match=r"mine\.json"):
        split_dataset(folder, out, (0.7, 0.1, 0.2))
    assert out.read_text() == "mine"
    split_dataset(folder, out, (0.7, 0.1, 0.2), replace=True)
    assert json.loads(out.read_text())[0]["taxonomy_id"] == "02691156"


def test_what_is_far_has_a_low_iou_with_each_other_shape_and_its_mirror(tmp_path):
    rng = np.random.default_rng(1)
    for path in make_r2n2(tmp_path / "data", train=8, test=3, views=1).rglob("*.binvox"):
        grid = np.zeros((32, 32, 32), bool)
        grid[:, :, rng.integers(0, 20) : rng.integers(22, 32)] = rng.random((32, 32, 1)) < 0.9
        write_binvox(path, grid)
    data, others = (R2N2.open(tmp_path / "data", subset=name) for name in ("train", "test"))
    forms = [other[:, :, ::step] for other in map(others.grid, range(6)) for step in (1, -1)]

    def nearest(grid):
        return max((grid & form).sum() / (grid | form).sum() for form in forms)

    highest = [nearest(data.grid(i)) for i in range(len(data))]
    for above in (0.0, 0.3, 0.6, 1.0):
        far = [i for i, iou in enumerate(highest) if iou <= above]
        assert list(far_from(data, others, above).positions) == far
        assert above != 0.6 or 0 < len(far) < len(data)
