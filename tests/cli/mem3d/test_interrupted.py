"""reconstruct and memorize go on after an interruption, and end with what they would have made."""

import json

import numpy as np
import pytest
from PIL import Image

from mem3d.inference import photos as photos_module
from mem3d.network import checkpoint
from mem3d.network import features as features_module
from mem3d.runs import memorization
from tests.cli.mem3d.test_app import call
from tests.helpers.r2n2_folder import make_r2n2, picture
from tests.helpers.untrained_run import make_run, save_photo

OPTIONS = ("--batch", "2", "--format", "npz", "--format", "binvox", "--inputs", "--json")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("interrupted") / "run")


@pytest.fixture
def photos(tmp_path):
    """Seven, one of which cannot be read."""
    (tmp_path / "photos").mkdir()
    for number in range(7):
        save_photo(tmp_path / "photos" / f"{number}.png", number)
    (tmp_path / "photos" / "4.png").write_bytes(b"no picture")
    return tmp_path / "photos"


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def interrupt(monkeypatch, module, name, calls):
    """Have a function be Ctrl-C after so many calls; gives the function as it was."""
    original, count = getattr(module, name), iter(range(99))

    def interrupted(*arguments, **options):
        if next(count) >= calls:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    monkeypatch.setattr(module, name, interrupted)


def reconstruct(run, photos, out, *options):
    return call("reconstruct", run, photos, "--out", out, *OPTIONS, *options)


@pytest.fixture
def whole(run, photos, tmp_path):
    """What is made without an interruption."""
    done = reconstruct(run, photos, tmp_path / "whole")
    assert done.exit_code == 0, done.output
    return files_in(tmp_path / "whole"), json.loads(done.stdout.replace("/whole/", "/out/"))


@pytest.fixture
def halfway(run, photos, tmp_path, monkeypatch):
    """A folder of which four photos of seven are done."""
    with monkeypatch.context() as patch:
        interrupt(patch, photos_module.Reconstruction, "save_all", 4)
        done = reconstruct(run, photos, tmp_path / "out")
    assert done.exit_code == 130
    assert "interrupted; 4 photos done; the same command goes on from there" in done.stderr
    return tmp_path / "out"


def saves(monkeypatch):
    """Names of what is made from now on."""
    names, original = [], photos_module.Reconstruction.save_all

    def save_all(self, stem, *arguments, **options):
        names.append(stem.name)
        return original(self, stem, *arguments, **options)

    monkeypatch.setattr(photos_module.Reconstruction, "save_all", save_all)
    return names


def test_the_same_command_goes_on_and_makes_the_same(run, photos, whole, halfway, monkeypatch):
    names = saves(monkeypatch)
    done = reconstruct(run, photos, halfway)
    assert done.exit_code == 0, done.output
    assert names == ["5", "6"]
    assert f"{halfway}: 4 photos done before the interruption" in done.stderr
    assert "skipped" in done.stderr
    assert (files_in(halfway), json.loads(done.stdout)) == whole


@pytest.mark.parametrize("change", ["file gone", "file damaged", "photo", "journal cut"])
def test_what_has_changed_is_done_again(change, run, photos, whole, halfway, monkeypatch):
    if change == "file gone":
        (halfway / "2.binvox").unlink()
    elif change == "file damaged":
        (halfway / "2.input.png").write_bytes(whole[0]["3.input.png"])
    elif change == "photo":
        Image.fromarray(picture(77)).save(photos / "2.png")
    else:
        journal = halfway / "unfinished.jsonl"
        journal.write_bytes(journal.read_bytes()[:-9])
    names = saves(monkeypatch)
    done = reconstruct(run, photos, halfway)
    assert done.exit_code == 0, done.output
    assert names == {"journal cut": ["5", "6"]}.get(change, ["2", "5", "6"])
    if change != "photo":
        assert (files_in(halfway), json.loads(done.stdout)) == whole
    else:
        assert files_in(halfway)["2.npz"] != whole[0]["2.npz"]


@pytest.mark.parametrize("options", [("--threshold", "0.2"), ("--flip",), ("--surface", "blocky")])
def test_other_options_begin_anew(options, run, photos, halfway, tmp_path, monkeypatch):
    names = saves(monkeypatch)
    done = reconstruct(run, photos, halfway, *options)
    assert done.exit_code == 0 and "before the interruption" not in done.stderr
    assert names == ["0", "1", "2", "3", "5", "6"]
    fresh = reconstruct(run, photos, tmp_path / "fresh", *options)
    assert fresh.exit_code == 0 and files_in(tmp_path / "fresh") == files_in(halfway)


def test_another_network_begins_anew(photos, halfway, tmp_path, monkeypatch):
    """In the same folder as the first, say: a training that went on."""
    run = halfway.parents[0] / "copy"
    make_run(run)
    model, memory, state = checkpoint.load(run)
    memory.close()
    for weight in model.decoder.parameters():
        weight.data *= 1.01
    checkpoint.save(run / "best.safetensors", state, model)
    names = saves(monkeypatch)
    first = make_run(tmp_path / "same")
    done = reconstruct(first, photos, halfway)
    assert done.exit_code == 0 and len(names) == 6  # another folder is another job
    names.clear()
    assert reconstruct(run, photos, halfway).exit_code == 0 and len(names) == 6


def test_a_foreign_file_is_not_taken_for_a_journal(run, photos, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "unfinished.jsonl").write_text("mine")
    done = reconstruct(run, photos, tmp_path / "out")
    assert "unfinished.jsonl: got a file there that is no journal" in str(done.exception)
    assert files_in(tmp_path / "out") == {"unfinished.jsonl": b"mine"}


@pytest.mark.parametrize("calls", [1, 5])
@pytest.mark.parametrize("batch", [3, 16])
def test_each_photo_is_kept(calls, batch, run, photos, tmp_path, monkeypatch):
    """Within a batch too, wherever it is interrupted; and the rest is the same, bit for bit."""
    options = ("--batch", batch)
    whole = reconstruct(run, photos, tmp_path / "whole", *options)
    with monkeypatch.context() as patch:
        interrupt(patch, photos_module.Reconstruction, "save_all", calls)
        result = reconstruct(run, photos, tmp_path / "out", *options)
    assert result.exit_code == 130
    assert f"interrupted; {calls} photo" in result.stderr and "goes on from there" in result.stderr
    names = saves(monkeypatch)
    result = reconstruct(run, photos, tmp_path / "out", *options)
    assert result.exit_code == 0, result.output
    assert names == ["0", "1", "2", "3", "5", "6"][calls:]
    assert json.loads(result.stdout) == json.loads(whole.stdout.replace("/whole/", "/out/"))
    assert files_in(tmp_path / "out") == files_in(tmp_path / "whole")


def test_a_photo_alone_leaves_no_journal(run, photos, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch, photos_module.Reconstruction, "save_all", 0)
        result = call("reconstruct", run, photos / "0.png", "--out", tmp_path / "out")
    assert result.stderr.endswith("interrupted; 0 photos done\n")
    assert not (tmp_path / "out" / "unfinished.jsonl").exists()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_r2n2(tmp_path_factory.mktemp("interrupted") / "data")


def memory_of(run):
    """All that a memory holds, ages too."""
    _, memory, _ = checkpoint.load(run)
    with memory, memory.frozen() as state:
        return [column.tobytes() for column in state.rows(state.used)[:-1]], state.clock


def test_memorize_goes_on_with_what_was_encoded(run, data, tmp_path, monkeypatch):
    monkeypatch.setattr(memorization, "BATCH", 3)
    monkeypatch.setattr(
        memorization.memorize,
        "__kwdefaults__",
        {**memorization.memorize.__kwdefaults__, "batch": 3},
    )
    options = ("--data", data, "--known-shapes", "keep", "--capacity", 40, "--quiet")
    assert call("memorize", run, *options, "--out", tmp_path / "whole").exit_code == 0
    journal = tmp_path / "more.unfinished.jsonl"
    with monkeypatch.context() as patch:
        interrupt(patch, features_module, "encode", 3)
        done = call("memorize", run, *options, "--out", tmp_path / "more")
    assert done.exit_code == 130
    assert f"nothing was written but {journal}, from which the same command" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"whole", journal.name}
    calls, encode = [], features_module.encode
    monkeypatch.setattr(
        features_module, "encode", lambda *words: calls.append(len(words[1])) or encode(*words)
    )
    done = call("memorize", run, *options, "--out", tmp_path / "more")
    assert done.exit_code == 0 and "before the interruption" in done.stderr
    assert sum(calls) == 16 - 9  # of 16 pictures, three batches of three were there
    assert memory_of(tmp_path / "more") == memory_of(tmp_path / "whole")
    assert not journal.exists()


def test_a_picture_that_has_changed_is_encoded_again(run, tmp_path):
    from mem3d.data.open import open_dataset
    from mem3d.network.features import View
    from mem3d.runs.encoding import Encoder, encoded, unfinished

    data = open_dataset(make_r2n2(tmp_path / "data"))
    model, memory, _ = checkpoint.load(run)
    memory.close()
    views = [View(i, 0) for i in range(4)]
    crew = Encoder(model, data, "cpu")

    def features():
        with unfinished(tmp_path / "out", crew.identity, 1, "cpu") as journal:
            return np.concatenate(list(encoded(crew, journal)(views, 2)))

    first = features()
    np.testing.assert_array_equal(features(), first)
    [file] = [path for path in (tmp_path / "data").rglob("00.png") if data.shape_id(2) in str(path)]
    Image.fromarray(picture(99)).save(file)
    second = features()
    np.testing.assert_array_equal(second[:2], first[:2])
    assert (second[2] != first[2]).any()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--workers", 2), "--workers: got it without --ray"),
        (("--ray", "--device", "cuda"), "--ray: got --device cuda, want cpu"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(
    options, error, run, photos, data, tmp_path
):
    for words in (("reconstruct", run, photos), ("memorize", run, "--data", data)):
        done = call(*words, "--out", tmp_path / "out", *options)
        assert error in str(done.exception) and not (tmp_path / "out").exists()
