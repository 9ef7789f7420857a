"""One photo to a grid, with the paper's network, 8 priors and 4,000 slots of ellipsoids.

As a test with the tiny preset; with --benchmark-only with the paper preset, too (3 GB of RAM).
Set OMP_NUM_THREADS=1. The ways, each with what those before it have: an input projection per
prior, as an LSTM is written down; one product for all priors, as in training; the decoder's first
layer as one product; the slots' projections kept in a cache.
"""

from contextlib import ExitStack
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import torch

from benchmarks.test_storage import ellipsoids
from mem3d.memory.host import HostMemory
from mem3d.memory.projection_cache import ProjectionCache
from mem3d.network import decoder
from mem3d.network.model import Mem3D
from mem3d.network.presets import PAPER, TINY
from mem3d.network.shape_encoder import ShapeEncoder
from memstore import Memory

PRESETS = {"tiny": (TINY, 8), "paper": (PAPER, 4_000)}  # and slots
WAYS = ("a-product-per-prior", "one-product", "decoder-as-product", "cached-projections")
PROJECT = ShapeEncoder.project


def full_memory(config, slots):
    """A memory of random keys, all of which any feature may recall."""
    memory = Memory(replace(config, capacity=slots, beta=-1.0, delta=1.0))
    rng = np.random.default_rng(0)
    for start in range(0, slots, 250):
        count = min(250, slots - start)
        memory.write(rng.random((count, config.key_dim), np.float32), ellipsoids(rng, count))
    return memory


def project_one_by_one(encoder, priors):
    return torch.stack([PROJECT(encoder, priors[:, k]) for k in range(priors.shape[1])], dim=1)


@pytest.fixture(scope="module", params=PRESETS)
def network(request):
    """Network with random weights, memory, and a photo."""
    if request.param == "paper" and request.config.getoption("benchmark_disable"):
        pytest.skip("takes a minute: --benchmark-only")
    preset, slots = PRESETS[request.param]
    torch.manual_seed(0)
    side = preset.model.image_size
    photo = torch.randint(256, (1, 3, side, side), dtype=torch.uint8)
    memory = full_memory(preset.memory, slots)
    return Mem3D(preset.model).eval(), memory, photo


@pytest.mark.parametrize("way", WAYS)
def test_one_photo(benchmark, network, way):
    model, memory, photo = network
    cached = way == "cached-projections"
    cache = ProjectionCache(model.shape_encoder, memory) if cached else None
    host = HostMemory(memory)
    with torch.inference_mode(), ExitStack() as patches:
        expected = model(photo, host).logits
        if way in WAYS[:2]:  # the first layer by torch's own code
            patches.enter_context(patch.object(decoder, "FEW", 0))
        if way == WAYS[0]:
            patches.enter_context(patch.object(ShapeEncoder, "project", project_one_by_one))
        logits = benchmark(lambda: model(photo, host, projections=cache).logits)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4)
