"""Recalled grids to one prior vector."""

# B = batch, K = priors per image (padded), R = voxels per side, V = R**3, H = hidden units

import torch
from torch import Tensor, nn
from torch.nn import functional


class ShapeEncoder(nn.Module):
    """Fold a varying number of priors into one prior vector: an LSTM, one layer, many to one.

    The recurrence is written out, because priors need no gradient: `nn.LSTM` computes theirs all
    the same, which took four times as long on a CPU. Weights and results are those of `nn.LSTM`.

    Source: Mem3D sec. 3.3.
    """

    def __init__(self, resolution: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.lstm = nn.LSTM(resolution**3, hidden, batch_first=True)  # holds the weights

    def forward(self, priors: Tensor, counts: Tensor) -> Tensor:
        """Encode each image's priors in the order given.

        Args:
            priors: (B, K, R, R, R) occupancy in [0, 1], K >= 1; from counts[b] on, padding.
            counts: (B,) int64 in [0, K], priors that image b really has.

        Returns:
            (B, H) prior vectors in (-1, 1); zeros where counts[b] == 0.
        """
        return self.fold(self.project(priors), counts)

    def project(self, priors: Tensor) -> Tensor:
        """Input projections (..., 4H) of grids (..., R, R, R): nearly all of the work."""
        weight_ih, _, bias_ih, bias_hh = self._weights()
        return functional.linear(priors.flatten(-3), weight_ih, bias_ih + bias_hh)

    def fold(self, projections: Tensor, counts: Tensor) -> Tensor:
        """(B, H) prior vectors from projections (B, K, 4H); see `forward`."""
        _, weight_hh, _, _ = self._weights()
        h_BH = projections.new_zeros(len(projections), self.hidden)
        c_BH = h_BH
        for k in range(projections.shape[1]):
            gates = projections[:, k] + functional.linear(h_BH, weight_hh)
            keep, forget, new, show = gates.chunk(4, dim=1)
            c_next = forget.sigmoid() * c_BH + keep.sigmoid() * new.tanh()
            h_next = show.sigmoid() * c_next.tanh()
            is_real = (k < counts).unsqueeze(1)  # padding leaves the state as it is
            c_BH, h_BH = torch.where(is_real, c_next, c_BH), torch.where(is_real, h_next, h_BH)
        return h_BH

    def _weights(self) -> list[Tensor]:
        """Input and recurrent matrices and biases of the one layer, in nn.LSTM's order."""
        return list(self.lstm.parameters())
