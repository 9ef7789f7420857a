"""The commands on a memory's URL, which the environment leads to."""

import json
import os

import numpy as np
import pytest
from typer.testing import CliRunner

from mem3d_cli.memstore.app import app
from memstore import Memory
from tests.helpers.object_oracle import assert_same
from tests.helpers.object_server import BUCKET

URL = f"s3://{BUCKET}/commands"


def run(line):
    """What a command printed as JSON; its error is ours."""
    result = CliRunner().invoke(app, [*line.split(), "--json"])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_all_commands_take_a_url(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    rng = np.random.default_rng(0)
    np.savez("new.npz", keys=rng.random((5, 4)), values=rng.random((5, 4, 4, 4)) < 0.4)
    run(f"create {URL} --capacity 8 --key-dim 4 --resolution 4")
    assert run(f"add {URL} new.npz") == {
        "path": URL,
        "insert": 5,
        "merge": 0,
        "evict": 0,
        "slots": 5,
    }
    tagged = run(f"tag {URL} five")["snapshot"]
    assert run(f"remove {URL} 2") == {"removed": [2], "slots": 4}
    assert run(f"inspect {URL} --at five")["used"] == 5
    assert run(f"list {URL}")["total"] == 4 and run(f"get {URL} 3")["slot"] == 3
    assert run(f"query {URL} --slot 3 -k 1")["queries"][0]["neighbors"][0]["slot"] == 3
    assert run(f"diff {URL} five")["removed"] == run(f"diff {URL} {tagged}")["removed"] == [2]
    history = run(f"history {URL}")["commits"]
    assert [entry["tags"] for entry in history] == [[], ["five"], []]
    assert run(f"verify {URL} --all")["problems"] == []
    assert run(f"expire {URL} --keep 1")["snapshots"] == 1
    run(f"copy {URL} --out here.memory")
    run(f"copy here.memory --out {URL}-copy")
    assert_same(Memory.open("here.memory"), Memory.open(f"{URL}-copy"))
    assert run(f"diff here.memory {URL}-copy")["unchanged"] == 4
    run(f"export {URL} --out out.npz")
    run(f"import out.npz --out {URL}-import")
    assert run(f"inspect {URL}-import")["used"] == 4
    assert sorted(os.listdir()) == ["here.memory", "new.npz", "out.npz"]


@pytest.mark.parametrize(
    "line",
    [
        "inspect s3:/b/m",
        "create s3:/b/m --capacity 8 --key-dim 4",
        "copy here --out s3:/b/m",
        "import x.npz --out s3:/b/m",
        "export s3://b/m --out s3://b/m.npz",
    ],
)
def test_a_slash_too_few_or_a_file_is_told(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("here")
    with pytest.raises(
        OSError, match="memories in one piece alone may have a URL: s3://BUCKET/PREF"
    ):
        run(line)
    assert os.listdir() == ["here"]
