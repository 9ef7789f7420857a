"""Presets and what they refuse."""

import json
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from mem3d.network import config
from mem3d.network.config import ModelConfig, Preset, TrainConfig, changed
from mem3d.network.presets import PAPER, PRESETS, SMALL

GOLDEN = Path(__file__).parents[2] / "golden" / "presets-v1.json"  # by the release before renames
RENAMED = {
    "model.fuse": "model.fuse_priors",
    "model.stretch": "model.rescale_priors",
    "model.gate": "model.prior_gate",
    "model.lift": "model.pixel_features",
    "model.pose": "model.pose_channels",
    "train.variants": "train.cached_views",
    "train.augmentation.hides": "train.augmentation.max_occlusion",
    "train.augmentation.occluded": "train.augmentation.occlusion_probability",
}


def flat(values, before=""):
    """{"train.epochs": 250, "train.augmentation.flip": 0.5, ...}"""
    leaves = {}
    for name, value in values.items():
        path = f"{before}{name}"
        leaves |= flat(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return leaves


def retired():
    """Paths of the settings that old files name and that are no more."""
    return [(group, name) for group, names in config._RETIRED.items() for name in names]


@pytest.mark.parametrize(("size", "want"), [(224, 12544), (128, 4096), (137, 4096), (112, 2304)])
def test_feature_length_at_several_image_sizes(size, want):
    # by hand: 256 channels x 7x7 at 224 px, 4x4 at 128 and 137, 3x3 at 112
    assert ModelConfig(image_size=size).feature_dim == want


def test_paper_preset_has_the_papers_numbers():
    # docs/paper.md: m = 4000, beta = .85, delta = .90, Adam 1e-3, batch 32, margin .1
    assert (PAPER.memory.capacity, PAPER.memory.key_dim, PAPER.memory.resolution) == (
        4000,
        12544,
        32,
    )
    assert (PAPER.memory.beta, PAPER.memory.delta) == (0.85, 0.90)
    assert (PAPER.train.learning_rate, PAPER.train.batch, PAPER.train.margin) == (1e-3, 32, 0.1)
    assert PAPER.train.triplet_weight == 1.0


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name):
    preset = PRESETS[name]
    assert Preset.from_dict(json.loads(json.dumps(preset.to_dict()))) == preset


def test_settings_from_before_there_were_shape_encoders_mean_the_papers():
    fields = PAPER.to_dict()
    del fields["model"]["shape_encoder"]
    assert Preset.from_dict(fields) == PAPER


def test_a_damaged_flag_is_refused():
    fields = SMALL.to_dict()
    fields["train"]["augment"] = "False"
    with pytest.raises(ValueError, match=r"^train\.augment: got 'False', want true or false$"):
        Preset.from_dict(fields)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ({"model": 1}, "model: got 1, want settings by name"),
        ({"memory": None}, "memory: got None, want settings by name"),
        ({"train": {"extra": 1}}, "train.extra: got 1, want no such setting"),
        ({"train": {"epochs": 1.5}}, "train.epochs: got 1.5, want a whole number"),
        ({"train": {"seed": True}}, "train.seed: got True, want a whole number"),
        ({"train": {"margin": float("nan")}}, "train.margin: got nan, want a finite number"),
        ({"model": {"head": [1, 2]}}, "model.head.2: got nothing, want a value"),
        ({"model": {"decoder": []}}, "model.decoder: got [], want at least 1 of them"),
        ({"model": {"hidden": 2**17}}, "model.hidden: got 131072, want <= 65536"),
        ({"model": {"shape_encoder": "gru"}}, "model.shape_encoder: got 'gru', want 'lstm', "),
        ({"model": {"prior_gate": True}}, "model.prior_gate: got True, want fuse_priors"),
        ({"memory": {"beta": 2}}, "memory.beta: got 2.0, want a float in [-1, 1]"),
        ({"memory": {"key_dim": 3}}, "memory (key_dim, resolution): got (3, 32), want the model's"),
    ],
)
def test_damaged_settings_are_refused(damage, says):
    fields = PAPER.to_dict()
    for name, value in damage.items():
        fields[name] = fields[name] | value if isinstance(value, dict) else value
    with pytest.raises(ValueError) as fault:
        Preset.from_dict(fields)
    assert type(fault.value) is ValueError and str(fault.value).startswith(says)


def test_what_is_no_preset_is_refused():
    with pytest.raises(ValueError, match="settings: got"):
        Preset.from_dict([])


def test_each_fault_is_named():
    fields = PAPER.to_dict()
    del fields["memory"]["capacity"]
    fields["train"] |= {"batch": 0, "schedule": "step"}
    want = (
        "memory.capacity: got nothing, want a value; train.batch: got 0, want >= 1; "
        "train.schedule: got 'step', want 'halve' or 'cosine'"
    )
    with pytest.raises(ValueError) as fault:
        Preset.from_dict(fields)
    assert str(fault.value) == want


@pytest.mark.parametrize("name", ["small", "best"])
def test_settings_of_an_old_release_are_read_and_written_under_new_names(name):
    old = json.loads(GOLDEN.read_text())[name]
    new = flat(json.loads(json.dumps(Preset.from_dict(old).to_dict())))
    gone = {".".join(path) for path in retired()}
    want = {RENAMED.get(path, path): v for path, v in flat(old).items() if path not in gone}
    want |= {"model.key": "feature", "train.key_epochs": 0}  # there was no other key
    want["memory.when_full"] = "evict"  # there was no other rule
    want["memory.search"] = "exact"  # nor another search
    assert new == want and not RENAMED.keys() & new.keys()


def test_an_old_and_a_new_name_together_are_refused():
    fields = SMALL.to_dict()
    fields["model"]["lift"] = True
    with pytest.raises(ValueError, match=r"^model\.lift: got True, want no such setting$"):
        Preset.from_dict(fields)


@pytest.mark.parametrize(("group", "name"), retired())
def test_a_setting_that_is_no_more_is_dropped_if_it_had_no_effect_else_refused(group, name):
    fields, plain = SMALL.to_dict(), config._RETIRED[group][name]
    fields[group][name] = plain
    assert Preset.from_dict(fields, resuming=True) == SMALL
    fields[group][name] = plain + 1
    with pytest.raises(ValueError, match=rf"^{group}\.{name}: got {plain + 1}, want {plain}: "):
        Preset.from_dict(fields, resuming=True)
    if group == "train":  # the network answers as it did
        assert Preset.from_dict(fields) == SMALL
    else:
        with pytest.raises(ValueError, match=rf"^{group}\.{name}"):
            Preset.from_dict(fields)


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": 8},
        {"priors": 0},
        {"dropout": 1.0},
        {"hidden": 2047},
        {"shape_encoder": "gru"},
        {"pose_channels": 8},  # nothing is guessed
    ],
)
def test_impossible_networks_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        replace(ModelConfig(), **change)


@pytest.mark.parametrize(
    "change",
    [
        *[{"epochs": 0}, {"batch": 0}, {"learning_rate": 0.0}, {"warmup": -1}],
        *[{"dice_weight": -0.1}, {"dice_weight": float("nan")}],
        *[{"patience": -1}, {"precision": "float16"}, {"schedule": "step"}],
        {"staleness_sample": -1},
    ],
)
def test_impossible_runs_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        TrainConfig(**change)


def test_a_memory_of_another_size_is_refused():
    with pytest.raises(ValueError, match="key_dim"):
        replace(PAPER, memory=replace(PAPER.memory, key_dim=4096))


def test_settings_from_before_augmentation_had_a_choice():
    fields = PAPER.to_dict()
    del fields["train"]["augmentation"]
    assert Preset.from_dict(fields) == PAPER


def test_settings_from_before_there_were_schedules():
    fields = PAPER.to_dict()
    later = ("precision", "patience", "schedule", "warmup", "staleness_sample")
    for name in later:
        del fields["train"][name]
    assert Preset.from_dict(fields) == PAPER


@pytest.mark.parametrize(
    "damage", [{"flip": "often"}, {"rotate": 1.0}, {"max_occlusion": 2.0}, None, 1]
)
def test_damaged_augmentation_is_refused(damage):
    fields = json.loads(json.dumps(PAPER.to_dict()))
    train = fields["train"]
    train["augmentation"] = train["augmentation"] | damage if isinstance(damage, dict) else damage
    with pytest.raises(ValueError, match=r"^train\.augmentation"):
        Preset.from_dict(fields)


def test_settings_cannot_be_changed_by_accident():
    with pytest.raises(FrozenInstanceError):
        PAPER.train.epochs = 3


def test_single_settings_are_changed():
    preset = changed(
        SMALL,
        [
            "model.shape_encoder=fc",
            "train.halve_at=[0.5]",
            "train.augmentation.max_occlusion=0",
            "model.image_size=64",
        ],
    )
    assert preset.model.shape_encoder == "fc" and preset.train.halve_at == (0.5,)
    assert preset.train.augmentation.max_occlusion == 0
    assert preset.model.feature_dim == 256 and preset.memory.key_dim == 128
    own = changed(SMALL, ["model.key=feature", "train.key_epochs=0"])
    assert own.memory.key_dim == own.model.feature_dim == 1024
    assert changed(SMALL, []) == SMALL


@pytest.mark.parametrize(
    "setting",
    [
        "model.shapes=3",
        "epochs=3",
        "train.epochs",
        "train.epochs.x=3",
        "model.refiner=wide",
        "memory=3",
        "model.head=3",
        "train.epochs=0",
        "train.exclude_self=False",
        "model.pixel_features=no",
        "model.fuse_priors=1",
        "memory.resolution=64",
        "memory.key_dim=7",
    ],
)
def test_settings_that_lead_nowhere_are_refused(setting):
    with pytest.raises(ValueError, match="got"):
        changed(SMALL, [setting])


@pytest.mark.parametrize(
    ("setting", "want"),
    [
        ("train.epochs=abc", "train.epochs: got 'abc', want a whole number"),
        ("train.epochs=3.0", "train.epochs: got 3.0, want a whole number"),
        ("train.epochs=true", "train.epochs: got True, want a whole number"),
        ("train.learning_rate=NaN", "train.learning_rate: got nan, want a finite number"),
        ("model.fuse_priors=1", "model.fuse_priors: got 1, want true or false"),
        ("model.head=[1,2]", "model.head.2: got nothing, want a value"),
        ("model.decoder=8", "model.decoder: got 8, want a list"),
        ("train.augmentation.scale=1", "train.augmentation.scale: got 1, want a list"),
        ("train.view_seed=x", "train.view_seed: got 'x', want a whole number"),
        ("train.schedule=3", "train.schedule: got 3, want 'halve' or 'cosine'"),
        ("train.epochs", "train.epochs: got no value, want train.epochs=VALUE"),
    ],
)
def test_a_value_of_another_kind_is_told_with_its_setting(setting, want):
    with pytest.raises(ValueError) as error:
        changed(SMALL, [setting])
    assert want in str(error.value)


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("train.epoch", "train.epochs"),
        ("epochs", "train.epochs"),
        ("modle.priors", "model.priors"),
        ("model.drop", "model.dropout"),
        ("model.lift", "model.pixel_features"),  # as it was called
        ("train.augmentation.hides", "train.augmentation.max_occlusion"),
        ("memory", "memory.capacity"),
        ("nonsense", "such as train.epochs"),
    ],
)
def test_near_names_are_told(path, near):
    with pytest.raises(ValueError, match="want the name of a setting") as error:
        changed(SMALL, [f"{path}=3"])
    assert f"got '{path}'" in str(error.value) and near in str(error.value)


def test_values_are_taken_as_what_their_setting_is():
    settings = ["train.learning_rate=1", "train.view_seed=null", 'model.shape_encoder="fc"']
    preset = changed(SMALL, [*settings, f"train.augmentation.backgrounds={'1' * 16}"])
    assert (preset.train.learning_rate, preset.train.view_seed) == (1, None)
    assert preset.model.shape_encoder == "fc"
    assert preset.train.augmentation.backgrounds == "1" * 16


def test_a_memory_of_before_has_the_papers_rule():
    """What a release did not write is what it did, not what MemoryConfig has by default."""
    fields = SMALL.to_dict()
    for name in ("delta", "value_similarity", "when_full", "columns"):
        del fields["memory"][name]
    memory = Preset.from_dict(fields).memory
    assert (memory.delta, memory.value_similarity, memory.when_full) == (0.9, "mse", "evict")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_says_its_rule(name):
    memory = PRESETS[name].memory
    assert memory.delta is not None and memory.when_full == "evict" and not memory.columns


def test_rules_that_training_cannot_have_are_refused():
    with pytest.raises(ValueError, match=r"^memory\.columns: got ok, want none"):
        replace(PAPER, memory=replace(PAPER.memory, columns={"ok": bool}))
    with pytest.raises(ValueError, match=r"^memory\.delta: got none, want a number"):
        replace(PAPER, memory=replace(PAPER.memory, delta=None))
    assert changed(SMALL, ["memory.delta=null", "memory.when_full=error"]).memory.delta is None
