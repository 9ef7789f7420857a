"""Markdown, written and read: code spans, tables, sections of a page."""

import re
from collections.abc import Sequence
from pathlib import Path

_MAX_PAGE = 2**20  # bytes of a run's page


def code(text: object) -> str:
    """A text as Markdown code, also in a table, whatever is in it."""
    plain = "".join(c if c.isprintable() and c not in "`|" else "?" for c in str(text))
    return f"`{plain}`"


def table(rows: Sequence[Sequence[object]], align: str = "") -> str:
    """A Markdown table.

    Args:
        rows: the first is the heading.
        align: a letter per column, "l" or "r"; by default all are left to the viewer.
    """
    rules = {"l": "---", "r": "---:"}
    ruled = [rules[letter] for letter in align] if align else ["---"] * len(rows[0])
    heading, *lines = (f"| {' | '.join(map(str, row))} |" for row in rows)
    return "\n".join([heading, f"|{'|'.join(ruled)}|", *lines])


def bullets(items: Sequence[object]) -> str:
    """A Markdown list."""
    return "\n".join(f"- {item}" for item in items)


def page(*parts: str) -> str:
    """Paragraphs, tables and headings with an empty line between them; empty ones are left out."""
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def sections(path: Path) -> dict[str, str]:
    """Text of each second-level section of a Markdown file; "" is what comes before them.

    The title is left out, and so is what the hub wants before it (between two lines of ---).
    Empty where the file is missing, is no text, or has more than 1 MiB.
    """
    try:
        if path.stat().st_size > _MAX_PAGE:
            return {}
        text = path.read_text()
    except (OSError, UnicodeDecodeError):
        return {}
    text = re.sub(r"\A---\n.*?\n---\n\s*", "", text, flags=re.DOTALL)
    first, *others = re.split(r"^## ", text, flags=re.MULTILINE)
    texts = {"": re.sub(r"^# .*\n", "", first).strip()}
    for other in others:
        title, _, body = other.partition("\n")
        texts[title.strip()] = body.strip()
    return texts
