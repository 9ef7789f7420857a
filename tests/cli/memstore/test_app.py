"""The memstore command."""

import inspect
import json
import re
import sys
from dataclasses import asdict, replace
from importlib.metadata import version

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from mem3d_cli.memstore.app import app, main
from mem3d_cli.tables import slots_in_words
from memstore import (
    EXPORT_FORMATS,
    IMPORT_FORMATS,
    PAPER,
    FormatError,
    Memory,
    PathMissingError,
    near_duplicates,
)

runner = CliRunner()


@pytest.fixture
def path(tmp_path):
    """A memory of one slot (tagged "one"), then two."""
    config = replace(PAPER, capacity=4, key_dim=3, resolution=2)
    with Memory.create(tmp_path / "memory", config) as memory:
        for i in range(2):
            memory.write(np.eye(3)[[i]], np.full((1, 2, 2, 2), bool(i)))
            memory.commit(f"slot {i}")
            if i == 0:
                memory.tag("one")
    return tmp_path / "memory"


def run(*arguments, status=0):
    """Run a command; its output."""
    result = runner.invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == status, result.output
    return result.stdout


def test_inspect(path):
    told = run("inspect", path)
    for words in ("2 of 4 used", "3 channels, 2³ voxels", "2 inserts", "most read", "near dup"):
        assert words in told


def test_inspect_shows_columns(tmp_path):
    config = replace(PAPER, capacity=4, key_dim=3, resolution=2, delta=None)
    config = replace(config, columns={"kind": str, "mass": float, "ok": bool})
    with Memory.create(tmp_path / "memory", config) as memory:
        columns = {"kind": ["é", "b", "é"], "mass": [1, 4, 2.5], "ok": [True, True, False]}
        memory.write(np.eye(3), np.ones((3, 2, 2, 2), bool), columns=columns)
        memory.commit("three")
    text = run("inspect", tmp_path / "memory")
    assert re.search(r"column kind +2 distinct: é 2, b 1\n", text)
    assert re.search(r"column mass +1 to 4, median 2.5, 3 distinct\n", text)
    assert re.search(r"column ok +2 distinct: True 2, False 1\n", text)
    assert re.search(r"rules +recalls above cosine 0.85, merges nothing, if full evicts", text)
    facts = json.loads(run("inspect", tmp_path / "memory", "--json"))
    assert facts["most_read"][0]["columns"] == {"kind": "é", "mass": 1, "ok": True}


def test_inspect_an_empty_memory(tmp_path):
    config = replace(PAPER, capacity=4, key_dim=3, resolution=2)
    Memory.create(tmp_path / "memory", config).close()
    assert "0 of 4 used" in run("inspect", tmp_path / "memory")


def test_inspect_json_is_the_librarys_answer(path):
    expected = asdict(Memory.open(path).stats())
    expected["duplicates"] = asdict(near_duplicates(Memory.open(path)))
    assert json.loads(run("inspect", path, "--json")) == json.loads(json.dumps(expected))
    assert "duplicates" not in json.loads(run("inspect", path, "--json", "--no-duplicates"))


def test_inspect_at_a_tag(path):
    assert json.loads(run("inspect", path, "--at", "one", "--json"))["used"] == 1


def test_inspect_draws(path, tmp_path):
    assert str(tmp_path / "sheet.png") in run("inspect", path, "--picture", tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.width > 100


def test_query_by_slot_and_by_features(path, tmp_path):
    np.save(tmp_path / "feature.npy", np.array([0.0, 2.0, 0.0]))
    by_slot = json.loads(run("query", path, "--slot", 1, "--json"))
    by_feature = json.loads(run("query", path, "--features", tmp_path / "feature.npy", "--json"))
    assert by_slot == by_feature
    expected = [(1, 1.0), (0, 0.0)]
    assert [(n["slot"], n["cosine"]) for n in by_slot["queries"][0]["neighbors"]] == expected
    told = run("query", path, "--slot", 0, "--slot", 1, "-k", 1, "--picture", tmp_path / "near.png")
    assert "query 1" in told and (tmp_path / "near.png").exists()


def test_query_wants_one_kind_of_question(path, tmp_path):
    run("query", path, status=2)
    run("query", path, "--slot", 0, "--features", tmp_path / "x.npy", status=2)


def test_query_with_a_pickle_or_nothing(path, tmp_path):
    np.save(tmp_path / "pickle.npy", np.array([{}], object), allow_pickle=True)
    for name, error in (("pickle.npy", FormatError), ("nothing.npy", PathMissingError)):
        result = runner.invoke(app, ["query", str(path), "--features", str(tmp_path / name)])
        assert isinstance(result.exception, error)


def test_history_and_tags(path):
    told = json.loads(run("history", path, "--json"))
    assert [row["message"] for row in told["commits"]] == ["slot 1", "slot 0", "create"]
    assert told["commits"][1]["tags"] == ["one"]
    run("tag", path, "two")
    run("tag", path, "one", "--delete")
    run("tag", path, "uno", "--at", told["commits"][1]["id"])
    told = run("history", path)
    assert "two" in told and "uno" in told
    with Memory.open(path) as memory:
        assert set(memory.tags()) == {"two", "uno"}


def test_verify(path):
    assert "3 snapshots, 3 slots" in run("verify", path, "--all")
    assert json.loads(run("verify", path, "--json")) == {
        "snapshots": 1,
        "slots": 2,
        "problems": [],
    }
    tag = path / "refs" / "tag.one" / "ref.json"
    tag.write_text(tag.read_text()[1:])
    assert "1 problem\n" in run("verify", path, "--all", status=1)


def test_a_damaged_last_commit_hides_no_other(path):
    with Memory.open(path) as memory:
        tip, whole, _ = (commit.id for commit in memory.history())
    file = path / "snapshots" / tip
    file.write_bytes(file.read_bytes()[:-20])
    assert next(c["id"] for c in json.loads(run("history", path, "--json"))["commits"]) == whole
    found = json.loads(run("verify", path, "--all", "--json", status=1))
    assert found["snapshots"] == 2 and found["problems"]
    assert "1 of 4 used" in run("inspect", path, "--at", whole)


def test_expire(path):
    assert json.loads(run("expire", path, "--keep", 1, "--json"))["snapshots"] == 1
    assert "0 snapshots gone" in run("expire", path)
    assert "tag one outside this history" in run("history", path)


def test_diff(path, tmp_path):
    found = json.loads(run("diff", path, "one", "--json"))
    assert (found["added"], found["unchanged"]) == ([1], 1)
    run("copy", path, tmp_path / "copy", "--at", "one")
    told = run("diff", path, tmp_path / "copy")
    assert "added            1  1" in told


def test_a_tag_wins_over_a_folder_of_its_name(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "other"):
        run("copy", path, tmp_path / name)  # as at the last commit
    for before, added in (("one", [1]), ("./one", []), (tmp_path / "one", []), ("other", [])):
        assert json.loads(run("diff", path, before, "--json"))["added"] == added


def test_copy(path, tmp_path):
    assert "1 slot\n" in run("copy", path, tmp_path / "copy", "--at", "one")
    with Memory.open(tmp_path / "copy") as copy:
        assert [entry.message for entry in copy.history()] == ["copy"]


@pytest.mark.parametrize("kind", ["npz", "safetensors", "zarr", "binvox"])
def test_out_and_in_again(path, tmp_path, kind):
    run("export", path, tmp_path / f"export.{kind}")
    assert "2 slots" in run("import", tmp_path / f"export.{kind}", tmp_path / "again")
    found = json.loads(run("diff", path, tmp_path / "again", "--json"))
    assert found == {**{key: [] for key in found}, "unchanged": 2}


@pytest.mark.parametrize("kind", ["parquet", "glb", "stl", "ply"])
def test_out(path, tmp_path, kind):
    run("export", path, tmp_path / "export", "--format", kind, "--slot", 1)
    assert (tmp_path / "export").exists()


def test_import_pairs_from_elsewhere(tmp_path):
    np.savez(tmp_path / "pairs.npz", keys=np.eye(3), values=np.ones((3, 2, 2, 2), bool))
    rules = ["--capacity", 5, "--beta", 0.5, "--delta", 0.8, "--similarity", "iou"]
    run("import", tmp_path / "pairs.npz", tmp_path / "memory", *rules, "--policy")
    with Memory.open(tmp_path / "memory") as memory:
        assert memory.config.capacity == 5 and memory.config.value_similarity == "iou"
        assert len(memory) == 1  # equal values merge


def test_every_command_answers_in_json(path, tmp_path):
    made = [
        ("export", path, tmp_path / "x.npz"),
        ("import", tmp_path / "x.npz", tmp_path / "made"),
        ("copy", path, tmp_path / "copy"),
    ]
    for command in made:
        told = json.loads(run(*command, "--json"))
        assert told == {"path": str(command[-1]), "slots": 2}
    told = json.loads(run("tag", path, "two", "--json"))
    assert told == {"tag": "two", "snapshot": Memory.open(path).snapshot}
    assert isinstance(json.loads(run("query", path, "--slot", 0, "--json")), dict)
    for command in app.registered_commands:
        assert "as_json" in inspect.signature(command.callback).parameters


@pytest.mark.parametrize(
    ("command", "formats"), [("export", EXPORT_FORMATS), ("import", IMPORT_FORMATS)]
)
def test_formats_are_the_librarys(command, formats):
    answer = runner.invoke(app, [command, "from", "to", "--format", "txt"])
    assert answer.exit_code == 2
    assert tuple(re.findall(r"'(\w+)'", answer.output.split("is not one of")[1])) == formats


def test_every_command_has_an_example():
    for command in app.registered_commands:
        assert "Example: memstore " in command.callback.__doc__, command.callback
        assert "Library: " in command.callback.__doc__


def test_slots_in_words():
    assert slots_in_words([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8"
    assert slots_in_words(range(0, 40, 2), most=2) == "0, 2 ..."


def test_of_a_run_its_memory_is_named(path):
    (path.parent / "run.json").touch()
    told = str(runner.invoke(app, ["history", str(path.parent)]).exception)
    assert told.endswith(f"got the folder of a run, want its memory: {path}")


def test_version_and_help():
    assert runner.invoke(app, ["--version"]).stdout == f"memstore {version('mem3d')}\n"
    assert "inspect" in runner.invoke(app, ["--help"]).stdout
    assert "Example" in runner.invoke(app, ["inspect", "--help"]).stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("inspect absent", "memstore import or Memory.create"),
        ("inspect PATH --at none", "memstore history, or history() and tags(), list them"),
        ("tag PATH none --delete", "memstore history, or tags(), lists them"),
    ],
)
def test_errors_name_commands_beside_python_names(words, told, path):
    result = runner.invoke(app, [word.replace("PATH", str(path)) for word in words.split()])
    assert told in str(result.exception)


def test_a_memory_that_is_written_can_be_inspected(path):
    with Memory.open(path, "r+"):
        locked = runner.invoke(app, ["tag", str(path), "mine"])
        assert "memstore inspect, or mode 'r'" in str(locked.exception)
        run("inspect", path)


def test_errors_are_one_line_and_status_1(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["memstore", "inspect", str(tmp_path / "nothing")])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("memstore: ") and err.count("\n") == 1
