"""Mem3D: encoder, recall, shape encoder and decoder wired together."""

from collections.abc import Sequence

# B = batch, K = priors per image (padded), C = channels of a feature, R = voxels per side
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mem3d.memory.host import recall
from mem3d.memory.interface import (
    ReadableMemory,
    Recalled,
    TensorMemory,
    nothing_recalled,
    whole_block,
)
from mem3d.memory.projection_cache import ProjectionCache
from mem3d.network.config import ModelConfig
from mem3d.network.decoder import Decoder
from mem3d.network.encoder import STEM_CHANNELS, Encoder, EncoderOutput
from mem3d.network.pose import (
    ExtentHead,
    PoseTrunk,
    ViewpointHead,
    decode,
    stretched,
    wanted_in_training,
    width,
)
from mem3d.network.refiner import Refiner, moved
from mem3d.network.shape_encoder import ShapeEncoder


@dataclass(frozen=True)
class Output:
    """One forward pass.

    Attributes:
        logits: (B, R, R, R); their sigmoid is the occupancy.
        features: (B, C) image features, with gradient.
        recalled: the priors that were used.
        guess: (B, A + 4) of the viewpoint head; None where nothing is lifted.
        log_weights: (B, K) of the gate; None without one.
        extents: (B, 3) of the extent head; None where nothing is stretched.
        laid: (B, K, R, R, R) priors as they were laid over the answer; None if as they were read.
    """

    logits: Tensor
    features: Tensor
    recalled: Recalled
    guess: Tensor | None = None
    log_weights: Tensor | None = None
    extents: Tensor | None = None
    laid: Tensor | None = None


class _Places(NamedTuple):
    """Where the answer lies: cameras (B, 5) and extents (B, 3), as far as they are wanted."""

    cameras: Tensor | None
    extents: Tensor | None


class Mem3D(nn.Module):
    """Single-image reconstruction with a memory of shapes.

    The memory is an argument of the forward pass, never an attribute: weights stay weights, and one
    network can be tried against any memory.

    Source: Mem3D (Yang et al., CVPR 2021), fig. 2.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.shape_encoder = ShapeEncoder(
            config.resolution,
            config.hidden,
            config.shape_encoder,
            config.feature_dim,
            config.prior_pool,
        )
        self.decoder = Decoder(config)
        self.refiner = Refiner(config) if config.refiner else None
        self.pose, posed = None, config.feature_dim
        if config.pose_channels:
            self.pose = PoseTrunk(STEM_CHANNELS, config.pose_channels)
            posed = width(config.map_side, config.pose_channels)
        self.viewpoint = ViewpointHead(posed) if config.pixel_features else None
        self.extents = ExtentHead(posed) if config.rescale_priors else None
        for weight in self.parameters():  # channels innermost: up to 1.6 times faster on a CPU
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
            elif weight.ndim == 5:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last_3d)

    def forward(
        self,
        images: Tensor,
        memory: ReadableMemory | TensorMemory,
        exclude: Sequence[str | None] | None = None,
        projections: ProjectionCache | None = None,
    ) -> Output:
        """Reconstruct a batch.

        Args:
            images: (B, 3, S, S), see `Encoder.forward`.
            memory: where priors are recalled; never written here.
            exclude: per image, a source that must not be recalled (its own, in training).
            projections: of this network and memory; without gradients, so for inference only.

        Raises:
            ValueError: the projections are of another memory or network.
        """
        seen = self.encoder.see(images)
        return self.reconstruct(seen, memory, exclude, projections=projections)

    def reconstruct(
        self,
        seen: EncoderOutput,
        memory: ReadableMemory | TensorMemory,
        exclude: Sequence[str | None] | None = None,
        viewpoints: Tensor | None = None,
        projections: ProjectionCache | None = None,
        grids: Tensor | None = None,
    ) -> Output:
        """The part of `forward` behind the encoder.

        Args:
            seen: from `Encoder.see`.
            memory: where priors are recalled.
            exclude: see `forward`.
            viewpoints: (B, 5) true ones, nan where not known, to train with; else they are guessed.
            projections: see `forward`.
            grids: (B, R, R, R) true ones, to train extents with; else those are guessed.
        """
        features, guess, cameras = seen.features, None, None
        wanted = extents = None
        posed = features if self.pose is None else self.pose(seen.stem_maps)
        if self.viewpoint is not None:
            guess = self.viewpoint(posed)
            cameras = decode(guess).detach()
            if viewpoints is not None:
                cameras = moved(viewpoints, cameras)
        if self.extents is not None:
            extents = self.extents(posed)
            wanted = extents.detach()
            if grids is not None:
                wanted = wanted_in_training(wanted, grids)
        at = _Places(cameras, wanted)
        if not self.shape_encoder.reads:
            recalled = nothing_recalled(features, self.config.resolution)
            is_box = self.config.shape_encoder == "box"
            shown = whole_block(features, self.config.resolution) if is_box else recalled
            logits, *_ = self._logits(seen, shown, memory, at, projections)
            return Output(logits, features, recalled, guess, extents=extents)
        recalled = recall(memory, features, self.config.priors, exclude)
        logits, weights, laid = self._logits(seen, recalled, memory, at, projections)
        return Output(logits, features, recalled, guess, weights, extents, laid)

    def _logits(
        self,
        seen: EncoderOutput,
        recalled: Recalled,
        memory: ReadableMemory | TensorMemory,
        at: "_Places",
        projections: ProjectionCache | None,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """(B, R, R, R) from the image and what was recalled; the gate's weights; priors as laid."""
        prior_vectors = self._prior_vectors(seen.features, recalled, memory, projections)
        if self.refiner is None:
            return self.decoder(seen.features, prior_vectors), None, None
        grown = self.decoder.grow(seen.features, prior_vectors)
        laid = None if at.extents is None else stretched(recalled.priors, at.extents)
        logits, weights = self.refiner(grown, recalled, seen.images, seen.maps, at.cameras, laid)
        return logits, weights, laid

    def _prior_vectors(
        self,
        features: Tensor,
        recalled: Recalled,
        memory: ReadableMemory | TensorMemory,
        projections: ProjectionCache | None,
    ) -> Tensor:
        """(B, H) from the recalled grids, or from their slots' kept projections."""
        if projections is None:
            return self.shape_encoder(recalled.priors, recalled.counts, features)  # type: ignore[no-any-return]
        projections.check_of(self.shape_encoder, memory)
        rows = projections.of(recalled.slots)
        return self.shape_encoder.fold(rows, recalled.counts, features)
