"""Averages by hand, and a whole evaluation on a made-up set."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from mem3d.data.dataset import Subset
from mem3d.data.readers.r2n2 import R2N2
from mem3d.evaluation.baselines import (
    CATEGORY_ORACLE,
    ORACLE,
    STEM,
    category_means,
    costly_baselines,
)
from mem3d.evaluation.evaluate import (
    MEAN,
    NEAREST,
    NETWORK,
    RECALLED_MEAN,
    THRESHOLDS,
    Scores,
    best_threshold,
    by_category,
    doubts,
    evaluate,
    macro,
    mean_shape_iou,
    score,
    summarise,
)
from mem3d.memory.projection_cache import projections_of
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY
from memstore import Memory


def scores(columns, categories):
    """One method whose IoU at thresholds .2, .3, .4, .5 is given per sample."""
    return Scores(
        iou={"m": np.array(columns, np.float32)},
        f_score={},
        categories=list(categories),
        shape_ids=[str(i) for i in range(len(categories))],
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
    assert set(got.iou) == {NETWORK, NEAREST, RECALLED_MEAN, MEAN}
    assert all(values.shape == (4, len(THRESHOLDS)) for values in got.iou.values())
    assert all(values.shape == (4,) for values in got.f_score.values())
    assert (got.iou[NEAREST] == 0).all()  # nothing to recall
    assert got.iou[MEAN].mean() > 0.2  # blobs of one category overlap
    assert seen == [(3, 4), (4, 4)]
    assert len(memory) == 0  # read, never written


def test_evaluate_is_scoring_and_summarising(sets):
    torch.manual_seed(0)
    model, memory = Mem3D(TINY.model), Memory(TINY.memory)
    means = category_means(sets["train"])
    progress = []
    report = evaluate(
        model,
        memory,
        sets["test"],
        validation=Subset(sets["train"], [0, 1, 2]),
        means=means,
        with_f_score=True,
        batch=2,
        progress=lambda number, total: progress.append((number, total)),
    )
    scores = score(model, memory, sets["test"], means=means, with_f_score=True)
    validated = score(model, memory, Subset(sets["train"], [0, 1, 2]), means=means)
    want = summarise(scores, validated)
    assert report["methods"].keys() == want["methods"].keys()
    for method, columns in want["methods"].items():
        for name, column in columns.items():
            assert report["methods"][method][name]["macro"] == pytest.approx(column["macro"])
    assert progress == [(2, 7), (3, 7), (5, 7), (7, 7)]  # validation first
    without = evaluate(model, memory, sets["test"])
    assert set(without["methods"]["network"]) == {"fixed"}


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


def test_the_mean_shapes_score_is_that_of_the_whole_evaluation(sets):
    data, memory = sets["test"], Memory(TINY.memory)
    learned = Subset(sets["train"], [0, 1])  # of one category: of the other there is no mean
    for known in (sets["train"], learned):
        whole = score(Mem3D(TINY.model), memory, data, means=category_means(known))
        assert mean_shape_iou(known, data) == pytest.approx(macro(whole, MEAN, 0.3), abs=1e-6)
    assert mean_shape_iou(learned, data) < mean_shape_iou(sets["train"], data)


def test_costly_baselines_stand_beside_the_network(sets):
    torch.manual_seed(0)
    model, memory = Mem3D(TINY.model), Memory(TINY.memory)
    test = sets["test"]
    memory.write(np.eye(4, TINY.memory.key_dim), np.stack([test.grid(i) for i in range(4)]))
    others = costly_baselines(model, memory, sets["train"])
    got = score(model, memory, test, baselines=others, with_f_score=True)
    assert set(got.iou) == {NETWORK, NEAREST, RECALLED_MEAN, ORACLE, CATEGORY_ORACLE, STEM}
    assert (got.iou[ORACLE] == 1).all()  # the memory holds the test shapes themselves
    assert 0 < got.iou[STEM].mean() <= 1
    assert set(summarise(got)["methods"]) == set(got.f_score) == set(got.iou)
    assert set(costly_baselines(model, memory, None)) == {ORACLE}


def test_mirror_images_change_the_network_alone(sets):
    torch.manual_seed(0)
    model, memory = Mem3D(TINY.model), Memory(TINY.memory)
    plain, averaged = (score(model, memory, sets["test"], flip=flip) for flip in (False, True))
    for method in (NEAREST, RECALLED_MEAN):
        np.testing.assert_array_equal(plain.iou[method], averaged.iou[method])
    assert (plain.iou[NETWORK] != averaged.iou[NETWORK]).any()


def test_kept_projections_change_no_score(sets):
    torch.manual_seed(0)
    model, memory = Mem3D(TINY.model), Memory(replace(TINY.memory, beta=-1.0))
    train = sets["train"]
    keys = np.random.default_rng(0).random((8, TINY.memory.key_dim), np.float32)
    memory.write(keys, np.stack([train.grid(i) for i in range(8)]))
    kept = projections_of(model, memory)
    plain, fast = (score(model, memory, sets["test"], projections=p) for p in (None, kept))
    np.testing.assert_allclose(fast.iou[NETWORK], plain.iou[NETWORK], atol=1e-3)
    assert len(kept) > 0


@pytest.mark.parametrize(("network", "count"), [(0.2, 1), (0.4, 0)])
def test_answers_below_the_category_mean_are_told(network, count):
    table = {NETWORK: {"fixed": {"macro": network}}, MEAN: {"fixed": {"macro": 0.3}}}
    told = doubts({"methods": table})
    assert len(told) == count
    assert all(text.startswith("below the category mean: IoU 0.200, ") for text in told)
    assert doubts({"methods": {NETWORK: table[NETWORK]}}) == []
