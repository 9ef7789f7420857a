"""Convolutions over the voxels, where all that is known of each comes together.

What the decoder grew from the feature and the prior vector, the recalled grids themselves, and the
image features at each voxel are brought to half the grid's side, summed, and refined. A recalled
grid lies in the same frame as the answer: copied where it fits, corrected where it does not.

Not in the paper, whose decoder sees the priors through one vector alone.
"""

# B = batch, K = priors per image (padded), R = voxels per side, N = R / 2, F = channels

import torch
from torch import Tensor, nn
from torch.nn import functional

from mem3d.memory.interface import Recalled
from mem3d.network.config import ModelConfig
from mem3d.network.pixel_aligned import (
    project,
    sample_features,
    unproject,
    voxel_centers,
    voxel_centers_blocked,
)

SINGLES = 4  # recalled grids that go in each by itself; of the rest, only their mean
_PIXELS = 8  # channels of the picture's own features
_MAPS = 24  # channels of the stem's features
_LOWEST = -1e4  # a score that stands for no prior
_RARE = -2.0  # logit of a voxel before training: few are filled
# By how much a training camera is moved, so that a slightly wrong one does not surprise.
_JITTER = (0.1, 0.02, 0.05, 0.01, 0.01)


class Refiner(nn.Module):
    """Residual 3-D convolutions at half the side, then one layer that doubles it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.refiner
        self.resolution = config.resolution
        self.from_decoder = nn.Conv3d(config.decoder[-2], width, 1, bias=False)
        self.from_guess = nn.Conv3d(1, width, 1, bias=False) if config.key == "ranked" else None
        self.from_priors = self.from_cosines = None
        if config.fuse_priors:
            self.singles = min(config.priors, SINGLES)
            grids = (self.singles + 1) * (2 if config.rescale_priors else 1)
            self.from_priors = nn.Conv3d(grids, width, 2, stride=2, bias=False)
            self.from_cosines = nn.Linear(self.singles, width, bias=False)
        self.gate = Gate(width) if config.prior_gate else None
        self.pixels = None
        if config.pixel_features:
            self.pixels = nn.Sequential(*_conv(3, 16, stride=2), *_conv(16, _PIXELS))
            self.maps = nn.Conv2d(config.head[1], _MAPS, 1)
            self.from_pixels = nn.Conv3d(_PIXELS, width, 2, stride=2, bias=False)
            self.from_maps = nn.Conv3d(_MAPS + 4, width, 1, bias=False)
        self.first = nn.Sequential(nn.BatchNorm3d(width), nn.ReLU(True))
        self.blocks = nn.Sequential(*(_Block(width) for _ in range(config.refiner_blocks)))
        self.last = nn.ConvTranspose3d(width, 1, 2, stride=2)
        nn.init.zeros_(self.last.weight)
        nn.init.constant_(self.last.bias, _RARE)  # type: ignore[arg-type]  # it has one

    def forward(
        self,
        grown: Tensor,
        recalled: Recalled,
        images: Tensor | None,
        maps: Tensor,
        viewpoints: Tensor | None,
        aligned: Tensor | None = None,
        guess: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Logits of the voxels.

        Args:
            grown: (B, F, N, N, N) from the decoder.
            recalled: what the memory gave.
            images: (B, 3, S, S) as the encoder takes them.
            maps: (B, F, S/8, S/8) of the encoder, before it pools.
            viewpoints: (B, 5); they and the images are needed to look voxels up in the picture.
            aligned: (B, K, R, R, R) recalled grids rescaled, which go in beside them; None if the
                network rescales none.
            guess: (B, N, N, N) logits, see `heads.key.RankedKey`; None if the network has none.

        Returns:
            (B, R, R, R); and (B, K) logarithms of the gate's weights, None without a gate.
        """
        total, log_weights = self.from_decoder(grown), None
        if self.from_guess is not None and guess is not None:
            total = total + self.from_guess(guess[:, None].detach().tanh())
        if self.pixels is not None:
            if images is None or viewpoints is None:
                raise ValueError("images, viewpoints: got None, want both to look voxels up")
            total = total + self._pixel_features(images, maps, viewpoints)
        if self.from_priors is not None and self.from_cosines is not None:
            weights = cosines_of(recalled)
            if self.gate is not None:
                log_weights = self.gate(total, recalled, aligned)
                weights = log_weights.exp() * (weights != 0)
            sets = [recalled.priors] if aligned is None else [recalled.priors, aligned]
            tops = [top_priors(priors, weights, self.singles) for priors in sets]
            total = total + self.from_grids([(grids, mean) for grids, mean, _ in tops])
            total = total + self.from_cosines(tops[0][2])[:, :, None, None, None]
        logits = self.last(self.blocks(self.first(total)))
        return logits.squeeze(1), log_weights

    def from_grids(self, sets: list[tuple[Tensor, Tensor]]) -> Tensor:
        """What `from_priors` makes of grids side by side, each set with its mean at the end.

        Only means have a gradient, by the gate; single grids are kept apart, to be spared theirs.

        Args:
            sets: (B, singles, R, R, R) and (B, R, R, R) of the recalled grids as they were read,
                then, if any are, as they were rescaled.

        Returns:
            (B, width, N, N, N).
        """
        assert self.from_priors is not None
        weight = self.from_priors.weight.unflatten(1, (len(sets), -1))  # type: ignore[no-untyped-call]
        singles = by_cubes(
            weight[:, :, :-1].flatten(1, 2), torch.cat([grids for grids, _ in sets], 1)
        )
        means = by_cubes(weight[:, :, -1], torch.stack([mean for _, mean in sets], 1))
        return singles + means

    def _pixel_features(self, images: Tensor, maps: Tensor, viewpoints: Tensor) -> Tensor:
        """(B, width, N, N, N) from the picture and the stem's maps."""
        assert self.pixels is not None
        side, device = self.resolution // 2, viewpoints.device
        coarse = voxel_centers(side, device)
        places, _ = project(viewpoints, voxel_centers_blocked(self.resolution, device))
        pixels = sample_features(
            self.pixels(images).float(), places.view(places.shape[0], 8, -1, 2)
        )
        places, nearness = project(viewpoints, coarse)
        depth = nearness.view(-1, 1, side, side, side)
        # As from_pixels(unproject(...)), with a product over blocks, not copies of all voxels.
        weight_BFV = self.from_pixels.weight.flatten(1).expand(depth.shape[0], -1, -1)
        from_pixels = (weight_BFV @ pixels.flatten(1, 2)).view(depth.shape[0], -1, side, side, side)
        from_maps = unproject(self.maps(maps).float(), places, side)
        where = 2 * coarse.T.abs().reshape(1, 3, side, side, side).expand(
            depth.shape[0], -1, -1, -1, -1
        )
        local = torch.cat([from_maps, depth, where], dim=1)
        return from_pixels + self.from_maps(local)  # type: ignore[no-any-return]


class Gate(nn.Module):
    """How much each recalled grid counts: by its cosine, and by how it fits the image.

    From all that is known of the voxels without the priors a coarse occupancy is made; a prior's
    score is a learned multiple of its soft IoU with it, plus one of its cosine.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.coarse = nn.Sequential(nn.BatchNorm3d(width), nn.ReLU(True), nn.Conv3d(width, 1, 1))
        self.scale = nn.Parameter(torch.tensor([10.0, 5.0]))  # of the fit, of the cosine

    def forward(self, total: Tensor, recalled: Recalled, aligned: Tensor | None = None) -> Tensor:
        """(B, K) logarithms of weights that sum to 1; very low where there is no prior."""
        priors = recalled.priors if aligned is None else aligned
        occupancy = self.coarse(total).squeeze(1).float().sigmoid()
        priors_BKNNN = functional.avg_pool3d(priors.float(), 2)
        fit_BK = soft_iou(occupancy, priors_BKNNN)
        cosines_BK = cosines_of(recalled)
        scores_BK = self.scale[0] * fit_BK + self.scale[1] * cosines_BK
        return scores_BK.masked_fill(cosines_BK == 0, _LOWEST).log_softmax(1)


def cosines_of(recalled: Recalled) -> Tensor:
    """(B, K) cosines of the priors; 0 where there is none."""
    cosines_BK = torch.as_tensor(recalled.cosines).to(recalled.priors)
    positions = torch.arange(cosines_BK.shape[1], device=cosines_BK.device)
    return torch.where(positions < recalled.counts[:, None], cosines_BK, 0.0)


def top_priors(priors: Tensor, weights: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The priors of most weight, each by itself, and the mean of all.

    Args:
        priors: (B, K, R, R, R).
        weights: (B, K) >= 0, 0 where there is no prior.
        count: priors to give.

    Returns:
        (B, count, R, R, R), the best first; (B, R, R, R) weighted mean; and (B, count) weights;
        zeros where there are no more priors.
    """
    weights = weights.to(priors)
    mean = mean_of(priors, weights)
    best, places = weights.sort(dim=1, descending=True, stable=True)
    best, places = best[:, :count], places[:, :count]
    rows = torch.arange(priors.shape[0], device=priors.device)[:, None]
    missing = count - best.shape[1]
    grids = priors[rows, places] * (best > 0)[..., None, None, None]
    grids = functional.pad(grids, (0, 0, 0, 0, 0, 0, 0, missing))
    return grids, mean, functional.pad(best, (0, missing))


def mean_of(priors: Tensor, weights: Tensor) -> Tensor:
    """(B, R, R, R) weighted mean of priors (B, K, R, R, R); 0 where all weights (B, K) are."""
    weights = weights.to(priors)
    shares = weights / weights.sum(1, keepdim=True).clamp(min=1e-6)
    return torch.einsum("bk,bkxyz->bxyz", shares, priors)


def jitter_cameras(viewpoints: Tensor, predicted: Tensor) -> Tensor:
    """Cameras to train with: true ones, slightly moved, in half of the images, else predicted.

    Args:
        viewpoints: (B, 5) true ones; nan where not known.
        predicted: (B, 5).
    """
    noise = torch.randn_like(predicted) * predicted.new_tensor(_JITTER)
    take_true = (
        torch.rand(len(predicted), 1, device=predicted.device) < 0.5
    ) & viewpoints.isfinite()
    return torch.where(take_true.all(1, keepdim=True), viewpoints + noise, predicted)


def by_cubes(weight: Tensor, grids: Tensor) -> Tensor:
    """Convolution of kernel and stride 2 as one product: few channels make torch's own slow.

    Args:
        weight: (G, F, 2, 2, 2).
        grids: (B, F, R, R, R).

    Returns:
        (B, G, R/2, R/2, R/2).
    """
    batch, channels, side = grids.shape[:3]
    half = side // 2
    cubes = grids.reshape(batch, channels, half, 2, half, 2, half, 2)
    cubes = cubes.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(batch, channels * 8, half**3)
    weights = weight.flatten(1).expand(batch, -1, -1)  # else all cubes are copied
    return (weights @ cubes).view(batch, -1, half, half, half)


class _Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(True),
            nn.Conv3d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm3d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.layers(x))


def _conv(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU(True)]


def soft_iou(answers: Tensor, priors: Tensor) -> Tensor:
    """(B, K) sum(p v) / sum(p + v - p v) of answers (B, R, R, R) and priors (B, K, R, R, R).

    Both in [0, 1], float32: it is computed so even under autocast. 0 where both are empty.
    """
    p_BV, v_BKV = answers.flatten(1), priors.flatten(2)
    with torch.autocast(answers.device.type, enabled=False):
        shared_BK = torch.einsum("bv,bkv->bk", p_BV, v_BKV)
    either_BK = p_BV.sum(1, keepdim=True) + v_BKV.sum(2) - shared_BK
    return shared_BK / either_BK.clamp(min=1e-6)
