"""Transposed convolutions: sizes and counts."""

import pytest
import torch

from mem3d.network.config import ModelConfig
from mem3d.network.decoder import FEW, Decoder, as_product
from mem3d.network.presets import PAPER, TINY


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


@pytest.mark.parametrize("side", [1, 2, 3])
def test_one_product_equals_the_transposed_convolution(side):
    torch.manual_seed(0)
    layer = torch.nn.ConvTranspose3d(5, 3, 4, stride=2, padding=1, bias=False)
    grid = torch.rand(2, 5, side, side, side)
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        weight = layer.weight.detach().contiguous(memory_format=layout)
        torch.testing.assert_close(as_product(weight, grid), layer(grid))


def test_few_images_for_inference_decode_as_in_training():
    torch.manual_seed(0)
    decoder = Decoder(TINY.model).eval()
    inputs = torch.rand(FEW, TINY.model.feature_dim), torch.rand(FEW, TINY.model.hidden)
    with torch.inference_mode():
        fast = decoder(*inputs)
    torch.testing.assert_close(fast, decoder(*inputs))
