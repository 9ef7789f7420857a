"""Feature and prior vector to occupancy logits."""

# B = batch, C = image feature, H = prior vector, R = voxels per side

import torch
from torch import Tensor, nn

from mem3d.config import ModelConfig

START = 2  # voxels per side of the grid that the first layer sees


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
        grid = x_BF.view(len(x_BF), self.channels, START, START, START)
        return self.layers(grid)  # type: ignore[no-any-return]
