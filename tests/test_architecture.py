"""Who may import whom, checked in fresh interpreters."""

import ast
import re
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def loaded_after(statement):
    """Modules in memory after a statement, in the order in which they were loaded."""
    code = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_memstore_stands_alone():
    loaded = loaded_after("import memstore; memstore.Memory")
    assert not {"torch", "torchvision", "typer", "rich", "mem3d", "mem3d_cli"} & set(loaded)


def test_the_memstore_command_needs_no_torch():
    """Nor mem3d, which wants it: an installation without the extra has the command alone."""
    modules = loaded_after("import mem3d_cli.memstore.app, mem3d_cli.tables, mem3d_cli.main")
    assert not {"torch", "mem3d"} & set(modules)


def test_a_network_to_use_needs_no_compiler_and_nothing_that_draws_curves():
    """Each takes as long to load as a photo to reconstruct: torch._dynamo 2 s, scipy's trees .1."""
    loaded = loaded_after(
        "import torch, mem3d.inference.reconstructor\n"
        "from mem3d.network.model import Mem3D\nfrom mem3d.network.presets import TINY\n"
        "with torch.device('meta'): Mem3D(TINY.model)"  # as `checkpoint.filled` does
    )
    slow = {"torchvision", "torch._dynamo", "sympy", "matplotlib", "scipy.spatial", "trimesh"}
    assert not (slow | {"skimage", "embreex", "icechunk", "zarr"}) & set(loaded)


def test_help_needs_neither_torch_nor_faiss():
    loaded = loaded_after("import mem3d_cli.mem3d.app")
    assert not {"torch", "faiss", "zarr", "matplotlib", "pydantic", "mem3d.network.config"} & set(
        loaded
    )


def test_settings_and_presets_cost_neither_torch_nor_faiss():
    assert not {"torch", "faiss", "zarr"} & set(loaded_after("import mem3d.network.presets"))


@pytest.mark.parametrize("module", ["mem3d.training.trainer", "mem3d.inference.reconstruct"])
def test_torch_comes_before_faiss(module):
    loaded = loaded_after(f"import {module}, memstore; memstore.Memory")
    assert loaded.index("torch") < loaded.index("faiss")


def test_pictures_and_shapes_are_made_without_torch():
    assert "torch" not in loaded_after(
        "import mem3d.data.procedural.writer, mem3d.data.rendering.figures"
    )


@pytest.mark.parametrize(
    "module",
    [
        *("memstore", "memstore.files", "memstore.config"),
        *("memstore.voxels.binvox", "memstore.voxels.grids", "memstore.voxels.mesh"),
    ],
)
def test_file_formats_cost_neither_faiss_nor_zarr(module):
    heavy = {"faiss", "zarr", "icechunk", "trimesh", "skimage", "scipy", "PIL", "matplotlib"}
    assert not heavy & set(loaded_after(f"import {module}"))


def test_sheets_cost_neither_faiss_nor_zarr():
    assert not {"faiss", "zarr", "icechunk"} & set(
        loaded_after("import memstore.voxels.contact_sheet")
    )


def test_exchange_loads_only_what_a_kind_needs():
    heavy = {"zarr", "icechunk", "pyarrow", "safetensors", "trimesh", "skimage", "scipy", "PIL"}
    assert not heavy & set(loaded_after("import memstore.exchange"))


STUBS = sorted(
    path for room in ("memstore", "mem3d") for path in (ROOT / room).rglob("__init__.pyi")
)


@pytest.mark.parametrize("path", STUBS, ids=lambda path: path.parent.name)
def test_public_names_are_what_is_visible(path):
    package = import_module(".".join(path.parent.relative_to(ROOT).parts))
    names = [alias.asname for node in ast.parse(path.read_text()).body for alias in node.names]
    assert sorted(package.__all__) == sorted(names) and len(set(names)) == len(names)
    assert len(names) <= 10 or path.parent.parent == ROOT
    assert all(getattr(package, name) is not None for name in names)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = package.nonsense


def test_mem3d_uses_only_what_memstore_offers():
    rooms = ("binvox", "contact_sheet", "grids", "mesh", "names")
    offered = {
        "memstore",
        "memstore.files",
        "memstore.json_text",
        "memstore.paths",
        "memstore.ray_session",
        "memstore.sharded",
        *(f"memstore.voxels.{room}" for room in rooms),
    }
    for folder in ("mem3d", "cli"):
        for path in (ROOT / folder).rglob("*.py"):
            used = re.findall(
                r"^ *(?:from|import) (memstore[.\w]*)", path.read_text(), re.MULTILINE
            )
            assert set(used) <= offered, path


def test_few_files_know_the_libraries_beneath():
    importers = {"faiss": set(), "numkong": set(), "stores": set()}
    for path in (ROOT / "memstore").rglob("*.py"):
        text, place = path.read_text(), path.relative_to(ROOT / "memstore").as_posix()
        for library in ("faiss", "numkong"):
            if f"import {library}" in text:
                importers[library].add(place)
        # Those that are indented are for types only.
        if re.search(r"^(?:import|from) (?:zarr|icechunk)\b", text, re.MULTILINE):
            importers["stores"].add(place)
    assert importers["faiss"] == {"search/index.py", "search/ivf.py"}
    assert importers["numkong"] == {"search/rounded.py", "voxels/grids.py"}
    stores = {"backend.py", "chunks.py", "local/repository.py"}
    stores |= {f"objects/{name}" for name in ("calls.py", "repository.py", "stores.py")}
    assert importers["stores"] == {f"storage/{name}" for name in stores}


def private_attributes_of_others(path, names):
    """Lines of a file that reach for an attribute of something that is not `self`."""
    for node in ast.walk(ast.parse(path.read_text())):
        is_private = isinstance(node, ast.Attribute) and node.attr in names
        if is_private and ast.unparse(node.value) != "self":
            yield f"{path}:{node.lineno}"


def test_only_memory_touches_its_state():
    """Others look at it inside `with memory.frozen() as state`."""
    memory, names = ROOT / "memstore" / "memory.py", {"_state", "_lock", "_repository"}
    rooms = ("memstore", "mem3d", "cli", "benchmarks")
    paths = {path for room in rooms for path in (ROOT / room).rglob("*.py")} - {memory}
    lines = [line for path in paths for line in private_attributes_of_others(path, names)]
    assert lines == []
    assert all(f"self.{name}" in memory.read_text() for name in names)  # else they are outdated


def test_bits_are_packed_in_one_file_of_memstore():
    packers = [
        path.relative_to(ROOT).as_posix()
        for room in ("memstore", "mem3d", "cli")
        for path in (ROOT / room).rglob("*.py")
        if "packbits(" in path.read_text()
    ]
    masks_for_faiss = "memstore/search/ivf.py"
    assert sorted(packers) == [masks_for_faiss, "memstore/voxels/grids.py"]


def sources(*rooms):
    return [path for room in rooms for path in (ROOT / room).rglob("*.py")]


def test_no_folder_holds_more_than_a_dozen_modules():
    counts = Counter(path.parent.relative_to(ROOT) for path in sources("memstore", "mem3d", "cli"))
    assert {folder: n for folder, n in counts.items() if n > 13} == {}  # a dozen and __init__.py


# What happened to a value is no name for it.
PARTICIPLES = {
    *("found", "told", "done", "known", "chosen", "wanted", "seen", "laid", "kept", "left"),
    *("given", "made", "taken", "got", "shown"),
}


def test_names_say_what_a_value_is():
    nodes = [
        node
        for path in sources("memstore", "mem3d", "cli", "benchmarks")
        for node in ast.walk(ast.parse(path.read_text()))
    ]
    variables = [node for node in nodes if isinstance(node, ast.Name)]
    bound = [node.id for node in variables if isinstance(node.ctx, ast.Store)]
    bound += [node.arg for node in nodes if isinstance(node, ast.arg)]
    assert sum(name in PARTICIPLES for name in bound) <= 30  # `left` of a box is a side


def test_no_file_excuses_its_length():
    rooms = ("memstore", "mem3d", "cli", "benchmarks")
    assert [path for path in sources(*rooms) if "Over 250" in path.read_text()] == []
