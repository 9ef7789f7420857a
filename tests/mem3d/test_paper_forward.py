"""The paper's sizes, 355 million weights, on the CPU: one photo from end to end."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mem3d.memory.host import HostMemory
from mem3d.memory.projection_cache import projections_of
from mem3d.network.model import Mem3D
from mem3d.network.presets import PAPER
from memstore import Memory

NEEDED = 4  # GB; the weights take 1.4
SMALL_MEMORY = replace(PAPER.memory, capacity=4)


def free_gigabytes():
    """RAM that could be had, as Linux tells it; no limit elsewhere."""
    try:
        [kilobytes] = re.findall(
            r"^MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text(), re.M
        )
    except (OSError, ValueError):
        return math.inf
    return int(kilobytes) / 1e6


@pytest.fixture(scope="module")
def model():
    if (free := free_gigabytes()) < NEEDED:
        pytest.skip(f"{free:.1f} GB of RAM are free, want {NEEDED} for the paper's network")
    with torch.device("meta"):
        model = Mem3D(PAPER.model)
    fill(model.to_empty(device="cpu"))
    return model.eval()


@torch.no_grad()
def fill(model):
    """Small random weights: one block over and over, as drawing all of them takes longer."""
    block = 2 * torch.rand(1_000_003, generator=torch.Generator().manual_seed(0)) - 1
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            module.reset_parameters()
            continue
        for weight in module.parameters(recurse=False):
            part = block / max(1, weight[0].numel()) ** 0.5
            as_stored = sorted(range(weight.ndim), key=weight.stride, reverse=True)
            for row in weight.permute(as_stored).view(-1).split(len(part)):
                row.copy_(part[: len(row)])


def test_one_photo_at_the_papers_sizes(model):
    assert round(sum(weight.numel() for weight in model.parameters()) / 1e6) == 355
    rng = np.random.default_rng(0)
    memory, empty = Memory(SMALL_MEMORY), HostMemory(Memory(SMALL_MEMORY))
    with torch.inference_mode():
        image = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
        [feature] = model.encoder(image).numpy()
        noise = 0.1 * np.linalg.norm(feature) * np.eye(1, len(feature), dtype=np.float32)[0]
        keys = np.stack([feature, feature + noise, -feature])  # two of them above beta
        memory.write(keys, rng.random((3, 32, 32, 32)) < 0.2)
        plain, without = model(image, HostMemory(memory)), model(image, empty)
        kept = projections_of(model, memory)
        fast = model(image, HostMemory(memory), projections=kept)
    assert plain.logits.shape == (1, 32, 32, 32) and plain.keys.shape == (1, 12544)
    assert plain.logits.isfinite().all()
    assert (plain.recalled.counts.item(), without.recalled.counts.item()) == (2, 0)
    assert plain.recalled.slots[0].tolist() == [0, 1]
    assert (plain.logits - without.logits).abs().max() > 0.01 * without.logits.std()
    torch.testing.assert_close(fast.logits, plain.logits, rtol=0, atol=1e-4)
    assert len(kept) == 2
