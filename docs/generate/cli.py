"""The commands' pages, from the declarations that --help is printed from.

Nothing here depends on a terminal: no width, no color.
"""

import inspect
import re
import typing
from collections.abc import Iterator
from enum import Enum
from types import UnionType
from typing import Any, NamedTuple

import typer
from typer.models import ArgumentInfo

from docs.generate.markdown import code, page, prose, table
from mem3d_cli.mem3d.app import app as mem3d_app
from mem3d_cli.memstore.app import app as memstore_app

PROGRAMS = {"mem3d-cli": mem3d_app, "memstore": memstore_app}
EXAMPLE = re.compile(r"^Example: (.+)$", re.MULTILINE)


class Parameter(NamedTuple):
    """One argument or option of a command."""

    name: str  # of the function's argument
    spellings: tuple[str, ...]  # of an option; none for an argument
    kind: str  # as a user writes it; "" for a flag
    default: str  # "" if there is none to tell, "required" where it must be given
    help: str
    repeats: bool


class Command(NamedTuple):
    """One command, with its words: "mem3d-cli data check"."""

    words: str
    help: str
    parameters: tuple[Parameter, ...]


def cli_pages() -> dict[str, str]:
    """The page of each program."""
    return {f"cli/{name}.md": page(_blocks(name)) for name in PROGRAMS}


def commands(program: str) -> Iterator[Command]:
    """Every command of a program, groups of commands not among them."""
    return _below(program, PROGRAMS[program])


def _below(words: str, app: typer.Typer) -> Iterator[Command]:
    for info in app.registered_commands:
        assert info.callback is not None
        name = info.name or info.callback.__name__.replace("_", "-")
        told = info.help or inspect.getdoc(info.callback) or ""
        yield Command(f"{words} {name}", told, tuple(_parameters(info.callback)))
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from _below(f"{words} {group.name}", group.typer_instance)


def _parameters(function: Any) -> Iterator[Parameter]:
    hints = typing.get_type_hints(function, include_extras=True)
    for name, given in inspect.signature(function).parameters.items():
        annotation, info = typing.get_args(hints[name])
        annotation, repeats = _bare(annotation)
        is_required = given.default is inspect.Parameter.empty
        is_argument = isinstance(info, ArgumentInfo)
        option = f"--{name.replace('_', '-')}"
        # Typer keeps the first spelling where older code kept the default.
        declared = [*([info.default] if isinstance(info.default, str) else [])]
        declared += info.param_decls or []
        written = tuple(part for one in declared for part in one.split("/"))
        if annotation is bool and not written:
            written = (option, f"--no-{option[2:]}")
        default = "required" if is_required else _default(given.default, written)
        yield Parameter(
            name,
            () if is_argument else written or (option,),
            _kind(annotation, info),
            default,
            info.help or "",
            repeats,
        )


def _bare(annotation: Any) -> tuple[Any, bool]:
    """Without "or None" and without the list; whether it was one."""
    if typing.get_origin(annotation) in (UnionType, typing.Union):
        [annotation] = [one for one in typing.get_args(annotation) if one is not type(None)]
    if typing.get_origin(annotation) is list:
        return typing.get_args(annotation)[0], True
    return annotation, False


def _kind(annotation: Any, info: Any) -> str:
    if annotation is bool:
        return ""
    if typing.get_origin(annotation) is typing.Literal:
        return "|".join(typing.get_args(annotation))
    if issubclass(annotation, Enum):
        return "|".join(str(one.value) for one in annotation)
    name = {"str": "text", "Path": "path"}.get(annotation.__name__, annotation.__name__)
    if info.min is not None and info.max is not None:
        return f"{name}, {info.min} to {info.max}"
    return name if info.min is None else f"{name} >= {info.min}"


def _default(default: Any, written: tuple[str, ...]) -> str:
    if default is None or default is False:
        return ""
    if default is True:
        return written[0]
    if isinstance(default, list):
        return ", ".join(_default(one, written) for one in default)
    return str(default.value if isinstance(default, Enum) else default)


def _blocks(program: str) -> Iterator[str]:
    listed = list(commands(program))
    yield f"# {program}"
    yield "*Made from what `--help` says by `python -m docs.generate`.*"
    rows = [
        (f"[`{one.words}`](#{one.words.replace(' ', '-')})", prose(one.help.split("\n\n")[0]))
        for one in listed
    ]
    yield table(("command", "what it does"), rows)
    for one in listed:
        yield from _command(one)


def _command(command: Command) -> Iterator[str]:
    yield f"## {command.words}"
    for paragraph in command.help.split("\n\n"):
        shown = EXAMPLE.match(paragraph)
        yield f"```sh\n{shown[1]}\n```" if shown else prose(paragraph)
    yield f"Usage: {code(_usage(command))}"
    yield table(("", "type", "default", "meaning"), map(_row, command.parameters))


def _usage(command: Command) -> str:
    words = [command.words]
    for one in command.parameters:
        if not one.spellings:
            word = one.name.upper() + "..." * one.repeats
            words.append(word if one.default == "required" else f"[{word}]")
        elif one.default == "required":
            words.append(f"{one.spellings[0]} {one.kind.upper()}")
    return " ".join([*words, "[OPTIONS]"])


def _row(one: Parameter) -> tuple[str, ...]:
    shown = ", ".join(map(code, one.spellings)) or code(one.name.upper() + "..." * one.repeats)
    default = "required" if one.default == "required" else code(one.default)
    return shown, code(one.kind), default, prose(one.help)
