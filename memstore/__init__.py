"""memstore: a memory of voxel grids, looked up by cosine similarity."""

from memstore.config import PAPER, MemoryConfig
from memstore.contrast import Contrast
from memstore.errors import (
    ArgumentError,
    ConfigError,
    DtypeError,
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

__all__ = [
    "PAPER",
    "ArgumentError",
    "ConfigError",
    "Contrast",
    "DtypeError",
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
