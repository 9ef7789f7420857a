"""local_path: the one rule for what a path means, wherever memstore takes one."""

import os
import re
from pathlib import Path

from memstore.errors import DtypeError, PathError

SHARDS_FILE = "shards.json"  # in the folder of a memory in shards, see memstore/sharded

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")  # one slash: pathlib joins the two of a URL


def local_path(path: str | os.PathLike[str]) -> Path:
    """A path as the system takes it.

    ".." leads up from where a link leads to, as for the kernel; pathlib and the libraries below
    partly take it out of the text, and so might come to another folder.

    Raises:
        DtypeError: it is no text and no path of text.
        PathError: no text, a NUL within, links in a circle, or a URL: no store but the local file
            system is supported yet.
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
        raise PathError(f"{text}: got a URL ({url[1]}:), want {want}; no other store is supported")
    local = Path(text)
    if ".." not in local.parts:
        return local
    try:
        return local.resolve()
    except (OSError, RuntimeError) as error:  # a RuntimeError before Python 3.13
        raise PathError(f"{text}: cannot be resolved: {error}") from error
