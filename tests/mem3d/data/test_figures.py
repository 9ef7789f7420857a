"""Contact sheet of augmentation."""

from dataclasses import replace

import numpy as np

from mem3d.data.figures import augmentation_sheet
from mem3d.data.images.augment import DEFAULT, NONE
from mem3d.data.images.backgrounds import Backgrounds
from mem3d.data.readers.r2n2 import R2N2
from memstore.voxels.contact_sheet import TILE


def test_a_transform_in_use_has_a_tile(made_up_data):
    data = R2N2.open(made_up_data)
    black = Backgrounds(np.zeros((1, 256, 256, 3), np.uint8), "0" * 16)
    sheets = [
        augmentation_sheet(data, [0], replace(DEFAULT, flip=0)),
        augmentation_sheet(data, [0], DEFAULT),  # mirrored, with its grid
        augmentation_sheet(data, [0], replace(DEFAULT, max_occlusion=0.5)),
        augmentation_sheet(data, [0], replace(DEFAULT, max_occlusion=0.5), black),
    ]
    columns = [sheet.shape[1] // TILE for sheet in sheets]
    # The second row, four samples and their grids, is 8 wide.
    assert columns == [8, 8, 9, 10]
    assert augmentation_sheet(data, [0, 5], NONE).shape[0] > 1.8 * sheets[0].shape[0]


def test_one_seed_gives_one_sheet(made_up_data):
    data = R2N2.open(made_up_data)
    one, same, other = (augmentation_sheet(data, [0], DEFAULT, seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
