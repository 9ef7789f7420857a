"""Paths and words that newcomers get wrong: what was meant is told, before anything is loaded."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from mem3d_cli.app import MEMSTORE
from mem3d_cli.mem3d.app import app
from mem3d_cli.memstore.app import app as memstore_app

WITHOUT_TORCH = """
import json, sys
from typer.testing import CliRunner
from mem3d_cli.mem3d.app import app
for line in json.load(sys.stdin):
    done = CliRunner().invoke(app, line.split())
    assert "torch" not in sys.modules and "zarr" not in sys.modules, line
    print(json.dumps([done.exit_code, f"{done.exception or ''} {' '.join(done.stderr.split())}"]))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder in which a newcomer stands: a run, data, photos, and things like them."""
    place = tmp_path_factory.mktemp("place")
    for folder in (
        *("runs/first/memory", "published", "mixed/second", "data/set/ShapeNetRendering/03001627"),
        *("data/set/ShapeNetVox32", "photos", "meshes/chair", "begun", "empty"),
    ):
        (place / folder).mkdir(parents=True)
    for file in (
        *("runs/first/best.safetensors", "published/config.json", "published/model.safetensors"),
        *("chair.png", "photos/chair.png", "data.zip", "meshes/chair/1.obj", "begun/run.json"),
        *("resnet50.safetensors", "split.json", "mixed/chair.png", "mixed/second/last.safetensors"),
    ):
        (place / file).touch()
    return place


@pytest.fixture(scope="module")
def answers(place):
    """What each line is answered, in a process of its own that has loaded nothing."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH],
        input=json.dumps([line for line, *_ in MISTAKES]),
        cwd=place,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(MISTAKES, map(json.loads, done.stdout.splitlines()), strict=True))


RUN = "a run's folder or a published one"
PHOTO = "a picture, a folder of them or a pattern"
EXAMPLE = "mem3d-cli reconstruct chair.png -o chair.glb"
MISTAKES = [
    # The run is missing, or in the wrong place.
    ("reconstruct", 2, rf"Missing argument '\[RUN\] PHOTOS'. Example: {EXAMPLE}"),
    ("reconstruct chair.png runs/first", 1, "runs/first: got a run among the photos, want RUN onc"),
    ("reconstruct runs/first", 1, f"runs/first: got a run alone, want photos after it: {PHOTO}"),
    ("reconstruct runs/frist chair.png", 1, f"want {RUN}, or {PHOTO}; near that: runs/first"),
    ("reconstruct runs/frist", 1, f"want {RUN}, or {PHOTO}; near that: runs/first"),
    ("reconstruct chiar.png", 1, "chiar.png: got nothing there, .*; near that: .*chair.png"),
    ("reconstruct runs chair.png", 1, "runs: got a folder above runs, want .*: runs/first"),
    ("reconstruct mixed", 1, "mixed: got a folder above runs, want one of them: mixed/second"),
    ("reconstruct data/set chair.png", 1, "data/set: got a data folder, want a run's folder"),
    ("reconstruct runs/first/memory a.png", 1, "got a run's memory, want the run: runs/first"),
    ("reconstruct runs/first/best.safetensors a", 1, "got a checkpoint's file, want its folder"),
    ("reconstruct begun chair.png", 1, "begun: got a run without a checkpoint"),
    ("reconstruct empty chair.png", 1, f"neither a run nor pictures in it, want {RUN}, or {PHOTO}"),
    ("reconstruct runs/first chiar.png", 1, "chiar.png: got nothing there, .*: chair.png"),
    ("reconstruct runs/first published", 1, "published: got a run among the photos"),
    ("reconstruct runs/first chair.png --mask maks.png", 1, "maks.png: got nothing there"),
    ("reconstruct runs/first chair.png --ensemble empty", 1, "empty/best.safetensors: got no"),
    ("reconstruct runs/first chair.png --box 1,2", 1, "box: got '1,2'"),
    ("reconstruct runs/first chair.png --threshold 3", 1, "threshold: got 3.0"),
    ("evaluate data/set", 1, "data/set: got a data folder, want a run"),
    ("evaluate published", 1, "--data: got none, want a data set .*: published tells none"),
    ("evaluate", 1, "--data: got none, want a data set .*: the bundled model tells none"),
    ("robustness", 1, "--data: got none, want a data set .*: the bundled model tells none"),
    ("publish published -o out", 1, "published: got a published folder, want the run"),
    ("evaluate runs/first data/set", 2, r"extra argument\(s\) \(data/set\). Example: mem3d-cli"),
    ("robustness runs/frist", 1, "near that: runs/first"),
    ("average runs/first runs/frist --out mean", 1, "near that: runs/first"),
    ("publish runs/frist -o out", 1, "near that: runs/first"),
    ("demo runs/frist", 1, "near that: runs/first"),
    # The data are missing, or lie above or below.
    ("train new --data data/sett", 1, "data/sett: got nothing there, .* near that: data/set"),
    ("train new --data data", 1, "data: got a folder above data, want the data: data/set"),
    ("train new --data data/set/ShapeNetRendering", 1, "want the data folder itself: data/set"),
    ("train new --data data/set/ShapeNetRendering/03001627", 1, "data folder itself: data/set"),
    ("train new --data data.zip", 1, "data.zip: got an archive, .*: unpack it first"),
    (
        "train new --data meshes",
        1,
        "got a folder of meshes, .* mem3d-cli data render meshes --out DATA",
    ),
    ("train new --data runs/first", 1, "runs/first: got a run's folder, want a data folder"),
    ("train new --data photos", 1, r"photos: got no folder ShapeNetRendering, want .*data.md"),
    ("train new --data data/set --extra absent", 1, "absent: got nothing there"),
    ("train new --data data/set --split splti.json", 1, "near that: split.json"),
    ("train new --data data/set --split photos", 1, "photos: got a folder, want a file"),
    ("train new --data data/set --backgrounds chair.png", 1, "chair.png: got a file, want a fol"),
    ("train new --data data/set --weights runs/frist", 1, "near that: runs/first"),
    ("train data/set", 1, "got a data folder, want a new .*: mem3d-cli train RUN --data data/set"),
    ("train new data/set", 2, r"extra argument\(s\) \(data/set\). Example: mem3d-cli train"),
    ("data check dat", 1, "dat: got nothing there, want a data folder"),
    ("data pack data -o data.zarr", 1, "want the data: data/set"),
    ("memorize runs/first --data data --out more", 1, "want the data: data/set"),
    ("memorize runs/first --photo a.png --grid a --out more", 1, "a.png: got nothing there"),
    ("evaluate runs/first --data data", 1, "want the data: data/set"),
    ("study out --data data", 1, "want the data: data/set"),
    # A folder is to be made, or a file written, where something else is.
    ("train chair.png --data data/set", 1, "chair.png: got a file, want a folder"),
    ("study chair.png --data data/set", 1, "chair.png: got a file, want a folder"),
    ("study runs/first --data data/set", 1, "runs/first: got a run's folder, want a new folder"),
    ("study data/set --data data/set", 1, "data/set: got a data folder, want a new folder"),
    ("evaluate runs/first --picture photos", 1, "photos: cannot be written: a folder is there"),
    ("data check data/set -o photos", 1, "photos: cannot be written: a folder is there"),
    # Options and settings that there are not.
    ("train new --lr 0.1", 2, "No such option: --lr; any setting: --set .*--learning-rate"),
    ("train new --dataset data/set", 2, "No such option: --dataset.*--data"),
    ("train new --batch-size 4", 2, "No such option: --batch-size.*--batch"),
    ("reconstruct runs/first chair.png --output x", 2, "No such option: --output.*--out"),
    ("train new --set train.lr=0.1", 1, "got 'train.lr', .* near that: train.learning_rate"),
    ("train new --set lr=0.1", 1, "got 'lr', .* near that: train.learning_rate"),
    ("train new --set nonsense=1", 1, r"the name of a setting, .*mem3d-cli train --settings"),
    ("train new --preset smal", 1, "preset: got 'smal', want one of small"),
    ("train new --device gpu", 1, "device: got 'gpu', want cpu or cuda"),
    ("train new --stem resnet5.safetensors", 1, "stem .*got nothing.* near that: resnet50"),
    ("train new --stem photos", 1, "stem photos: got a folder"),
    # Commands that there are not.
    ("trian new", 2, "No such command 'trian'. Did you mean 'train'"),
    ("synth x", 2, "Did you mean '.* data synth'"),
    ("inspect runs/first/memory", 2, "Did you mean 'memstore inspect'"),
    ("help", 2, "Did you mean '.* --help'"),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake[0])
def test_what_was_meant_is_told_before_torch_is_loaded(mistake, answers):
    import re

    _, status, told = mistake
    code, text = answers[mistake]
    assert code == status, text
    assert re.search(told, re.sub(r" ?│ ?", " ", text).replace("  ", " ")), text


def test_all_settings_are_listed():
    done = CliRunner().invoke(app, ["train", "--settings"])
    lines = done.stdout.splitlines()
    assert done.exit_code == 0
    [epochs] = [line for line in lines if line.startswith("train.epochs=6 ")]
    assert "paper 250" in epochs  # as the paper has it
    assert any(line.startswith("memory.capacity=") for line in lines)
    for line in lines:  # each is what --set takes
        assert line.partition("=")[0].partition(".")[0] in ("model", "memory", "train")


def test_a_url_and_a_list_are_left_to_the_library(tmp_path):
    from mem3d_cli.paths import check_data

    (tmp_path / "index.json").touch()
    for path in ("https://host/data.zarr", "s3://bucket/data.zarr", tmp_path / "index.json", None):
        check_data(path)


def test_short_help_is_help_too():
    for program in (app, memstore_app):
        assert "Usage" in CliRunner().invoke(program, ["-h"]).stdout


def test_commands_of_the_other_program_are_known():
    help_text = CliRunner().invoke(memstore_app, ["--help"]).stdout
    assert all(f" {name} " in help_text for name in MEMSTORE)


def test_a_memory_near_by_is_told(place):
    path = place / "runs" / "first" / "memroy"
    error = CliRunner().invoke(memstore_app, ["inspect", str(path)]).exception
    assert str(error).startswith(f"{path}: got nothing there, want the folder of a memory")
    assert str(error).endswith(f"near that: {path.with_name('memory')}")


@pytest.mark.parametrize("line", ["data synth s3://bucket/shapes", "train file:///run --data set"])
def test_urls_are_refused_by_name(line, tmp_path, monkeypatch):
    """Else they are folders of that name: s3:/bucket/shapes."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, line.split())
    assert result.exit_code != 0
    assert "got a URL" in str(result.exception) + result.stderr
    assert list(tmp_path.iterdir()) == []
