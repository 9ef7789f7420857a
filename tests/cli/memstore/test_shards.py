"""The memstore command, of a memory in shards."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from mem3d_cli.memstore.app import app
from memstore import Memory, MemoryConfig, NotAMemoryError
from memstore.sharded import ShardedMemory

runner = CliRunner()


@pytest.fixture
def path(tmp_path):
    """A memory of one slot (tagged "one"), then two."""
    config = MemoryConfig(capacity=4, key_dim=3, resolution=2, beta=-1)
    with ShardedMemory.create(tmp_path / "m", config, 2, workers="local") as memory:
        for i in range(2):
            memory.write(np.eye(3)[[i]], np.full((1, 2, 2, 2), bool(i)), [f"chairs/{i}"])
            memory.commit(f"slot {i}")
            if i == 0:
                memory.tag("one")
    return tmp_path / "m"


def run(*arguments):
    """Run a command; its result."""
    return runner.invoke(app, [str(argument) for argument in arguments])


def test_inspect(path):
    assert "2 of 4 used" in run("inspect", path).stdout
    facts = json.loads(run("inspect", path, "--at", "one", "--json").stdout)
    assert (facts["used"], facts["shards"]) == (1, 2)
    assert facts["least_read"][0]["source"] == "chairs/0"
    refused = run("inspect", path, "--picture", path.parent / "p.png").exception
    assert "memory in shards, of which no picture is drawn" in str(refused)


def test_history_and_verify(path):
    report = json.loads(run("history", path, "--json").stdout)
    assert [commit["message"] for commit in report["commits"]] == ["slot 1", "slot 0", "create"]
    assert report["commits"][1]["tags"] == ["one"]
    assert "no problems" in run("verify", path, "--all").stdout
    [manifest] = path.glob(f"commits/{report['commits'][1]['id']}.json")
    manifest.write_bytes(manifest.read_bytes().replace(b"slot 0", b"slot 9"))
    assert run("verify", path).exit_code == 0
    result = run("verify", path, "--all")
    assert result.exit_code == 1 and f"commit {manifest.stem}: " in result.stdout


def test_copy_makes_one_in_one_piece(path):
    assert run("copy", path, "--out", path.parent / "whole", "--capacity", 6).exit_code == 0
    with Memory.open(path.parent / "whole") as whole:
        assert (len(whole), whole.config.capacity) == (2, 6)
        assert whole.sources == ["chairs/0", "chairs/1"]


@pytest.mark.parametrize("command", ["list", "expire", "export"])
def test_other_commands_refuse_it_and_say_what_to_do(path, command):
    result = run(command, path, *(["--out", "out.npz"] if command == "export" else []))
    assert isinstance(result.exception, NotAMemoryError)
    assert f"memstore copy {path} --out FOLDER makes one" in str(result.exception)
