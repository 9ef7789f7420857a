"""`python -m mem3d`: the program `mem3d-cli`.

The one module of this library that knows the commands; nothing imports it.
"""

try:
    from mem3d_cli.main import mem3d as program
except ModuleNotFoundError as error:
    raise SystemExit("mem3d-cli: got no mem3d_cli, want the project installed with pip") from error

if __name__ == "__main__":
    program()
