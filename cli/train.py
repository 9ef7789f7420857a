"""mem3d-cli train."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mem3d_cli.console import (
    AsJson,
    Device,
    Quiet,
    RunFolder,
    Threads,
    open_backgrounds,
    open_data,
    progress_bar,
    resumable,
    set_threads,
)
from mem3d_cli.tables import training_summary

if TYPE_CHECKING:
    from mem3d.config import Preset
    from mem3d.data.backgrounds import Backgrounds


def _preset(
    name: str, is_random: bool, epochs: int | None, batch: int | None, rate: float | None, seed: int
) -> "Preset":
    from mem3d.config import PRESETS

    if name not in PRESETS:
        raise ValueError(f"preset: got {name!r}, want one of {', '.join(PRESETS)}")
    preset = PRESETS[name]
    train = preset.train
    train = replace(
        train,
        seed=seed,
        epochs=epochs or train.epochs,
        batch=batch or train.batch,
        learning_rate=train.learning_rate if rate is None else rate,
    )
    if is_random:
        train = replace(train, freeze_stem=False, variants=0)  # random weights have to learn
    return replace(preset, train=train)


def train(  # long: half of it are the options
    run: RunFolder,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder, pack or index; default: procedural shapes, made in RUN/data."),
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="Split file; default: DATA/split.json.")
    ] = None,
    preset: Annotated[
        str,
        typer.Option(
            help="small: two CPU cores, under an hour; paper: full size, a GPU; demo: minutes; "
            "tiny: to try the commands."
        ),
    ] = "small",
    stem: Annotated[
        str, typer.Option(help="ResNet-50 weights: imagenet, none, or a safetensors file.")
    ] = "none",
    weights: Annotated[
        Path | None, typer.Option(help="Begin with the best weights of this other run.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Default: the preset's.", min=1)] = None,
    batch: Annotated[int | None, typer.Option(help="Default: the preset's.", min=2)] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Default: the preset's.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order and augmentation.", min=0)] = 0,
    backgrounds: Annotated[
        Path | None, typer.Option(help="Folder of photos to lay half of the views over.")
    ] = None,
    occluders: Annotated[
        float,
        typer.Option(
            help="Hide up to this share of the object in half of the views.", min=0, max=0.95
        ),
    ] = 0.0,
    device: Device = "cpu",
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a network and its memory; a run that was interrupted goes on where it was.

    Example: mem3d-cli train runs/first --data shapes --stem resnet50.safetensors
    """
    from mem3d.config import PRESETS
    from mem3d.training import train as train_network

    set_threads(threads)
    is_random = stem == "none" and weights is None
    chosen = _preset(preset, is_random, epochs, batch, learning_rate, seed)
    with resumable(run):
        photos = None if backgrounds is None else open_backgrounds(backgrounds, quiet)
        chosen = _augmented(chosen, photos, occluders)
        root = _procedural(run / "data", seed, quiet) if data is None else data
        learning = open_data(root, "train", split, quiet)
        validation = open_data(root, "val", split, quiet, views=1)
        if is_random and PRESETS[preset].train.freeze_stem and not quiet:
            typer.echo(
                "stem: random weights, so it is trained too: slower and worse (--stem)", err=True
            )
        with progress_bar(quiet, "training") as show:
            row = train_network(
                learning,
                validation if len(validation) else None,
                run,
                chosen,
                stem=stem,
                weights=weights,
                device=device,
                backgrounds=photos,
                on_prepare=lambda done, total: show(done, total, "pictures through the stem"),
                on_step=lambda done, total, figures: show(
                    done, total, f"bce {figures['bce']:.4f}  hits {figures['hit_rate']:.2f}"
                ),
            )
    typer.echo(json.dumps(row) if as_json else training_summary(run, row))


def _augmented(preset: "Preset", photos: "Backgrounds | None", occluders: float) -> "Preset":
    augmentation = replace(
        preset.train.augmentation,
        backgrounds="" if photos is None else photos.fingerprint,
        hides=occluders,
    )
    return replace(preset, train=replace(preset.train, augmentation=augmentation))


def _procedural(folder: Path, seed: int, quiet: bool) -> Path:
    """Make the default data set, or find it made."""
    from mem3d.data.synthesis import synthesise

    with progress_bar(quiet, "shapes") as show:
        synthesise(folder, seed=seed, processes=os.cpu_count() or 1, progress=show)
    return folder
