"""mem3d: single-image 3-D reconstruction with a memory of shapes (Mem3D, CVPR 2021).

Names are imported when first used, so that commands which need no network start without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mem3d.config import ModelConfig, Preset, TrainConfig
    from mem3d.data.r2n2 import R2N2
    from mem3d.model import Mem3D, Output
    from mem3d.presets import BEST, DEMO, PAPER, SMALL, TINY
    from mem3d.reconstruction import Reconstruction, reconstruct
    from mem3d.reconstructor import Reconstructor, load
    from mem3d.training import train

_HOMES = {
    "BEST": "presets",
    "DEMO": "presets",
    "PAPER": "presets",
    "SMALL": "presets",
    "TINY": "presets",
    "ModelConfig": "config",
    "Preset": "config",
    "TrainConfig": "config",
    "Mem3D": "model",
    "Output": "model",
    "R2N2": "data.r2n2",
    "Reconstruction": "reconstruction",
    "Reconstructor": "reconstructor",
    "load": "reconstructor",
    "reconstruct": "reconstruction",
    "train": "training",
}

__all__ = [
    "BEST",
    "DEMO",
    "PAPER",
    "R2N2",
    "SMALL",
    "TINY",
    "Mem3D",
    "ModelConfig",
    "Output",
    "Preset",
    "Reconstruction",
    "Reconstructor",
    "TrainConfig",
    "load",
    "reconstruct",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mem3d' has no attribute {name!r}")
    return getattr(import_module(f"mem3d.{_HOMES[name]}"), name)
