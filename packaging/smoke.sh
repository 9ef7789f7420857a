#!/usr/bin/env bash
# What an installed wheel must do, in a folder where its source is not.
# smoke.sh BIN memstore|mem3d: the folder of its commands; alone, or with the extra mem3d.
# The wheel must have been built with a C compiler.
set -euo pipefail
bin=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo "$2: $(du -sm "$bin/.." | cut -f1) MB on disk with all that it needs"

"$bin/python" - <<'PY'
from importlib.metadata import files, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from memstore import Memory, MemoryConfig
from memstore.kernels import compiled

assert compiled.is_there(), "no compiled loops: build the wheel with gcc 12 or later and Python.h"
for package in ("mem3d", "memstore"):
    folder = Path(find_spec(package).origin).parent
    assert "site-packages" in folder.parts, f"{folder}: not the installed one"
    assert (folder / "py.typed").is_file(), f"{package}: no py.typed"
names = {path.parts[0] for path in files("mem3d") or ()}
strays = {name for name in names if not name.startswith((".", "mem3d", "memstore"))}
assert not strays, f"the wheel installs {strays}"
print(f"mem3d {version('mem3d')}")

rng = np.random.default_rng(0)
features, grids = rng.standard_normal((8, 64)), rng.random((8, 8, 8, 8)) < 0.1
with Memory.create("shapes.memory", MemoryConfig(capacity=9, key_dim=64, resolution=8)) as memory:
    memory.write(features, grids)
    memory.commit("eight shapes")
priors = Memory.open("shapes.memory").read(features, k=1)
assert (priors.values[:, 0] == grids).all()
PY
cat > near.py <<'PY'
import numpy as np

from memstore import Memory

nearest = Memory.open("shapes.memory").search(np.random.default_rng(1).random((3, 64)), k=8)
print(nearest.slots.tolist(), nearest.cosines.tolist())
PY
"$bin/python" near.py > near
MEMSTORE_COMPILED=0 "$bin/python" near.py | cmp - near
"$bin/memstore" --help > help
"$bin/memstore" --version
"$bin/memstore" inspect shapes.memory --picture shapes.png
"$bin/memstore" verify shapes.memory --all

if [ "$2" = memstore ]; then
  # What the extras bring is refused with the line that installs them.
  ! "$bin/memstore" export shapes.memory --out shapes --format glb 2> refusal
  grep -F "'.[meshes]'" refusal
  ! "$bin/mem3d-cli" --help 2> refusal
  grep -F "'.[mem3d]'" refusal
  ! "$bin/python" -c "import mem3d" 2> refusal
  grep -F "'.[mem3d]'" refusal
else
  "$bin/memstore" export shapes.memory --out shapes --format glb
  "$bin/mem3d-cli" --version
  # What comes with the package answers where no run is named.
  photo=$("$bin/python" -c "from mem3d.bundled import example_files; print(example_files()[0])")
  (cd "$(dirname "$photo")/../base" && sha256sum --check --quiet SHA256SUMS)
  "$bin/mem3d-cli" reconstruct "$photo" -o first.glb
  test -s first.glb
  "$bin/mem3d-cli" data synth shapes-of-13 --models 5 --views 2 --quiet
  "$bin/mem3d-cli" train run --data shapes-of-13 --preset tiny --epochs 1 --quiet
  "$bin/mem3d-cli" evaluate run --quiet
  photo=$(find shapes-of-13/ShapeNetRendering -name 00.png | sort | head -1)
  "$bin/mem3d-cli" reconstruct run "$photo" --out shapes-out --threshold 0.05 --quiet
  "$bin/mem3d-cli" publish run --out published
  "$bin/memstore" verify run/memory --all
  "$bin/python" - "$photo" <<'PY'
import sys

import numpy as np

import mem3d
from mem3d.data.images.u2netp import saliency

assert saliency(np.zeros((9, 9, 3), np.uint8)).shape == (320, 320)  # its weights are installed
result = mem3d.load("published").reconstruct(sys.argv[1])
assert result.grid.shape == (32, 32, 32), result.grid.shape
PY
  ls shapes-out
fi
echo "smoke test passed"
