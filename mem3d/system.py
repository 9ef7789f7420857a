"""What ran: the code's version and commit, the command, the processor and what it can."""

import ctypes
import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Let this process keep what its tensors leave, instead of handing it back each time.

    glibc returns large blocks to the system as soon as they are free; a training step on a CPU then
    has the same pages emptied for it again and again (a copy of 16 MB took 28 ms instead of 3).
    Does nothing with another C library. The process holds its peak of memory until it ends.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_M_TOP_PAD, 2**28)


def computes_bfloat16(device: str) -> bool:
    """Whether a device multiplies bfloat16 as such.

    A CPU without instructions for it goes through a routine that is 100 times slower than float32
    (convolutions on a first-generation EPYC: 6.8 s against .02).
    """
    if torch.device(device).type != "cpu":
        return True
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # a build of torch without that library
        return False


def uses_bfloat16(precision: str, device: str) -> bool:
    """Whether a forward in the precision asked for is computed in bfloat16 on the device."""
    return precision == "bfloat16" and computes_bfloat16(device)


def ram() -> int:
    """Bytes of RAM of this machine; 0 where it does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


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
        "cpu_bfloat16": computes_bfloat16("cpu"),
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
        line = re.search(rf"^([0-9a-f]{{40}}) {re.escape(name)}$", packed, re.MULTILINE)
        return line[1] if line else None
    except (OSError, UnicodeDecodeError):
        return None


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str | None:
    """Name of the processor's model."""
    try:
        line = re.search(r"^model name\s*: *(.+)$", cpuinfo.read_text(), re.MULTILINE)
    except OSError:
        line = None
    return line[1] if line else platform.processor() or None
