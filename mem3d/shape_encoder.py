"""Recalled grids to one prior vector."""

# B = batch, K = priors per image (padded), R = voxels per side, V = R**3, H = hidden units

import torch
from torch import Tensor, nn


class ShapeEncoder(nn.Module):
    """Fold a varying number of priors into one prior vector.

    Source: Mem3D sec. 3.3 (LSTM, one layer, many to one).
    """

    def __init__(self, resolution: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(resolution**3, hidden, batch_first=True)

    def forward(self, priors: Tensor, counts: Tensor) -> Tensor:
        """Encode each image's priors in the order given.

        Args:
            priors: (B, K, R, R, R) occupancy in [0, 1], K >= 1; from counts[b] on, padding.
            counts: (B,) int64 in [0, K], priors that image b really has.

        Returns:
            (B, H) prior vectors in (-1, 1); zeros where counts[b] == 0.
        """
        x_BKV = priors.flatten(2)
        h_BKH: Tensor = self.lstm(x_BKV)[0]
        # An LSTM only looks back: the state at the last real prior knows nothing of the padding.
        last_B = (counts - 1).clamp(min=0)
        h_BH = h_BKH[torch.arange(len(counts), device=counts.device), last_B]
        return h_BH * (counts > 0).unsqueeze(1)
