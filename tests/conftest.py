"""Settings and fixtures every test shares."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.helpers.r2n2_folder import make_r2n2

settings.register_profile("mem3d", deadline=None)  # shared machines: a slow example is no failure
settings.load_profile("mem3d")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real images and grids; the test skips, saying so, where it is absent."""
    root = Path(__file__).parents[1]
    folder = Path(os.environ.get("MEM3D_DATA", root.parent / "shared" / "data"))
    if not (folder / "r2n2_real").is_dir():
        pytest.skip(f"no real data at {folder}; set MEM3D_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    """Folder, model, memory and state of a run that knows three shapes; read-only by agreement."""
    from mem3d.network.checkpoint import load
    from tests.helpers.untrained_run import make_run

    folder = make_run(tmp_path_factory.mktemp("demo") / "run")
    return folder, *load(folder)


@pytest.fixture(scope="session")
def made_up_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in the R2N2 layout; read-only by agreement."""
    return make_r2n2(tmp_path_factory.mktemp("r2n2"))


@pytest.fixture(scope="module")
def no_curves() -> Iterator[None]:
    """Runs draw no curves, which takes as long as all the rest of a tiny one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mem3d.training.report.curves", lambda *_: None)
        yield


@pytest.fixture(scope="session")
def object_server() -> Iterator[Any]:
    """An object store on loopback; the test skips, saying so, where moto is not installed."""
    pytest.importorskip("moto.server", reason="no object store: pip install 'moto[server]'")
    from tests.helpers.object_server import ObjectServer

    server = ObjectServer()
    yield server
    server.kill()


@pytest.fixture
def store(object_server: Any) -> Iterator[Any]:
    """The same, whole and answering, whatever a test does to it."""
    object_server.forget()
    yield object_server
    object_server.forget()
    object_server.revive()
