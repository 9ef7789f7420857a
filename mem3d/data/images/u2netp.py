"""The salient object of a photo, by U-2-Net's small variant.

The weights, where they come from and their licence lie in mem3d/pretrained/u2netp. They are those
of 119 convolutions in the order in which they are applied, batch normalization folded into them.

Source: Qin et al., U2-Net, Pattern Recognition 106 (2020).
"""

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, max_pool2d

FILE = Path(__file__).parents[2] / "pretrained" / "u2netp" / "u2netp.safetensors"
SHA256 = "baf721df4867235a0ffa579924d666dfa9c21025621241231de506e814d6a331"
# Pixels of the longer side, as in its training: fewer find less, as
# docs/experiments/2026-11-29-photos.md tells.
SIDE = 320
MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # of its training pictures
STD = np.array([0.229, 0.224, 0.225], np.float32)


class Layer(NamedTuple):
    """A convolution.

    Attributes:
        weight: (out, in, k, k).
        bias: (out,).
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, maps: Tensor, dilation: int = 1) -> Tensor:
        """(1, in, H, W) to (1, out, H, W)."""
        padding = dilation * (self.weight.shape[-1] // 2)
        return conv2d(maps, self.weight, self.bias, padding=padding, dilation=dilation)


@torch.inference_mode()
def saliency(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How likely each pixel is to show the photo's object.

    Args:
        rgb: (H, W, 3).

    Returns:
        (h, w) in [0, 1], the longer side of SIDE pixels.

    Raises:
        ValueError: the weights' file is not the one that was shipped.
        OSError: it cannot be read.
    """
    scale = SIDE / max(rgb.shape[:2])
    height, width = (max(1, round(side * scale)) for side in rgb.shape[:2])
    small = Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR)
    levels = (np.asarray(small, np.float32) / 255 - MEAN) / STD
    maps = torch.from_numpy(levels.transpose(2, 0, 1)[None])  # a view: the channels stay last
    result: NDArray[np.float32] = _network(maps)[0, 0].numpy()
    return result


@cache
def _layers() -> tuple[Layer, ...]:
    content = FILE.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256:
        raise ValueError(f"{FILE}: got SHA-256 {digest}, want {SHA256}; install mem3d anew")
    tensors = load(content)
    layers = []
    for i in range(len(tensors) // 2):
        weight, bias = tensors[f"{i:03}.weight"].float(), tensors[f"{i:03}.bias"]
        layers.append(Layer(weight.contiguous(memory_format=torch.channels_last), bias))
    return tuple(layers)


def _network(picture: Tensor) -> Tensor:
    """(1, 3, H, W) to (1, 1, H, W): six blocks down, five up, and the mean of six guesses."""
    layers = iter(_layers())
    downs = [_block(picture, 7, layers)]
    for depth in (6, 5, 4):
        downs.append(_block(_halved(downs[-1]), depth, layers))
    for _ in range(2):
        downs.append(_flat_block(_halved(downs[-1]), layers))
    ups = [downs.pop()]
    ups.append(_flat_block(_joined(ups[-1], downs.pop()), layers))
    for depth in (4, 5, 6, 7):
        ups.append(_block(_joined(ups[-1], downs.pop()), depth, layers))
    guesses = [_like(next(layers)(maps), picture) for maps in reversed(ups)]
    return next(layers)(torch.cat(guesses, 1)).sigmoid()


def _block(maps: Tensor, depth: int, layers: Iterator[Layer]) -> Tensor:
    """A U of its own: so many layers down, each but the last after halving, and up again."""
    inner = next(layers)(maps).relu_()
    downs = [next(layers)(inner).relu_()]
    for _ in range(depth - 2):
        downs.append(next(layers)(_halved(downs[-1])).relu_())
    result = next(layers)(downs[-1], 2).relu_()
    while downs:
        result = next(layers)(_joined(result, downs.pop())).relu_()
    return result.add_(inner)


def _flat_block(maps: Tensor, layers: Iterator[Layer]) -> Tensor:
    """A block of four layers that spreads them out where the others halve."""
    inner = next(layers)(maps).relu_()
    downs = [next(layers)(inner).relu_()]
    for dilation in (2, 4):
        downs.append(next(layers)(downs[-1], dilation).relu_())
    result = next(layers)(downs[-1], 8).relu_()
    for dilation in (4, 2, 1):
        result = next(layers)(_joined(result, downs.pop()), dilation).relu_()
    return result.add_(inner)


def _halved(maps: Tensor) -> Tensor:
    return max_pool2d(maps, 2, ceil_mode=True)


def _joined(maps: Tensor, others: Tensor) -> Tensor:
    return torch.cat([_like(maps, others), others], 1)


def _like(maps: Tensor, other: Tensor) -> Tensor:
    """Maps at the height and width of another."""
    return interpolate(maps, other.shape[2:], mode="bilinear")
