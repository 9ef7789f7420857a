"""Presets and what they refuse."""

import json
from dataclasses import FrozenInstanceError, replace

import pytest

from mem3d.network.config import ModelConfig, Preset, TrainConfig
from mem3d.network.presets import PAPER, PRESETS, SMALL


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
    assert (PAPER.train.triplet_weight, PAPER.train.recon_weight) == (1.0, 1.0)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name):
    preset = PRESETS[name]
    assert Preset.from_dict(json.loads(json.dumps(preset.to_dict()))) == preset


def test_settings_from_before_there_were_shape_encoders_mean_the_papers():
    fields = PAPER.to_dict()
    del fields["model"]["shape_encoder"]
    assert Preset.from_dict(fields) == PAPER


def test_settings_from_before_there_was_a_contrastive_loss_have_none():
    fields = SMALL.to_dict()
    del fields["train"]["contrast_weight"], fields["train"]["contrast_temperature"]
    assert Preset.from_dict(fields) == SMALL


def test_a_damaged_flag_is_refused():
    fields = SMALL.to_dict()
    fields["train"]["augment"] = "False"
    with pytest.raises(ValueError, match="augment: got 'False', want true or false"):
        Preset.from_dict(fields)


@pytest.mark.parametrize("damage", [{"model": {}}, {"train": 1}, {"extra": 1}, {"memory": None}])
def test_damaged_settings_are_refused(damage):
    fields = PAPER.to_dict()
    for name, value in damage.items():
        if name == "extra":
            fields["train"]["extra"] = value
        else:
            fields[name] = value
    with pytest.raises(ValueError, match="preset"):
        Preset.from_dict(fields)


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": 8},
        {"priors": 0},
        {"dropout": 1.0},
        {"hidden": 2047},
        {"shape_encoder": "gru"},
        {"pose": 8},  # nothing is guessed
    ],
)
def test_impossible_networks_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        replace(ModelConfig(), **change)


@pytest.mark.parametrize(
    "change",
    [
        *[{"epochs": 0}, {"batch": 0}, {"learning_rate": 0.0}, {"accumulate": 0}, {"warmup": -1}],
        *[{"contrast_weight": -0.1}, {"contrast_weight": float("nan")}],
        *[{"contrast_temperature": 0.0}, {"contrast_temperature": float("inf")}],
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
    later = ("precision", "accumulate", "patience", "schedule", "warmup", "staleness_sample")
    for name in later:
        del fields["train"][name]
    assert Preset.from_dict(fields) == PAPER


@pytest.mark.parametrize("damage", [{"flip": "often"}, {"rotate": 1.0}, {"hides": 2.0}, None, 1])
def test_damaged_augmentation_is_refused(damage):
    fields = json.loads(json.dumps(PAPER.to_dict()))
    train = fields["train"]
    train["augmentation"] = train["augmentation"] | damage if isinstance(damage, dict) else damage
    with pytest.raises(ValueError, match=r"preset|hides"):
        Preset.from_dict(fields)


def test_settings_cannot_be_changed_by_accident():
    with pytest.raises(FrozenInstanceError):
        PAPER.train.epochs = 3
