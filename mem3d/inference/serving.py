"""The network cut into three programs of tensors alone, as others may serve it.

    encoder        images -> features, and what the decoder wants to know of the images
    (the memory)   features -> recalled grids, by memstore or whatever keeps keys and values
    shape_encoder  recalled grids -> prior vectors
    decoder        features, prior vectors and the rest -> occupancy

Inputs and outputs go by name: the decoder takes those of the other two under the names that they
have there. Padding is as `recall.Recalled` has it: priors 0, and cosines whatever they are, behind
an image's count.
"""

# B = batch, K = priors per image, C = image feature, H = prior vector, R = voxels per side

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mem3d.memory.interface import Recalled
from mem3d.network.blending import blended
from mem3d.network.encoder import EncoderOutput
from mem3d.network.model import Mem3D
from mem3d.network.pose import decode, stretched


@dataclass(frozen=True)
class Program:
    """One part of a network, and tensors to try it with.

    Attributes:
        name: of its file, without ending.
        module: takes the inputs in their order, gives a tensor or a tuple.
        inputs: by name; B is their first axis.
        outputs: names.
    """

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]

    def run(self) -> dict[str, Tensor]:
        """Its outputs by name, without gradients."""
        with torch.no_grad():
            found = self.module(*self.inputs.values())
        return named(self.outputs, found)


def named(names: tuple[str, ...], found: Any) -> dict[str, Tensor]:
    """Outputs by name."""
    return dict(zip(names, found if isinstance(found, tuple) else (found,), strict=True))


def programs(model: Mem3D, batch: int, seed: int = 0) -> list[Program]:
    """The three programs with random inputs that fit each other.

    Args:
        model: in evaluation mode; its weights are shared.
        batch: B of the inputs.
        seed: of the inputs.

    Raises:
        ValueError: the network lays a box over its answers, a control of studies: no program does.
    """
    config = model.config
    if config.shape_encoder == "box":
        raise ValueError("shape_encoder: got 'box', which is for studies, want another to serve")
    generator = torch.Generator().manual_seed(seed)
    side, device = config.resolution, next(model.parameters()).device
    images = torch.randn(batch, 3, config.image_size, config.image_size, generator=generator)
    known: dict[str, Tensor] = {"images": images.to(device)}
    encoder = Program(
        "encoder", _Encoder(model), _picked(known, ["images"]), encoder_outputs(model)
    )
    known |= encoder.run()
    priors = torch.rand(batch, config.priors, side, side, side, generator=generator) < 0.2
    counts = torch.randint(0, config.priors + 1, (batch,), generator=generator)
    is_real = torch.arange(config.priors) < counts[:, None]
    cosines = torch.rand(batch, config.priors, generator=generator).sort(1, descending=True)[0]
    known |= {
        "priors": (priors & is_real[:, :, None, None, None]).float().to(device),
        "counts": counts.to(device),
        "cosines": torch.where(is_real, cosines, 0.0).to(device),
    }
    wanted = ["priors", "counts", "features", "cosines"]
    folded = Program("shape_encoder", _Shapes(model), _picked(known, wanted), ("prior_vectors",))
    known |= folded.run()
    wanted = decoder_inputs(model)
    return [
        encoder,
        folded,
        Program("decoder", _Decoder(model, wanted), _picked(known, wanted), ("occupancy",)),
    ]


def encoder_outputs(model: Mem3D) -> tuple[str, ...]:
    """Names of what the encoder's program gives."""
    names = ["features"]
    names += ["maps", "cameras"] if model.viewpoint is not None else []
    names += ["extents"] if model.extents is not None else []
    return tuple(names)


def decoder_inputs(model: Mem3D) -> list[str]:
    """Names of what the decoder's program takes."""
    names = ["features", "prior_vectors"]
    names += ["images", "maps", "cameras"] if model.viewpoint is not None else []
    config = model.config
    if config.fuse:
        names += ["priors", "counts", "cosines"]
    elif _share(model):
        names += ["priors", "counts"]
    names += ["extents"] if model.extents is not None else []
    return names


def _share(model: Mem3D) -> float:
    """What is blended in: nothing, where nothing is recalled."""
    return model.config.blend if model.shape_encoder.reads else 0.0


def _picked(known: dict[str, Tensor], names: list[str]) -> dict[str, Tensor]:
    return {name: known[name] for name in names}


class _Encoder(nn.Module):
    """Images to features, and to where the answer lies, as far as the network wants to know."""

    def __init__(self, model: Mem3D) -> None:
        super().__init__()
        self.model = _Parts(model, "encoder", "pose", "viewpoint", "extents")

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        seen: EncoderOutput = self.model.encoder.see(images)
        posed = seen.features if self.model.pose is None else self.model.pose(seen.stem_maps)
        found = [seen.features]
        if self.model.viewpoint is not None:
            found += [seen.maps, decode(self.model.viewpoint(posed))]
        if self.model.extents is not None:
            found.append(self.model.extents(posed))
        return tuple(found)


class _Shapes(nn.Module):
    """Recalled grids to prior vectors."""

    def __init__(self, model: Mem3D) -> None:
        super().__init__()
        self.model = _Parts(model, "shape_encoder")

    def forward(self, priors: Tensor, counts: Tensor, features: Tensor, cosines: Tensor) -> Tensor:
        return self.model.shape_encoder(priors, counts, features, cosines)  # type: ignore[no-any-return]


class _Decoder(nn.Module):
    """All that is known to occupancies."""

    def __init__(self, model: Mem3D, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = _Parts(model, "decoder", "refiner"), names
        self.share, self.shift = _share(model), model.config.shift

    def forward(self, *inputs: Tensor) -> Tensor:
        known: dict[str, Any] = dict(zip(self.names, inputs, strict=True))
        laid = None
        if "priors" in known and "extents" in known:
            laid = stretched(known["priors"], known["extents"])
        logits = self._logits(known, laid)
        if self.share:
            priors = known["priors"] if laid is None else laid
            logits = blended(logits, priors, known["counts"], self.share, self.shift)
        else:
            logits = logits + self.shift
        return logits.sigmoid()

    def _logits(self, known: dict[str, Any], laid: Tensor | None) -> Tensor:
        vectors = known["features"], known["prior_vectors"]
        if self.model.refiner is None:
            return self.model.decoder(*vectors)  # type: ignore[no-any-return]
        recalled = None
        if "cosines" in known:
            slots: Any = np.empty(0, np.int64)  # nobody looks
            recalled = Recalled(known["priors"], known["counts"], slots, known["cosines"])
        grown = self.model.decoder.grow(*vectors)
        images, maps, cameras = (known.get(name) for name in ("images", "maps", "cameras"))
        logits, _ = self.model.refiner(grown, recalled, images, maps, cameras, laid)
        return logits  # type: ignore[no-any-return]


class _Parts(nn.Module):
    """Some of a network's modules under their names; None for those that it lacks."""

    def __init__(self, model: Mem3D, *names: str) -> None:
        super().__init__()
        for name in names:
            setattr(self, name, getattr(model, name))

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name)
