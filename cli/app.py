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
    *("inspect", "query", "diff", "list", "get", "create", "add", "remove"),
    *("history", "tag", "verify", "expire", "copy", "export", "import"),
)
# Errors of what was typed, of which typer names only a kind.
UsageError: Any = typer.BadParameter.__base__
HELP: dict[str, Any] = {"help_option_names": ["-h", "--help"]}  # of every program and command
MORE = "More"  # heading, in a command's help, of the options that few people need
# Options that many commands share: where a command has the heading, they are listed under it.
_SHARED = ("which", "threads", "as_json", "quiet", "help")


def app_of(name: str, **settings: Any) -> typer.Typer:
    """A program or a group of commands: help in plain text, errors without a box.

    Args:
        name: as it is typed.
        settings: others of typer's.
    """
    return typer.Typer(
        name=name,
        cls=Commands,
        context_settings=HELP,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        **settings,
    )


class _PlainHelp:
    """Parameters in two columns under headings: typer's table of six leaves them no room."""

    def get_short_help_str(self, limit: int = 0) -> str:
        """What a command does, in a line of its group's help, not cut off."""
        command: Any = self
        return str(command.help or "").split("\n\n")[0]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, each under its heading; a group's commands too."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        command: Any = self
        parameters = command.get_params(ctx)
        has_more = any(parameter.rich_help_panel == MORE for parameter in parameters)
        for parameter in parameters:
            is_option = parameter.param_type_name == "option"
            panel = parameter.rich_help_panel or ("Options" if is_option else "Arguments")
            if has_more and parameter.name in _SHARED:
                panel = MORE
            record = parameter.get_help_record(ctx)
            if record is not None:
                sections.setdefault(panel, []).append(record)
        if isinstance(command, TyperGroup):
            options = sections.pop("Options")
            for name in command.list_commands(ctx):
                below: Any = command.commands[name]
                row = (name, below.get_short_help_str())
                sections.setdefault(below.rich_help_panel or "Commands", []).append(row)
            sections["Options"] = options  # below what is typed next
        for title, rows in sections.items():
            if rows:
                with formatter.section(typer.style(title, bold=True)):
                    formatter.write_dl(rows)


class Commands(_PlainHelp, TyperGroup):
    """All commands of a program; Ctrl-C ends each with a line and exit status 130."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command. Typer itself would swallow the interrupt without a word."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            if ctx.parent is not None:  # the program tells, not its group
                raise
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


class PlainCommand(_PlainHelp, TyperCommand):
    """A command: its arguments are in capitals, its numbers of no special type."""

    def __init__(self, *args: Any, **fields: Any) -> None:
        super().__init__(*args, **fields)
        parameter: Any
        for parameter in self.params:
            if parameter.param_type_name == "argument":
                parameter.metavar = parameter.metavar or parameter.name.upper()
                parameter.display_type_rich = lambda ctx: ""  # its help says what it is
            elif parameter.metavar is None and (parameter.min, parameter.max) != (None, None):
                parameter.metavar = f"<{parameter.bare_type()}>"  # typer's is <int range>

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

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Words of the usage line, which names the options that cannot be left out.

        Typer's braces look like a template that was not filled in.
        """
        options, *rest = super().collect_usage_pieces(ctx)
        parameter: Any
        for parameter in reversed(self.params):
            if parameter.required and parameter.param_type_name == "option":
                rest.insert(0, f"{parameter.opts[0]} {parameter.name.upper()}")
        return [options, *(word.strip("{}").replace("}...", "...") for word in rest)]


Command = Callable[..., None]  # a function whose parameters say what a command takes


def add_command(
    app: typer.Typer,
    command: Command,
    name: str | None = None,
    panel: str | None = None,
) -> None:
    """Add a command; its docstring is its help, what it is called in Python the last of it."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    lines = [" ".join(paragraph.split()) for paragraph in paragraphs]
    about = [line for line in lines if line.startswith(_IN_PYTHON)]
    text = "\n\n".join(line for line in lines if line not in about)
    settings: dict[str, Any] = {"cls": PlainCommand, "context_settings": HELP}
    app.command(name, **settings, help=text, epilog=" ".join(about), rich_help_panel=panel)(command)


_IN_PYTHON = "In Python: "


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
