"""memstore: a memory of voxel grids, looked up by cosine similarity.

Names are imported when first used, so that a file format costs neither FAISS nor Zarr. Beside the
names here, four modules are public: `memstore.binvox` (files of voxels), `memstore.meshes` (grids
to triangles), `memstore.files` (whole files or none) and `memstore.sheets` (contact sheets).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memstore.config import PAPER, MemoryConfig
    from memstore.contrast import Contrast
    from memstore.errors import (
        ArgumentError,
        ConfigError,
        DtypeError,
        ExtraMissingError,
        FeatureError,
        FormatError,
        LockedError,
        MemstoreError,
        NotAMemoryError,
        PathError,
        PathExistsError,
        PathMissingError,
        ReadOnlyError,
        ShapeError,
        SlotError,
        SnapshotError,
        TransientError,
    )
    from memstore.index import Hits
    from memstore.inspection import Stats
    from memstore.memory import Memory
    from memstore.policy import WriteReport
    from memstore.reading import Priors

_HOMES = {
    "PAPER": "config",
    "ArgumentError": "errors",
    "ConfigError": "errors",
    "Contrast": "contrast",
    "DtypeError": "errors",
    "ExtraMissingError": "errors",
    "FeatureError": "errors",
    "FormatError": "errors",
    "Hits": "index",
    "LockedError": "errors",
    "Memory": "memory",
    "MemoryConfig": "config",
    "MemstoreError": "errors",
    "NotAMemoryError": "errors",
    "PathError": "errors",
    "PathExistsError": "errors",
    "PathMissingError": "errors",
    "Priors": "reading",
    "ReadOnlyError": "errors",
    "ShapeError": "errors",
    "SlotError": "errors",
    "SnapshotError": "errors",
    "Stats": "inspection",
    "TransientError": "errors",
    "WriteReport": "policy",
}

__all__ = [
    "PAPER",
    "ArgumentError",
    "ConfigError",
    "Contrast",
    "DtypeError",
    "ExtraMissingError",
    "FeatureError",
    "FormatError",
    "Hits",
    "LockedError",
    "Memory",
    "MemoryConfig",
    "MemstoreError",
    "NotAMemoryError",
    "PathError",
    "PathExistsError",
    "PathMissingError",
    "Priors",
    "ReadOnlyError",
    "ShapeError",
    "SlotError",
    "SnapshotError",
    "Stats",
    "TransientError",
    "WriteReport",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'memstore' has no attribute {name!r}")
    return getattr(import_module(f"memstore.{_HOMES[name]}"), name)
