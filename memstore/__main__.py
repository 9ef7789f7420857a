"""`python -m memstore`: the program `memstore`.

The one module of this library that knows the commands; nothing imports it.
"""

try:
    from mem3d_cli.main import memstore as program
except ModuleNotFoundError as error:
    raise SystemExit("memstore: got no mem3d_cli, want the project installed with pip") from error

if __name__ == "__main__":
    program()
