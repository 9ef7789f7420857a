"""Recalled grids to one prior vector."""

# B = batch, K = priors per image (padded), R = voxels per side, C = image feature, H = hidden
# units, P = length of a projected prior: 4H for "lstm", H for "mean" and "attention", else 0

import torch
from torch import Tensor, nn
from torch.nn import functional

READING = ("lstm", "mean", "attention")  # the others recall nothing


class ShapeEncoder(nn.Module):
    """Fold a varying number of priors into one prior vector.

    "lstm" is the paper's: one layer, many to one, over the priors in the order given. The others
    take its place in ablations:

    - "mean": tanh of the mean of the projected priors; their order is lost.
    - "attention": tanh of a weighted mean. A prior's weight is the softmax, over the image's
      priors, of how its projection fits the image feature (a learned product) plus a learned
      multiple of its cosine.
    - "fc": no prior at all, one fully-connected layer from the image feature and tanh.
    - "box": zeros; a block with the extents that the image tells is laid over the answer in the
      place of recalled grids, to tell what these are worth beyond their extents.
    - "none": zeros.

    The recurrence is written out, because priors need no gradient: `nn.LSTM` computes theirs all
    the same, which took four times as long on a CPU. Weights and results are those of `nn.LSTM`.

    Source: Mem3D sec. 3.3 for "lstm"; "fc" is what a public attempt at Mem3D put in the memory's
    place; "mean" and "attention" are ours.
    """

    def __init__(
        self, resolution: int, hidden: int, kind: str = "lstm", feature_dim: int = 0, pool: int = 1
    ) -> None:
        """Make the weights that a kind has; "box" and "none" have none.

        Args:
            resolution: R.
            hidden: H.
            kind: one of `config.SHAPE_ENCODERS`.
            feature_dim: C; used by "attention" and "fc".
            pool: grids are averaged over cubes of so many voxels a side first: pool**3 times fewer
                weights.
        """
        super().__init__()
        self.hidden, self.kind, self.pool = hidden, kind, pool
        voxels = (resolution // pool) ** 3
        if kind == "lstm":
            self.lstm = nn.LSTM(voxels, hidden, batch_first=True)  # holds the weights
        if kind in ("mean", "attention"):
            self.prior = nn.Linear(voxels, hidden)
        if kind == "attention":
            self.query = nn.Linear(feature_dim, hidden, bias=False)
            self.cosine_weight = nn.Parameter(torch.ones(1))
        if kind == "fc":
            self.fc = nn.Linear(feature_dim, hidden)

    @property
    def reads(self) -> bool:
        """Whether priors are used; if not, there is no need to recall any."""
        return self.kind in READING

    def forward(
        self,
        priors: Tensor,
        counts: Tensor,
        features: Tensor | None = None,
        cosines: Tensor | None = None,
    ) -> Tensor:
        """Encode each image's priors in the order given.

        Args:
            priors: (B, K, R, R, R) occupancy in [0, 1], K >= 1; from counts[b] on, padding.
            counts: (B,) int64 in [0, K], priors that image b really has.
            features: (B, C) image features; only "attention" and "fc" look at them.
            cosines: (B, K) of the priors, padded likewise; only "attention" looks at them.

        Returns:
            (B, H) prior vectors in (-1, 1); zeros where counts[b] == 0, but for "fc".

        Raises:
            ValueError: features or cosines are missing that the kind needs.
        """
        return self.fold(self.project(priors), counts, features, cosines)

    def project(self, priors: Tensor) -> Tensor:
        """Input projections (..., P) of grids (..., R, R, R): nearly all of the work.

        Affine in the grid, and each grid by itself, so that a grid's projection can be kept.
        """
        voxels = _pooled(priors, self.pool)
        if self.kind == "lstm":
            weight_ih, _, bias_ih, bias_hh = self._weights()
            return functional.linear(voxels, weight_ih, bias_ih + bias_hh)
        if self.reads:
            return self.prior(voxels)  # type: ignore[no-any-return]
        return priors.new_zeros((*priors.shape[:-3], 0))

    def fold(
        self,
        projections: Tensor,
        counts: Tensor,
        features: Tensor | None = None,
        cosines: Tensor | None = None,
    ) -> Tensor:
        """(B, H) prior vectors from projections (B, K, P); see `forward`."""
        if self.kind == "lstm":
            return self._recur(projections, counts)
        if self.kind in ("box", "none"):
            return projections.new_zeros(projections.shape[0], self.hidden)
        if self.kind == "fc":
            return self.fc(_given("features", features)).tanh()  # type: ignore[no-any-return]
        k_K = torch.arange(projections.shape[1], device=counts.device)
        is_real_BK = k_K < counts[:, None]
        x_BKH = projections.masked_fill(~is_real_BK[..., None], 0)
        if self.kind == "mean":
            return (x_BKH.sum(1) / counts.clamp(min=1)[:, None]).tanh()
        query_BH = self.query(_given("features", features))
        cosines_BK = _given("cosines", cosines).masked_fill(~is_real_BK, 0)  # padding is -inf
        fit_BK = torch.einsum("bh,bkh->bk", query_BH, x_BKH) / self.hidden**0.5
        scores_BK = fit_BK + self.cosine_weight * cosines_BK
        lowest = torch.finfo(scores_BK.dtype).min  # finite: a row of padding alone gives no nan
        weights_BK = scores_BK.masked_fill(~is_real_BK, lowest).softmax(1)
        return torch.einsum("bk,bkh->bh", weights_BK, x_BKH).tanh()

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


def _given(name: str, tensor: Tensor | None) -> Tensor:
    """The tensor, unless it was left out."""
    if tensor is None:
        raise ValueError(f"{name}: got none, want those of the images; this shape encoder needs it")
    return tensor
