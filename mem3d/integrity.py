"""How files reach the disk whole, and the checks that tell when one has rotted there.

A check is 32 hexadecimal digits of BLAKE2b. It tells of accidents (a flipped bit, a page of zeros),
not of a stranger, who can compute it anew.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from memstore.files import open_regular, sync

CHECK_LENGTH = 32  # digits
_BLOCK = 2**20  # bytes read at a time


def new_hash() -> "hashlib.blake2b":
    """What a check is computed with."""
    return hashlib.blake2b(digest_size=CHECK_LENGTH // 2)


def check_of_facts(facts: Any) -> str:
    """Check of what JSON can hold; how it is laid out in a file makes no difference."""
    digest = new_hash()
    digest.update(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode())
    return digest.hexdigest()


def check_of_file(path: str | Path) -> str:
    """Check of a file's bytes (`b2sum -l 128` prints the same).

    Raises:
        OSError: it cannot be read.
        memstore.PathError: it is no regular file.
    """
    digest = new_hash()
    with open_regular(path) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def put_in_place(beside: Path, path: Path) -> None:
    """Rename a finished file or folder, such that a power cut leaves the old one or the new one.

    Args:
        beside: in the same folder; of a folder, the files have been synced by who wrote them.
        path: its name from now on; a file there is replaced.

    Raises:
        OSError: the disk refuses.
    """
    for folder, _, _ in os.walk(beside, topdown=False):
        sync([folder])
    if beside.is_file():
        sync([beside])
    os.replace(beside, path)
    sync([path.parent])
