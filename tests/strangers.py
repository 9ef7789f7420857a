"""Files from strangers: every reader of one, with whole files to spoil.

`tests/test_strangers.py` spoils them with Hypothesis, `python -m tests.fuzz` with atheris.
"""

import io
import json
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mem3d.data.photos import photo
from mem3d.data.splits import read_split
from memstore.binvox import read_binvox, write_binvox
from memstore.npz import read_features
from tests.made_up import blob, picture

ROOM = 1 << 30  # bytes that one file of a few kilobytes may make a reader take
PATIENCE = 30  # seconds until a reader counts as hanging


@dataclass(frozen=True, kw_only=True)
class Format:
    """One kind of file."""

    name: str
    suffix: str
    read: Callable[[Path], object]
    examples: Callable[[Path], list[bytes]]  # whole files; may use an empty folder


def attempt(one: Format, data: bytes, folder: Path) -> bool:
    """Read a file that holds `data`; True if it was taken, False if refused as it should be.

    Raises:
        AssertionError: the refusal does not name the file.
        Exception: anything but ValueError, also for too much memory or time, is a bug.
    """
    path = folder / f"spoilt{one.suffix}"
    path.write_bytes(data)
    try:
        with within(ROOM, PATIENCE):
            one.read(path)
    except ValueError as error:
        assert path.name in str(error), f"{one.name}: {error!r} does not name the file"
        return False
    return True


@contextmanager
def within(room: int, patience: int) -> Iterator[None]:
    """MemoryError beyond so many more bytes of address space, TimeoutError after the seconds."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, _late)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + room, hard))
    signal.alarm(patience)
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGALRM, before)


def _late(*_: object) -> None:
    raise TimeoutError("a reader hangs")


def _binvox(folder: Path) -> list[bytes]:
    write_binvox(folder / "whole.binvox", blob(1))
    write_binvox(folder / "small.binvox", np.ones((4, 4, 4), bool))
    return [(folder / name).read_bytes() for name in ("whole.binvox", "small.binvox")]


def _pictures(kind: str, modes: tuple[str, ...]) -> Callable[[Path], list[bytes]]:
    def examples(_: Path) -> list[bytes]:
        files = []
        for mode in modes:
            data = io.BytesIO()
            Image.fromarray(picture(3, 32)).convert("RGB").convert(mode).save(data, kind)
            files.append(data.getvalue())
        return files

    return examples


def _split(_: Path) -> list[bytes]:
    category = {"taxonomy_id": "02691156", "taxonomy_name": "aeroplane"}
    return [json.dumps([category | {"train": ["a", "b"], "val": ["c"], "test": []}]).encode()]


def _npy(_: Path) -> list[bytes]:
    data = io.BytesIO()
    np.save(data, np.eye(3, 4, dtype=np.float32))
    return [data.getvalue()]


FORMATS = (
    Format(name="binvox", suffix=".binvox", read=read_binvox, examples=_binvox),
    Format(name="png", suffix=".png", read=photo,
           examples=_pictures("PNG", ("RGB", "RGBA", "P", "1", "L"))),
    Format(name="jpeg", suffix=".jpg", read=photo,
           examples=_pictures("JPEG", ("RGB", "L", "CMYK"))),
    Format(name="tiff", suffix=".tif", read=photo,
           examples=_pictures("TIFF", ("RGB", "CMYK", "I", "F", "1"))),
    Format(name="gif", suffix=".gif", read=photo, examples=_pictures("GIF", ("P",))),
    Format(name="webp", suffix=".webp", read=photo, examples=_pictures("WEBP", ("RGBA",))),
    Format(name="split", suffix=".json", read=read_split, examples=_split),
    Format(name="npy", suffix=".npy", read=read_features, examples=_npy),
)  # fmt: skip
