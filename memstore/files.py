"""Writing a file so that a reader never meets half of one."""

import os
import secrets
from pathlib import Path


def write_atomic(path: str | Path, data: bytes) -> None:
    """Write `data` beside `path`, then rename it there; a crash leaves the old file or none.

    Args:
        path: its folder must exist.
        data: the whole content.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
