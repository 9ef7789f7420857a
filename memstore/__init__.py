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
    from memstore.difference import Diff, diff
    from memstore.duplicates import Duplicates, near_duplicates
    from memstore.errors import (
        ArgumentError,
        BusyError,
        ConfigError,
        DtypeError,
        ExtraMissingError,
        FeatureError,
        ForkError,
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
        TornError,
        TransientError,
    )
    from memstore.exchange import EXPORT_KINDS, IMPORT_KINDS, export, import_memory
    from memstore.index import Hits
    from memstore.inspection import Histogram, SlotFacts, Stats
    from memstore.memory import Memory
    from memstore.npz import read_features
    from memstore.past import Commit
    from memstore.policy import WriteReport
    from memstore.portrait import contact_sheet, neighbour_sheet
    from memstore.reading import Priors
    from memstore.repository import Expired, history, tags
    from memstore.state import Rows
    from memstore.verification import Verification, verify_folder

_HOMES = {
    "EXPORT_KINDS": "exchange",
    "IMPORT_KINDS": "exchange",
    "PAPER": "config",
    "ArgumentError": "errors",
    "BusyError": "errors",
    "ConfigError": "errors",
    "Commit": "past",
    "Contrast": "contrast",
    "Diff": "difference",
    "DtypeError": "errors",
    "Duplicates": "duplicates",
    "Expired": "repository",
    "ExtraMissingError": "errors",
    "FeatureError": "errors",
    "ForkError": "errors",
    "FormatError": "errors",
    "Histogram": "inspection",
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
    "Rows": "state",
    "ShapeError": "errors",
    "SlotError": "errors",
    "SlotFacts": "inspection",
    "SnapshotError": "errors",
    "Stats": "inspection",
    "TornError": "errors",
    "TransientError": "errors",
    "Verification": "verification",
    "WriteReport": "policy",
    "contact_sheet": "portrait",
    "diff": "difference",
    "export": "exchange",
    "history": "repository",
    "import_memory": "exchange",
    "near_duplicates": "duplicates",
    "neighbour_sheet": "portrait",
    "read_features": "npz",
    "tags": "repository",
    "verify_folder": "verification",
}

__all__ = [
    "EXPORT_KINDS",
    "IMPORT_KINDS",
    "PAPER",
    "ArgumentError",
    "BusyError",
    "Commit",
    "ConfigError",
    "Contrast",
    "Diff",
    "DtypeError",
    "Duplicates",
    "Expired",
    "ExtraMissingError",
    "FeatureError",
    "ForkError",
    "FormatError",
    "Histogram",
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
    "Rows",
    "ShapeError",
    "SlotError",
    "SlotFacts",
    "SnapshotError",
    "Stats",
    "TornError",
    "TransientError",
    "Verification",
    "WriteReport",
    "contact_sheet",
    "diff",
    "export",
    "history",
    "import_memory",
    "near_duplicates",
    "neighbour_sheet",
    "read_features",
    "tags",
    "verify_folder",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'memstore' has no attribute {name!r}")
    return getattr(import_module(f"memstore.{_HOMES[name]}"), name)
