"""A study: what runs, what is skipped, what goes on, and numbers a calculator gives too."""

import fcntl
import json
import shutil
import statistics
from dataclasses import replace

import pytest
import torch

from mem3d.data.dataset import Subset
from mem3d.data.images.corruptions import behind_occluders
from mem3d.data.readers.r2n2 import R2N2
from mem3d.evaluation.evaluate import NEAREST, NETWORK, macro, score
from mem3d.network import checkpoint, presets
from mem3d.network.presets import BEST, PAPER, SMALL
from mem3d.runs.memorization import memorize
from mem3d.study import worker
from mem3d.study.report import collect, spread, spread_text, write_table
from mem3d.study.scoring import HIDE_SEED
from mem3d.study.study import (
    MEMORIZED_VIEWS,
    Study,
    Unseen,
    read_result,
    run_folder,
    run_status,
    study_run,
    study_runs,
)
from mem3d.study.variants import WHAT, check_names, equivalent_variants, variants
from mem3d.study.worker import run_study
from mem3d.training.step import DivergedError
from memstore import Memory

TINY = replace(  # smaller still, and it recalls at once
    presets.TINY,
    model=replace(presets.TINY.model, image_size=32),
    memory=replace(presets.TINY.memory, key_dim=8, beta=0.0),
)
NAMES = ("base", "no-memory", "mse")  # tiny compares by mse, as the paper does
SEEDS = range(2)


@pytest.fixture(scope="module")
def sets(made_up_data):
    subsets = {"learning": "train", "validation": "val", "test": "test"}
    return {name: R2N2.open(made_up_data, subset) for name, subset in subsets.items()}


def a_study(folder, sets, **changes):
    given = {"folder": folder, "base": TINY, **sets, "test": None, **changes}
    return Study(**given)


@pytest.fixture(scope="module")
def finished(sets, no_curves, tmp_path_factory):
    study = a_study(tmp_path_factory.mktemp("study"), sets)
    assert run_study(study, study_runs(study, NAMES, SEEDS)) == {}
    write_table(study)
    return study


@pytest.fixture
def no_training(monkeypatch):
    def trained(*arguments, **options):
        raise AssertionError("it was trained again")

    monkeypatch.setattr(worker, "train", trained)


def results(study, name):
    """Of all seeds, as they lie on the disk."""
    paths = [study.folder / "results" / f"{name}-s{seed}.json" for seed in SEEDS]
    return [json.loads(path.read_text()) for path in paths]


def test_equal_variants_run_once_and_seeds_come_first(finished):
    todo = study_runs(finished, NAMES, SEEDS)
    assert [one.name for one in todo] == ["base-s0", "no-memory-s0", "base-s1", "no-memory-s1"]
    assert [one.preset.train.seed for one in todo] == [0, 0, 1, 1]
    made = {path.name for path in (finished.folder / "runs").iterdir() if path.is_dir()}
    assert made == {one.name for one in todo}


def test_a_variant_equal_to_the_base_is_asked_for_alone(finished):
    assert [one.name for one in study_runs(finished, ("mse",), range(1))] == ["base-s0"]


def test_the_table_equals_a_naive_one(finished):
    table = json.loads((finished.folder / "table.json").read_text())
    rows = {row["variant"]: row for row in table["rows"]}
    assert rows["base"]["seeds"] == [0, 1]
    for share in ("0", "0.4"):
        base = [one["val"][share]["network"] for one in results(finished, "base")]
        none = [one["val"][share]["network"] for one in results(finished, "no-memory")]
        cell = rows["base"]["val"][share]
        assert cell["network"]["mean"] == pytest.approx(statistics.mean(base))
        assert cell["network"]["std"] == pytest.approx(statistics.stdev(base), abs=1e-12)
        gains = [a - b for a, b in zip(base, none, strict=True)]
        assert cell["gain"]["mean"] == pytest.approx(statistics.mean(gains), abs=1e-12)
        assert cell["gain"]["std"] == pytest.approx(statistics.stdev(gains), abs=1e-12)
    for field in ("minutes", "slots"):
        values = [one[field] for one in results(finished, "base")]
        assert rows["base"][field]["mean"] == pytest.approx(statistics.mean(values))
    hits = [one["val"]["0"]["hit_rate"] for one in results(finished, "base")]
    assert rows["base"]["hit_rate"]["mean"] == statistics.mean(hits) > 0
    assert rows["no-memory"]["hit_rate"]["mean"] == rows["no-memory"]["priors"]["mean"] == 0
    assert rows["no-memory"]["val"]["0"]["gain"]["mean"] is None


def test_gains_are_paired_by_seed(finished, sets, tmp_path):
    """By hand: gains of .1 and .2, though the networks of the two seeds are far apart."""
    made_up = {"base": (0.5, 0.9, 0.3), "no-memory": (0.4, 0.7)}
    study = a_study(tmp_path, sets, shares=(0.0,))
    (tmp_path / "results").mkdir()
    for name, values in made_up.items():
        for seed, value in enumerate(values):
            scores = {"network": value, "nearest": 0.1, "hit_rate": 1.0, "priors": 2.0}
            one = study_run(study, name, seed)
            row = {"preset": one.preset.to_dict(), "minutes": 1.0, "slots": 3}
            row |= {"val": {"0": scores}, **study.fingerprints()}
            (tmp_path / "results" / f"{one.name}.json").write_text(json.dumps(row))
    base = next(row for row in collect(study)["rows"] if row["variant"] == "base")
    assert base["val"]["0"]["gain"]["mean"] == pytest.approx(0.15)
    assert base["val"]["0"]["gain"]["std"] == pytest.approx(0.1 / 2**0.5)
    assert base["val"]["0"]["gain"]["n"] == 2  # seed 2 has no partner
    assert base["val"]["0"]["network"]["n"] == 3
    none = next(row for row in collect(study)["rows"] if row["variant"] == "no-memory")
    assert none["val"]["0"]["lead"] == base["val"]["0"]["gain"]  # the same pairs
    assert base["val"]["0"]["lead"]["mean"] is None
    write_table(study)
    text = (tmp_path / "table.md").read_text()
    assert "## what `base` has before each" in text and "| no-memory | +0.150 ± 0.071 |" in text


def test_what_stands_for_another_is_told(finished):
    table = collect(finished)
    rows = {row["variant"]: row for row in table["rows"]}
    assert rows["mse"]["same_as"] == "base" and rows["base"]["same_as"] is None
    assert rows["mse"]["val"] == rows["base"]["val"]
    assert "| mse (= base) |" in (finished.folder / "table.md").read_text()
    own = {
        "box",
        "mse",
        "exclude-off",
        "no-fuse",
        "no-lift",
        "vector-only",
        "no-stretch",
        "no-pose-epochs",
        "no-gate",
        "own-key",
    }  # tiny has none of these
    assert set(rows) == {"base", "no-memory"} | own


def test_only_what_was_asked_for_has_a_row(finished):
    rows = collect(finished, ("base", "mse"))["rows"]
    assert [row["variant"] for row in rows] == ["base", "no-memory", "mse"]  # that has a result too


def test_the_files_for_people_are_written(finished):
    assert (finished.folder / "plot.png").read_bytes().startswith(b"\x89PNG")
    text = (finished.folder / "table.md").read_text()
    assert "## val: 4 models" in text and "IoU (40% hidden)" in text and "## test" not in text
    assert list(finished.folder.rglob("*.partial")) == []


def test_a_result_is_what_scoring_the_run_gives(finished):
    model, memory, _ = checkpoint.load(finished.folder / "runs" / "base-s1")
    with memory:
        data = behind_occluders(finished.validation, 0.4, HIDE_SEED)
        scores = score(model, memory, data, batch=TINY.train.batch)
    got = results(finished, "base")[1]["val"]["0.4"]
    assert got["network"] == macro(scores, "network", 0.3)
    assert got["nearest"] == macro(scores, "nearest recalled", 0.3)


def test_finished_runs_are_skipped(finished, no_training):
    todo = study_runs(finished, NAMES, SEEDS)
    assert {run_status(finished, one) for one in todo} == {"done"}
    assert run_study(replace(finished, keep="none"), todo) == {}
    assert all(run_folder(finished, one).is_dir() for one in todo)  # as they were kept


def test_a_result_that_was_deleted_is_scored_again(finished, no_training, tmp_path):
    study = replace(finished, folder=shutil.copytree(finished.folder, tmp_path / "copy"))
    path = study.folder / "results" / "base-s0.json"
    before = json.loads(path.read_text())
    path.unlink()
    todo = study_runs(study, ("base",), range(1))
    assert run_status(study, todo[0]) == "to score"
    longer = replace(TINY, train=replace(TINY.train, epochs=3))
    fewer = Subset(study.validation, [0, 1])
    for other in (replace(study, base=longer), replace(study, validation=fewer)):
        for refused in (run_status, lambda *about: run_study(about[0], [about[1]])):
            with pytest.raises(ValueError, match="a run of other settings or on other models"):
                refused(other, study_run(other, "base", 0))
    with (study.folder / "runs" / ".base-s0.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as another process that scores it
        assert run_study(study, todo) == {"base-s0": "another process has it in work"}
    assert run_study(study, todo) == {}
    assert json.loads(path.read_text()) == before


def test_only_the_best_checkpoint_is_kept(finished):
    folder = finished.folder / "runs" / "base-s0"
    assert (folder / "best.safetensors").exists() and not (folder / "last.safetensors").exists()


def test_test_models_are_scored_later_without_training(finished, sets, no_training, tmp_path):
    folder = shutil.copytree(finished.folder, tmp_path / "copy")
    study = replace(finished, folder=folder, test=sets["test"], shares=(0.0, 0.2, 0.4), keep="none")
    todo = study_runs(study, ("base",), range(1))
    before = read_result(study, todo[0])["val"]["0.4"]
    assert run_status(study, todo[0]) == "to score"
    run_study(study, todo)
    found = read_result(study, todo[0])
    assert set(found["test"]) == set(found["val"]) == {"0", "0.2", "0.4"}
    assert found["val"]["0.4"] == before
    assert run_folder(study, todo[0]).is_dir()  # kept when it was trained
    rows = {row["variant"]: row for row in write_table(study)["rows"]}
    assert rows["base"]["test"]["0"]["network"]["n"] == 1
    assert spread_text(rows["no-memory"]["test"]["0"]["network"]) == "-"
    table = collect(replace(finished, folder=folder))  # asks for no test and fewer shares
    assert table == collect(study)
    assert (table["shares"], table["samples"]) == (["0", "0.2", "0.4"], {"val": 4, "test": 4})
    other = replace(study, test=Subset(sets["test"], [0]))
    with pytest.raises(ValueError, match="on other models"):
        run_status(other, todo[0])


def test_unseen_shapes_are_memorized_by_a_copy(finished, sets, no_training, tmp_path):
    """By hand: what a memory scores that was given them, and the run's own is as it was."""
    folder = shutil.copytree(finished.folder, tmp_path / "copy")
    unseen = Unseen(to_memorize=Subset(sets["test"], [0, 1]), to_score=Subset(sets["test"], [2, 3]))
    study = replace(finished, folder=folder, unseen=unseen, shares=(0.0,))
    todo = study_runs(study, ("base", "no-memory"), range(1))
    assert [run_status(study, one) for one in todo] == ["to score"] * 2
    run_study(study, todo)
    model, memory, _ = checkpoint.load(run_folder(study, todo[0]), "best")
    before = score(model, memory, unseen.to_score, batch=4)
    slots = len(memory)
    memory.copy_to(tmp_path / "more", 32)
    with Memory.open(tmp_path / "more", "r+") as more:
        assert memorize(model, more, unseen.to_memorize, views=MEMORIZED_VIEWS).written > 0
        after = score(model, more, unseen.to_score, batch=4)
    found = read_result(study, todo[0])
    for subset, scores in (("unseen", before), ("memorised", after)):
        assert found[subset]["0"]["network"] == pytest.approx(macro(scores, NETWORK, 0.3))
        assert found[subset]["0"]["nearest"] == pytest.approx(macro(scores, NEAREST, 0.3))
    assert found["memorised"]["0"] != found["unseen"]["0"] and found["slots"] == slots
    assert not list(folder.glob(".memory-*"))
    without = read_result(study, todo[1])
    assert without["memorised"]["0"]["network"] == without["unseen"]["0"]["network"]
    assert without["memorised"]["0"]["nearest"] != without["unseen"]["0"]["nearest"]
    row = next(row for row in write_table(study)["rows"] if row["variant"] == "base")
    gain = found["memorised"]["0"]["network"] - found["unseen"]["0"]["network"]
    assert row["memorizing"]["mean"] == pytest.approx(gain) and row["memorizing"]["n"] == 1
    text = (folder / "table.md").read_text()
    assert "memorized without training" in text and f"| {gain:+.3f} |" in text
    other = replace(unseen, to_memorize=Subset(sets["test"], [0]))
    with pytest.raises(ValueError, match="on other models"):
        run_status(replace(study, unseen=other), todo[0])
    with pytest.raises(ValueError, match="no usable to memorize model"):
        replace(study, unseen=replace(unseen, to_memorize=Subset(sets["test"], [])))


def test_scores_are_means_over_views(finished, sets, no_training, tmp_path):
    folder = shutil.copytree(finished.folder, tmp_path / "copy")
    with pytest.raises(ValueError, match="for other views"):
        run_status(
            replace(finished, folder=folder, views=2), study_runs(finished, ("base",), range(1))[0]
        )
    shutil.rmtree(folder / "results")
    study = replace(finished, folder=folder, views=3, shares=(0.0, 0.4))  # there are two, 0 again
    todo = study_runs(study, ("base",), range(1))
    run_study(study, todo)
    model, memory, _ = checkpoint.load(run_folder(study, todo[0]), "best")
    for share in (0.0, 0.4):
        data = sets["validation"]
        data = behind_occluders(data, share, HIDE_SEED) if share else data
        found = [score(model, memory, data, view=view) for view in (0, 1, 0)]
        want = statistics.mean(macro(scores, NETWORK, 0.3) for scores in found)
        got = read_result(study, todo[0])["val"][f"{share:g}"]["network"]
        assert got == pytest.approx(want, abs=1e-6)
    assert write_table(study)["views"] == 3
    assert "mean of 3 views" in (folder / "table.md").read_text()
    with pytest.raises(ValueError, match="views: got 0"):
        replace(study, views=0)


def test_an_interrupted_run_goes_on_to_the_same_result(finished, sets, tmp_path):
    study = a_study(tmp_path, sets, keep="none")
    todo = study_runs(study, ("base",), range(1))

    def stop(behind, note):
        if "step 3/4" in note:  # the second epoch's first
            raise KeyboardInterrupt

    assert run_status(study, todo[0]) == "new"
    with pytest.raises(KeyboardInterrupt):
        run_study(study, todo, on_step=stop)
    assert run_status(study, todo[0]) == "begun"
    with Memory.open(run_folder(study, todo[0]) / "memory", mode="r+"):
        assert set(run_study(study, todo)) == {"base-s0"}  # another writer has it
    assert run_study(study, todo) == {}
    assert read_result(study, todo[0])["val"] == read_result(finished, todo[0])["val"]
    assert not run_folder(study, todo[0]).exists()  # keep="none"
    with pytest.raises(ValueError, match=r"no checkpoint to score .*\(val 20% hidden\)"):
        run_status(replace(study, shares=(0.0, 0.2, 0.4)), todo[0])


@pytest.mark.parametrize(
    ("changes", "step", "stands"),
    [
        ({}, 3, "begun"),
        ({}, 4, "to score"),  # 2 epochs of 2 batches
        ({"epochs": 9, "patience": 2}, 4, "begun"),
        ({"epochs": 9, "patience": 2}, 6, "to score"),  # nothing better since epoch 1
    ],
)
def test_a_run_that_is_over_is_not_begun(changes, step, stands, sets, tmp_path):
    study = a_study(tmp_path, sets, base=replace(TINY, train=replace(TINY.train, **changes)))
    one = study_run(study, "base", 0)
    state = checkpoint.State(
        **{"preset": one.preset, "step": step, "snapshot": "", "validation_iou": 0.1},
        **{"best_iou": 0.2, "best_step": 2},
    )
    run_folder(study, one).mkdir(parents=True)
    checkpoint.save(run_folder(study, one) / "last.safetensors", state, torch.nn.Linear(1, 1))
    assert run_status(study, one) == stands


def test_a_run_that_diverges_is_passed_over_and_told(sets, tmp_path, monkeypatch):
    def diverges(*arguments, **options):
        raise DivergedError("loss: got nan", 3)

    monkeypatch.setattr(worker, "train", diverges)
    study = a_study(tmp_path, sets)
    passed_over = run_study(study, study_runs(study, ("base", "no-memory"), range(1)))
    assert set(passed_over) == {"base-s0", "no-memory-s0"}
    table = write_table(study, passed_over)
    assert table["passed_over"] == passed_over
    assert "- base-s0: loss: got nan at step 3" in (tmp_path / "table.md").read_text()


def test_the_shared_maps_are_made_where_the_networks_compute(sets, tmp_path, monkeypatch):
    def build(encoder, *arguments, **options):
        return next(encoder.parameters()).device.type

    monkeypatch.setattr(worker.StemCache, "build", build)
    preset = replace(TINY, train=replace(TINY.train, freeze_stem=True, cached_views=1))
    study = a_study(tmp_path, sets, base=preset, device="meta")
    assert worker._cache(study, study_run(study, "base", 0), print) == "meta"


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"preset": 1}', "[" * 9999])
def test_a_damaged_result_is_named(damage, sets, tmp_path):
    study = a_study(tmp_path, sets)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "base-s0.json").write_text(damage)
    with pytest.raises(ValueError, match=r"base-s0\.json: got .*delete it"):
        collect(study)


def test_results_of_other_settings_or_data_are_refused(finished, sets):
    longer = replace(TINY, train=replace(TINY.train, epochs=3))
    with pytest.raises(ValueError, match="of other settings"):
        collect(replace(finished, base=longer))
    fewer = Subset(sets["validation"], [0, 1])
    with pytest.raises(ValueError, match="on other models"):
        collect(replace(finished, validation=fewer))


@pytest.mark.parametrize("shares", [(), (0.4,), (0.0, 0.99), (0.0, 0.4, 0.4), (0.0, float("nan"))])
def test_shares_out_of_order_are_refused(shares, sets, tmp_path):
    with pytest.raises(ValueError, match="hide: got"):
        a_study(tmp_path, sets, shares=shares)


def test_nothing_to_choose_by_is_refused(sets, tmp_path):
    with pytest.raises(ValueError, match="no usable val model"):
        a_study(tmp_path, sets, validation=Subset(sets["validation"], []))


def flat(preset):
    return {
        f"{part}.{name}": value
        for part, fields in preset.to_dict().items()
        for name, value in fields.items()
    }


CHANGED = {
    "base": set(),
    "own-key": {
        *("model.key", "train.key_epochs", "memory.key_dim"),
        *("memory.capacity", "memory.beta", "memory.delta"),
    },
    "no-memory": {"model.shape_encoder", "train.triplet_weight"},
    "fc": {"model.shape_encoder", "train.triplet_weight"},
    "box": {"model.shape_encoder", "train.triplet_weight"},
    "mse": {"memory.value_similarity", "memory.delta"},
    "iou": {"memory.value_similarity", "memory.delta"},
    "no-triplet": {"train.triplet_weight"},
    "exclude-off": {"train.exclude_self"},
    "no-fuse": {"model.fuse_priors", "model.prior_gate", "model.rescale_priors"},
    "no-stretch": {"model.rescale_priors"},
    "no-pose-epochs": {"train.pose_epochs"},
    "no-gate": {"model.prior_gate"},
    "no-lift": {"model.pixel_features"},
    "vector-only": {
        *(
            "model.fuse_priors",
            "model.prior_gate",
            "model.rescale_priors",
            "model.pixel_features",
            "model.refiner",
        ),
        *("model.pose_channels", "train.pose_epochs"),
    },
    **{name: {"model.priors"} for name in ("k1", "k4", "k-all")},
    **{name: {"memory.capacity"} for name in ("memory-50", "memory-200", "memory-all")},
}


@pytest.mark.parametrize("base", [PAPER, SMALL, TINY, BEST], ids=["paper", "small", "tiny", "best"])
def test_a_variant_changes_what_it_says_and_nothing_else(base):
    found = variants(models=402)
    assert set(found) == set(WHAT) == set(CHANGED)
    for name, change in found.items():
        before, after = flat(base), flat(change(base))
        assert {field for field in before if before[field] != after[field]} <= CHANGED[name], name


def test_a_trunk_goes_with_the_last_guess_that_it_is_for():
    found = variants(models=402)
    assert found["vector-only"](BEST).model.pose_channels == 0
    assert found["vector-only"](BEST).train.pose_epochs == 0
    assert (
        found["no-lift"](BEST).model.pose_channels
        == found["no-stretch"](BEST).model.pose_channels
        == BEST.model.pose_channels
    )
    lifting = replace(BEST, model=replace(BEST.model, rescale_priors=False))
    assert found["no-lift"](lifting).model.pose_channels == 0
    stretching = replace(BEST, model=replace(BEST.model, pixel_features=False))
    assert [found[name](stretching).model.pose_channels for name in ("no-fuse", "no-stretch")] == [
        0,
        0,
    ]


def test_memory_all_never_evicts():
    few = replace(SMALL, memory=replace(SMALL.memory, capacity=10))
    capacity = variants(models=402)["memory-all"](few).memory.capacity
    assert capacity == 402 * SMALL.train.epochs  # every write of every epoch an insertion


def test_without_a_memory_nothing_is_pulled_to_it():
    for name in ("no-memory", "fc", "box"):
        assert variants(models=1)[name](TINY).train.triplet_weight == 0 < TINY.train.triplet_weight


def test_the_small_preset_stands_for_some():
    same = {name: first for name, first in equivalent_variants(SMALL, 402).items() if name != first}
    # It has no triplet loss, and more slots than there are writes.
    assert same == dict.fromkeys(("no-triplet", "memory-all"), "base")


def test_a_network_without_a_ranked_key_has_the_rules_of_features():
    preset = variants(models=402)["own-key"](SMALL)
    assert preset.model.key == "feature" and preset.train.key_epochs == 0
    assert preset.memory.key_dim == preset.model.feature_dim and preset.memory.beta == 0.5
    assert variants(models=402)["own-key"](PAPER) == PAPER


def test_unknown_variants_are_named():
    with pytest.raises(ValueError, match="got k2, want some of base"):
        check_names(("base", "k2"))


def test_spreads_by_hand():
    assert spread([1.0, 2.0, 3.0]) == {"mean": 2.0, "std": 1.0, "n": 3}
    assert spread_text(spread([1.0, 2.0, 3.0])) == "2.000 ± 1.000"
    assert spread_text(spread([0.25]), "+.2f") == "+0.25"
    assert spread_text(spread([])) == "-"
