"""What the commands of both programs share: options, progress, notices."""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mem3d_cli.app import MORE, counted, printable, room_wanted
from mem3d_cli.paths import data_folder, run_folder, trained_folder, trained_folders
from mem3d_cli.progress import progress_bar as progress_bar  # for the commands too

if TYPE_CHECKING:
    from rich.table import Table

    from mem3d.actors import Hiring
    from mem3d.data.dataset import ShapeDataset
    from mem3d.data.images.backgrounds import Backgrounds
    from mem3d.data.splits import SplitName
    from mem3d.network.config import Preset
    from mem3d.runs.folder import Learned
    from memstore import Memory


Which = Literal["best", "last"]  # epoch: the best on validation, or the last
PRESET_NAMES = ("small", "best", "paper", "demo", "tiny")
KnownPolicy = Literal["refuse", "drop", "keep"]  # of shapes that a memory or a training knows


def placed(path: Path | None) -> Path | None:
    """The path, unless no file can be there: to be said before the work, not after it."""
    if path is not None and path.is_dir():
        raise ValueError(f"{path}: cannot be written: a folder is there, want a file")
    if path is not None and not path.parent.is_dir():
        raise ValueError(f"{path}: cannot be written: there is no folder {path.parent}")
    return path


def check_distinct(run: Path, others: list[Path]) -> None:
    """Raise ValueError where a run is to answer twice."""
    folders: set[Path] = set()
    for folder in (run, *others):
        if folder.resolve() in folders:
            raise ValueError(f"--ensemble: got {folder} twice, want each run once")
        folders.add(folder.resolve())


def png(path: Path | None) -> Path | None:
    """The path, unless its ending promises another kind of picture, or its folder is missing."""
    if path is not None and path.suffix.lower() not in ("", ".png"):
        raise typer.BadParameter(f"got {printable(path)}, want a name that ends in .png")
    return placed(path)


def preset_name(name: str) -> str:
    """The name, unless it is no preset's."""
    if name not in PRESET_NAMES:
        raise ValueError(f"preset: got {name!r}, want one of {', '.join(PRESET_NAMES)}")
    return name


def device_name(device: str) -> str:
    """The device, unless it cannot be one; whether it is there, torch tells."""
    if not re.fullmatch(r"(cpu|cuda|mps|xpu)(:\d+)?", device):
        raise ValueError(f"device: got {device!r}, want cpu or cuda")
    return device


DataFolder = Annotated[
    Path,
    typer.Argument(
        help="Data set: a folder, a pack or an index.",
        callback=data_folder,
    ),
]
TrainedFolder = Annotated[
    Path | None,
    typer.Argument(
        help="Folder of a run, as train makes it, or of a published network. Default: the bundled "
        "model.",
        callback=trained_folder,
    ),
]
RunFolder = Annotated[
    Path, typer.Argument(help="Folder of a run, as train makes it.", callback=run_folder)
]
NewRun = Annotated[
    Path, typer.Option("--out", "-o", help="Folder of the new run; RUN stays as it is.")
]
Checkpoint = Annotated[
    Which,
    typer.Option(help="Weights of the epoch that was best on validation, or the last."),
]
Stem = Annotated[
    str,
    typer.Option(
        help="Weights that the image encoder, a ResNet-50, begins with: bundled, imagenet "
        "(downloaded), a safetensors file, or none (random, and trained too).",
        rich_help_panel=MORE,
    ),
]
Search = Literal["exact", "ivf"]  # of keys, as MemoryConfig has it
SheetOut = Annotated[Path, typer.Option("--out", "-o", help="PNG to write.", callback=png)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Ensemble = Annotated[
    list[Path] | None,
    typer.Option(
        "--ensemble",
        metavar="<path>",
        callback=trained_folders,
        help="Another network, whose answer is averaged with RUN's; takes as long again. May be "
        "repeated. Let RUN be the one that takes the largest pictures: the others get its "
        "pictures, scaled.",
        rich_help_panel=MORE,
    ),
]
Flip = Annotated[
    bool,
    typer.Option(
        "--flip",
        help="Average with each photo's mirror image; takes twice as long.",
        rich_help_panel=MORE,
    ),
]
Device = Annotated[str, typer.Option(help="Where to compute: cpu or cuda.", callback=device_name)]
Threads = Annotated[
    int | None, typer.Option(help="CPU threads to compute with. Default: all.", min=1)
]


UseRay = Annotated[
    bool,
    typer.Option(
        "--ray",
        help="Spread the work over workers of Ray, on this machine (needs the extra 'ray'). What "
        "comes out is the same, bit for bit.",
        rich_help_panel=MORE,
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="<address>",
        help="As --ray, on a cluster whose machines see the same folders: its address, or auto.",
        rich_help_panel=MORE,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="With --ray: how many, each with a network of its own. Default: as many as CPUs, by "
        "--threads of each; take --threads 1.",
        rich_help_panel=MORE,
    ),
]


def hiring_of(
    use_ray: bool, address: str | None, workers: int | None, device: str
) -> "Hiring | None":
    """Which workers of Ray's are wanted; None: the work is done here."""
    from mem3d.actors import Hiring

    if not (use_ray or address):
        if workers is not None:
            raise ValueError("--workers: got it without --ray, want it only with that")
        return None
    if device != "cpu":
        raise ValueError(f"--ray: got --device {device}, want cpu")
    return Hiring(workers, address)


@contextmanager
def resumable(folder: Path, place: Callable[[], str] = lambda: "there") -> Iterator[None]:
    """Ctrl-C within is one line on stderr and exit status 130; a full disk also says what next.

    Args:
        folder: that work goes to.
        place: gives where the same command goes on from.
    """
    try:
        with room_wanted("make room, and the same command goes on from there"):
            yield
    except KeyboardInterrupt:
        notice = f"{printable(folder)}: interrupted; the same command goes on from {place()}"
        typer.echo(notice, err=True)
        raise typer.Exit(130) from None


def print_table(table: "Table") -> None:
    """Print a table, as wide as the terminal; into a file or pipe, as wide as it is."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 1000
    console.print(table)


def print_json(result: Any) -> None:
    """Print one JSON object."""
    typer.echo(json.dumps(result))


def print_made(path: str | Path, slots: int, as_json: bool) -> None:
    """Tell what was made, and of how many slots."""
    if as_json:
        print_json({"path": str(path), "slots": slots})
    else:
        typer.echo(f"{printable(path)}: {counted(slots, 'slot')}")


def print_picture(path: Path, models: int, as_json: bool) -> None:
    """Tell which picture was drawn, and of how many models."""
    if as_json:
        print_json({"path": str(path), "models": models})
    else:
        typer.echo(printable(path))


def set_threads(threads: int | None) -> None:
    """Compute with so many CPU threads; None: as many as torch takes."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def thread_count(threads: int | None) -> int:
    """As `set_threads`; how many CPU threads there are then."""
    import torch

    set_threads(threads)
    return torch.get_num_threads()


def open_data(
    root: Path,
    subset: "SplitName | None",
    split: Path | None,
    quiet: bool,
    views: int | None = None,
) -> "ShapeDataset":
    """Open a data set, read it once, and name on stderr what is missing or broken."""
    from mem3d.data.open import open_dataset

    with progress_bar(quiet, f"checking {subset or root}") as show:
        data = open_dataset(root, subset, split).check(views, show)
    if data.skipped:
        typer.echo(f"{printable(root)}: missing or broken: {len(data.skipped)}", err=True)
        print_skipped((skip.shape_id, skip.reason) for skip in data.skipped)
    return data


def open_learning(root: Path, extra: list[Path], split: Path | None, quiet: bool) -> "ShapeDataset":
    """The training models of a data set, and of others besides."""
    from mem3d.data.dataset import ConcatDataset
    from mem3d.data.open import learning_subset

    learning = open_data(root, "train", split, quiet)
    if not extra:
        return learning
    others = [open_data(path, learning_subset(path), None, quiet) for path in extra]
    return ConcatDataset([learning, *others])


def print_skipped(skipped: Iterable[tuple[str, str]], word: str = "skipped") -> None:
    """Name on stderr what was left out, and why: the first ten, and how many more."""
    listed = list(skipped)
    for name, reason in listed[:10]:
        typer.echo(f"  {word} {printable(name)}: {printable(reason)}", err=True)
    if len(listed) > 10:
        typer.echo(f"  ... and {len(listed) - 10:,} more", err=True)


def open_backgrounds(folder: Path, quiet: bool) -> "Backgrounds":
    """Open a folder of photos, and name on stderr those that cannot be read."""
    from mem3d.data.images.backgrounds import Backgrounds

    with progress_bar(quiet, "background photos") as show:
        backgrounds = Backgrounds.open(folder, show)
    print_skipped(backgrounds.skipped)
    return backgrounds


def data_of(run: Path, data: Path | None) -> tuple[Path, Path | None]:
    """The data named, or those that the run was trained on, and their split file.

    Args:
        run: folder.
        data: of --data.

    Raises:
        ValueError: no run's folder, or its data are not where they were.
    """
    from mem3d.runs.folder import run_data

    if data is not None:
        return data, None
    root, split = run_data(run)
    if not root.exists():
        raise ValueError(
            f"{root}: got nothing there, where the run's data were; name them (--data)"
        )
    return root, split


def check_out(out: Path | None, dry_run: bool) -> None:
    """Raise an error unless there is either a free place for a new run, or none is wanted."""
    from memstore.files import check_free

    if (out is not None) == dry_run:
        raise ValueError(
            f"--out, --dry-run: got {'both' if dry_run else 'neither'}, want one of them"
        )
    if out is not None:
        check_free(out)


def preset_with(name: str, is_random: bool, settings: Iterable[str]) -> "Preset":
    """The preset of that name, with single settings changed.

    Args:
        name: of a preset.
        is_random: whether the stem begins with random weights, which have to learn.
        settings: see `mem3d.network.config.changed`.
    """
    from mem3d.data.readers.r2n2 import RESOLUTION
    from mem3d.network.config import changed
    from mem3d.network.presets import PRESETS, with_own_key

    preset = PRESETS[name]
    if is_random:
        preset = with_own_key(preset)  # a ranked one is learned from a frozen stem's maps
        train = replace(preset.train, freeze_stem=False, cached_views=0, pose_epochs=0)
        preset = replace(preset, train=train)
    preset = changed(preset, settings)
    if (side := preset.model.resolution) != RESOLUTION:
        layers = len(preset.model.decoder)
        raise ValueError(
            f"model.decoder: got {layers} layers, which make grids of {side}^3 voxels, want "
            f"{layers + RESOLUTION.bit_length() - side.bit_length()}: data are {RESOLUTION}^3"
        )
    return preset


def print_settings(is_set: bool) -> None:
    """Print all that --set can change, and end; the callback of --settings."""
    if not is_set:
        return
    from mem3d.network.presets import PRESETS

    presets = {name: _flat(PRESETS[name].to_dict()) for name in PRESET_NAMES}
    own = presets.pop("small")
    for path, value in own.items():
        others = [f"{name} {row[path]}" for name, row in presets.items() if row[path] != value]
        typer.echo(f"{path}={value}{'   (' * bool(others)}{', '.join(others)}{')' * bool(others)}")
    raise typer.Exit


def _flat(settings: dict[str, Any], before: str = "") -> dict[str, str]:
    """Settings by their paths, each value as --set takes it."""
    rows: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            rows |= _flat(value, f"{before}{name}.")
        else:
            rows[before + name] = value if isinstance(value, str) else json.dumps(value)
    return rows


Settings = Annotated[
    bool,
    typer.Option(
        "--settings",
        is_eager=True,
        callback=print_settings,
        help="List all settings of small, and where other presets differ.",
        rich_help_panel=MORE,
    ),
]


def warn_of_random_stem(preset: str, is_random: bool) -> None:
    """Say on stderr that a stem learns that the preset would keep as it was loaded."""
    from mem3d.network.presets import PRESETS

    if is_random and PRESETS[preset].train.freeze_stem:
        typer.echo(
            "stem: random weights, so it is trained too: slower and worse (--stem)", err=True
        )


def warn_of_short_floats(preset: "Preset", device: str) -> None:
    """Say on stderr that a run that asks for bfloat16 computes in float32 here."""
    from mem3d.system import computes_bfloat16

    if preset.train.precision == "bfloat16" and not computes_bfloat16(device):
        typer.echo("precision: this CPU has no bfloat16, so float32 is computed instead", err=True)


def with_backgrounds(preset: "Preset", photos: "Backgrounds | None") -> "Preset":
    """A preset whose training pictures lie before photos; None: on plain ground."""
    fingerprint = "" if photos is None else photos.fingerprint
    augmentation = replace(preset.train.augmentation, backgrounds=fingerprint)
    return replace(preset, train=replace(preset.train, augmentation=augmentation))


KnownShapes = Annotated[
    KnownPolicy | None,
    typer.Option(
        help="Shapes that the network learned from or remembers: refuse to go on, drop them, or "
        "keep them and say so. Default: refuse for test, else keep."
    ),
]


def default_policy(subset: "SplitName") -> KnownPolicy:
    """A memory is there to know its training shapes; only of a test must they be no part."""
    return "refuse" if subset == "test" else "keep"


def learned_shapes(run: Path) -> "Learned":
    """What a run knows; a warning where its data are gone."""
    from mem3d.network.checkpoint import is_published
    from mem3d.runs import folder

    learned = folder.learned_by(run)
    if is_published(run):
        typer.echo(
            f"{printable(run)}: shapes in its memory are left out of the test; a published folder "
            "does not list others that it may have learned from",
            err=True,
        )
    elif learned.unlisted is not None:
        root, reason = learned.unlisted
        typer.echo(
            f"the run's data are not at {printable(root)} ({printable(reason)}): shapes that it "
            "learned from and that its memory has forgotten cannot be told",
            err=True,
        )
    return learned


def apply_policy(
    policy: KnownPolicy, memory: "Memory", test: "ShapeDataset", learned: "Learned"
) -> tuple["ShapeDataset", dict[str, Any]]:
    """The shapes to test on, and how many of them were known."""
    from mem3d.data.dataset import Subset
    from mem3d.evaluation.leakage import describe, known_shapes

    leaks = known_shapes(memory, test, learned.names)
    if leaks and policy == "refuse":
        raise ValueError(
            f"{test.root}: {describe(leaks, len(test))}; this would be no test. "
            "Data sets do repeat shapes across their own splits: --known-shapes drop leaves these "
            "out, --known-shapes keep tests on them and says so"
        )
    counts = {by: sum(leak.by == by for leak in leaks) for by in ("name", "grid", "training")}
    report = {"models": policy, **counts, "learned_known": learned.unlisted is None}
    if not leaks or policy == "keep":
        return test, report
    if len(leaks) == len(test):
        raise ValueError(f"{test.root}: {describe(leaks, len(test))}; none is left to test on")
    dropped = {leak.shape for leak in leaks}
    return Subset(test, [i for i in range(len(test)) if i not in dropped]), report
