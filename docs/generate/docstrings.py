"""Docstrings with Google's sections, as Markdown."""

import re
from collections.abc import Iterable

from docs.generate.markdown import code, prose

_SECTION = re.compile(r"^(Args|Raises|Attributes|Yields|Returns|Source):[ ]?(.*)$")
_ENTRY = re.compile(r"^    (\*{0,2}[\w., ]+): (.*)$")


def docstring(text: str | None) -> str:
    """Paragraphs and sections of a docstring; nothing for none."""
    blocks: list[list[str]] = [[]]
    for line in (text or "").splitlines():
        is_inside = _is_section(blocks[-1])
        is_prose = bool(line.strip()) and not line.startswith(" ")
        leaves = is_inside and is_prose and not blocks[-1][0].startswith("Source")
        if _SECTION.match(line) or leaves or (not line.strip() and not is_inside):
            blocks.append([])
        blocks[-1].append(line)
    return "\n\n".join(filter(None, (_block(lines) for lines in blocks)))


def headings(entries: Iterable[tuple[str, str]]) -> str:
    """A list of names and what they mean."""
    return "\n\n" + "\n".join(
        f"- {code(name)}" + (f": {prose(meaning)}" if meaning else "") for name, meaning in entries
    )


def _is_section(lines: list[str]) -> bool:
    return bool(lines and _SECTION.match(lines[0]))


def _block(lines: list[str]) -> str:
    section = _SECTION.match(lines[0]) if lines else None
    if section is None:
        text = [line for line in lines if line.strip()]
        if text and all(line.startswith("    ") for line in text):  # code, or a picture of files
            return "```text\n" + "\n".join(line[4:] for line in text) + "\n```"
        return prose(" ".join(text))
    title, rest = section[1], " ".join([section[2], *lines[1:]])
    if title not in ("Args", "Raises", "Attributes"):
        return f"**{title}** {prose(rest)}"
    return f"**{'Arguments' if title == 'Args' else title}**" + headings(_entries(lines[1:]))


def _entries(lines: list[str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for line in lines:
        if entry := _ENTRY.match(line):
            found.append((entry[1], entry[2]))
        elif line.strip() and found:
            name, meaning = found[-1]
            found[-1] = (name, f"{meaning} {line.strip()}")
    return found
