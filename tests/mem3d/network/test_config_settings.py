"""Single settings of a preset, changed by name."""

import pytest

from mem3d.network.config import changed
from mem3d.network.presets import SMALL


def test_single_settings_are_changed():
    got = changed(
        SMALL,
        [
            "model.shape_encoder=fc",
            "train.halve_at=[0.5]",
            "train.augmentation.max_occlusion=0",
            "model.image_size=64",
        ],
    )
    assert got.model.shape_encoder == "fc" and got.train.halve_at == (0.5,)
    assert got.train.augmentation.max_occlusion == 0
    assert got.memory.key_dim == got.model.feature_dim == 512
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
    with pytest.raises(ValueError) as told:
        changed(SMALL, [setting])
    assert want in str(told.value)


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
    with pytest.raises(ValueError, match="want the name of a setting") as told:
        changed(SMALL, [f"{path}=3"])
    assert f"got '{path}'" in str(told.value) and near in str(told.value)


def test_values_are_taken_as_what_their_setting_is():
    settings = ["train.learning_rate=1", "train.view_seed=null", 'model.shape_encoder="fc"']
    got = changed(SMALL, [*settings, f"train.augmentation.backgrounds={'1' * 16}"])
    assert (got.train.learning_rate, got.train.view_seed) == (1, None)
    assert got.model.shape_encoder == "fc"
    assert got.train.augmentation.backgrounds == "1" * 16
