"""Weights, published folders, packs and caches that have rotted on the disk are not believed."""

import pytest

from tests.helpers.damage import SAMPLES, outcomes


@pytest.mark.parametrize("name", SAMPLES)
def test_no_damage_is_loaded_without_a_word(name, tmp_path):
    counts = outcomes(*SAMPLES[name](tmp_path), 16)
    assert counts["silent"] == 0 and counts["reported"] >= 12
