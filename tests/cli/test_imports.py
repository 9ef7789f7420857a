"""Packages imported without the garbage collector: from when on it passes over what is there."""

import gc
import subprocess
import sys

import pytest

from mem3d.bundled import example_files
from mem3d_cli.imports import import_uncollected

# A process that stops where a command imports what takes long.
UP_TO_THE_IMPORT = """
import sys
from mem3d_cli.mem3d import reconstruct

def stop(name):
    sys.exit(f"{name}, torch so far: {'torch' in sys.modules}")

sys.modules["mem3d_cli.mem3d.reconstruct"].import_uncollected = stop
from mem3d_cli.main import mem3d
mem3d()
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Name of a package that knows whether the collector was on as it was imported."""
    (tmp_path / "large_package.py").write_text("import gc\nwas_on = gc.isenabled()\n")
    (tmp_path / "broken_package.py").write_text("import gc\nassert gc.isenabled()\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "large_package"
    sys.modules.pop("large_package", None)
    gc.unfreeze()


def test_the_collector_rests_then_passes_over_what_is_there(package):
    gc.unfreeze()
    import_uncollected(package)
    assert not sys.modules[package].was_on
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0

    gc.unfreeze()
    import_uncollected(package)  # it is there
    assert gc.get_freeze_count() == 0


def test_an_import_that_fails_leaves_the_collector_on(package):
    with pytest.raises(AssertionError):
        import_uncollected("broken_package")
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off(package):
    gc.disable()
    try:
        import_uncollected(package)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_photo_takes_torch_that_way(tmp_path):
    words = ["reconstruct", example_files()[0], "-o", tmp_path / "shape.glb"]
    ended = subprocess.run(
        [sys.executable, "-c", UP_TO_THE_IMPORT, *words], capture_output=True, text=True, timeout=60
    )
    assert ended.stderr == "mem3d.inference.photos, torch so far: False\n"
