"""Paths of the command line, looked at before the libraries are imported, which takes seconds.

What a path should be and is not is told in a line, with what was likely meant. A path that passes
is only likely to be right: the libraries look closer. A path of None was not named.
"""

import glob
import os
import re
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

import typer

from mem3d_cli.app import example_of

_CHECKPOINTS = ("best.safetensors", "last.safetensors")
_VIEWS, _GRIDS = "ShapeNetRendering", "ShapeNetVox32"
_DATA = (_VIEWS, "pix3d.json", "zarr.json")  # one of them lies in a data folder
_MESHES = (".obj", ".glb", ".gltf", ".stl", ".ply", ".off")
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic")
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".xz", ".bz2", ".7z", ".rar")
_LISTED = 1_000  # entries of a folder that are looked at
_RUN = "a run's folder or a published one"
_PHOTO = "a picture, a folder of them or a pattern"


def trained_folder(context: typer.Context, path: Path | None) -> Path | None:
    """The path, unless it is no folder of a run, nor a published one."""
    if path is not None:
        check_trained(path, example_of(context.command.help))
    return path


def run_folder(context: typer.Context, path: Path) -> Path:
    """The path, unless it is no folder of a run; a published one is none."""
    check_trained(path, example_of(context.command.help))
    if not any((path / name).is_file() for name in _CHECKPOINTS):
        raise ValueError(f"{path}: got a published folder, want the run that it was made from")
    return path


def trained_folders(paths: list[Path] | None) -> list[Path] | None:
    """As `trained_folder`, of an option that may be repeated."""
    for path in paths or ():
        check_trained(path)
    return paths


def checkpoints(paths: list[Path]) -> list[Path]:
    """The paths, unless one is neither a checkpoint's file nor a folder of a run."""
    for path in paths:
        if not path.is_file():
            check_trained(path)
    return paths


def data_folder(path: Path) -> Path:
    """The path, unless it is nothing that data could be read from."""
    check_data(path)
    return path


def run_and_photos(context: typer.Context, words: list[str]) -> list[str]:
    """The words, unless one of them is neither a photo nor, as the first, a run."""
    run, photos = split_words(words)
    if run is None:
        _check_first(Path(words[0]), example_of(context.command.help))
    elif not photos:
        raise ValueError(f"{run}: got a run alone, want photos after it: {_PHOTO}")
    for name in photos:
        path = Path(name)
        if not path.exists() and not glob.has_magic(name):
            raise nothing_there(path, f"{_RUN}, or {_PHOTO}" if name is words[0] else _PHOTO)
        if _is_run(path):
            raise ValueError(f"{path}: got a run among the photos, want RUN once and first")
    return words


def split_words(words: list[str]) -> tuple[Path | None, list[str]]:
    """The run, None where the first word is none, and the photos."""
    first = Path(words[0])
    return (first, words[1:]) if _is_run(first) else (None, words)


def _check_first(path: Path, example: str) -> None:
    """Raise ValueError where what should be the first photo was meant to be a run, but is none."""
    is_memory = path.resolve().name == "memory" and _is_run(path.resolve().parent)
    is_other = is_memory or path.name in _CHECKPOINTS or (path / "run.json").is_file()
    entries = _entries(path) if path.is_dir() else []
    if is_other or _is_data(path) or any(_is_run(entry) for entry in entries):
        check_trained(path, example)
    if path.is_dir() and not any(entry.suffix.lower() in _PICTURES for entry in entries):
        raise ValueError(
            f"{path}: got a folder with neither a run nor pictures in it, want {_RUN}, or {_PHOTO}"
        )


def check_inputs(
    data: Path | None,
    extra: list[Path] | None,
    split: Path | None,
    backgrounds: Path | None,
    stem: str,
) -> None:
    """Raise ValueError unless all that a training reads seems to be there."""
    for folder in (data, *(extra or ())):
        check_data(folder)
    check_file(split)
    check_folder(backgrounds)
    if stem not in ("none", "imagenet", "bundled"):
        from mem3d.network.config import check_stem, listed_stems

        if not Path(stem).exists():
            raise nothing_there(Path(stem), f"{listed_stems()} or a safetensors file", "stem ")
        check_stem(stem)


def check_data_named(run: Path | None, data: Path | None) -> None:
    """Raise ValueError where nothing tells which data to measure on.

    Args:
        run: a run's folder tells, a published one does not, and neither does the bundled model
            (None).
        data: of --data.
    """
    if data is None and not (run and any((run / name).is_file() for name in _CHECKPOINTS)):
        name = run or "the bundled model"
        raise ValueError(f"--data: got none, want a data set to measure on: {name} tells none")


def check_new_run(path: Path) -> None:
    """Raise ValueError where a new run would lie among data, or be a file."""
    _check_no_file(path)
    if _is_data(path):
        raise ValueError(
            f"{path}: got a data folder, want a new folder for the run, and the data as an option: "
            f"mem3d-cli train RUN --data {path}"
        )


def check_study(path: Path) -> None:
    """Raise ValueError where a study would lie in a run or among data, or be a file."""
    _check_no_file(path)
    want = "want a new folder for the study, or that of one to go on with"
    if _is_run(path):
        raise ValueError(f"{path}: got a run's folder, {want}")
    if _is_data(path):
        raise ValueError(f"{path}: got a data folder, {want}")


def _check_no_file(path: Path) -> None:
    """Raise ValueError where a folder is to be made and a file is."""
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path}: got a file, want a folder")


def check_file(path: Path | None) -> None:
    """Raise ValueError where a path leads to no file."""
    check_there(path, "a file")
    if path is not None and path.is_dir():
        raise ValueError(f"{path}: got a folder, want a file")


def check_folder(path: Path | None) -> None:
    """Raise ValueError where a path leads to no folder."""
    check_there(path, "a folder")
    if path is not None and not path.is_dir():
        raise ValueError(f"{path}: got a file, want a folder")


def check_there(path: Path | None, want: str = "a file or a folder") -> None:
    """Raise ValueError where a path leads nowhere."""
    if path is not None and not path.exists():
        raise nothing_there(path, want)


def check_trained(path: Path, example: str = "") -> None:
    """Raise ValueError unless there are a run's or a published folder's weights.

    Args:
        path: of the folder.
        example: of the command.
    """
    if _is_run(path):
        return
    first = f"want {_RUN} there" + (f", as in: {example}" if example else "")
    if not path.exists():
        raise nothing_there(path, _RUN)
    if path.name in _CHECKPOINTS:
        raise ValueError(f"{path}: got a checkpoint's file, want its folder: {path.parent}")
    if not path.is_dir():
        kind = "a picture" if path.suffix.lower() in _PICTURES else "a file"
        raise ValueError(f"{path}: got {kind}, {first}")
    if path.resolve().name == "memory" and _is_run(path.resolve().parent):
        raise ValueError(f"{path}: got a run's memory, want the run: {_shown(path, path.parent)}")
    if (path / "run.json").is_file():
        raise ValueError(f"{path}: got a run without a checkpoint, want it trained for an epoch")
    if _is_data(path):
        raise ValueError(f"{path}: got a data folder, {first}")
    entries = _entries(path)
    if runs := [entry for entry in entries if _is_run(entry)]:
        raise ValueError(f"{path}: got a folder above runs, want one of them: {_listed(runs)}")
    if any(entry.suffix.lower() in _PICTURES for entry in entries):
        raise ValueError(f"{path}: got a folder of pictures, {first}")
    raise ValueError(f"{path / _CHECKPOINTS[0]}: got no file, want {_RUN}")


def check_data(path: Path | None) -> None:
    """Raise ValueError where there are no data, or where they lie above or below; URLs pass."""
    if path is None or re.match(r"\w+:/", str(path)):
        return
    if not path.exists():
        raise nothing_there(path, "a data folder, a pack or an index")
    ending = path.suffix.lower() if path.is_file() else ""
    if ending in _ARCHIVES:
        raise ValueError(f"{path}: got an archive, want the folder that is in it: unpack it first")
    if not path.is_dir() or _is_data(path):
        return
    if above := [folder for folder in path.resolve().parents if _is_data(folder)]:
        whole = _shown(path, above[0])
        raise ValueError(f"{path}: got a folder within data, want the data folder itself: {whole}")
    entries = _entries(path)
    if below := [entry for entry in entries if _is_data(entry)]:
        raise ValueError(f"{path}: got a folder above data, want the data: {_listed(below)}")
    if _is_run(path):
        raise ValueError(f"{path}: got a run's folder, want a data folder, a pack or an index")
    deeper = [inner for entry in entries if entry.is_dir() for inner in _entries(entry)]
    if any(entry.suffix.lower() in _MESHES for entry in (*entries, *deeper)):
        command = f"mem3d-cli data render {path} --out DATA"
        raise ValueError(f"{path}: got a folder of meshes, want data, made of them by {command}")
    raise ValueError(
        f"{path}: got no folder {_VIEWS}, want the R2N2 layout ({_VIEWS}/, {_GRIDS}/), Pix3D's, a "
        "pack or an index (docs/guide/data.md)"
    )


def nothing_there(path: Path, want: str, what: str = "") -> ValueError:
    """The error of a path that leads nowhere, with where it may have been meant to lead.

    Args:
        path: nothing is there.
        want: what should be.
        what: is named by the path; it stands before that.
    """
    names = get_close_matches(path.name, [entry.name for entry in _entries(path.parent)])
    near = ", ".join(str(path.parent / name) for name in names)
    ending = f"; near that: {near}" if near else ""
    return ValueError(f"{what}{path}: got nothing there, want {want}{ending}")


def _is_run(path: Path) -> bool:
    """Whether weights lie in a folder, a run's or a published one's."""
    if (path / "config.json").is_file() and (path / "model.safetensors").is_file():
        return True
    return any((path / name).is_file() for name in _CHECKPOINTS)


def _is_data(path: Path) -> bool:
    """Whether data lie in a folder."""
    return any((path / name).exists() for name in _DATA)


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder, or some of it where that is much; [] where it cannot be read."""
    try:
        return sorted(islice(folder.iterdir(), _LISTED))
    except OSError:
        return []


def _listed(paths: list[Path]) -> str:
    """The first of some paths, and how many more there are."""
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(map(str, paths[:3])) + more


def _shown(typed: Path, folder: Path) -> Path:
    """A folder, absolute or relative as another one was typed."""
    return folder if typed.is_absolute() else Path(os.path.relpath(folder))
