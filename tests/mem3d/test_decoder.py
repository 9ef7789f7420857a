"""Transposed convolutions: sizes and counts."""

import pytest
import torch

from mem3d.config import PAPER, TINY, ModelConfig
from mem3d.decoder import Decoder


@pytest.mark.parametrize(
    ("config", "want"),
    [(PAPER.model, 64_243_032), (ModelConfig(image_size=128), 29_640_024)],  # docs/paper.md
)
def test_the_papers_parameter_counts(config, want):
    with torch.device("meta"):
        decoder = Decoder(config)
    assert sum(weight.numel() for weight in decoder.parameters()) == want


def test_a_logit_per_voxel():
    config = TINY.model
    logits = Decoder(config)(torch.rand(2, config.feature_dim), torch.rand(2, config.hidden))
    assert logits.shape == (2, 32, 32, 32)


def test_both_inputs_matter():
    config = TINY.model
    torch.manual_seed(0)
    decoder = Decoder(config).eval()
    features, vectors = torch.rand(1, config.feature_dim), torch.rand(1, config.hidden)
    base = decoder(features, vectors)
    assert not torch.allclose(base, decoder(features + 1, vectors))
    assert not torch.allclose(base, decoder(features, vectors + 1))
