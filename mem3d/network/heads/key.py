"""A key of its own, learned by ranking shapes, and a coarse guess for a second look.

A few convolutions on a frozen stem's maps make two things of a picture: 128 numbers, whose cosines
rank stored shapes as the IoU with the true one would, and the occupancy at half the side, by which
the nearest are looked at again (memory/second_look.py). Both are learned before all the rest
(training/heads/key.py) and stay as they are from then on, so that no stored key goes stale.

Not in the paper, whose key is the image feature.
"""

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from mem3d.bundled import bundled_model
from mem3d.network.encoder import STEM_CHANNELS
from mem3d.tensor_files import opened

CELLS = 8  # per side, to which the stem's maps are averaged
VEIL = 0.15  # share of the stem's channels that is left out while the rest of a network trains
_CHANNELS = 128
_WIDE = 192
_HIDDEN = 192  # of the guess


class Query(NamedTuple):
    """What a memory is asked with.

    Attributes:
        keys: (B, key_dim); only their direction counts. What is written is written under them.
        guess: (B, R/2, R/2, R/2) logits for a second look; None without.
    """

    keys: Tensor
    guess: Tensor | None


class RankedKey(nn.Module):
    """(B, 512, S/8, S/8) of the stem to keys and guesses.

    A picture that it has learned from it answers better than one that is new to it. So while the
    rest of a network trains, it is shown less, that what is recalled be as good as in use.

    Attributes:
        is_learning: whether `train` reaches it; else it stays in evaluation mode.
        is_veiled: whether it is shown less of the maps.
    """

    def __init__(self, dim: int, resolution: int) -> None:
        super().__init__()
        self.is_learning = self.is_veiled = False
        self.side = resolution // 2
        self.trunk = nn.Sequential(
            *_conv(STEM_CHANNELS, _CHANNELS, 1),
            *_conv(_CHANNELS, _CHANNELS, 3),
            *_conv(_CHANNELS, _WIDE, 3, stride=2),
            *_conv(_WIDE, _WIDE, 3),
            nn.Flatten(1),
            nn.Dropout(0.2),
        )
        features = _WIDE * (CELLS // 2) ** 2
        self.key = nn.Linear(features, dim)
        self.guess = nn.Sequential(
            nn.Linear(features, _HIDDEN), nn.ReLU(True), nn.Linear(_HIDDEN, self.side**3)
        )

    def train(self, mode: bool = True) -> "RankedKey":
        """Switch the mode, if it learns; else veil it in training."""
        super().train(mode and self.is_learning)
        self.is_veiled = mode and not self.is_learning
        return self

    def forward(self, stem_maps: Tensor) -> Query:
        """Keys and guesses, float32."""
        cells = functional.adaptive_avg_pool2d(stem_maps, CELLS)
        features = self.trunk(functional.dropout2d(cells, VEIL, training=self.is_veiled))
        guess = self.guess(features).float().unflatten(1, (self.side,) * 3)
        return Query(self.key(features).float(), guess)


def load_bundled_key(key: RankedKey) -> None:
    """Fill a key with that of the bundled model, whose stem it was learned on.

    Raises:
        ValueError: this installation came without the model, or it is damaged.
    """
    with opened(bundled_model() / "model.safetensors", "the bundled model's weights") as file:
        key.load_state_dict(file.tensors("key."))


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU(True)]
