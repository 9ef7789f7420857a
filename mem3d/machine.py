"""What ran: the code's version and commit, the command, the processor."""

import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch


def described() -> dict[str, Any]:
    """Version, commit, command and machine, JSON-able; None for what cannot be told."""
    try:
        release: str | None = version("mem3d")
    except PackageNotFoundError:
        release = None
    return {
        "version": release,
        "commit": commit(Path(__file__).parents[1]),
        "command": sys.argv,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def commit(root: Path) -> str | None:
    """Commit of a git checkout, 40 hexadecimal digits, read without git; None if it is none."""
    folder = root / ".git"
    try:
        head = (folder / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        if (folder / name).is_file():
            return (folder / name).read_text().strip()
        packed = (folder / "packed-refs").read_text()
        found = re.search(rf"^([0-9a-f]{{40}}) {re.escape(name)}$", packed, re.MULTILINE)
        return found[1] if found else None
    except (OSError, UnicodeDecodeError):
        return None


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str | None:
    """Name of the processor's model."""
    try:
        found = re.search(r"^model name\s*: *(.+)$", cpuinfo.read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or None
