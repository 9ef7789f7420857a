#!/usr/bin/env bash
# What an installed mem3d must do, in a folder where its source is not: smoke.sh BIN, the folder of its commands.
set -euo pipefail
bin=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$bin/python" - <<'PY'
from importlib.metadata import files, version
from pathlib import Path

import mem3d
import memstore

for package in (mem3d, memstore):
    assert "site-packages" in package.__file__, f"{package.__file__}: not the installed one"
    assert (Path(package.__file__).parent / "py.typed").is_file(), f"{package.__name__}: no py.typed"
names = {path.parts[0] for path in files("mem3d") or ()}
strays = {name for name in names if not name.startswith((".", "mem3d", "memstore"))}
assert not strays, f"the wheel installs {strays}"
print(f"mem3d {version('mem3d')}")
PY
"$bin/mem3d-cli" --version
"$bin/memstore" --version
"$bin/mem3d-cli" data synth shapes --models 5 --views 2 --quiet
"$bin/mem3d-cli" train run --data shapes --preset tiny --epochs 1 --quiet
"$bin/mem3d-cli" evaluate run --quiet
photo=$(find shapes/ShapeNetRendering -name 00.png | sort | head -1)
"$bin/mem3d-cli" reconstruct run "$photo" --out shapes-out --threshold 0.05 --quiet
"$bin/mem3d-cli" publish run published
"$bin/memstore" verify run/memory --all
"$bin/memstore" inspect run/memory
"$bin/python" - "$photo" <<'PY'
import sys

import mem3d

result = mem3d.load("published").reconstruct(sys.argv[1])
assert result.grid.shape == (32, 32, 32), result.grid.shape
PY
ls shapes-out
echo "smoke test passed"
