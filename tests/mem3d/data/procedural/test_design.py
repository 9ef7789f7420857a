"""Designs: fields that say how they are drawn."""

from dataclasses import dataclass, fields

import numpy as np
import pytest

from mem3d.data.procedural.design import Design, choice, uniform


@dataclass(frozen=True, kw_only=True)
class Stool(Design):
    height: float = uniform(8, 14)
    feet: str = choice("round", "round", "round", "square")


@dataclass(frozen=True, kw_only=True)
class BarStool(Stool):
    height: float = uniform(20, 21)
    footrest: bool = choice(True, False)


def test_draws_stay_in_range_and_come_as_often_as_listed():
    rng = np.random.default_rng(0)
    stools = [Stool.draw(rng) for _ in range(2000)]
    heights = [stool.height for stool in stools]
    assert 8 <= min(heights) < 8.1
    assert 13.9 < max(heights) < 14
    assert np.mean([stool.feet == "round" for stool in stools]) == pytest.approx(0.75, abs=0.05)


def test_a_subclass_adds_kinds_and_redraws_others():
    assert [one.name for one in fields(BarStool)] == ["height", "feet", "footrest"]
    assert 20 <= BarStool.draw(np.random.default_rng(0)).height < 21


def test_the_same_generator_gives_the_same_design():
    assert Stool.draw(np.random.default_rng(3)) == Stool.draw(np.random.default_rng(3))


def test_a_design_without_parts_says_so():
    with pytest.raises(NotImplementedError):
        Stool.draw(np.random.default_rng(0)).parts(np.random.default_rng(0))
