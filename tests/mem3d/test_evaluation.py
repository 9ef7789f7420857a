"""Averages by hand, and a whole evaluation on a made-up set."""

import json

import numpy as np
import pytest
import torch

from mem3d.baselines import category_means, nearest_recalled
from mem3d.config import TINY
from mem3d.data.r2n2 import R2N2
from mem3d.evaluation import (
    MEAN,
    NEAREST,
    NETWORK,
    THRESHOLDS,
    Scores,
    best_threshold,
    by_category,
    macro,
    score,
    summarise,
)
from mem3d.model import Mem3D
from memstore import Memory


def scores(columns, categories):
    """One method whose IoU at thresholds .2, .3, .4, .5 is given per sample."""
    return Scores(
        iou={"m": np.array(columns, np.float32)},
        f_score={},
        categories=list(categories),
        sources=[str(i) for i in range(len(categories))],
        priors=np.array([0, 2, 4][: len(categories)]),
    )


# Two chairs and a lamp; by hand at .3: chairs (.2 + .4) / 2 = .3, lamp .9
KNOWN = scores([[0.1, 0.2, 0.3, 0.0], [0.1, 0.4, 0.5, 0.0], [1.0, 0.9, 0.4, 0.0]], "ccl")


def test_averages_by_hand():
    at_3 = KNOWN.iou["m"][:, 1]
    assert by_category(KNOWN, at_3) == pytest.approx({"c": 0.3, "l": 0.9})
    assert macro(KNOWN, "m", 0.3) == pytest.approx(0.6)
    # .2: (.1 + 1) / 2 = .55; .4: (.4 + .4) / 2 = .4
    assert best_threshold(KNOWN, "m") == 0.3


def test_summary_by_hand():
    validation = scores([[0.0, 0.0, 0.7, 0.0]], "c")
    summary = summarise(KNOWN, validation)
    fixed, best = summary["methods"]["m"]["fixed"], summary["methods"]["m"]["best on validation"]
    assert fixed["weighted"] == pytest.approx(0.5)
    assert (best["threshold"], best["macro"]) == (0.4, pytest.approx(0.4))
    assert summary["hit_rate"] == pytest.approx(2 / 3)
    assert summary["mean_priors"] == pytest.approx(2)
    assert summary["categories"] == {"c": 2, "l": 1}
    assert json.loads(json.dumps(summary)) == summary


@pytest.fixture
def sets(made_up_data):
    return {name: R2N2.open(made_up_data, name) for name in ("train", "test")}


def test_category_means_are_means(sets):
    data = sets["train"]
    means = category_means(data)
    chairs = [data.grid(i) for i in range(len(data)) if data.models[i].category == "chair"]
    np.testing.assert_allclose(means["chair"], np.mean(chairs, axis=0))


def test_the_nearest_value_is_returned_whatever_its_cosine():
    memory = Memory(TINY.memory)
    keys = np.eye(TINY.memory.key_dim, dtype=np.float32)
    grid = np.zeros((32,) * 3, bool)
    grid[3] = True
    memory.write(keys[:1], grid[None])
    features = torch.from_numpy(keys[:1] * 0.1 + keys[1:2])  # cosine about .1
    features = torch.cat([features, torch.zeros_like(features)])
    grids = nearest_recalled(memory, features, 32)
    np.testing.assert_array_equal(grids[0].numpy(), grid)
    assert not grids[1].any()
    assert not nearest_recalled(Memory(TINY.memory), features, 32).any()


def test_a_whole_evaluation(sets):
    torch.manual_seed(0)
    model, memory = Mem3D(TINY.model), Memory(TINY.memory)
    seen = []
    got = score(
        model,
        memory,
        sets["test"],
        means=category_means(sets["train"]),
        with_f_score=True,
        batch=3,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert set(got.iou) == {NETWORK, NEAREST, MEAN}
    assert all(values.shape == (4, len(THRESHOLDS)) for values in got.iou.values())
    assert all(values.shape == (4,) for values in got.f_score.values())
    assert (got.iou[NEAREST] == 0).all()  # nothing to recall
    assert got.iou[MEAN].mean() > 0.2  # blobs of one category overlap
    assert seen == [(3, 4), (4, 4)]
    assert len(memory) == 0  # read, never written


def test_nothing_to_test_on_is_an_error(sets):
    data = sets["test"]
    empty = R2N2(data.root, (), ())
    with pytest.raises(ValueError, match="no usable model"):
        score(Mem3D(TINY.model), Memory(TINY.memory), empty)


def test_the_size_of_the_batch_does_not_matter(sets):
    torch.manual_seed(0)
    model, memory = Mem3D(TINY.model), Memory(TINY.memory)
    first, second = (score(model, memory, sets["test"], batch=size) for size in (1, 4))
    np.testing.assert_allclose(first.iou[NETWORK], second.iou[NETWORK], atol=1e-3)


def test_a_category_without_a_mean_scores_as_empty(sets):
    got = score(Mem3D(TINY.model), Memory(TINY.memory), sets["test"], means={})
    assert (got.iou[MEAN] == 0).all()
