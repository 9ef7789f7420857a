"""MemoryConfig: the size and the rules of one memory."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from memstore.errors import ArgumentError, ConfigError, DtypeError
from memstore.scalars import as_float, as_int

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
            self._set(name, as_int, 1, largest, f"an int in [1, {largest}]")
        for name, low in (("beta", -1), ("delta", 0)):
            self._set(name, as_float, low, 1, f"a float in [{low}, 1]")
        if self.value_similarity not in ("mse", "iou"):
            kind = self.value_similarity
            raise ConfigError(f"value_similarity: got {kind!r}, want 'mse' or 'iou'")

    def _set(
        self, name: str, convert: Callable[[str, Any], float], low: float, high: float, want: str
    ) -> None:
        """Replace a field by Python's own number, if it is in [low, high]."""
        value = getattr(self, name)
        try:
            number = convert(name, value)
        except (DtypeError, ArgumentError):
            number = math.nan
        if not low <= number <= high:
            raise ConfigError(f"{name}: got {value!r}, want {want}")
        object.__setattr__(self, name, number)  # the class is frozen for everybody else


PAPER = MemoryConfig(capacity=4000, key_dim=12544)  # 256 x 7 x 7 features of 224 px images
