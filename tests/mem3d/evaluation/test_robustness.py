"""Curves of IoU against the share hidden: by hand, and a whole one on shapes in memory."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from mem3d.data.images.backgrounds import SIDE, Backgrounds
from mem3d.data.images.corruptions import behind_occluders
from mem3d.evaluation.evaluate import NEAREST, NETWORK, macro, score
from mem3d.evaluation.robustness import (
    PHOTOS,
    PLAIN,
    Curve,
    as_curves,
    draw,
    hidden_share,
    hiding,
    measure,
    occluded_sets,
    report,
)
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY
from memstore import Memory
from tests.helpers.memory_dataset import MemoryDataset
from tests.helpers.r2n2_folder import blob


@pytest.fixture(scope="module")
def shapes():
    return MemoryDataset([blob(seed) for seed in range(4)], ["chair", "lamp", "chair", "lamp"])


@pytest.fixture(scope="module")
def trained(shapes):
    torch.manual_seed(0)
    memory = Memory(replace(TINY.memory, beta=-1.0))
    keys = np.random.default_rng(0).random((4, TINY.memory.key_dim), np.float32)
    memory.write(keys, np.stack([shapes.grid(i) for i in range(4)]))
    return Mem3D(TINY.model).eval(), memory


@pytest.fixture(scope="module")
def photos():
    rng = np.random.default_rng(0)
    return Backgrounds(rng.integers(0, 256, (4, SIDE, SIDE, 3), np.uint8), "0" * 16)


def test_means_and_deviations_by_hand():
    curve = Curve("a", PLAIN, NETWORK, [[0.2, 0.4], [0.4, 0.4]])
    assert curve.mean == pytest.approx([0.3, 0.4])
    assert curve.deviation == pytest.approx([0.2 / 2**0.5, 0.0])
    assert Curve("a", PLAIN, NETWORK, [[0.2]]).deviation is None


def test_what_was_hidden_by_hand():
    rgba = np.zeros((2, 3, 4), np.uint8)
    rgba[0, :, 3] = 255
    occluded = rgba.copy()
    occluded[:, 0] = 255  # one of three of the object's pixels, and one beside it
    assert hidden_share(rgba, occluded) == pytest.approx(1 / 3)
    assert hidden_share(np.zeros_like(rgba), occluded) == 0


def test_pictures_that_could_not_be_hidden_are_counted(shapes):
    data = MemoryDataset([blob(0), blob(1)])
    data.images[1] = [np.zeros((48, 48, 4), np.uint8)] * 2  # nothing there to hide
    zero, half = hiding(data, occluded_sets(data, (0.0, 0.5))[PLAIN], (0.0, 0.5))
    assert (zero.mean, zero.short) == (0, 0)
    assert (half.share, half.short) == (0.5, 1)
    assert half.mean == pytest.approx(0.25, abs=0.01)


def test_each_number_is_that_of_an_evaluation(trained, shapes, photos):
    shown = occluded_sets(shapes, (0.0, 0.4), photos, seed=3)
    seen = []
    found = measure(*trained, shown, progress=lambda *at: seen.append(at))
    assert set(found) == {(g, m) for g in (PLAIN, PHOTOS) for m in (NETWORK, NEAREST)}
    assert seen[-1] == (16, 16)
    for share, got in zip((0.0, 0.4), found[PLAIN, NETWORK], strict=True):
        want = macro(score(*trained, behind_occluders(shapes, share, 3)), NETWORK, 0.3)
        assert got == pytest.approx(want, abs=1e-3)
    assert found == measure(*trained, occluded_sets(shapes, (0.0, 0.4), photos, seed=3))
    whole = macro(score(*trained, shapes), NEAREST, 0.3)
    assert found[PLAIN, NEAREST][0] == pytest.approx(whole)


@pytest.mark.parametrize("shares", [(), (0.3, 0.1), (0.1, 0.1), (0.5, 1.5), (-0.1, 0.2)])
def test_odd_shares_are_refused(shares, shapes):
    with pytest.raises(ValueError, match="share"):
        occluded_sets(shapes, shares)


def test_a_report_goes_through_json_and_a_picture_is_drawn(shapes, tmp_path):
    runs = [{(g, NETWORK): [0.4, v], (g, NEAREST): [0.3, v]} for g, v in ((PLAIN, 0.2),)] * 2
    curves = [*as_curves("two", runs), *as_curves("cost $1", runs[:1])]
    told = report(
        shapes, hiding(shapes, occluded_sets(shapes, (0.0, 0.3))[PLAIN], (0.0, 0.3)), curves
    )
    assert json.loads(json.dumps(told)) == told
    assert [len(row["iou"]) for row in told["curves"]] == [2, 2, 1, 1]
    assert told["curves"][0]["deviation"] == [0, 0]
    assert told["hidden"][1]["short"] == 0
    draw(curves, (0.0, 0.3), tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as image:
        assert image.size[0] > 500
