"""mem3d-cli demo, up to where a browser begins."""

import socket

import pytest
from typer.testing import CliRunner

import mem3d
from mem3d.demo.reconstruct_view import reconstruct_upload
from mem3d.inference.pretrained import publish
from mem3d_cli.mem3d.app import app
from mem3d_cli.mem3d.demo import _page
from memstore import ExtraMissingError, PathExistsError
from tests.helpers.r2n2_folder import blob


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """What the command sets, put back afterwards."""
    names = ("GRADIO_ANALYTICS_ENABLED", "HF_HUB_OFFLINE", "GRADIO_TEMP_DIR")
    for name in names:
        monkeypatch.setenv(name, "")


def call(*arguments):
    return CliRunner().invoke(app, ["demo", *map(str, arguments)])


def test_without_the_extra_the_pip_command_is_told(trained, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    done = call(trained[0])
    assert isinstance(done.exception, ExtraMissingError)
    assert "pip install -c constraints.txt -e '.[demo]'" in str(done.exception)


def test_a_run_is_not_written_over(trained):
    done = call(trained[0], "--out", trained[0])
    assert isinstance(done.exception, PathExistsError)


@pytest.fixture(scope="module")
def published(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "published"
    publish(trained[0], folder)
    return folder


def test_a_published_folder_is_shown(published, trained, tmp_path):
    pytest.importorskip("gradio")
    page = _page(published, "best", "cpu", None, tmp_path, quiet=True)
    try:
        memory = page.memories.memory(None)
        assert (page.name, memory.sources) == ("published", trained[2].sources)
        shown = reconstruct_upload(page.model, memory, page.examples[0])
        own, told = page.memories.memorize(None, shown, blob(9), "mine")
        assert told.source == "mine" and "mine" in own.sources
    finally:
        page.memories.close()


def test_what_visitors_remember_of_a_published_folder_is_kept_in_a_run(published, tmp_path):
    pytest.importorskip("gradio")
    page = _page(published, "best", "cpu", tmp_path / "more", tmp_path, quiet=True)
    try:
        shown = reconstruct_upload(page.model, page.memories.memory(None), page.examples[0])
        page.memories.memorize(None, shown, blob(9), "mine")
    finally:
        page.memories.close()
    with mem3d.load(tmp_path / "more") as more:
        assert "mine" in more.memory.sources


def test_without_a_run_the_bundled_model_is_shown(monkeypatch):
    """Up to where its page would be made; the extra is not needed to get there."""
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    assert isinstance(call().exception, ExtraMissingError)


def test_a_port_that_is_taken_is_told_before_the_extra_is_loaded(trained, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = call(trained[0], "--port", other.getsockname()[1])
    assert "Address already in use, want an address of this machine" in str(done.exception)


def test_what_is_no_run_is_told_before_the_extra_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    assert "best.safetensors: got no file" in str(call(tmp_path).exception)
