"""setuptools' build backend, with editable installs that type checkers understand.

As `mem3d_cli` is the folder `cli/`, setuptools makes an editable install find all packages by an
import hook, which mypy and editors cannot follow. The project's folder as a line of the same .pth
file shows them mem3d and memstore.

Source: PEP 517, PEP 660; the wheel's RECORD: packaging.python.org, "Recording installed projects"
"""

import base64
import hashlib
import zipfile
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403 (the other hooks, as they are)


def build_editable(
    wheel_directory: str,
    config_settings: dict[str, Any] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Build setuptools' editable wheel, and add the project's folder to its .pth file."""
    name = build_meta.build_editable(wheel_directory, config_settings, metadata_directory)
    add_path(Path(wheel_directory, name), Path.cwd())
    return name


def add_path(wheel: Path, folder: Path) -> None:
    """Add a line with a folder to the one .pth file of a wheel; its RECORD stays right."""
    with zipfile.ZipFile(wheel) as archive:
        contents = {entry: archive.read(entry) for entry in archive.infolist()}
    [pth] = [entry for entry in contents if entry.filename.endswith(".pth")]
    [record] = [entry for entry in contents if entry.filename.endswith(".dist-info/RECORD")]
    contents[pth] = contents[pth].rstrip() + f"\n{folder}\n".encode()
    rows = contents[record].decode().splitlines()
    rows = [row for row in rows if row.split(",")[0] != pth.filename]
    digest = base64.urlsafe_b64encode(hashlib.sha256(contents[pth]).digest()).decode().rstrip("=")
    rows.append(f"{pth.filename},sha256={digest},{len(contents[pth])}")
    contents[record] = "\n".join([*rows, ""]).encode()
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, data in contents.items():
            archive.writestr(entry, data)
