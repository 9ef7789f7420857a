"""mem3d-cli demo, up to where a browser begins."""

import pytest
from typer.testing import CliRunner

from mem3d_cli.mem3d import app
from memstore import ExtraMissingError, PathExistsError


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """What the command sets, put back afterwards."""
    names = ("GRADIO_ANALYTICS_ENABLED", "HF_HUB_OFFLINE", "GRADIO_TEMP_DIR", "NO_PROXY")
    for name in (*names, "no_proxy"):
        monkeypatch.setenv(name, "")


def call(*arguments):
    return CliRunner().invoke(app, ["demo", *map(str, arguments)])


def test_without_the_extra_the_pip_command_is_told(trained, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    done = call(trained[0])
    assert isinstance(done.exception, ExtraMissingError)
    assert "pip install 'mem3d[demo]'" in str(done.exception)


def test_a_run_is_not_written_over(trained):
    done = call(trained[0], "--write", trained[0])
    assert isinstance(done.exception, PathExistsError)


def test_what_is_no_run_is_told_before_the_extra_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    assert "best.safetensors: got no file" in str(call(tmp_path).exception)
