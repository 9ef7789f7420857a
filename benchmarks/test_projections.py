"""The benchmark of kept projections runs, and one photo with and without them."""

import sys
from dataclasses import replace

import pytest
import torch

from benchmarks.projections import filled, main, measured
from mem3d.memory.host import HostMemory
from mem3d.memory.projection_cache import projections_of
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY


def test_the_comparison_agrees_with_itself():
    found = measured(TINY, 8, 2)
    assert found.largest_difference < 1e-5
    assert min(found.plain, found.without, found.kept, *found.parts.values()) > 0
    assert found.ratio == pytest.approx(found.without / found.kept)


def test_it_prints_a_table(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["projections", "--tiny"])
    main()
    assert "gained by keeping" in capsys.readouterr().out


@pytest.mark.parametrize("is_kept", [False, True], ids=["computed", "kept"])
def test_one_photo(benchmark, is_kept):
    preset = replace(TINY, model=replace(TINY.model, hidden=256))
    torch.manual_seed(0)
    model, memory = Mem3D(preset.model).eval(), filled(preset, 8)
    kept = projections_of(model, memory) if is_kept else None
    photo = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        found = benchmark(lambda: model(photo, HostMemory(memory), projections=kept).logits)
        torch.testing.assert_close(
            found, model(photo, HostMemory(memory)).logits, rtol=0, atol=1e-4
        )
