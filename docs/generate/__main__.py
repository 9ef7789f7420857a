"""Write the generated pages: the commands' by Typer, the libraries' as lists of public names.

What a name's docstring says is filled in when the site is built (mkdocstrings); see `comments.py`.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

from memstore.files import write_atomic

DOCS = Path(__file__).parents[1]
PROGRAMS = {"mem3d-cli": "mem3d_cli.mem3d.app", "memstore": "mem3d_cli.memstore.app"}
MODULES = {  # public as a whole
    "memstore": (
        *("voxels.binvox", "voxels.grids", "voxels.mesh", "voxels.contact_sheet"),
        *("files", "sharded"),
    ),
    "mem3d": (),
}
IN_ALL = {
    "mem3d-cli": "Every command takes `--quiet` (`-q`), to show no progress, `--help` (`-h`), and, "
    "all but `demo`, `--json`, to print the result as JSON.",
    "memstore": "Every command takes `--quiet` (`-q`), to show no progress, `--help` (`-h`), and "
    "`--json`, to print the result as JSON.",
}
EXAMPLE = re.compile(r"^Example: (.+)$", re.MULTILINE)
COMMON = re.compile(
    r"^\* `(?:--json|-q, --quiet|--help)`: .+\n", re.MULTILINE
)  # said once, at the top
IN_PYTHON = re.compile(r"^In Python: (.+)\.$", re.MULTILINE)


def pages() -> dict[str, str]:
    """Text of every generated page, by its place in docs/."""
    commands = {f"cli/{program}.md": command_page(program) for program in PROGRAMS}
    return commands | {f"api/{package}.md": library_page(package) for package in MODULES}


def command_page(program: str) -> str:
    """What `typer MODULE utils docs` says of a program, its examples and names as code."""
    command = [sys.executable, "-m", "typer", PROGRAMS[program], "utils", "docs", "--name", program]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    text = COMMON.sub("", text).replace("**Options**:\n\n\n", "")  # a group has no others
    text = EXAMPLE.sub(r"```sh\n\1\n```", text)
    text = text.replace("\n**Usage**", f"\n{IN_ALL[program]}\n\n**Usage**", 1)
    return IN_PYTHON.sub(lambda match: f"In Python: `{match[1].replace(', ', '`, `')}`.", text)


def library_page(package: str) -> str:
    """One directive for each public name, errors last, and for each public module."""
    stub = ast.parse((DOCS.parent / package / "__init__.pyi").read_text())
    names = [alias.name for node in stub.body for alias in getattr(node, "names", ())]
    names.sort(key=lambda name: (name.endswith("Error"), name.lower()))
    about = (
        f"# {package}\n\n::: {package}\n    options: {{members: false, show_root_heading: false}}\n"
    )
    return "\n".join([about, *(f"::: {package}.{name}\n" for name in [*names, *MODULES[package]])])


if __name__ == "__main__":
    for place, text in pages().items():
        (DOCS / place).parent.mkdir(exist_ok=True)
        write_atomic(DOCS / place, text.encode())
        print(f"docs/{place}")
