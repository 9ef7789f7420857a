"""Ctrl-C while a program starts, runs and ends: no traceback at any moment."""

import signal
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

ENTRIES = {"mem3d-cli": "mem3d", "memstore": "memstore"}
# A process that gets an interrupt of its own when a module is looked for.
AT_IMPORT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # else ignored in a shell's background

class Interrupting:
    @staticmethod
    def find_spec(name, *_):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting)
"""
AT_EXIT = """
import atexit, os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
atexit.register(os.kill, os.getpid(), signal.SIGINT)
"""


def started(program, before, *arguments):
    """A program as its script starts it, in a process that something was done in before."""
    entry = ENTRIES[program]
    code = f"{before}\nfrom mem3d_cli.main import {entry}\n{entry}()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("program", ENTRIES)
@pytest.mark.parametrize("name", ["typer", "mem3d_cli.options", "mem3d_cli.paths"])
def test_ctrl_c_during_an_import(program, name):
    ended = started(program, AT_IMPORT.format(name=name), "--help")
    assert ended.returncode in (-signal.SIGINT, 130)
    assert (ended.stdout, ended.stderr) == ("", "")


@pytest.mark.parametrize("program", ENTRIES)
def test_ctrl_c_at_the_end(program):
    ended = started(program, AT_EXIT, "--version")
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")


def test_ctrl_c_in_a_command_is_told(tmp_path):
    (tmp_path / "ShapeNetRendering").mkdir()
    ended = started("mem3d-cli", AT_IMPORT.format(name="mem3d.data.open"), "data", "show", tmp_path)
    assert (ended.returncode, ended.stderr) == (130, "mem3d-cli: stopped\n")


def test_an_interrupt_that_is_ignored_stays_so():
    ignoring = AT_IMPORT.format(name="typer").replace("signal.default_int_handler", "1")
    ended = started("memstore", ignoring, "--version")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_importing_the_commands_leaves_signals_alone():
    code = "import signal; before = signal.getsignal(signal.SIGINT)\n"
    code += "import mem3d_cli.main, mem3d_cli.mem3d.app, mem3d_cli.memstore.app\n"
    code += "assert signal.getsignal(signal.SIGINT) is before"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("program", ENTRIES)
def test_a_program_is_its_library_run_as_a_module(program):
    command = [sys.executable, "-m", ENTRIES[program], "-h"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"Usage: python -m {ENTRIES[program]} [OPTIONS] COMMAND")


@pytest.mark.parametrize("missing", ["typer", "mem3d_cli"])
def test_what_a_module_lacks_is_told(missing):
    code = f"import runpy, sys; sys.modules[{missing!r}] = None\n"
    code += "runpy.run_module('memstore', run_name='__main__')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"memstore: got no {missing}, want ")
    assert ended.stderr.count("\n") == 1


def test_the_scripts_are_these_entries():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    for script, entry in project["scripts"].items():
        module, _, name = entry.partition(":")
        assert name == ENTRIES[script] and callable(getattr(import_module(module), name))
