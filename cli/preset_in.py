"""The preset as it comes into `mem3d-cli train` and `study`: named, changed, its costs told."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from mem3d.config import Preset
    from mem3d.data.backgrounds import Backgrounds


def chosen_preset(
    name: str, is_random: bool, wishes: dict[str, Any], settings: Iterable[str]
) -> "Preset":
    """The preset of that name, with the wishes for its training that are not None, and settings.

    Args:
        name: of a preset.
        is_random: whether the stem begins with random weights, which have to learn.
        wishes: fields of `TrainConfig`.
        settings: of --set, see `mem3d.settings.changed`.
    """
    from mem3d.data.r2n2 import RESOLUTION
    from mem3d.presets import PRESETS
    from mem3d.settings import changed

    if name not in PRESETS:
        raise ValueError(f"preset: got {name!r}, want one of {', '.join(PRESETS)}")
    preset = PRESETS[name]
    given = {field: value for field, value in wishes.items() if value is not None}
    train = replace(preset.train, **given)
    if is_random:
        train = replace(train, freeze_stem=False, variants=0, pose_epochs=0)
    preset = changed(replace(preset, train=train), settings)
    if (side := preset.model.resolution) != RESOLUTION:
        layers = len(preset.model.decoder)
        raise ValueError(
            f"model.decoder: got {layers} layers, which make grids of {side}^3 voxels, want "
            f"{layers + RESOLUTION.bit_length() - side.bit_length()}: data are {RESOLUTION}^3"
        )
    return preset


def warn_of_random_stem(preset: str, is_random: bool) -> None:
    """Say on stderr that a stem learns that the preset would keep as it was loaded."""
    from mem3d.presets import PRESETS

    if is_random and PRESETS[preset].train.freeze_stem:
        typer.echo(
            "stem: random weights, so it is trained too: slower and worse (--stem)", err=True
        )


def warn_of_short_floats(preset: "Preset", device: str) -> None:
    """Say on stderr that a run that asks for bfloat16 computes in float32 here."""
    from mem3d.machine import computes_bfloat16

    if preset.train.precision == "bfloat16" and not computes_bfloat16(device):
        typer.echo("precision: this CPU has no bfloat16, so float32 is computed instead", err=True)


def before(preset: "Preset", photos: "Backgrounds | None") -> "Preset":
    """A preset whose training pictures lie before photos; None: on plain ground."""
    named = "" if photos is None else photos.fingerprint
    augmentation = replace(preset.train.augmentation, backgrounds=named)
    return replace(preset, train=replace(preset.train, augmentation=augmentation))
