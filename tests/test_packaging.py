"""What an installation brings, and what it says of the rest."""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from memstore.kernels import compiled

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def python(code, *missing):
    """Run code in a fresh interpreter in which some libraries are not installed."""
    block = "".join(f"sys.modules[{name!r}] = None\n" for name in missing)
    command = [sys.executable, "-c", f"import sys\n{block}{code}"]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_every_package_is_installed():
    setup = PYPROJECT["tool"]["setuptools"]
    folders = {name.replace(".", "/") for name in setup["packages"]}
    for name, folder in setup["package-dir"].items():
        folders = {re.sub(rf"^{name}\b", folder, path) for path in folders}
    tree = {
        path.parent.relative_to(ROOT).as_posix()
        for package in ("memstore", "mem3d", "cli")
        for path in (ROOT / package).rglob("*.py")
    }
    assert folders == tree


def test_the_bundled_model_and_its_photos_are_installed():
    patterns = PYPROJECT["tool"]["setuptools"]["package-data"]["mem3d"]
    files = {path for pattern in patterns for path in (ROOT / "mem3d").glob(pattern)}
    bundled = {path for path in (ROOT / "mem3d" / "pretrained").rglob("*") if path.is_file()}
    assert bundled and files == bundled
    assert "graft mem3d/pretrained" in (ROOT / "MANIFEST.in").read_text().splitlines()


def test_every_c_file_is_in_the_sdist():
    """There setuptools takes a module's `sources` and `depends`; a wheel holds neither."""
    setup = PYPROJECT["tool"]["setuptools"]
    [module] = setup["ext-modules"]
    tree = {path.relative_to(ROOT).as_posix() for path in (ROOT / "memstore").rglob("*.[ch]")}
    assert {*module["sources"], *module["depends"]} == tree
    assert setup["exclude-package-data"] == {"memstore.kernels": ["*.c", "*.h"]}


def test_a_wheel_serves_the_pythons_that_its_module_serves():
    tag = PYPROJECT["tool"]["distutils"]["bdist_wheel"]["py-limited-api"]
    oldest = f"0x{int(tag[2]):02X}{int(tag[3:]):02X}0000"
    text = (ROOT / "memstore" / "kernels" / "kernels.c").read_text()
    assert f"#define Py_LIMITED_API {oldest}\n" in text
    assert PYPROJECT["project"]["requires-python"] == f">={tag[2]}.{tag[3:]}"


@pytest.mark.parametrize("compiler", ["/bin/false", "/nowhere/cc"])
def test_without_a_compiler_the_build_goes_on(compiler, tmp_path):
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    folder = "memstore/kernels"
    shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.so"))
    command = [sys.executable, "-c", "import setuptools; setuptools.setup()", "build_ext", "-i"]
    build = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "CC": compiler}
    )
    assert build.returncode == 0, build.stderr
    assert 'building extension "memstore.kernels._kernels" failed' in build.stderr
    assert list((tmp_path / folder).glob("*.so")) == []


def test_compiled_loops_are_optional():
    code = "from memstore.kernels.compiled import is_there\nprint(is_there())"
    assert python(code, "memstore.kernels._kernels").stdout == "False\n"


def test_every_requirement_is_pinned():
    project = PYPROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    constraints = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0].lower() for line in constraints if "==" in line}
    names = {re.split(r"[<>=\[ ]", line)[0].lower() for lines in groups for line in lines}
    assert names - {"mem3d"} <= pinned  # an extra names other extras as mem3d[...]


def test_memstore_alone_is_small():
    """What mem3d needs is 1.5 GB, and no part of a plain installation."""
    lines = " ".join(PYPROJECT["project"]["dependencies"])
    large = ("torch", "scipy", "scikit", "trimesh", "matplotlib", "embreex", "gradio")
    assert [name for name in large if name in lines] == []


def test_nobody_is_sent_to_a_package_of_that_name():
    """On PyPI memstore is somebody else's, and mem3d nobody's: pip installs a checkout."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    paths = [ROOT / name for name in listed.stdout.split("\n") if name] or ROOT.rglob("*.*")
    wrong = re.compile(r"pip install (-\S+ )*[\"']?(memstore|mem3d)\b")
    texts = {".py", ".pyi", ".md", ".ipynb", ".toml", ".sh", ".yml", ".txt", ""}
    files = [path for path in paths if path.is_file() and path.suffix in texts]
    assert len(files) > 100
    assert [str(path) for path in files if wrong.search(path.read_text(errors="replace"))] == []


def test_without_torch_mem3d_says_what_to_install():
    line = "mem3d: got no torch, want the extra 'mem3d'; in a checkout: "
    line += "pip install -c constraints.txt -e '.[mem3d]'"
    assert python("import mem3d", "torch").stderr.splitlines()[-1].endswith(line)
    program = python("from mem3d_cli.main import mem3d\nmem3d()", "torch")
    assert (program.returncode, program.stdout, program.stderr) == (1, "", f"mem3d-cli: {line}\n")


def test_memstore_and_its_command_need_none_of_mem3ds_libraries(tmp_path):
    code = f"""
import numpy as np
from memstore import Memory, MemoryConfig
from mem3d_cli.main import memstore

path = {str(tmp_path / "memory")!r}
with Memory.create(path, MemoryConfig(capacity=4, key_dim=8, resolution=2, delta=1)) as memory:
    memory.write(np.eye(8)[:3], np.ones((3, 2, 2, 2), bool), warn=False)  # one shape
    memory.commit("a shape")
sys.argv[1:] = ["inspect", path, "--picture", path + ".png"]
memstore()
"""
    large = ("torch", "scipy", "skimage", "trimesh", "matplotlib", "pyarrow")
    program = python(code, *large)
    assert (program.returncode, program.stderr) == (0, "")
    assert "1 of 4 used" in program.stdout


@pytest.mark.parametrize(
    ("missing", "package"), [("skimage.measure", "scikit-image"), ("trimesh", "trimesh")]
)
def test_without_the_mesh_libraries_the_extra_is_named(missing, package):
    code = """
import numpy as np
from memstore.voxels.mesh import smooth, write_mesh

write_mesh("/nowhere/a.stl", smooth(np.ones((2, 2, 2), bool)))
"""
    error = python(code, missing).stderr.splitlines()[-1]
    assert error.endswith(
        f"mesh: got no {package}, want the extra 'meshes'; in a checkout: "
        "pip install -c constraints.txt -e '.[meshes]'"
    )


def test_an_editable_wheel_gets_the_folder_for_type_checkers(tmp_path):
    spec = spec_from_file_location("build_backend", ROOT / "packaging" / "build_backend.py")
    backend = module_from_spec(spec)
    spec.loader.exec_module(backend)
    wheel = tmp_path / "a.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("finder.py", "pass\n")
        archive.writestr("hook.pth", "import finder\n")
        archive.writestr(
            "a-1.dist-info/RECORD",
            "finder.py,,\nhook.pth,sha256=x,14\na-1.dist-info/RECORD,,\n",
        )
    backend.add_path(wheel, Path("/the/project"))
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read("hook.pth")
        record = archive.read("a-1.dist-info/RECORD").decode().splitlines()
        assert archive.read("finder.py") == b"pass\n"
    assert text == b"import finder\n/the/project\n"
    digest = base64.urlsafe_b64encode(hashlib.sha256(text).digest()).decode().rstrip("=")
    assert sorted(record) == [
        "a-1.dist-info/RECORD,,",
        "finder.py,,",
        f"hook.pth,sha256={digest},27",
    ]


def test_arguments_of_the_compiled_loops_are_of_their_interface():
    """A file that was compiled before a change is passed over if INTERFACE was raised with it."""
    source = (ROOT / "memstore/kernels/kernels.c").read_text()
    arguments = ",".join(re.findall(r'PyArg_ParseTuple\(args, "([^"]*)"', source))
    assert re.findall(r"INTERFACE = (\d+)", source) == [str(compiled.INTERFACE)]
    last = "OOOnnnddOO,OOOpnnnnnddOOO(OOOOOd),OOOOnnnnO,OOnnpO,OOnnO,OnnddOO,OO,OOnO,OO"
    raise_it = "arguments have changed: raise INTERFACE by one in kernels.c and compiled.py"
    assert (compiled.INTERFACE, arguments) == (1, last), raise_it
