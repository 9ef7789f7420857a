"""Learning rate and patience, by hand."""

from dataclasses import replace
from functools import partial

import pytest

from mem3d.network.presets import TINY
from mem3d.training.schedule import is_stale, learning_rate


def test_patience_counts_validations_since_the_best():
    config = replace(TINY.train, validate_every=2, patience=2)
    stale = partial(is_stale, config, 2)  # two steps an epoch, a validation every four
    assert [stale(4 * n, best_step=8) for n in (2, 3, 4, 5)] == [False, False, True, True]
    assert [stale(4 * n, best_step=-1) for n in (1, 2)] == [False, True]
    assert not is_stale(replace(config, patience=0), 2, 400, 0)


def test_the_rate_is_halved_at_the_given_shares():
    config = replace(TINY.train, learning_rate=0.8, halve_at=(0.5, 0.75))
    rates = [learning_rate(config, step, 100) for step in (0, 49, 50, 80)]
    assert rates == [0.8, 0.8, 0.4, 0.2]


def test_a_cosine_falls_from_the_rate_to_nothing():
    config = replace(TINY.train, learning_rate=0.8, schedule="cosine")
    rates = [learning_rate(config, step, 100) for step in (0, 25, 50, 100)]
    assert rates == pytest.approx([0.8, 0.4 + 0.2 * 2**0.5, 0.4, 0.0])  # by hand


def test_warmup_grows_evenly_to_the_rate():
    config = replace(TINY.train, learning_rate=0.8, warmup=4, halve_at=())
    rates = [learning_rate(config, step, 100) for step in range(6)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])
