"""local_path and place_of: the one rule for what a path means, wherever memstore takes one."""

import os
import re
from pathlib import Path

from memstore.errors import DtypeError, PathError

SHARDS_FILE = "shards.json"  # in the folder of a memory in shards, see memstore/sharded

STORES = ("s3", "gs", "az")  # schemes of the object stores that memories may lie on

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")  # one slash: pathlib joins the two of a URL
_OBJECTS = re.compile(r"([a-z0-9]+)://([A-Za-z0-9._-]+)((?:/[^/]+)*)/?")


class ObjectUrl(str):
    """Where on an object store a memory lies: SCHEME://BUCKET/PREFIX, without credentials."""

    @property
    def scheme(self) -> str:
        """One of `STORES`."""
        return self.partition(":")[0]

    @property
    def bucket(self) -> str:
        """Of the store; at Azure's, a container."""
        return self.split("/")[2]

    @property
    def prefix(self) -> str:
        """Of the names of all objects; "" for the whole bucket."""
        return "/".join(self.split("/")[3:])


def lies_within(place: "Path | ObjectUrl", memory: "Path | ObjectUrl | None") -> bool:
    """Whether a place lies below that of a memory; None lies nowhere."""
    if isinstance(memory, Path) and isinstance(place, Path):
        return memory.resolve() in place.resolve().parents
    return isinstance(memory, ObjectUrl) and str(place).startswith(f"{memory}/")


def place_of(path: str | os.PathLike[str]) -> "Path | ObjectUrl":
    """Where a memory lies: a path as `local_path` takes it, or a URL of an object store.

    Raises:
        DtypeError: as `local_path`.
        PathError: as `local_path`; the URL is not SCHEME://BUCKET/PREFIX.
    """
    if not isinstance(path, str) or path.partition("://")[0] not in STORES or "://" not in path:
        return local_path(path)
    if set("@?#") & set(path):  # not shown: it may be a password
        raise PathError(
            "path: got a URL with '@', '?' or '#', want SCHEME://BUCKET/PREFIX; credentials come "
            "from the environment or storage_options"
        )
    match = _OBJECTS.fullmatch(path)
    parts = path.split("/")[3:]
    if not match or {".", ".."} & set(parts) or not path.isprintable() or "\\" in path:
        raise PathError(f"{path!r}: got a URL with odd parts, want {path[:2]}://BUCKET/PREFIX")
    return ObjectUrl(path.removesuffix("/"))


def local_path(path: str | os.PathLike[str]) -> Path:
    """A path as the system takes it.

    ".." leads up from where a link leads to, as for the kernel; pathlib and the libraries below
    partly take it out of the text, and so might come to another folder.

    Raises:
        DtypeError: it is no text and no path of text.
        PathError: no text, a NUL within, links in a circle, or a URL: memories alone may lie on an
            object store, see `place_of`.
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else path
    if not isinstance(text, str):
        raise DtypeError(f"path: got {type(path).__name__}, want str or pathlib.Path")
    if not text or "\0" in text:
        raise PathError(f"path: got {text!r}, want the name of a file or folder")
    if url := _URL.match(text):
        want = "a path on this machine"
        if url[1].lower() == "file":
            want += f": /{text[url.end() :].removeprefix('localhost/')}"
        names = ", ".join(f"{name}://BUCKET/PREFIX" for name in STORES)
        reason = f"memories in one piece alone may have a URL: {names}"
        if url[1] in STORES and not text.startswith(f"{url[1]}://"):
            reason += ", with two slashes and as text, as pathlib joins them"
        raise PathError(f"{_plain(text)}: got a URL ({url[1]}:), want {want}; {reason}")
    local = Path(text)
    if ".." not in local.parts:
        return local
    try:
        return local.resolve()
    except (OSError, RuntimeError) as error:  # a RuntimeError before Python 3.13
        raise PathError(f"{text}: cannot be resolved: {error}") from error


def _plain(url: str) -> str:
    """A URL without what may be a password or a token."""
    return re.split("[?#]", re.sub(r"//?[^/@]*@", "//...@", url))[0]
