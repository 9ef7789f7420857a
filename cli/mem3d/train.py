"""mem3d-cli train."""

import io
import json
import os
from contextlib import nullcontext, redirect_stderr
from pathlib import Path
from typing import Annotated

import typer

from mem3d_cli.app import MORE, printable
from mem3d_cli.options import (
    AsJson,
    Device,
    Quiet,
    Settings,
    Stem,
    Threads,
    open_backgrounds,
    open_data,
    open_learning,
    preset_name,
    preset_with,
    progress_bar,
    resumable,
    set_threads,
    warn_of_random_stem,
    warn_of_short_floats,
    with_backgrounds,
)
from mem3d_cli.paths import check_inputs, check_new_run, trained_folders
from mem3d_cli.progress import epoch_line, step_note
from mem3d_cli.tables import training_summary


def train(  # long: half of it are the options
    run: Annotated[
        Path, typer.Argument(help="Folder of the run: new, or that of a run to go on with.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Data set to learn from: a folder, a pack or an index. Default: procedural "
            "shapes, made in RUN/data."
        ),
    ] = None,
    split: Annotated[
        Path | None,
        typer.Option(
            help="Split file: shapes for training, validation and test. Default: DATA/split.json."
        ),
    ] = None,
    preset: Annotated[
        str,
        typer.Option(
            callback=preset_name,
            help="Size of network and training. small: an hour of a CPU core for 8,000 shapes; "
            "best: minutes of a GPU for 12,000; paper: full size, a GPU; demo: minutes; "
            "tiny: a trial.",
        ),
    ] = "small",
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Passes through the data. Default: the preset's; small's 6 are for 8,000 shapes, "
            "400 want 100.",
            min=1,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Random seed of weights, order and augmentation.", min=0)
    ] = 0,
    backgrounds: Annotated[
        Path | None,
        typer.Option(help="Folder of photos to put behind half of the training pictures."),
    ] = None,
    device: Device = "cpu",
    extra: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="<path>",
            help="More to learn from: a data set's training shapes, or all if it has no split. "
            "May be repeated. Validation and test stay DATA's.",
            rich_help_panel=MORE,
        ),
    ] = None,
    stem: Stem = "bundled",
    weights: Annotated[
        Path | None,
        typer.Option(help="Run whose best weights this one begins with.", rich_help_panel=MORE),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            help="Pictures in a step. Default: the preset's.", min=2, rich_help_panel=MORE
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Learning rate of Adam. Default: the preset's.", rich_help_panel=MORE),
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="<name=value>",
            help="Any setting of the preset, such as train.patience=5. May be repeated.",
            rich_help_panel=MORE,
        ),
    ] = None,
    settings: Settings = False,
    keep_maps: Annotated[
        bool,
        typer.Option(
            "--keep-maps",
            help="Keep the feature maps of a frozen encoder in RUN, so that it goes on sooner.",
            rich_help_panel=MORE,
        ),
    ] = False,
    tensorboard: Annotated[
        bool,
        typer.Option(
            "--tensorboard",
            help="Also write RUN/tensorboard; needs the package tensorboard.",
            rich_help_panel=MORE,
        ),
    ] = False,
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a network and its memory.

    The same command goes on with a training that was interrupted.
        Weights, memory, settings, log and curves go to RUN, whose memory is RUN/memory. On several
    GPUs: torchrun --no-python --nproc-per-node 2 mem3d-cli train ...

    Example: mem3d-cli train runs/first --data shapes

    In Python: mem3d.train.
    """
    if data is not None and run.resolve() == data.resolve():
        raise ValueError(f"{run}: got the data's own folder, want a new one for the run")
    is_random = stem == "none" and weights is None
    options = {"seed": seed, "epochs": epochs, "batch": batch, "learning_rate": learning_rate}
    changes = [f"train.{name}={value}" for name, value in options.items() if value is not None]
    config = preset_with(preset, is_random, [*changes, *(change or [])])
    check_new_run(run)
    check_inputs(data, extra, split, backgrounds, stem)
    trained_folders([weights] if weights else None)

    from mem3d.network.checkpoint import check_device  # takes seconds
    from mem3d.system import keep_freed_memory
    from mem3d.training.distributed import joined
    from mem3d.training.state import check_folder
    from mem3d.training.trainer import STOPPED
    from mem3d.training.trainer import train as train_network
    from memstore import Memory, remarks

    check_folder(run)  # before shapes are made in it; each process, as none has begun to write
    set_threads(threads)
    keep_freed_memory()
    with resumable(run, lambda: _last_checkpoint(run)), joined(device) as (replicas, own_device):
        check_device(own_device)  # before the data are read
        quiet = quiet or not replicas.is_first
        with nullcontext() if replicas.is_first else redirect_stderr(io.StringIO()):
            photos = None if backgrounds is None else open_backgrounds(backgrounds, quiet)
            config = with_backgrounds(config, photos)
            if data is None and replicas.is_first:
                _procedural(run / "data", seed, quiet)
            replicas.wait()
            root = run / "data" if data is None else data
            learning = open_learning(root, extra or [], split, quiet)
            validation = open_data(root, "val", split, quiet, views=1)
        if replicas.is_first:
            warn_of_random_stem(preset, is_random)
            warn_of_short_floats(config, own_device)
        epochs = config.train.epochs
        with progress_bar(quiet, "training") as show:
            row = train_network(
                learning,
                validation if len(validation) else None,
                run,
                config,
                stem=stem,
                weights=weights,
                device=own_device,
                backgrounds=photos,
                replicas=replicas,
                keep_maps=keep_maps,
                tensorboard=tensorboard,
                on_prepare=lambda step, total: show(step, total, "pictures through the stem"),
                on_pretrain=show,
                on_step=lambda step, total, row: show(
                    step, total, step_note(step, total, epochs, row)
                ),
                on_epoch=None
                if quiet
                else lambda row: typer.echo(epoch_line(row, epochs), err=True),
            )
    if replicas.is_first:
        if STOPPED in row and not as_json:
            typer.echo(f"{printable(run)}: ended early: {row[STOPPED]}")
        with Memory.open(run / "memory") as memory:
            doubts = remarks(memory)
        row = {**row, "remarks": list(doubts)}
        typer.echo(json.dumps(row) if as_json else training_summary(run, row, doubts))


def _procedural(folder: Path, seed: int, quiet: bool) -> None:
    """Make the default data set, or find it made."""
    from mem3d.data.procedural.writer import synthesize

    with progress_bar(quiet, "shapes") as show:
        synthesize(folder, seed=seed, processes=os.cpu_count() or 1, progress=show)


def _last_checkpoint(run: Path) -> str:
    """Where an interrupted run goes on from: steps since are lost."""
    from mem3d.network.checkpoint import LAST, read_state

    path = run / LAST
    return f"its last checkpoint, step {read_state(path).step}" if path.is_file() else "there"
