"""Images to features: the first blocks of a ResNet-50, then three convolutions."""

import sys
from collections import OrderedDict
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.hub import load_state_dict_from_url

from mem3d.bundled import STEM, bundled_model
from mem3d.data.images.augment import MEAN, STD
from mem3d.network.config import ModelConfig, check_stem
from mem3d.tensor_files import opened

_IMAGENET = "https://download.pytorch.org/models/resnet50-0676ba61.pth"  # its end is a SHA-256's
STEM_CHANNELS = 512
_FIRST_POOLING = 6  # where it stands in the head, after two convolutions


class EncoderOutput(NamedTuple):
    """What an encoder makes of images.

    Attributes:
        features: (B, C) >= 0; query and key of the memory.
        images: (B, 3, S, S) normalized; None if only the stem's maps did.
        maps: (B, F, S/8, S/8), F = config.head[1], of the head before it pools.
        stem_maps: (B, 512, S/8, S/8).
    """

    features: Tensor
    images: Tensor | None
    maps: Tensor
    stem_maps: Tensor


class Encoder(nn.Module):
    """ResNet-50 up to layer2, then conv-BN-ReLU three times with two 2x2 poolings.

    Source: Mem3D sec. 3.2; the tail is Pix2Vox++/A's.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        first, second, third = config.head
        self.image_size = config.image_size
        self.stem = build_stem()
        self.head = nn.Sequential(
            *_conv(STEM_CHANNELS, first),
            *_conv(first, second),
            nn.MaxPool2d(2),
            *_conv(second, third),
            nn.MaxPool2d(2),
        )
        self.stem_is_frozen = False

    def freeze_stem(self) -> None:
        """Keep the stem as it is: no gradients, BatchNorm statistics fixed."""
        self.stem_is_frozen = True
        self.stem.requires_grad_(False)
        self.stem.eval()

    def train(self, mode: bool = True) -> "Encoder":
        """Switch the mode; a frozen stem stays in evaluation mode."""
        super().train(mode)
        if self.stem_is_frozen:
            self.stem.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Encode images.

        Args:
            images: (B, 3, S, S) uint8 RGB; or float, which counts as normalized already.

        Returns:
            (B, C) features, >= 0; query and key of the memory.

        Raises:
            ValueError: the images are of another shape.
        """
        return self.encode(images).features

    def encode(self, images: Tensor | None, stem_maps: Tensor | None = None) -> EncoderOutput:
        """Encode images to features, and to the maps that these are made of.

        Args:
            images: (B, 3, S, S), see `forward`.
            stem_maps: the stem's output for them, (B, 512, S/8, S/8); None computes it.

        Raises:
            ValueError: the images are of another shape, or there are neither images nor maps.
        """
        if images is not None:
            images = normalize(images)
        if stem_maps is None:
            want = (3, self.image_size, self.image_size)
            if images is None or images.ndim != 4 or tuple(images.shape[1:]) != want:
                what = "none" if images is None else f"shape {tuple(images.shape)}"
                raise ValueError(f"images: got {what}, want (B, {want})")
            stem_maps = self.stem(images)
        maps = self.head[:_FIRST_POOLING](stem_maps)
        return EncoderOutput(self.head[_FIRST_POOLING:](maps).flatten(1), images, maps, stem_maps)


def normalize(images: Tensor) -> Tensor:
    """Images with ImageNet's mean and deviation taken out, which the stem was trained with.

    Args:
        images: (B, 3, S, S) RGB: uint8, or float that is normalized already.

    Returns:
        (B, 3, S, S) float32, where the images are; what is float comes back as it is.
    """
    if images.is_floating_point():
        return images
    mean, std = (torch.from_numpy(part)[:, None, None].to(images.device) for part in (MEAN, STD))
    white = torch.tensor(255.0, device=images.device)  # a GPU multiplies by 1/255 for a plain 255
    return images.float().div_(white).sub_(mean).div_(std)


def _conv(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(True)]


class Bottleneck(nn.Module):
    """Three convolutions beside a shortcut, named as torchvision names them.

    Written out, for importing torchvision takes longer than one photo's whole reconstruction.

    Source: He et al., Deep residual learning, CVPR 2016; the stride is the second convolution's,
    as in torchvision.
    """

    def __init__(self, inputs: int, width: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Sequential | None = None
        if inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, maps: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        shortcut = maps if self.downsample is None else self.downsample(maps)
        maps = self.relu(self.bn1(self.conv1(maps)))
        maps = self.relu(self.bn2(self.conv2(maps)))
        summed: Tensor = self.bn3(self.conv3(maps)) + shortcut
        return self.relu(summed)  # type: ignore[no-any-return]


def build_stem() -> nn.Sequential:
    """ResNet-50 up to layer2, random weights, parameters named as torchvision names them."""
    layers: list[tuple[str, nn.Module]] = [
        ("conv1", nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)),
        ("bn1", nn.BatchNorm2d(64)),
        ("relu", nn.ReLU(inplace=True)),
        ("maxpool", nn.MaxPool2d(3, 2, padding=1)),
        ("layer1", _layer(64, 64, 256, blocks=3)),
        ("layer2", _layer(256, 128, STEM_CHANNELS, blocks=4, stride=2)),
    ]
    stem = nn.Sequential(OrderedDict(layers))
    for module in stem.modules():
        # On "meta" there are no numbers to draw, and torch would load its compiler to draw them.
        if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return stem


def _layer(inputs: int, width: int, outputs: int, blocks: int, stride: int = 1) -> nn.Sequential:
    rest = (Bottleneck(outputs, width, outputs) for _ in range(blocks - 1))
    return nn.Sequential(Bottleneck(inputs, width, outputs, stride), *rest)


def load_stem(stem: nn.Module, source: str | Path) -> None:
    """Fill a stem with trained weights.

    Args:
        stem: from `build_stem`.
        source: "bundled" (the stem of the model that comes with the package), "none" (leave it
            random), "imagenet" (torchvision's ImageNet weights, fetched or from its cache) or a
            safetensors file with torchvision's names; more layers than the stem has are ignored.

    Raises:
        ValueError: the file cannot be read, lacks a weight, has one of another shape or one that is
            not finite; or the weights cannot be fetched.
    """
    check_stem(source)
    if source == "none":
        return
    if source == "imagenet":
        try:
            with redirect_stdout(sys.stderr):  # torch tells of a download there
                state = load_state_dict_from_url(
                    _IMAGENET, progress=False, check_hash=True, weights_only=True
                )
        except (URLError, OSError, RuntimeError) as error:
            raise ValueError(
                f"stem imagenet: got no download ({error}), want a network; or fetch torchvision's "
                "ResNet50_Weights.IMAGENET1K_V1 elsewhere, save it with "
                "safetensors.torch.save_file and pass that file as --stem PATH; --stem none trains "
                "from random weights"
            ) from error
    elif source == STEM:
        with opened(bundled_model() / "model.safetensors", "the bundled model's weights") as file:
            state = file.tensors("encoder.stem.")
    else:
        state = _read_safetensors(Path(source))
    weights = stem.state_dict()
    for name, weight in weights.items():
        if name.endswith("num_batches_tracked"):
            state.setdefault(name, weight)
        if name not in state:
            raise ValueError(f"stem {source}: got no weight {name!r}, want torchvision's names")
        if state[name].shape != weight.shape:
            raise ValueError(
                f"stem {source}: {name}: got shape {tuple(state[name].shape)}, "
                f"want {tuple(weight.shape)}"
            )
        if not state[name].isfinite().all():
            raise ValueError(
                f"stem {source}: {name}: got numbers that are not finite, want trained weights; "
                "fetch or convert the file anew"
            )
    stem.load_state_dict({name: state[name] for name in weights})


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"stem {path}: got {error}, want a safetensors file") from error
