"""Recalled grids to one prior vector."""

# B = batch, K = priors per image (padded), R = voxels per side, C = image feature, H = hidden
# units, P = length of a projected prior: 4H for "lstm", else 0

import torch
from torch import Tensor, nn
from torch.nn import functional


class ShapeEncoder(nn.Module):
    """Fold a varying number of priors into one prior vector.

    "lstm" is the paper's: one layer, many to one, over the priors in the order given. The others
    take its place in ablations:

    - "fc": no prior at all, one fully-connected layer from the image feature and tanh.
    - "box": zeros; a block with the extents that the image tells is laid over the answer in the
      place of recalled grids, to tell what these are worth beyond their extents.
    - "none": zeros.

    The recurrence is written out, because priors need no gradient: `nn.LSTM` computes theirs all
    the same, which took four times as long on a CPU. Weights and results are those of `nn.LSTM`.

    Source: Mem3D sec. 3.3 for "lstm"; "fc" is what a public attempt at Mem3D put in the memory's
    place.
    """

    def __init__(
        self, resolution: int, hidden: int, kind: str = "lstm", feature_dim: int = 0, pool: int = 1
    ) -> None:
        """Make the weights that a kind has; "box" and "none" have none.

        Args:
            resolution: R.
            hidden: H.
            kind: one of `config.SHAPE_ENCODERS`.
            feature_dim: C; used by "fc".
            pool: grids are averaged over cubes of so many voxels a side first: pool**3 times fewer
                weights.
        """
        super().__init__()
        self.hidden, self.kind, self.pool = hidden, kind, pool
        voxels = (resolution // pool) ** 3
        if kind == "lstm":
            self.lstm = nn.LSTM(voxels, hidden, batch_first=True)  # holds the weights
        if kind == "fc":
            self.fc = nn.Linear(feature_dim, hidden)

    @property
    def reads(self) -> bool:
        """Whether priors are used; if not, there is no need to recall any."""
        return self.kind == "lstm"

    def forward(self, priors: Tensor, counts: Tensor, features: Tensor | None = None) -> Tensor:
        """Encode each image's priors in the order given.

        Args:
            priors: (B, K, R, R, R) occupancy in [0, 1], K >= 1; from counts[b] on, padding.
            counts: (B,) int64 in [0, K], priors that image b really has.
            features: (B, C) image features; only "fc" looks at them.

        Returns:
            (B, H) prior vectors in (-1, 1); zeros where counts[b] == 0, but for "fc".

        Raises:
            ValueError: there are no features, which "fc" needs.
        """
        return self.fold(self.project(priors), counts, features)

    def project(self, priors: Tensor) -> Tensor:
        """Input projections (..., P) of grids (..., R, R, R): nearly all of the work.

        Affine in the grid, and each grid by itself, so that a grid's projection can be kept.
        """
        if not self.reads:
            return priors.new_zeros((*priors.shape[:-3], 0))
        weight_ih, _, bias_ih, bias_hh = self._weights()
        return functional.linear(_pooled(priors, self.pool), weight_ih, bias_ih + bias_hh)

    def fold(self, projections: Tensor, counts: Tensor, features: Tensor | None = None) -> Tensor:
        """(B, H) prior vectors from projections (B, K, P); see `forward`."""
        if self.kind == "lstm":
            return self._recur(projections, counts)
        if self.kind != "fc":
            return projections.new_zeros(projections.shape[0], self.hidden)
        if features is None:
            raise ValueError("features: got none, want those of the images: fc is made of them")
        return self.fc(features).tanh()  # type: ignore[no-any-return]

    def _recur(self, projections: Tensor, counts: Tensor) -> Tensor:
        """What `nn.LSTM` makes of each image's own priors: its last hidden state."""
        _, weight_hh, _, _ = self._weights()
        h_BH = projections.new_zeros(projections.shape[0], self.hidden)
        c_BH = h_BH
        for k in range(projections.shape[1]):
            gates = projections[:, k]
            if k or torch.is_grad_enabled():  # before the first prior the state is 0: nothing
                gates = gates + functional.linear(h_BH, weight_hh)
            keep, forget, new, show = gates.chunk(4, dim=1)
            c_next = forget.sigmoid() * c_BH + keep.sigmoid() * new.tanh()
            h_next = show.sigmoid() * c_next.tanh()
            is_real = (k < counts).unsqueeze(1)  # padding leaves the state as it is
            c_BH, h_BH = torch.where(is_real, c_next, c_BH), torch.where(is_real, h_next, h_BH)
        return h_BH

    def _weights(self) -> list[Tensor]:
        """Input and recurrent matrices and biases of the one layer, in nn.LSTM's order."""
        return list(self.lstm.parameters())


def _pooled(priors: Tensor, pool: int) -> Tensor:
    """(..., (R / pool)**3): each grid averaged over cubes, and flattened."""
    if pool == 1:
        return priors.flatten(-3)
    side = priors.shape[-1]
    grids = functional.avg_pool3d(priors.reshape(-1, side, side, side).float(), pool)
    return grids.view(*priors.shape[:-3], -1)
