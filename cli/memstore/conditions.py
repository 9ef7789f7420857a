"""`--where`: conditions on a memory's columns, as people type them."""

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from memstore import Memory

Conditions = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="<condition>",
        help="Only slots with this value in a column: category=chair, ok=true, grasp>=.5 (also <, "
        "<=, >). Repeated: each column must fit; values of one column are alternatives.",
    ),
]
_CONDITION = re.compile(r"([^=<>!]+)(==|=<|=>|<>|!=|<=|>=|<|>|=)(.*)", re.DOTALL)
_SIGNS = ("=", "<", "<=", ">", ">=")
_BOOLS = {"true": True, "false": False}


def parsed(memory: "Memory", conditions: list[str] | None) -> dict[str, Any]:
    """Conditions on a memory's columns, as Memory.read takes them."""
    where: dict[str, Any] = {}
    for text in conditions or []:
        match = _CONDITION.fullmatch(text)
        if match is None or match[2] not in _SIGNS:
            raise typer.BadParameter(
                f"--where: got {text!r}, want NAME, one of {' '.join(_SIGNS)} and a value, as in "
                "ok=true or grasp>=.5; --where may be repeated, and there is no 'not'"
            )
        name, sign, word = match[1].strip(), match[2], match[3].strip()
        entry = _entry(text, word, str(memory.config.columns.get(name, "str")))
        held = where.setdefault(name, [] if sign == "=" else {})
        if isinstance(held, list) == (sign != "="):
            raise typer.BadParameter(
                f"--where: got a value and bounds for {name}, want one of them"
            )
        if isinstance(held, list):
            held.append(entry)
        elif sign in held:
            raise typer.BadParameter(f"--where: got {name}{sign} twice, want each bound once")
        else:
            held[sign] = entry
    return where


def _entry(text: str, word: str, kind: str) -> str | int | float | bool:
    """A word as a column of a kind has it."""
    try:
        if kind == "bool":
            return _BOOLS[word.lower()]
        if kind == "str":
            return word
        return int(word) if kind == "int" else float(word)
    except (KeyError, ValueError) as error:
        want = "true or false" if kind == "bool" else f"a value of type {kind}"
        raise typer.BadParameter(f"--where: got {text!r}, want {want}") from error
