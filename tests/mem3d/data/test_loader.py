"""Samples and the order in which they come."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from mem3d.data.images.augment import NONE
from mem3d.data.images.backgrounds import Backgrounds
from mem3d.data.images.preprocess import test_pixels as pixels_of
from mem3d.data.images.preprocess import test_pixels as to_pixels
from mem3d.data.loader import BatchSampler, TestViews, TrainingViews, loader
from mem3d.data.readers.r2n2 import R2N2
from tests.helpers.r2n2_folder import make_r2n2, picture


def test_every_epoch_shows_every_model_once():
    steps = list(BatchSampler(shapes=10, batch=4, epochs=3, seed=0))
    assert [len(step) for step in steps] == [4, 4, 2] * 3
    for epoch in range(3):
        shown = [sample for step in steps for sample in step if sample[0] == epoch]
        assert sorted(model for _, model in shown) == list(range(10))


def test_a_later_start_gives_the_rest_of_the_same_run():
    whole = list(BatchSampler(shapes=10, batch=4, epochs=3, seed=5))
    rest = BatchSampler(shapes=10, batch=4, epochs=3, seed=5, start=4)
    assert list(rest) == whole[4:]
    assert len(rest) == 5


def test_orders_differ_between_epochs_and_seeds():
    def order(seed, epoch):
        steps = BatchSampler(shapes=50, batch=50, epochs=2, seed=seed)
        return [model for _, model in list(steps)[epoch]]

    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_a_sample_depends_on_seed_epoch_and_model_only(made_up_data):
    data = R2N2.open(made_up_data, "train")
    views = [TrainingViews(data, 64, seed=0, augment=True) for _ in range(2)]
    assert torch.equal(views[0][(3, 1)][0], views[1][(3, 1)][0])
    assert not torch.equal(views[0][(3, 1)][0], views[0][(4, 1)][0])
    other = TrainingViews(data, 64, seed=1, augment=True)
    assert not torch.equal(views[0][(3, 1)][0], other[(3, 1)][0])


def test_settings_of_augmentation_reach_the_samples(made_up_data):
    data = R2N2.open(made_up_data, "train")
    plain = TrainingViews(data, 64, seed=0, augment=True, augmentation=NONE)
    black = Backgrounds(np.zeros((1, 256, 256, 3), np.uint8), "0" * 16)
    how = replace(NONE, photos=1)
    dark = TrainingViews(data, 64, seed=0, augment=True, augmentation=how, backgrounds=black)
    assert plain[(0, 0)][0][0, 0, 0] > 200 > 30 > dark[(0, 0)][0][0, 0, 0]  # light, black corner


def test_a_view_that_breaks_gives_way_to_the_models_next(tmp_path):
    root = make_r2n2(tmp_path / "data", train=1, val=0, test=0, views=3)
    rendering = root / "ShapeNetRendering" / "02691156" / "train0" / "rendering"
    for view in range(3):
        Image.fromarray(picture(view)).save(rendering / f"{view:02}.png")
    data = R2N2.open(root, "train").check()
    views = TrainingViews(data, 64, seed=0, augment=False)
    whole = [pixels_of(picture(view), 64) for view in range(3)]

    def shown():
        images = [views[(epoch, 0)][0].numpy() for epoch in range(12)]
        return [[np.array_equal(i, one) for one in whole].index(True) for i in images]

    before = shown()
    assert set(before) == {0, 1, 2}
    (rendering / "01.png").write_bytes(b"")
    assert shown() == [2 if view == 1 else view for view in before]
    (rendering / "02.png").unlink()
    assert shown() == [0] * 12
    (rendering / "00.png").write_bytes(b"")
    with pytest.raises(ValueError, match=rf"0{before[0]}\.png"):
        views[(0, 0)]


def test_tests_use_the_first_view(made_up_data):
    data = R2N2.open(made_up_data, "test")
    [batch] = loader(TestViews(data, 64), [list(range(len(data)))], 0)
    assert batch.images.shape == (4, 3, 64, 64)
    assert batch.shapes == [0, 1, 2, 3]
    np.testing.assert_array_equal(batch.grids[2].numpy(), data.grid(2))


def test_an_order_is_drawn_anew_for_each_epoch_wherever_a_run_starts():
    """By the definition in BatchSampler's docstring, without its shortcut."""

    def naive(start):
        for step in range(start, 9):
            order = np.random.default_rng([7, 0, step // 3]).permutation(10)
            some = order[step % 3 * 4 : step % 3 * 4 + 4]
            yield [(step // 3, int(model)) for model in some]

    for start in range(10):
        assert list(BatchSampler(10, 4, 3, seed=7, start=start)) == list(naive(start))


def test_workers_change_nothing(made_up_data):
    views = TrainingViews(R2N2.open(made_up_data, "train"), 64, seed=0, augment=True)
    order = BatchSampler(len(views.data), 3, 1, seed=0)
    for here, there in zip(loader(views, order, 0), loader(views, order, 2), strict=True):
        assert torch.equal(here.images, there.images)
        assert torch.equal(here.grids, there.grids)
        assert here.shapes == there.shapes


def test_a_batch_has_the_pixels_of_its_pictures(made_up_data):
    data = R2N2.open(made_up_data, "test")
    [batch] = loader(TestViews(data, 64), [[1, 3]], 0)
    want = [to_pixels(data.image(i, 0), 64) for i in (1, 3)]
    np.testing.assert_array_equal(batch.images.numpy(), want)
