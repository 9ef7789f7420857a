"""JSON that somebody else may have written: its size, its depth and its values are bounded."""

import json
import os
import re
from itertools import accumulate
from pathlib import Path
from typing import Any

from memstore.errors import FormatError
from memstore.files import open_regular

MAX_BYTES = 32 << 20  # of a file; the list of 43,784 shapes that Pix2Vox has takes 2 MB
MAX_DEPTH = 64  # of lists and objects in each other
_VALUE_BYTES = 16  # of a file, for each value: parsed, an empty list takes 64 bytes
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # possessive: nothing to go back to
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}


def read_json(path: Path, most: int = MAX_BYTES) -> Any:
    """What a JSON file of at most `most` bytes holds.

    Raises:
        FormatError: it cannot be read, or its JSON cannot; the file is named.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(min(size, most + 1))
        return parse_json(data, most)
    except FileNotFoundError as error:
        raise FormatError(f"{path}: got nothing there, want a JSON file") from error
    except OSError as error:
        raise FormatError(f"{path}: got no readable JSON ({error.strerror or error})") from error
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def parse_json(data: bytes | str, most: int = MAX_BYTES) -> Any:
    """What a JSON text of at most `most` bytes holds.

    Raises:
        FormatError: no JSON, one of more bytes, with more than a value for each 16 of them, or
            deeper than MAX_DEPTH.
    """
    if len(data) > most:
        raise FormatError(f"got over {most} bytes of JSON, want at most so many")
    try:
        text = data if isinstance(data, str) else data.decode(json.detect_encoding(data))
        _check(_STRING.sub("", text), max(1000, most // _VALUE_BYTES))
        return json.loads(text)
    except FormatError:
        raise
    except ValueError as error:  # letters, JSON, or a number of over 4,300 digits
        raise FormatError(f"got no readable JSON ({error})") from error


def _check(bare: str, most_values: int) -> None:
    """Raise FormatError if JSON without its strings has too many values, or is too deep."""
    values = sum(bare.count(mark) for mark in "[{,:")
    if values > most_values:
        raise FormatError(f"got {values} values in JSON, want at most {most_values}")
    marks = re.finditer(r"[][{}]", bare)
    depth = max(accumulate(_STEPS[mark[0]] for mark in marks), default=0)
    if depth > MAX_DEPTH:
        raise FormatError(f"got JSON that is {depth} deep, want at most {MAX_DEPTH}")
