"""A run: it learns, remembers, logs, and goes on after a death as if nothing had happened."""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from mem3d.bundled import bundled_model
from mem3d.data.dataset import ConcatDataset, Subset
from mem3d.data.images.backgrounds import Backgrounds
from mem3d.data.loader import TrainingViews
from mem3d.data.readers.r2n2 import R2N2
from mem3d.evaluation.evaluate import NEAREST, NETWORK, THRESHOLDS, macro, mean_shape_iou, score
from mem3d.inference.pretrained import load_folder
from mem3d.inference.reconstruct import comparison
from mem3d.network import checkpoint
from mem3d.network.config import changed
from mem3d.network.encoder import build_stem
from mem3d.network.presets import TINY
from mem3d.runs.folder import read_log, run_data, run_extras
from mem3d.runs.staleness import families, staleness
from mem3d.training import report
from mem3d.training.state import TrainingJob, TrainingState, check_folder
from mem3d.training.stem_cache import StemCache
from mem3d.training.step import DivergedError, train_step
from mem3d.training.trainer import train
from memstore import LockedError, Memory
from tests.helpers.r2n2_folder import make_r2n2

PRESET = replace(  # with dropout, so that an exact resume needs torch's random state too
    TINY,
    model=replace(TINY.model, dropout=0.1, image_size=32),
    memory=replace(TINY.memory, key_dim=8),
    train=replace(TINY.train, epochs=3, exclude_self=True),
)


@pytest.fixture(scope="module")
def sets(made_up_data):
    return R2N2.open(made_up_data, "train"), R2N2.open(made_up_data, "val")


@pytest.fixture(scope="module")
def finished(sets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(*sets, folder, PRESET)
    return folder


@pytest.fixture(autouse=True)
def only_that_draws(finished, monkeypatch):
    """Curves take as long as all the rest of a run, validation's picture a tenth of it."""
    monkeypatch.setattr("mem3d.training.report.curves", lambda *_: None)
    blank = np.zeros((1, 1, 3), np.uint8)
    monkeypatch.setattr("mem3d.training.report.comparison", lambda *_: blank)


def contents(folder, which="last"):
    """Weights and memory of a checkpoint, to be compared bit for bit."""
    model, memory, state = checkpoint.load(folder, which)
    with memory:
        slots = memory.slots
        stored = (slots, memory.ages, memory.keys(slots), memory.values(slots), memory.sources)
    return model.state_dict(), stored, state


def assert_same(first, second):
    weights, stored, state = first
    assert all(torch.equal(weight, second[0][name]) for name, weight in weights.items())
    for ours, theirs in zip(stored, second[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (state.step, state.best_step) == (second[2].step, second[2].best_step)


def test_a_run_leaves_what_it_promises(finished):
    rows = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert all(math.isfinite(row["loss"]) and 0 <= row["val_iou"] <= 1 for row in rows)
    assert rows[0]["merged"] + rows[0]["inserted"] + rows[0]["evicted"] == 8  # once per model
    described = json.loads((finished / "run.json").read_text())
    assert described["training_models"] == 8
    [start] = described["starts"]
    assert start["first_step"] == 0 and start["seconds"] > 0 and start["ended"] >= start["started"]
    assert all(0 < row["memory_share"] < 1 for row in rows)
    assert (finished / "curves.png").read_bytes().startswith(b"\x89PNG")
    left_over = [path.name for path in finished.iterdir() if "partial" in path.name]
    assert left_over == []


def test_every_validation_is_beside_the_mean_shapes(finished, sets):
    rows = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    assert {row["val_iou_mean"] for row in rows} == {mean_shape_iou(*sets)}


def test_the_mean_shapes_are_looked_at_once_and_not_invented(sets, tmp_path, monkeypatch):
    looks = []

    def broken(*given):
        looks.append(given)
        raise ValueError("a grid broke")

    monkeypatch.setattr("mem3d.training.trainer.mean_shape_iou", broken)
    train(*sets, tmp_path, PRESET)
    rows = read_log(tmp_path / "log.jsonl", 10**6)
    assert [row["val_iou_mean"] for row in rows] == [None] * 3
    assert len(looks) == 1


def test_the_best_checkpoint_is_the_best_on_validation(finished):
    rows = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    state = checkpoint.read_state(finished / "best.safetensors")
    best = max(rows, key=lambda row: row["val_iou"])
    assert state.validation_iou == best["val_iou"]
    assert state.step == best["step"]


def test_a_finished_run_explains_itself(finished):
    page = (finished / "README.md").read_text()
    state = checkpoint.read_state(finished / "best.safetensors")
    assert f"Best epoch: {state.step // 2}, with a validation IoU of {state.best_iou:.3f}" in page
    assert "Trained on 8 models" in page and "3 of 3 epochs" in page
    listed = set(re.findall(r"^- `([^`]+)`", page, re.MULTILINE))
    assert listed == {path.name for path in finished.iterdir()} - {"README.md"}
    [commands] = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    assert all(line.split()[0] in ("mem3d-cli", "memstore") for line in commands.splitlines())


def test_a_finished_run_tells_how_good_its_best_weights_are(sets, finished):
    page = (finished / "README.md").read_text()
    cells = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    model, memory, state = checkpoint.load(finished)
    scores = score(model, memory, sets[1])
    result = [scores.iou[name][:, THRESHOLDS.index(0.3)] for name in (NETWORK, NEAREST)]
    want = [["category", "models", NETWORK, NEAREST], ["mean over categories", "4"]]
    want += [[f"`{name}`", "2"] for name in ("aeroplane", "chair")] + [["mean over models", "4"]]
    assert [row[:2] for row in cells] == [want[i][:2] for i in (0, 2, 3, 1, 4)]
    for n in range(2):
        assert [float(row[2 + n]) for row in cells[1:]] == pytest.approx(
            [*result[n].reshape(2, 2).mean(1), result[n].mean(), result[n].mean()], abs=6e-4
        )
    assert float(cells[3][2]) == pytest.approx(state.best_iou, abs=6e-4)
    with Image.open(finished / "validation.png") as picture:
        assert picture.height > 4 * 137  # a row for each of the four models


def test_a_run_killed_over_its_page_writes_it_at_the_next_start(sets, tmp_path, monkeypatch):
    def die(*_):
        raise DiedError

    def watched(*arguments):
        states.append(random_state())
        real(*arguments)
        states.append(random_state())

    preset = replace(PRESET, train=replace(PRESET.train, epochs=1))
    with monkeypatch.context() as patch, pytest.raises(DiedError):
        patch.setattr("mem3d.training.report.comparison", die)
        train(*sets, tmp_path, preset)
    before, states, real = contents(tmp_path), [], report.write
    assert not (tmp_path / "README.md").exists()
    monkeypatch.setattr("mem3d.training.report.write", watched)
    monkeypatch.setattr("mem3d.training.report.comparison", comparison)  # may draw numbers too
    assert train(*sets, tmp_path, preset)["epoch"] == 1
    assert "## Validation" in (tmp_path / "README.md").read_text()
    assert_same(contents(tmp_path), before)
    assert states[0] == states[1]
    train(*sets, tmp_path, preset)
    assert len(states) == 2  # it is there: not written again


def test_the_page_has_the_scores_of_the_best_epoch_also_after_a_resume(sets, tmp_path, monkeypatch):
    def die(*_, **__):
        raise DiedError

    preset = replace(PRESET, train=replace(PRESET.train, epochs=1))
    with monkeypatch.context() as patch:
        patch.setattr("mem3d.training.report.score", die)  # nothing is scored twice
        train(*sets, tmp_path, preset)
    page = tmp_path / "README.md"
    before = page.read_text()
    page.unlink()
    train(*sets, tmp_path, preset)
    assert page.read_text() == before


def random_state():
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()


def test_how_stale_the_keys_are_is_logged_and_changes_nothing(sets, finished, tmp_path):
    rows = read_log(finished / "log.jsonl", 10**6)
    model, memory, _ = checkpoint.load(finished, "last")
    assert rows[-1]["key_cosine"] == pytest.approx(staleness(model, memory, sets[0]).mean)
    assert all(-1 <= row["key_cosine"] <= 1 for row in rows)
    preset = replace(PRESET, train=replace(PRESET.train, staleness_sample=0))
    train(*sets, tmp_path, preset)
    assert "key_cosine" not in read_log(tmp_path / "log.jsonl", 10**6)[-1]
    for which in ("best", "last"):
        assert_same(contents(tmp_path, which), contents(finished, which))
    reads = [checkpoint.load(folder, "last")[1].reads for folder in (finished, tmp_path)]
    np.testing.assert_array_equal(*reads)


def test_keys_are_compared_where_an_epoch_is_validated(sets, tmp_path, monkeypatch):
    from mem3d.training import trainer

    options = {"validate_every": 2, "staleness_sample": 3}
    preset = replace(PRESET, train=replace(PRESET.train, **options))
    monkeypatch.setattr(trainer, "_key_cosine", lambda run, job, members: len(members))
    train(*sets, tmp_path, preset)
    rows = read_log(tmp_path / "log.jsonl", 10**6)
    assert [row.get("key_cosine") for row in rows] == [None, 8, 8]  # always at the end
    assert "key_cosine" not in rows[0]


def test_without_a_slot_or_a_picture_there_is_no_cosine(sets, tmp_path, monkeypatch):
    from mem3d.network.model import Mem3D
    from mem3d.training import trainer

    model = Mem3D(TINY.model)
    run = TrainingState(model, torch.optim.SGD(model.parameters(), 0.0), Memory(TINY.memory))
    job = TrainingJob(*sets, tmp_path, PRESET, "cpu")
    assert trainer._key_cosine(run, job, families(sets[0])) is None

    def broken(i, view):
        raise ValueError("00.png: broken")

    grid = sets[0].grid(0)
    run.memory.write(np.ones((1, 32), np.float32), grid[None], [sets[0].shape_id(0)])
    assert trainer._key_cosine(run, job, families(sets[0])) is not None
    monkeypatch.setattr(sets[0], "image", broken)
    assert trainer._key_cosine(run, job, families(sets[0])) is None  # and the run goes on


def test_a_run_tells_each_of_its_starts(sets, tmp_path):
    def die(step, *_):
        if step == 3:
            raise DiedError

    preset = replace(PRESET, train=replace(PRESET.train, epochs=2))
    with pytest.raises(DiedError):
        train(*sets, tmp_path, preset, on_step=die)
    assert not (tmp_path / "README.md").exists()
    train(*sets, tmp_path, preset)
    first, second = json.loads((tmp_path / "run.json").read_text())["starts"]
    assert (first["first_step"], first["ended"]) == (0, None)
    assert second["first_step"] == 2 and second["ended"]


class DiedError(Exception):
    pass


@pytest.mark.parametrize("at", [1, 5])  # at 3 a process is killed, below
def test_a_run_that_died_goes_on_exactly(sets, finished, tmp_path, at):
    def die(step, steps, figures):
        if step == at:
            raise DiedError

    with pytest.raises(DiedError):
        train(*sets, tmp_path / "run", PRESET, on_step=die)
    train(*sets, tmp_path / "run", PRESET)
    for which in ("last", "best"):
        assert_same(contents(tmp_path / "run", which), contents(finished, which))


def test_a_killed_process_can_be_resumed(made_up_data, finished, tmp_path):
    """SIGKILL in the middle of the second epoch, then resume in this process."""
    script = (
        "import os, signal, sys\n"
        "from dataclasses import replace\n"
        "import torch\n"
        f"torch.set_num_threads({torch.get_num_threads()})\n"
        "from mem3d.network.presets import TINY\n"
        "from mem3d.data.readers.r2n2 import R2N2\n"
        "from mem3d.training.trainer import train\n"
        "preset = replace(TINY, model=replace(TINY.model, dropout=0.1, image_size=32),\n"
        "    memory=replace(TINY.memory, key_dim=8),\n"
        "    train=replace(TINY.train, epochs=3, exclude_self=True))\n"
        "def die(step, steps, figures):\n"
        "    if step == 3:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "sets = [R2N2.open(sys.argv[1], name) for name in ('train', 'val')]\n"
        "train(*sets, sys.argv[2], preset, on_step=die)\n"
    )
    run = tmp_path / "run"
    killed = subprocess.run(
        [sys.executable, "-c", script, str(made_up_data), str(run)], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    train(R2N2.open(made_up_data, "train"), R2N2.open(made_up_data, "val"), run, PRESET)
    for which in ("last", "best"):
        assert_same(contents(run, which), contents(finished, which))
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]


def test_a_run_on_cached_stem_maps_goes_on_exactly(sets, tmp_path):
    """The path of the small preset: frozen stem, two variants of each picture, no validation."""
    from safetensors.torch import save_file

    torch.manual_seed(3)
    save_file(build_stem().state_dict(), tmp_path / "stem.st")
    preset = replace(PRESET, train=replace(PRESET.train, freeze_stem=True, cached_views=2))

    def die(step, steps, figures):
        if step == 3:
            raise DiedError

    stem, folder = tmp_path / "stem.st", tmp_path / "whole"
    train(sets[0], None, folder, preset, stem=stem)
    with pytest.raises(DiedError):
        train(sets[0], None, tmp_path / "parts", preset, stem=stem, on_step=die, keep_maps=True)
    assert (tmp_path / "parts" / "stem_maps.npy").is_file()
    made = []
    train(  # the stem is in the checkpoint, and its maps are there
        sets[0], None, tmp_path / "parts", preset, keep_maps=True, on_prepare=made.append
    )
    assert made == []
    assert_same(contents(tmp_path / "parts"), contents(folder))

    encoder = checkpoint.load(folder, "last")[0].encoder
    views = TrainingViews(sets[0], 32, seed=0, augment=True, augmentation=preset.train.augmentation)
    cache = StemCache.build(encoder, views, 2, batch=4, workers=0)
    shared = {"stem": stem, "cache": cache, "on_prepare": lambda *_: made.append(1)}
    train(sets[0], None, tmp_path / "given", preset, **shared)
    assert made == []
    assert_same(contents(tmp_path / "given"), contents(folder))
    other = replace(preset, train=replace(preset.train, seed=1))
    with pytest.raises(ValueError, match="cache: got maps"):
        train(sets[0], None, tmp_path / "other", other, **shared)


def test_a_death_between_log_and_checkpoint_leaves_no_hole(sets, tmp_path, monkeypatch):
    from mem3d.training import trainer

    def die(run, job, row, improved, is_last):
        if row["epoch"] == 2:
            raise DiedError
        save(run, job, row, improved, is_last)

    save = trainer.save_due
    monkeypatch.setattr(trainer, "save_due", die)
    with pytest.raises(DiedError):
        train(*sets, tmp_path, PRESET)
    monkeypatch.undo()
    train(*sets, tmp_path, PRESET)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]


def test_a_damaged_log_is_no_obstacle(sets, finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "run")
    (folder / "log.jsonl").write_text('{"epoch": 1, "step": 2}\n{"epo')
    assert train(*sets, folder, PRESET)["epoch"] == 1
    (folder / "log.jsonl").unlink()
    assert train(*sets, folder, PRESET)["step"] == 6


def test_a_finished_run_stays_as_it_is(sets, finished):
    before = contents(finished)
    row = train(*sets, finished, PRESET)
    assert row["epoch"] == 3
    assert_same(contents(finished), before)


def test_a_run_keeps_the_snapshots_that_its_checkpoints_name_and_tagged_ones(sets, tmp_path):
    def die(step, *_):
        if step == 3:
            raise DiedError

    with pytest.raises(DiedError):
        train(*sets, tmp_path, PRESET, on_step=die)
    with Memory.open(tmp_path / "memory", "r+") as memory:
        memory.tag("mine")
        mine = memory.snapshot
    train(*sets, tmp_path, PRESET)
    named = {contents(tmp_path, which)[2].snapshot for which in ("best", "last")}
    with Memory.open(tmp_path / "memory") as memory:
        kept = {*memory.tags().values(), *(entry.id for entry in memory.history())}
        assert kept == named | {mine}
        assert memory.verify(every=True).problems == ()


def test_the_same_seed_gives_the_same_run_and_another_does_not(sets, finished, tmp_path):
    train(*sets, tmp_path / "same", PRESET)
    assert_same(contents(tmp_path / "same"), contents(finished))
    other = replace(PRESET, train=replace(PRESET.train, seed=1))
    train(*sets, tmp_path / "other", other)
    weights = contents(tmp_path / "other")[0]
    assert any(not torch.equal(w, weights[name]) for name, w in contents(finished)[0].items())


def test_loader_processes_change_nothing(sets, finished, tmp_path):
    preset = replace(PRESET, train=replace(PRESET.train, workers=2))
    train(*sets, tmp_path, preset)
    weights = contents(tmp_path)[0]
    assert all(torch.equal(w, weights[name]) for name, w in contents(finished)[0].items())


def test_another_preset_does_not_overwrite_a_run(sets, finished):
    other = replace(PRESET, train=replace(PRESET.train, epochs=9))
    with pytest.raises(ValueError, match=r"train\.epochs 3 -> 9"):
        train(*sets, finished, other)


def test_other_models_do_not_continue_a_run(sets, finished):
    before = (finished / "run.json").read_text()
    with pytest.raises(ValueError, match="other models"):
        train(sets[1], sets[0], finished, PRESET)
    assert (finished / "run.json").read_text() == before


@pytest.mark.parametrize("device", ["nonsense", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_first(sets, tmp_path, device):
    with pytest.raises(ValueError, match="device"):
        train(*sets, tmp_path / "run", PRESET, device=device)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["README.md", "run.json", "best.safetensors", "src/main.py"])
def test_a_folder_with_other_files_stays_as_it_is(sets, tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("{}")
    with pytest.raises(
        ValueError, match=rf"other files \({name.split('/')[0]}\), want a new folder"
    ):
        train(*sets, tmp_path, PRESET)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / name]


def test_what_is_left_of_a_run_is_no_other_file(finished, tmp_path):
    """Of one that died before its first checkpoint, or over one of its writes; or its print-out."""
    for name in ("data", "memory"):
        (tmp_path / name).mkdir()
    for name in (".last.safetensors.0a1b.partial", ".stem_maps.npy.partial", "train.log"):
        (tmp_path / name).touch()
    check_folder(tmp_path)
    (tmp_path / "log.jsonl").touch()
    (tmp_path / "curves.png").touch()
    with pytest.raises(ValueError, match=r"other files \(curves.png and 1 more\)"):
        check_folder(tmp_path)
    shutil.copy(finished / "run.json", tmp_path)  # its checkpoint was deleted
    check_folder(tmp_path)
    (finished / "notes.txt").touch()  # a run's folder is its user's too
    check_folder(finished)
    (finished / "notes.txt").unlink()
    check_folder(tmp_path / "new")


def test_two_runs_cannot_share_a_folder(sets, finished):
    with Memory.open(finished / "memory", "r+"), pytest.raises(LockedError):
        train(*sets, finished, PRESET)


def test_own_shape_is_recalled_only_if_allowed(sets):
    """With every shape its own slot, exclusion decides whether the sample finds itself."""
    data = sets[0]
    torch.manual_seed(0)
    rates = {}
    for exclude in (False, True):
        from mem3d.data.loader import TrainingViews, loader
        from mem3d.network.model import Mem3D

        model = Mem3D(TINY.model)
        memory = Memory(replace(TINY.memory, delta=1.0, beta=0.99))
        run = TrainingState(model, torch.optim.SGD(model.parameters(), 0.0), memory)
        views = TrainingViews(data, 64, seed=0, augment=False)
        [batch] = loader(views, [[(0, i) for i in range(4)]], 0)
        config = replace(TINY.train, exclude_self=exclude)
        train_step(run, batch, data, config, "cpu")
        rates[exclude] = train_step(run, batch, data, config, "cpu")["priors"]
    assert rates[False] > rates[True]


@pytest.mark.parametrize("batch", [4, 8])  # it diverges in the second step, in the validation
def test_a_loss_that_is_not_finite_stops_the_run(sets, tmp_path, batch):
    wild = replace(PRESET, train=replace(PRESET.train, learning_rate=1e30, batch=batch))
    with pytest.raises(DivergedError, match="at step 1: the run has diverged; start anew"):
        train(*sets, tmp_path, wild)


def test_random_frozen_weights_are_refused(sets, tmp_path):
    frozen = replace(PRESET, train=replace(PRESET.train, freeze_stem=True))
    with pytest.raises(ValueError, match="freeze_stem"):
        train(*sets, tmp_path, frozen, stem="none")


def test_a_run_begins_with_the_bundled_stem(sets, tmp_path):
    def look(step, steps, figures):
        raise KeyboardInterrupt

    preset = replace(PRESET, train=replace(PRESET.train, freeze_stem=True))
    with pytest.raises(KeyboardInterrupt):
        train(*sets, tmp_path / "next", preset, on_step=look)
    stem = checkpoint.load(tmp_path / "next", "last")[0].encoder.stem.state_dict()
    want = load_folder(bundled_model())[0].encoder.stem.state_dict()
    assert all(torch.equal(weight, want[name]) for name, weight in stem.items())


def test_a_run_can_begin_with_the_weights_of_another(sets, finished, tmp_path):
    first, _, _ = checkpoint.load(finished)

    def look(step, steps, figures):
        raise KeyboardInterrupt  # before the first epoch ends

    preset = replace(PRESET, train=replace(PRESET.train, seed=9, freeze_stem=True))
    with pytest.raises(KeyboardInterrupt):
        train(*sets, tmp_path / "next", preset, weights=finished, on_step=look)
    start_or_resume, memory, state = checkpoint.load(tmp_path / "next", "last")
    weights = start_or_resume.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in first.state_dict().items())
    assert (len(memory), state.step) == (0, 0)


def test_weights_of_another_size_are_refused(sets, finished, tmp_path):
    other = replace(PRESET, model=replace(PRESET.model, hidden=PRESET.model.hidden + 8))
    with pytest.raises(ValueError, match="do not fit"):
        train(*sets, tmp_path / "next", other, weights=finished)


def test_nothing_to_train_on_is_an_error(tmp_path):
    root = make_r2n2(tmp_path / "data", train=1, val=1, test=1)
    for synset in (root / "ShapeNetVox32").iterdir():
        os.rename(synset / "train0", synset / "elsewhere")
    data = R2N2.open(root, "train")
    assert len(data.skipped) == 2
    with pytest.raises(ValueError, match="no usable model"):
        train(data, None, tmp_path / "run", PRESET)


def test_without_validation_the_last_epoch_is_the_best(sets, tmp_path):
    train(sets[0], None, tmp_path, replace(PRESET, train=replace(PRESET.train, epochs=1)))
    assert checkpoint.read_state(tmp_path / "best.safetensors").step == 2
    page = (tmp_path / "README.md").read_text()
    assert "Nothing was validated" in page and "## Validation" not in page
    assert not (tmp_path / "validation.png").exists()
    [row] = read_log(tmp_path / "log.jsonl", 10**6)
    assert "key_cosine" not in row


def test_backgrounds_other_than_the_presets_are_refused(sets, tmp_path):
    photos = Backgrounds(np.zeros((1, 256, 256, 3), np.uint8), "ab" * 8)
    with pytest.raises(ValueError, match="backgrounds: got photos of fingerprint abababab"):
        train(*sets, tmp_path, PRESET, backgrounds=photos)
    named = replace(PRESET.train.augmentation, backgrounds="cd" * 8)
    preset = replace(PRESET, train=replace(PRESET.train, augmentation=named))
    with pytest.raises(ValueError, match=r"got photos of fingerprint none, want the preset's"):
        train(*sets, tmp_path, preset)


OPTIONS = {"batch": 3, "schedule": "cosine", "warmup": 3}
EVERY = replace(PRESET, train=replace(PRESET.train, precision="bfloat16", **OPTIONS))


@pytest.fixture(scope="module")
def every_option(sets, no_curves, tmp_path_factory):
    train(*sets, folder := tmp_path_factory.mktemp("every"), EVERY)
    return folder


@pytest.mark.parametrize("at", [4, 8])
def test_every_option_goes_on_exactly(sets, every_option, tmp_path, at):
    """Batches of 3, 3, 2; a cosine with warmup; short floats."""

    def die(step, steps, figures):
        assert steps == 9
        if step == at:
            raise DiedError

    with pytest.raises(DiedError):
        train(*sets, tmp_path, EVERY, on_step=die)
    train(*sets, tmp_path, EVERY)
    assert_same(contents(tmp_path), contents(every_option))


@pytest.fixture
def hopeless(monkeypatch):
    """Validation finds less with every epoch."""
    from mem3d.training import trainer

    monkeypatch.setattr(
        trainer,
        "_validate",
        lambda state, job, data, row, members: row.update(
            val_iou=1 / (1 + state.step), val_hit_rate=0.0
        ),
    )


def test_patience_ends_a_run_for_good(sets, hopeless, tmp_path):
    options = {"epochs": 9, "patience": 2, "checkpoint_every": 5}
    preset = replace(PRESET, train=replace(PRESET.train, **options))
    steps = []
    first = train(*sets, tmp_path, preset, on_step=lambda step, *_: steps.append(step))
    assert (first["epoch"], steps) == (3, [1, 2, 3, 4, 5, 6])
    assert first["stopped"] == "no better IoU in 2 validations since epoch 1"
    assert checkpoint.read_state(tmp_path / "last.safetensors").step == 6
    before = contents(tmp_path)
    for _ in range(2):
        row = train(*sets, tmp_path, preset, on_step=lambda step, *_: steps.append(step))
        assert (row["epoch"], row["stopped"], len(steps)) == (3, first["stopped"], 6)
        (tmp_path / "log.jsonl").unlink(missing_ok=True)  # not needed to know
    assert_same(contents(tmp_path), before)


def test_patience_goes_on_counting_after_a_death(sets, hopeless, tmp_path):
    preset = replace(PRESET, train=replace(PRESET.train, epochs=9, patience=3))

    def die(step, *_):
        if step == 5:
            raise DiedError

    with pytest.raises(DiedError):
        train(*sets, tmp_path, preset, on_step=die)
    assert train(*sets, tmp_path, preset)["epoch"] == 4


def test_patience_without_validation_is_refused(sets, tmp_path):
    preset = replace(PRESET, train=replace(PRESET.train, patience=3))
    with pytest.raises(ValueError, match="patience: got 3 without validation"):
        train(sets[0], None, tmp_path, preset)


FULL = changed(
    PRESET,
    [
        *(
            "model.refiner=8",
            "model.refiner_blocks=1",
            "model.fuse_priors=true",
            "model.pixel_features=true",
        ),
        *(
            "model.prior_gate=true",
            "model.rescale_priors=true",
            "model.pose_channels=6",
        ),
        *("train.dice_weight=0.2", "train.freeze_stem=true", "train.cached_views=2"),
        *("train.precision=bfloat16", "train.schedule=cosine", "train.warmup=2"),
        "train.pose_epochs=2",
    ],
)


@pytest.fixture(scope="module")
def stem_file(tmp_path_factory):
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("stem") / "stem.safetensors"
    save_file({k: v.contiguous() for k, v in build_stem().state_dict().items()}, path)
    return path


def test_a_lifting_run_learns_cameras_and_goes_on_exactly(sets, stem_file, tmp_path):
    train(*sets, tmp_path / "whole", FULL, stem=stem_file)
    rows = read_log(tmp_path / "whole" / "log.jsonl", 10**6)
    assert all(math.isfinite(row["viewpoint"] + row["gate"]) for row in rows)
    assert all(0 < row["dice"] < 1 for row in rows)

    for last in (1, 5):  # before the first checkpoint with learned guesses, and after it

        def die(step, *_, last=last):
            if step == last:
                raise DiedError

        with pytest.raises(DiedError):
            train(*sets, tmp_path / "died", FULL, stem=stem_file, on_step=die)
    train(*sets, tmp_path / "died", FULL, stem=stem_file)
    assert_same(contents(tmp_path / "whole"), contents(tmp_path / "died"))
    model, memory, _ = checkpoint.load(tmp_path / "whole", "last")
    with memory:  # what is loaded sees what the network saw that was trained
        scores = score(model, memory, sets[1])
    assert macro(scores, "network", 0.3) == pytest.approx(rows[-1]["val_iou"], abs=1e-6)


def test_several_sets_are_learned_from_and_told(sets, stem_file, tmp_path):
    both = ConcatDataset([sets[0], sets[1]])
    train(both, sets[1], tmp_path, replace(PRESET, train=replace(PRESET.train, epochs=1)))
    described = json.loads((tmp_path / "run.json").read_text())
    assert described["training_models"] == len(sets[0]) + len(sets[1])
    assert run_data(tmp_path)[0] == sets[0].root.resolve()
    assert [root for root, _ in run_extras(tmp_path)] == [sets[1].root.resolve()]


def test_variants_of_one_mesh_are_one_source(sets, tmp_path):
    data = Renamed(sets[0], {i: f"made/one-v{i:02d}" for i in range(len(sets[0]))})
    train(data, None, tmp_path, replace(PRESET, train=replace(PRESET.train, epochs=1)))
    with Memory.open(tmp_path / "memory", mode="r") as memory:
        assert set(memory.sources) == {"made/one"}
    [row] = read_log(tmp_path / "log.jsonl", 10**6)
    assert row["priors"] == 0  # each picture may not recall its own family, which is all there is


class Renamed(Subset):
    """A data set under other names."""

    def __init__(self, data, names):
        super().__init__(data, range(len(data)))
        self.names = names

    def shape_id(self, i):
        return self.names[i]
