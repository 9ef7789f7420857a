"""Entry points of the two programs: Ctrl-C ends them at any moment without a traceback.

Before the commands are imported, which takes a while, and after they are done, an interrupt ends
the process at once and without a word. Only here, so that whoever imports the commands keeps the
signals as they were. For the same reason little is imported above.
"""

import signal
from collections.abc import Callable
from importlib import import_module
from typing import cast


def mem3d() -> None:
    """The program `mem3d-cli`; without torch, one line that says what to install."""
    try:
        import_module("mem3d")
    except ImportError as error:
        raise SystemExit(f"mem3d-cli: {error}") from None
    _run("mem3d")


def memstore() -> None:
    """The program `memstore`."""
    _run("memstore")


def _program(name: str) -> Callable[[], None]:
    """A program's `main`; without typer or rich, one line that says what to install."""
    try:
        return cast("Callable[[], None]", import_module(f"mem3d_cli.{name}.app").main)
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        want = "typer and rich: pip install typer rich"
        raise SystemExit(f"{name}: got no {error.name}, want {want}") from None


def _run(name: str) -> None:
    """Import a program's module, and call its `main` with interrupts as Python has them."""
    # Otherwise interrupts are ignored, as in a shell's background: so be it.
    is_usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    try:
        if is_usual:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        main = _program(name)
        if is_usual:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        main()
    except KeyboardInterrupt:  # outside of a command, which would tell
        raise SystemExit(130) from None
    finally:
        if is_usual:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
