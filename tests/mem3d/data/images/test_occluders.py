"""An occluder hides the wanted share of the object."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mem3d.data.images.occluders import occlude
from tests.helpers.r2n2_folder import picture


@given(share=st.floats(0, 1), seed=st.integers(0, 10_000), side=st.integers(40, 140))
def test_the_wanted_share_is_hidden(share, seed, side):
    """Object pixels are painted as the mask says; count those that no longer are."""
    rgba = picture(seed, side)
    rgba[..., :3] = (1, 2, 3)  # no shade of an occluder's color but the darkest
    hidden = occlude(rgba, share, np.random.default_rng(seed))
    mask = rgba[..., 3] > 127
    changed = (hidden != rgba).any(2)
    assert (changed & mask).sum() / mask.sum() == pytest.approx(share, abs=0.03)


def test_an_occluder_is_opaque_and_covers_ground_too():
    rgba = picture(0)
    hidden = occlude(rgba, 0.5, np.random.default_rng(3))
    changed = (hidden != rgba).any(2)
    assert (hidden[changed, 3] == 255).all()
    assert (changed & (rgba[..., 3] == 0)).any()
    np.testing.assert_array_equal(hidden[~changed], rgba[~changed])


def test_nothing_to_hide_changes_nothing():
    empty = np.zeros((9, 9, 4), np.uint8)
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(occlude(empty, 0.5, rng), empty)
    np.testing.assert_array_equal(occlude(picture(0), 0.0, rng), picture(0))


def test_one_generator_state_gives_one_occluder():
    one, two = (occlude(picture(0), 0.3, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_impossible_shares_are_refused(share):
    with pytest.raises(ValueError, match="share"):
        occlude(picture(0), share, np.random.default_rng(0))
