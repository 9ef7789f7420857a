"""MemoryConfig: the size and the rules of one memory."""

from dataclasses import dataclass
from typing import Literal

from memstore.errors import ConfigError

# Far above what one machine scans exactly; they keep a damaged folder from asking for the moon.
LARGEST = {"capacity": 2**24, "key_dim": 2**20, "resolution": 1024}

ValueSimilarity = Literal[
    "mse", "iou"
]  # of values, as voxels/grids.py has it: a config needs no voxels


@dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """Size and rules of one memory; saved inside it, so an opened memory explains itself.

    Raises:
        ConfigError: a field is out of range or of the wrong type.

    Source: Mem3D sec. 3.1 and 4.2; the paper calls the capacity m.
    """

    capacity: int  # slots
    key_dim: int  # C, length of an image feature
    resolution: int = 32  # R, voxels per side
    beta: float = 0.85  # read: a prior's cosine must be above this, in [-1, 1]
    delta: float = 0.90  # write: from this value similarity on, a value is known, in [0, 1]
    value_similarity: ValueSimilarity = "mse"  # the paper's S_v; "iou" is ours

    def __post_init__(self) -> None:
        for name, largest in LARGEST.items():
            size = getattr(self, name)
            if type(size) is not int or not 1 <= size <= largest:
                raise ConfigError(f"{name}: got {size!r}, want an int in [1, {largest}]")
        for name, low in (("beta", -1), ("delta", 0)):
            threshold = getattr(self, name)
            is_number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
            if not is_number or not low <= threshold <= 1:
                raise ConfigError(f"{name}: got {threshold!r}, want a float in [{low}, 1]")
        if self.value_similarity not in ("mse", "iou"):
            kind = self.value_similarity
            raise ConfigError(f"value_similarity: got {kind!r}, want 'mse' or 'iou'")


PAPER = MemoryConfig(capacity=4000, key_dim=12544)  # 256 x 7 x 7 features of 224 px images
