"""How both programs' commands are added: their help, their arguments' names, their interrupts."""

import errno
import inspect
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from memstore.paths import local_path

MEMSTORE = (  # its commands, for who looks for them in the other program
    *("inspect", "query", "diff", "history", "tag", "verify", "expire", "copy"),
    *("export", "import"),
)
# Errors of what was typed, of which typer names only a kind.
UsageError: Any = typer.BadParameter.__base__


class Commands(TyperGroup):
    """All commands of a program; Ctrl-C ends each with a line and exit status 130."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command. Typer itself would swallow the interrupt without a word."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo(f"{self.name}: stopped", err=True)
            raise typer.Exit(130) from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a command; what is one of a group's, or of another program, is told."""
        try:
            return super().resolve_command(ctx, args)
        except UsageError as error:
            groups = [group for group in self.commands.values() if isinstance(group, TyperGroup)]
            meant = [
                f"{ctx.command_path} {group.name} {args[0]}"
                for group in groups
                if args[0] in group.commands
            ]
            if args[0] in MEMSTORE and self.name != "memstore":
                meant.append(f"memstore {args[0]}")
            if args[0] == "help":
                meant = [f"{ctx.command_path} --help"]
            if meant:
                error.message = f"No such command {args[0]!r}. Did you mean '{meant[0]}'?"
            raise

    def get_params(self, ctx: Any) -> list[Any]:
        """Options, of which flags show no type."""
        return _plain_flags(super().get_params(ctx))

    def list_commands(self, ctx: Any) -> list[str]:
        """Groups first, as `mem3d-cli data` is where one begins."""
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: not isinstance(self.commands[name], TyperGroup))


class PlainCommand(TyperCommand):
    """A command whose help is shown as it is written, its arguments in capitals."""

    def __init__(self, *args: Any, **fields: Any) -> None:
        super().__init__(*args, **fields)
        for parameter in self.params:
            if parameter.param_type_name == "argument" and parameter.name is not None:
                parameter.metavar = parameter.metavar or parameter.name.upper()
        item: Any
        for item in (self, *self.params):
            if self.rich_markup_mode == "rich" and getattr(item, "help", None):
                item.help = _BRACKETS.sub(r"\\\1", item.help)

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Read what was typed; an error names options near it, and the example."""
        try:
            rest = super().parse_args(ctx, args)
            for value in ctx.params.values():
                for path in value if isinstance(value, list) else [value]:
                    if isinstance(path, Path):
                        local_path(path)  # a URL would make a folder of its name
            return rest
        except UsageError as error:
            options = [name for option in self.params for name in option.opts if name[:2] == "--"]
            if hasattr(error, "option_name") and hasattr(error, "possibilities"):
                error.possibilities = near_options(error.option_name, options)
                if "--set" in options:
                    error.message += "; any setting: --set NAME=VALUE, --settings lists them"
            elif not isinstance(error, typer.BadParameter) or hasattr(error, "param_type"):
                example = example_of(self.help)  # an argument is missing, or is one too many
                text = error.message and f"{error.message.rstrip('.')}. "
                error.message = f"{text}Example: {example}"
            raise

    def get_params(self, ctx: Any) -> list[Any]:
        """Options and arguments, of which flags show no type."""
        return _plain_flags(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Words of the usage line. Typer's braces look like a template that was not filled in."""
        return [
            piece.strip("{}").replace("}...", "...") for piece in super().collect_usage_pieces(ctx)
        ]


def _plain_flags(parameters: list[Any]) -> list[Any]:
    """Options that take no value say so: their help would show <bool> as if they took one."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.display_type_rich = lambda ctx: None
    return parameters


# What rich would take for a tag of markup, and swallow: [demo] in mem3d[demo]. As
# rich.markup.escape has it, which would load rich for commands that print no help.
_BRACKETS = re.compile(r"(\[[a-z#/@][^\[]*?\])")

Command = Callable[..., None]  # a function whose parameters say what a command takes


def add_command(
    app: typer.Typer,
    command: Command,
    name: str | None = None,
    panel: str | None = None,
) -> None:
    """Add a command; its docstring is its help, each paragraph on as wide lines as there are."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    app.command(name, cls=PlainCommand, help=text, rich_help_panel=panel)(command)


def near_options(typed: str, options: Iterable[str]) -> list[str]:
    """Options that may have been meant: --lr for --learning-rate, --dataset for --data.

    Args:
        typed: an option that there is not.
        options: those that there are.
    """
    words = [word for word in re.split("[-_]", typed.lower()) if word]
    near = []
    for option in options:
        parts = option.strip("-").split("-")
        pairs = [sorted((word, part), key=len) for word in words for part in parts]
        alike = any(len(short) > 2 and long.startswith(short) for short, long in pairs)
        if alike or ("".join(words) == "".join(part[0] for part in parts) and len(parts) > 1):
            near.append(option)
    return list(dict.fromkeys([*near, *get_close_matches(typed, options)]))[:3]


def example_of(text: str | None) -> str:
    """A command's example, out of its help; "" if there is none."""
    match = re.search(r"^Example: (.+)$", text or "", re.MULTILINE)
    return match[1] if match else ""


def printable(text: object) -> str:
    """As text on one line, in which what steers a terminal is shown as Python would write it."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))


def counted(count: int, noun: str) -> str:
    """A number and what it counts: "1 file", "2,000 files"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def in_words(error: BaseException) -> str:
    """One line for an error; the system's own begin with the file, not with their number."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return printable(f"{error.filename}: {error.strerror}")
    return printable(error) or type(error).__name__


_FULL = tuple(os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT))


@contextmanager
def room_wanted(next_step: str) -> Iterator[None]:
    """An error of a full disk within, whoever met it first, also says what to do then."""
    try:
        yield
    except (OSError, ValueError) as error:  # memstore's, and those of maps that find no room
        if not any(reason in str(error) for reason in _FULL):
            raise
        raise OSError(f"{in_words(error)}; {next_step}") from error


def version_option(program: str) -> Any:
    """The option --version of a program, which prints it and stops."""

    def print_version(is_set: bool) -> None:
        if is_set:
            from importlib.metadata import version

            typer.echo(f"{program} {version('mem3d')}")
            raise typer.Exit

    return typer.Option(
        "--version", callback=print_version, is_eager=True, help="Print the version."
    )
