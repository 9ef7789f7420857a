"""Which models of a data folder were once read from end to end, so that later starts need not.

ShapeNet in the R2N2 layout is a million files. What a check found whole is written down in the
folder, with a fingerprint of each model's names, sizes and times; a file that changes since is read
again. The note is an aid: without it, or where the folder is read-only, everything is read.
"""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

from memstore import PathError
from memstore.files import open_regular, write_atomic

NAME = ".checked.json"
VERSION = 1
WORTH_IT = 10_000  # pictures; fewer are read in seconds, and the folder is left as it is

_MAX_BYTES = 64 << 20  # the whole of ShapeNet takes 4 MB


def fingerprint(rendering: Path, binvox: Path) -> str | None:
    """Hash of a model's file names, sizes and times of change; None if a file went missing."""
    try:
        with os.scandir(rendering) as entries:
            rows = sorted(((entry.name, entry.stat()) for entry in entries), key=lambda row: row[0])
        rows.append((binvox.name, os.stat(binvox)))
    except OSError:
        return None
    text = "\n".join(f"{name} {found.st_size} {found.st_mtime_ns}" for name, found in rows)
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()


def read_checked(root: Path) -> dict[str, str]:
    """Fingerprint of each source that was found whole; empty if there is no note to be read."""
    try:
        with open_regular(root / NAME) as file:
            found = json.loads(file.read(_MAX_BYTES))
    except (OSError, PathError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict) or found.get("version") != VERSION:
        return {}
    whole = found.get("whole")
    return whole if isinstance(whole, dict) else {}


def write_checked(root: Path, whole: dict[str, str]) -> None:
    """Write the note down, where the folder allows it."""
    with suppress(PathError):
        write_atomic(root / NAME, json.dumps({"version": VERSION, "whole": whole}).encode())
