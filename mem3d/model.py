"""Mem3D: encoder, recall, shape encoder and decoder wired together."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mem3d.config import ModelConfig
from mem3d.decoder import Decoder
from mem3d.encoder import Encoder
from mem3d.projections import SlotProjections
from mem3d.recall import ReadableMemory, Recalled, recall
from mem3d.shape_encoder import ShapeEncoder


@dataclass(frozen=True)
class Output:
    """One forward pass.

    Attributes:
        logits: (B, R, R, R); their sigmoid is the occupancy.
        features: (B, C) image features, with gradient.
        recalled: the priors that were used.
    """

    logits: Tensor
    features: Tensor
    recalled: Recalled


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
        self.shape_encoder = ShapeEncoder(config.resolution, config.hidden)
        self.decoder = Decoder(config)
        for weight in self.parameters():  # channels innermost: up to 1.6 times faster on a CPU
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
            elif weight.ndim == 5:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last_3d)

    def forward(
        self,
        images: Tensor,
        memory: ReadableMemory,
        exclude: Sequence[str | None] | None = None,
        projections: SlotProjections | None = None,
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
        return self.reconstruct(self.encoder(images), memory, exclude, projections)

    def reconstruct(
        self,
        features: Tensor,
        memory: ReadableMemory,
        exclude: Sequence[str | None] | None = None,
        projections: SlotProjections | None = None,
    ) -> Output:
        """The part of `forward` behind the encoder; features are (B, C)."""
        recalled = recall(memory, features, self.config.priors, exclude)
        if projections is None:
            prior_vectors = self.shape_encoder(recalled.priors, recalled.counts)
        else:
            projections.check_of(self.shape_encoder, memory)
            found = projections.of(recalled.slots)
            prior_vectors = self.shape_encoder.fold(found, recalled.counts)
        return Output(self.decoder(features, prior_vectors), features, recalled)
