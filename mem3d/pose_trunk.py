"""What the pose heads look at: maps of the stem by a way of their own.

The image feature is a key, and a good key is the same for all views of a shape. Where the camera
stood and how long, high and wide the object is are just what such a key leaves out. So the heads
that guess them (viewpoint_head.py, fitting.py) have four convolutions to themselves.
"""

# B = batch, F = channels

from torch import Tensor, nn


class PoseTrunk(nn.Module):
    """(B, 512, S/8, S/8) of the stem to (B, F), F = `width(S/8, channels)`."""

    def __init__(self, inputs: int, channels: int) -> None:
        wide = channels * 4 // 3
        super().__init__()
        self.layers = nn.Sequential(
            *_conv(inputs, channels, 1),
            *_conv(channels, channels, 3),
            *_conv(channels, wide, 3, 2),
            *_conv(wide, wide, 3, 2),
            nn.Flatten(1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Encode the stem's maps."""
        return self.layers(maps)  # type: ignore[no-any-return]


def width(side: int, channels: int) -> int:
    """Length of a trunk's output for stem maps of so many pixels a side."""
    for _ in range(2):
        side = (side + 1) // 2
    return channels * 4 // 3 * side**2


def guess_layers(
    inputs: int, outputs: int, hidden: int = 256, dropout: float = 0.2
) -> nn.Sequential:
    """What both heads are: two layers, normalised by image since a batch may be a single one."""
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.LayerNorm(hidden),
        nn.ReLU(True),
        nn.Dropout(dropout),
        nn.Linear(hidden, outputs),
    )


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(True),
    ]
