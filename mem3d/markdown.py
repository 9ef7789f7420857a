"""mem3d/markdown.py."""

import re
from pathlib import Path


def code(text: object) -> str:
    """A text as Markdown code, also in a table, whatever is in it."""
    plain = "".join(c if c.isprintable() and c not in "`|" else "?" for c in str(text))
    return f"`{plain}`"


_MAX_PAGE = 2**20  # bytes of a run's page


def sections(page: Path) -> dict[str, str]:
    """Text of each second-level section of a Markdown file; "" is what comes before them.

    Empty where the file is missing, is no text, or has more than 1 MiB.
    """
    try:
        if page.stat().st_size > _MAX_PAGE:
            return {}
        text = page.read_text()
    except (OSError, UnicodeDecodeError):
        return {}
    first, *others = re.split(r"^## ", text, flags=re.MULTILINE)
    found = {"": re.sub(r"^# .*\n", "", first).strip()}
    for other in others:
        title, _, body = other.partition("\n")
        found[title.strip()] = body.strip()
    return found
