"""The commands, as a user calls them."""

import json
from importlib.metadata import version
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from mem3d.data.open import open_dataset
from mem3d.data.zarr_pack.writer import pack
from mem3d.network import checkpoint
from mem3d_cli.mem3d.app import app, main
from tests.helpers.console import run_main
from tests.helpers.r2n2_folder import make_r2n2, picture


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def call_main(*arguments):
    """The installed entry point, which ends as a process does."""
    ended = run_main(main, *arguments)
    ended.stdout, ended.stderr = ended.stdout.decode(), ended.stderr.decode()
    return ended


@pytest.fixture(scope="module")
def run(made_up_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "run"
    done = call("train", folder, "--data", made_up_data, "--preset", "tiny", "--quiet")
    assert done.exit_code == 0, done.output
    return folder


def test_version():
    assert call("--version").output == f"mem3d-cli {version('mem3d')}\n"


def test_training_tells_where_it_ended(run):
    assert (run / "best.safetensors").is_file()
    data = json.loads((run / "run.json").read_text())["data"]
    again = ("train", run, "--preset", "tiny", "--data", data, "--quiet")
    assert json.loads(call(*again, "--json").stdout)["epoch"] == 2
    assert f"next: mem3d-cli evaluate {run}" in call(*again).stdout


def test_evaluate_prints_a_table_or_json(run, tmp_path):
    table = call("evaluate", run, "--quiet", "--picture", tmp_path / "test.png")
    assert table.exit_code == 0, table.output
    assert "over categories" in table.stdout
    assert (tmp_path / "test.png").read_bytes().startswith(b"\x89PNG")
    summary = json.loads(call("evaluate", run, "--json", "--quiet", "--f-score").stdout)
    assert summary["samples"] == 4
    quick = {"network", "nearest recalled", "mean of recalled", "category mean"}
    assert set(summary["methods"]) == quick
    assert "f_score" in summary["methods"]["network"]


def test_reconstruct_writes_files_and_tells_what_was_recalled(run, tmp_path):
    Image.fromarray(picture(3)).save(tmp_path / "thing.png")
    done = call("reconstruct", run, tmp_path / "thing.png", "--out", tmp_path / "out", "--json")
    [row] = json.loads(done.stdout)["photos"]
    assert (tmp_path / "out" / "thing.png").is_file()
    assert set(row) == {
        *("photo", "background", "doubts", "files", "voxels", "to_print", "remarks", "recalled")
    }
    assert row["background"] == "masked"


def test_data_is_made_and_shown(tmp_path):
    folder = tmp_path / "shapes"
    made = call("data", "synth", folder, "--models", 3, "--views", 1, "--processes", 1, "--quiet")
    assert made.exit_code == 0, made.output
    shown = call("data", "show", folder, "--out", tmp_path / "sheet.png", "--count", 2)
    assert shown.exit_code == 0, shown.output
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "RUN", "--data", "absent"], "absent"),
        (["train", "RUN", "--data", "DATA", "--preset", "huge"], "preset"),
        (["train", "RUN", "--data", "absent", "--device", "gpu"], "'gpu', want cpu or cuda"),
        (
            # float32, as some processors add a line on bfloat16
            [
                "train",
                "RUN",
                "--data",
                "DATA",
                "--set",
                "train.precision=float32",
                "--stem",
                "absent.safetensors",
            ],
            "stem",
        ),
        (["evaluate", "absent"], "absent: got nothing there, want a run's folder"),
        (["reconstruct", "absent", "photo.png"], "absent: got nothing there, want a run's"),
        (["reconstruct", __file__, "absent"], "absent: got nothing there, want a picture"),
        (["memorize", __file__, "--data", "DATA", "--out", "RUN"], "got a file, want a run's"),
        (["data", "show", "absent"], "nothing there"),
        (["data", "show", "\x1b[31mabsent"], r"\x1b[31mabsent: got"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_and_exit_status_1(arguments, says, made_up_data, tmp_path):
    known = {"RUN": tmp_path / "run", "DATA": made_up_data}
    done = call_main(*(known.get(word, word) for word in arguments))
    assert done.returncode == 1
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_a_broken_photo_is_named(run, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    done = call_main("reconstruct", run, tmp_path / "bad.png", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "bad.png" in done.stderr
    assert done.stderr.count("\n") == 1


def test_photos_of_one_name_do_not_overwrite_each_other(run, tmp_path):
    for folder, seed in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        Image.fromarray(picture(seed)).save(tmp_path / folder / "00.png")
    photos = [tmp_path / "a" / "00.png", tmp_path / "b" / "00.png"]
    assert call("reconstruct", run, *photos, "--out", tmp_path / "out").exit_code == 0
    assert {"a_00.png", "b_00.png"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_what_a_pack_says_does_not_steer_the_terminal(made_up_data, tmp_path):
    pack(open_dataset(made_up_data), tmp_path / "p")
    told = json.loads((tmp_path / "p" / "zarr.json").read_text())
    told["attributes"]["mem3d_pack"]["skipped"] = [["\x1b[31mred", "\x1b[2J", "train"]]
    del told["attributes"]["mem3d_pack"]["check"]
    (tmp_path / "p" / "zarr.json").write_text(json.dumps(told))
    wishes = ("--preset", "tiny", "--epochs", "1", "--quiet")
    done = call_main("train", tmp_path / "run", "--data", tmp_path / "p", *wishes)
    assert done.returncode == 0, done.stderr
    assert r"skipped \x1b[31mred: \x1b[2J" in done.stderr
    assert "\x1b" not in done.stderr


def test_broken_models_are_skipped_and_named(tmp_path):
    data = make_r2n2(tmp_path / "data")
    [broken] = (data / "ShapeNetRendering" / "03001627" / "train1").rglob("01.png")
    broken.write_bytes(broken.read_bytes()[:50])
    done = call("train", tmp_path / "run", "--data", data, "--preset", "tiny", "--epochs", "1")
    assert done.exit_code == 0, done.output
    assert "03001627/train1" in done.stderr
    assert json.loads((tmp_path / "run" / "run.json").read_text())["training_models"] == 7


def test_a_run_remembers_its_split_and_a_leak_is_refused(made_up_data, tmp_path):
    """Trained on what the folder's own split calls test."""
    swapped = json.loads((made_up_data / "split.json").read_text())
    for entry in swapped:
        entry["train"], entry["test"] = entry["test"], entry["train"]
    (tmp_path / "swapped.json").write_text(json.dumps(swapped))
    train = ("train", tmp_path / "run", "--data", made_up_data, "--preset", "tiny", "--quiet")
    assert call(*train, "--split", tmp_path / "swapped.json").exit_code == 0
    own = call("evaluate", tmp_path / "run")
    assert "IoU on 8 test models" in own.stdout
    other = call("evaluate", tmp_path / "run", "--data", made_up_data)
    assert other.exit_code == 1
    assert "4 of 4 models are known" in str(other.exception)


def test_without_a_validation_set_there_is_no_best_threshold(tmp_path):
    data = make_r2n2(tmp_path / "data", val=0)
    train = ("train", tmp_path / "run", "--data", data, "--preset", "tiny", "--epochs", "1")
    assert call(*train).exit_code == 0
    summary = json.loads(call("evaluate", tmp_path / "run", "--json").stdout)
    assert set(summary["methods"]["network"]) == {"fixed"}


@pytest.mark.parametrize(
    "where", ["mem3d.data.readers.r2n2.R2N2.check", "mem3d.training.trainer.train"]
)
def test_ctrl_c_while_training_or_reading_is_one_line(where, made_up_data, tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(where, stopped)
    run = tmp_path / "run"
    done = call("train", run, "--data", made_up_data, "--preset", "tiny", "--stem", "imagenet")
    assert (done.exit_code, done.stdout) == (130, "")
    assert done.stderr == f"{run}: interrupted; the same command goes on from there\n"


def test_ctrl_c_says_which_steps_are_kept(run, made_up_data, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("mem3d.training.trainer.train", stopped)
    done = call("train", run, "--data", made_up_data, "--preset", "tiny")
    step = checkpoint.read_state(Path(run) / "last.safetensors").step
    assert step > 0
    assert done.stderr == (
        f"{run}: interrupted; the same command goes on from its last checkpoint, step {step}\n"
    )
