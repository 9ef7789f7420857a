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
    MemoryConfig,
    PathMissingError,
    near_duplicates,
    remarks,
)
from memstore.voxels.binvox import read_binvox

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
    for words in ("2 of 4 used", "3 channels, 2³ voxels", "2 inserts", "least read", "near dup"):
        assert words in told
    assert "most read" not in told  # nothing was


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
    assert facts["least_read"][0]["columns"] == {"kind": "é", "mass": 1, "ok": True}


def test_inspect_says_what_is_wrong(tmp_path):
    config = MemoryConfig(capacity=9, key_dim=3, resolution=2)
    with Memory.create(tmp_path / "memory", config) as memory:
        memory.write(np.ones((9, 3)), np.ones((9, 2, 2, 2), bool))
    text = run("inspect", tmp_path / "memory")
    assert "! keys have collapsed: " in text and "! near-duplicates: 100% of the slots" in text
    told = json.loads(run("inspect", tmp_path / "memory", "--no-duplicates", "--json"))
    [remark] = told["remarks"]
    assert remark.startswith("keys have collapsed")


def test_inspect_an_empty_memory(tmp_path):
    config = replace(PAPER, capacity=4, key_dim=3, resolution=2)
    Memory.create(tmp_path / "memory", config).close()
    assert "0 of 4 used" in run("inspect", tmp_path / "memory")


def test_inspect_json_is_the_librarys_answer(path):
    expected = asdict(Memory.open(path).stats())
    expected["duplicates"] = asdict(near_duplicates(Memory.open(path)))
    expected["remarks"] = list(remarks(Memory.open(path)))
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
    told = run("query", path, "--slot", 1, "--slot", 0, "-k", 1, "--picture", tmp_path / "near.png")
    assert "query 1" in told
    with Image.open(tmp_path / "near.png") as picture:  # beside each query's own value, one other
        assert picture.width == 8 + 2 * 145 + 16
        tiles = [np.asarray(picture)[92 : 92 + 137, x : x + 137] for x in (8, 8 + 145 + 16)]
    assert (tiles[0] < 255).any()
    np.testing.assert_array_equal(*tiles)


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
    run("copy", path, "-o", tmp_path / "copy", "--at", "one")
    told = run("diff", path, tmp_path / "copy")
    assert "added            1  1" in told


def test_a_tag_wins_over_a_folder_of_its_name(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "other"):
        run("copy", path, "-o", tmp_path / name)  # as at the last commit
    for before, added in (("one", [1]), ("./one", []), (tmp_path / "one", []), ("other", [])):
        assert json.loads(run("diff", path, before, "--json"))["added"] == added


def test_copy(path, tmp_path):
    assert "1 slot\n" in run("copy", path, "-o", tmp_path / "copy", "--at", "one")
    with Memory.open(tmp_path / "copy") as copy:
        assert [entry.message for entry in copy.history()] == ["copy"]


@pytest.mark.parametrize("kind", ["npz", "safetensors", "zarr", "binvox"])
def test_out_and_in_again(path, tmp_path, kind):
    run("export", path, "-o", tmp_path / f"export.{kind}")
    assert "2 slots" in run("import", tmp_path / f"export.{kind}", "-o", tmp_path / "again")
    found = json.loads(run("diff", path, tmp_path / "again", "--json"))
    assert found == {**{key: [] for key in found}, "unchanged": 2}


@pytest.mark.parametrize("kind", ["parquet", "glb", "stl", "ply"])
def test_out(path, tmp_path, kind):
    run("export", path, "-o", tmp_path / "export", "--format", kind, "--slot", 1)
    assert (tmp_path / "export").exists()


def test_import_pairs_from_elsewhere(tmp_path):
    np.savez(tmp_path / "pairs.npz", keys=np.eye(3), values=np.ones((3, 2, 2, 2), bool))
    rules = ["--capacity", 5, "--beta", 0.5, "--delta", 0.8, "--similarity", "iou"]
    run("import", tmp_path / "pairs.npz", "-o", tmp_path / "memory", *rules, "--policy")
    with Memory.open(tmp_path / "memory") as memory:
        assert memory.config.capacity == 5 and memory.config.value_similarity == "iou"
        assert len(memory) == 1  # equal values merge


@pytest.fixture
def grasps(tmp_path):
    """A memory made and filled by commands."""
    path, columns = tmp_path / "grasps", ["kind=str", "force=float", "ok=bool", "view=int"]
    options = [word for column in columns for word in ("--column", column)]
    run("create", path, "--capacity", 3, "--key-dim", 3, "--resolution", 2, *options)
    arrays = {"column_kind": np.array(["mug", "pen", "mug"]), "column_force": np.arange(3) / 2}
    arrays |= {"column_ok": np.array([True, False, True]), "column_view": np.arange(3)}
    pairs = {"keys": np.eye(3), "values": np.ones((3, 2, 2, 2), bool)}
    sources = np.array(["m1", "p1", "m2"])
    np.savez(tmp_path / "pairs.npz", **pairs, sources=sources, **arrays)
    told = run("add", path, tmp_path / "pairs.npz", "--message", "three")
    assert told.endswith("grasps: 3 inserted, 0 merged, 0 evicted; 3 of 3 slots used\n")
    return path


def test_create_makes_what_loses_nothing(grasps):
    columns = {"kind": "str", "force": "float", "ok": "bool", "view": "int"}
    with Memory.open(grasps) as memory:
        config = MemoryConfig(capacity=3, key_dim=3, resolution=2, columns=columns)
        assert memory.config == config
        assert [entry.message for entry in memory.history()] == ["three", "create"]


def test_list_and_its_conditions(grasps):
    def listed(*options):
        told = json.loads(run("list", grasps, "--json", *options))
        assert told["total"] == len(told["slots"])
        return [row["slot"] for row in told["slots"]]

    assert listed() == [0, 1, 2]
    assert listed("--where", "kind=mug", "--where", "ok=true") == [0, 2]
    assert listed("--where", "kind = pen", "--where", "kind=mug") == [0, 1, 2]
    assert listed("--where", "force>=.5", "--where", "force<1") == [1]
    assert listed("--where", "view<=1", "--source", "m1") == [0]
    assert "  mug   True   0     m1\n" in run("list", grasps)
    assert run("list", grasps, "--limit", 1).endswith("3 slots; --limit 3 shows all\n")
    assert json.loads(run("list", grasps, "--limit", 1, "--json"))["total"] == 3
    near = json.loads(run("query", grasps, "--slot", 1, "--where", "kind=mug", "--json"))
    assert [row["slot"] for row in near["queries"][0]["neighbors"]] == [0, 2]


@pytest.mark.parametrize(
    "condition",
    ["kind", "kind>3=", "ok=1", "view=1.5", "force>=hard", "kind=mug=", "color=red", "kind>a"],
)
def test_what_is_no_condition_is_told(grasps, condition):
    options = ["--where", condition]
    if condition == "kind=mug=":
        options = ["--where", "view=1", "--where", "view>1"]
    result = runner.invoke(app, ["list", str(grasps), *options])
    assert result.exit_code != 0
    assert "--where" in result.output or "where" in str(result.exception)


@pytest.mark.parametrize("condition", ["view!=1", "kind==mug", "view=>1", "view=<1", "view<>1"])
def test_signs_that_there_are_not_are_told(grasps, condition):
    result = runner.invoke(app, ["list", str(grasps), "--where", condition])
    assert result.exit_code == 2
    words = " ".join(result.output.replace("│", " ").split())
    assert f"got '{condition}'" in words and "= < <= > >=" in words


def test_get(grasps, tmp_path):
    told = json.loads(run("get", grasps, 2, "--json"))
    assert told == {
        **{"slot": 2, "source": "m2", "age": 0, "reads": 0, "full_voxels": 8, "voxels": 8},
        "columns": {"force": 1.0, "kind": "mug", "ok": True, "view": 2},
    }
    files = ["--value", tmp_path / "mug.binvox", "--key", tmp_path / "key.npy"]
    text = run("get", grasps, 2, *files)
    assert re.search(r"source +m2\n", text) and re.search(r"force +1.0\n", text)
    assert read_binvox(tmp_path / "mug.binvox").all()
    assert np.load(tmp_path / "key.npy").tolist() == [0, 0, 1]
    for file in (tmp_path / "mug.binvox", tmp_path / "key.npy"):
        before = file.read_bytes()
        option = "--value" if file.suffix == ".binvox" else "--key"
        run("get", grasps, 1, option, file, status=1)
        assert file.read_bytes() == before
    run("get", grasps, 1, "--value", tmp_path / "mug.png", status=1)
    assert not (tmp_path / "mug.png").exists()


def test_remove_and_add_again(grasps, tmp_path):
    run("add", grasps, tmp_path / "pairs.npz", status=1)  # full: nothing is added
    run("copy", grasps, "-o", tmp_path / "larger", "--capacity", 6)
    run("add", tmp_path / "larger", tmp_path / "pairs.npz")
    with Memory.open(tmp_path / "larger") as larger:
        assert (len(larger), larger.config.capacity) == (6, 6)
    assert run("remove", grasps, "--source", "m1").endswith("1 slot removed, 2 used\n")
    assert json.loads(run("remove", grasps, 1, 2, "--json")) == {"removed": [1, 2], "slots": 0}
    run("remove", grasps, status=2)
    run("remove", grasps, 1, "--source", "m1", status=2)
    run("remove", grasps, "--source", "m1", status=1)
    told = json.loads(run("add", grasps, tmp_path / "pairs.npz", "--json"))
    assert told == {"path": str(grasps), "insert": 3, "merge": 0, "evict": 0, "slots": 3}
    with Memory.open(grasps) as memory:
        messages = [entry.message for entry in memory.history()]
    assert messages[:3] == ["added pairs.npz", "removed 2 slots", "removed 1 slot"]


def test_pairs_without_the_columns_are_told(grasps, tmp_path):
    np.savez(tmp_path / "bare.npz", keys=np.eye(3)[:1], values=np.ones((1, 2, 2, 2), bool))
    result = runner.invoke(app, ["add", str(grasps), str(tmp_path / "bare.npz")])
    assert "columns: got no 'force', want all of" in str(result.exception)


def test_every_command_answers_in_json(path, tmp_path):
    made = [
        ("export", path, "-o", tmp_path / "x.npz"),
        ("import", tmp_path / "x.npz", "-o", tmp_path / "made"),
        ("copy", path, "-o", tmp_path / "copy"),
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
    answer = runner.invoke(app, [command, "from", "-o", "to", "--format", "txt"])
    assert answer.exit_code == 2
    assert tuple(re.findall(r"'(\w+)'", answer.output.split("is not one of")[1])) == formats


def test_every_command_has_an_example():
    for command in app.registered_commands:
        assert "Example: memstore " in command.callback.__doc__, command.callback
        assert "In Python: " in command.callback.__doc__


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
