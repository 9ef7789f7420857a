"""The axis test: every wrong frame is named, and right data are left in peace."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mem3d.data.curation.axes import FRAMES, Frame, frame_ious, judge
from mem3d.data.readers.r2n2 import R2N2
from tests.helpers.memory_dataset import MemoryDataset, lopsided

ODD = np.arange(27).reshape(3, 3, 3)  # no two of its voxels are alike


def undone(frame):
    """The frame that brings back what another has moved."""
    [found] = [f for f in FRAMES if (frame.apply(f.apply(ODD)) == ODD).all()]
    return found


@pytest.fixture(scope="module")
def data():
    return MemoryDataset([lopsided(seed) for seed in range(4)])


def test_all_frames_differ_and_the_first_does_nothing():
    assert len({frame.apply(ODD).tobytes() for frame in FRAMES}) == 48
    assert_array_equal(FRAMES[0].apply(ODD), ODD)


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: frame.repair)
def test_every_wrong_frame_is_named(data, frame):
    right = data.grids
    data.grids = [undone(frame).apply(grid) for grid in right]
    try:
        test = judge(np.stack([frame_ious(data, i) for i in range(4)]))
    finally:
        data.grids = right
    assert test.wrong == (frame != FRAMES[0])
    if test.wrong:
        assert (test.other, test.other_iou > 0.95) == (frame, True)
    else:
        assert test.iou > 0.95


def test_what_a_symmetric_shape_cannot_tell_is_said():
    grids = [lopsided(seed) | lopsided(seed)[:, :, ::-1] for seed in range(4)]
    data = MemoryDataset(grids)
    assert not judge(np.stack([frame_ious(data, i) for i in range(4)])).wrong
    data.grids = [grid.transpose(0, 2, 1) for grid in grids]
    test = judge(np.stack([frame_ious(data, i) for i in range(4)]))
    assert test.wrong
    assert str(test.other) == "y and z swapped (z up, or binvox's order of axes)"
    assert test.ties == (Frame((0, 2, 1), (False, False, True)),)


def test_few_shapes_or_divided_ones_are_no_proof():
    """By hand: frame 5 gains .3 on some shapes and loses it on others."""
    ious = np.full((10, 48), 0.5)
    ious[:2, 5] = 0.8
    assert not judge(ious).wrong  # two shapes that tell
    ious[2:8, 5] = 0.8
    assert judge(ious).wrong  # eight of eight
    ious[8:, 5] = 0.2
    assert judge(ious).wrong  # eight of ten
    ious[7, 5] = 0.2
    assert not judge(ious).wrong  # seven of ten


def test_pictures_without_mask_or_camera_tell_nothing(data):
    opaque = MemoryDataset([lopsided(0)])
    opaque.images[0][0][..., 3] = opaque.images[0][1][..., 3] = 255
    assert np.isnan(frame_ious(opaque, 0)).all()
    unknown = MemoryDataset([lopsided(0)])
    unknown.projection = lambda i, view, grid: None
    test = judge(frame_ious(unknown, 0)[None])
    assert (test.shapes, test.other, test.wrong) == (0, None, False)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (Frame((0, 1, 2), (True, False, False)), "mirrored in x"),
        (Frame((0, 1, 2), (True, False, True)), "turned by half around y (front at -x)"),
        (Frame((2, 1, 0), (False, False, False)), "x and z swapped"),
        (Frame((2, 1, 0), (True, False, False)), "turned by a quarter around y (front at -z)"),
        (Frame((2, 1, 0), (False, False, True)), "turned by a quarter around y (front at +z)"),
        (Frame((1, 2, 0), (False, False, False)), "axes in the order z, x, y"),
    ],
)
def test_frames_have_names(frame, words):
    assert str(frame) == words


def test_the_repair_is_what_the_frame_does():
    for frame in FRAMES:
        assert_array_equal(eval(frame.repair, {"grid": ODD}), frame.apply(ODD))


def test_real_data_are_right(real_data):
    data = R2N2.open(real_data / "r2n2_real")
    test = judge(np.stack([frame_ious(data, i) for i in range(0, len(data), 2)]))
    assert not test.wrong
    assert test.iou > 0.6
