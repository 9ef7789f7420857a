"""mem3d-cli publish and export, as a user calls them."""

import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from mem3d.inference import pretrained
from mem3d.network.checkpoint import is_published
from mem3d_cli.mem3d.app import app
from tests.helpers.r2n2_folder import picture


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def run(made_up_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "run"
    one = ("--preset", "tiny", "--epochs", "1", "--quiet")
    done = call("train", folder, "--data", made_up_data, *one)
    assert done.exit_code == 0, done.output
    return folder


def test_a_published_folder_reconstructs(run, tmp_path, monkeypatch):
    sent = []
    monkeypatch.setattr(
        pretrained, "upload", lambda folder, repo, private: sent.append(repo) or "address"
    )
    done = call("publish", run, "-o", tmp_path / "out", "--json", "-q")
    assert done.exit_code == 0, done.output
    assert "mind their license" in done.stderr
    told = json.loads(done.stdout)
    assert "model.safetensors" in told["files"] and told["address"] is None
    assert sent == []  # nothing leaves the machine unasked
    Image.fromarray(picture(0)).save(tmp_path / "a.png")
    made = call("reconstruct", tmp_path / "out", tmp_path / "a.png", "--out", tmp_path / "shapes")
    assert made.exit_code == 0, made.output
    asked = call("publish", run, "-o", tmp_path / "sent", "--repo", "me/chairs")
    assert sent == ["me/chairs"] and "sent: address" in asked.stdout


@pytest.mark.parametrize("repo", ["me", "me/a/b", "me/-", "https://hub/me/x"])
def test_a_repository_s_name_is_looked_at_before_the_work(repo, run, tmp_path):
    done = call("publish", run, "-o", tmp_path / "out", "--repo", repo)
    assert f"repo: got {repo!r}" in str(done.exception)
    assert str(done.exception).endswith("want owner/name")
    assert not (tmp_path / "out").exists()


def test_what_could_not_be_sent_is_complete_and_can_be_sent_by_hand(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    done = call("publish", run, "-o", tmp_path / "out", "--repo", "me/chairs", "--private")
    told = f"{tmp_path / 'out'} is complete, to send it: hf upload me/chairs {tmp_path / 'out'}"
    assert done.exit_code == 1 and "me/chairs: the hub refused" in str(done.exception)
    assert str(done.exception).endswith(f"{told} --private")
    assert is_published(tmp_path / "out")


@pytest.fixture(scope="module")
def published(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "published"
    assert call("publish", run, "-o", folder).exit_code == 0
    return folder


@pytest.mark.parametrize(
    "words",
    [
        "average PUB PUB --out OUT",
        "average RUN PUB --out OUT",
        "publish PUB -o OUT",
        "train OUT --data DATA --weights PUB --preset tiny --quiet",
    ],
)
def test_what_wants_a_run_refuses_a_published_folder(words, run, published, made_up_data, tmp_path):
    known = {"PUB": published, "RUN": run, "DATA": made_up_data, "OUT": tmp_path / "out"}
    done = call(*(known.get(word, word) for word in words.split()))
    want = f"{published}: got a published folder, want the run that it was made from"
    assert str(done.exception) == want


def test_what_is_there_is_not_replaced(run, tmp_path):
    done = call("publish", run, "-o", tmp_path)
    assert "exists already" in str(done.exception)
    assert list(tmp_path.iterdir()) == []
