"""Feature and prior vector to occupancy logits."""

# B = batch, C = image feature, H = prior vector, R = voxels per side

from itertools import product

import torch
from torch import Tensor, nn

from mem3d.network.config import ModelConfig

START = 2  # voxels per side of the grid that the first layer sees
FEW = 4  # images up to which one matrix product beats the first layer's own code on a CPU


class Decoder(nn.Module):
    """Transposed 3-D convolutions from a 2^3 grid, each doubling the side, and a 1^3 layer.

    Source: Mem3D sec. 3.4; the bare reshape to 2^3 is Pix2Vox++'s.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = (config.feature_dim + config.hidden) // START**3
        self.channels = channels
        self.dropout = nn.Dropout(config.dropout)
        layers: list[nn.Module] = []
        grown = config.decoder[:-1] if config.refiner else config.decoder
        for width in grown:
            layers += [
                nn.ConvTranspose3d(channels, width, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm3d(width),
                nn.ReLU(True),
            ]
            channels = width
        if not config.refiner:
            layers.append(nn.ConvTranspose3d(channels, 1, 1, bias=False))
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor, prior_vectors: Tensor) -> Tensor:
        """Decode.

        Args:
            features: (B, C) image features.
            prior_vectors: (B, H).

        Returns:
            (B, R, R, R) logits; their sigmoid is the occupancy.
        """
        return self.grow(features, prior_vectors).squeeze(1)

    def grow(self, features: Tensor, prior_vectors: Tensor) -> Tensor:
        """As `forward`, with channels: (B, 1, R, R, R); before a refiner, (B, F, R/2, R/2, R/2)."""
        x_BF = self.dropout(torch.cat([features, prior_vectors], dim=1))
        grid = x_BF.view(-1, self.channels, START, START, START)
        # The batch's length last: with gradients, an export holds for any.
        if not torch.is_grad_enabled() and grid.device.type == "cpu" and len(grid) <= FEW:
            grid = as_product(self.layers[0].get_parameter("weight"), grid)
            return self.layers[1:](grid)  # type: ignore[no-any-return]
        return self.layers(grid)  # type: ignore[no-any-return]


def as_product(weight: Tensor, grid: Tensor) -> Tensor:
    """Transposed convolution with kernel 4, stride 2 and padding 1 as one product and its sums.

    From a 2^3 grid to a 4^3 one, with as many channels as the paper's, torch's own reorders 240 MB
    of weights each time, which takes about three times as long for one image.

    Args:
        weight: (C, W, 4, 4, 4).
        grid: (B, C, S, S, S).

    Returns:
        (B, W, 2S, 2S, 2S), equal but for the order of sums.
    """
    (images, channels, side), width = grid.shape[:3], weight.shape[1]
    rows = grid.permute(0, 2, 3, 4, 1).reshape(-1, channels)
    parts = rows @ weight.permute(0, 2, 3, 4, 1).reshape(channels, -1)  # a view, if channels last
    cubes = parts.view(images, side, side, side, 4, 4, 4, width)
    whole = grid.new_zeros((images, *(2 * side + 2,) * 3, width))
    for x, y, z in product(range(side), repeat=3):
        here = (slice(2 * at, 2 * at + 4) for at in (x, y, z))
        whole[(slice(None), *here)] += cubes[:, x, y, z]
    return whole[:, 1:-1, 1:-1, 1:-1].permute(0, 4, 1, 2, 3)
