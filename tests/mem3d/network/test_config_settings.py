"""Single settings of a preset, changed by name."""

import pytest

from mem3d.network.config import changed
from mem3d.network.presets import SMALL


def test_single_settings_are_changed():
    got = changed(
        SMALL,
        [
            "model.shape_encoder=mean",
            "train.halve_at=[0.5]",
            "train.augmentation.hides=0",
            "model.image_size=64",
        ],
    )
    assert got.model.shape_encoder == "mean" and got.train.halve_at == (0.5,)
    assert got.train.augmentation.hides == 0
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
        "model.lift=no",
        "model.fuse=1",
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
        ("train.epochs=3.0", "train.epochs: got '3.0', want a whole number"),
        ("train.epochs=true", "train.epochs: got 'true', want a whole number"),
        ("train.learning_rate=NaN", "train.learning_rate: got 'NaN', want a number"),
        ("model.fuse=1", "model.fuse: got '1', want true or false"),
        ("model.head=[1,2]", "got '[1,2]', want a list of 3 whole numbers, such as [1,2,3]"),
        ("model.decoder=8", "model.decoder: got '8', want a list of whole numbers"),
        ("train.augmentation.scale=1", "want a list of 2 numbers, such as [1,2]"),
        ("train.view_seed=x", "train.view_seed: got 'x', want a whole number or null"),
        ("train.schedule=3", "train.schedule: got '3', want one of halve, cosine"),
        ("train.epochs", "train.epochs: got no value, want train.epochs=, then a whole number"),
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
        ("modle.passes", "model.passes"),
        ("model.foo", "model.pool"),
        ("memory", "memory.capacity"),
        ("nonsense", "such as train.epochs"),
    ],
)
def test_near_names_are_told(path, near):
    with pytest.raises(ValueError, match="want the name of a setting") as told:
        changed(SMALL, [f"{path}=3"])
    assert f"got '{path}'" in str(told.value) and near in str(told.value)


def test_values_are_taken_as_what_their_setting_is():
    settings = ["train.learning_rate=1", "train.view_seed=null", 'model.shape_encoder="mean"']
    got = changed(SMALL, [*settings, f"train.augmentation.backgrounds={'1' * 16}"])
    assert (got.train.learning_rate, got.train.view_seed) == (1, None)
    assert got.model.shape_encoder == "mean"
    assert got.train.augmentation.backgrounds == "1" * 16
