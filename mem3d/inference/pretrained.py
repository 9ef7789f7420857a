"""A network and its memory as one folder of plain files, to hand to others.

    FOLDER/config.json           settings, what the weights reached, checks of the other files
    FOLDER/model.safetensors     weights under the names of the network's own state
    FOLDER/memory.safetensors    the memory, as memstore exports it (docs/exchange.md); or
                                 memory.npz, the same, deflated
    FOLDER/README.md             a model card
    FOLDER/SHA256SUMS            of the first three and the picture, for `sha256sum -c SHA256SUMS`

A folder is untrusted input: there is no pickle in it, sizes are checked against the files before
anything is made, and the three files must agree with each other. What has rotted on the way is
refused: config.json names the BLAKE2b of the other files ("files") and of its own content
("check"). Without the two, as in folders from before or of others' making, nothing is compared.
The model card is for others to edit, so it has no check; the picture has one that nobody compares.
Weights may be float16, which takes half the bytes; what is loaded is float32. Other files, such as
licenses, may lie beside.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from torch import Tensor

from mem3d.bundled import bundled_model
from mem3d.inference.model_card import Card, card_of_run, card_text
from mem3d.integrity import check_of_facts, check_of_file
from mem3d.network import checkpoint
from mem3d.network.checkpoint import (
    CONFIG,
    FILES,
    MEMORY,
    PICTURE,
    SMALL_MEMORY,
    WEIGHTS,
    State,
    Which,
    check_device,
    check_trained,
    filled,
    is_published,
)
from mem3d.network.config import Preset
from mem3d.network.model import Mem3D
from mem3d.tensor_files import opened, save_tensors
from memstore import ExtraMissingError, Memory, export, import_memory
from memstore.files import made_beside, open_regular
from memstore.json_text import parse_json

CARD, SUMS = "README.md", "SHA256SUMS"
FORMAT = 1
_MAX_CONFIG = 2**20  # bytes of config.json; ours has about 3,000
_MAX_PICTURE = 2**24  # bytes of a run's picture
_WANT = "a published folder"


def publish(
    run: str | Path, folder: str | Path, which: Which = "best", *, half: bool = False
) -> None:
    """Make a folder of plain files from a run, whole or not at all; the run stays as it is.

    The memory holds the voxels of training shapes and their names: mind their license.

    Args:
        run: folder written by training.
        folder: where nothing is yet.
        which: the best epoch on validation, or the last.
        half: see `save_folder`.

    Raises:
        ValueError: the run holds no readable checkpoint, or weights too large for half.
        memstore.MemstoreError: its memory cannot be read, there is something at `folder`, or the
            disk refuses.
    """
    model, memory, state = checkpoint.load(run, which)
    with memory:
        card = card_of_run(Path(run), state)
        save_folder(folder, model, memory, state.preset, card, half=half)


def save_folder(
    folder: str | Path,
    model: Mem3D,
    memory: Memory,
    preset: Preset,
    card: Card | None = None,
    *,
    half: bool = False,
) -> None:
    """Write a published folder, whole or not at all.

    Args:
        folder: where nothing is yet.
        model: its weights are written as they are.
        memory: all of its used slots are written, uncommitted changes included.
        preset: settings that they were trained with.
        card: what the model card says; by default little.
        half: take as few bytes as can be: matrices and kernels as float16, three digits of each
            weight (vectors, which are few, stay as they are), and a memory that is deflated.

    Raises:
        ValueError: a weight is larger than float16 can be.
        memstore.MemstoreError: there is something at the path, or the disk refuses.
    """
    card = card or Card()
    preset = replace(preset, memory=memory.config)  # it may have been enlarged
    facts: dict[str, Any] = {
        "format": FORMAT,
        "library_name": "mem3d",
        "architectures": ["Mem3D"],
        "preset": preset.to_dict(),
        "trained": card.facts,
    }
    weights = model.state_dict()
    with made_beside(Path(folder)) as beside:
        beside.mkdir()
        save_tensors(beside / WEIGHTS, _halved(weights) if half else weights, {"format": "pt"})
        name = _save_memory(memory, beside, half)
        if card.picture is not None and card.picture.stat().st_size <= _MAX_PICTURE:
            (beside / PICTURE).write_bytes(card.picture.read_bytes())
        facts["files"] = {path.name: check_of_file(path) for path in sorted(beside.iterdir())}
        facts["check"] = check_of_facts(facts)
        (beside / CARD).write_text(card_text(preset, len(memory), card, name))
        (beside / CONFIG).write_text(json.dumps(facts, indent=2, allow_nan=False))
        sums = [f"{_sha256(beside / file)}  {file}\n" for file in sorted([*facts["files"], CONFIG])]
        (beside / SUMS).write_text("".join(sums))


def _halved(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of which those with rows are float16."""
    short = {
        name: weight.half() if weight.is_floating_point() and weight.ndim > 1 else weight
        for name, weight in weights.items()
    }
    for name, weight in short.items():
        if not weight.isfinite().all():
            raise ValueError(f"{name}: got weights over float16's 65,504, want them in full")
    return short


def _save_memory(memory: Memory, folder: Path, deflated: bool) -> str:
    """Write a memory's used slots; the file's name."""
    if not deflated:
        export(memory, folder / MEMORY, "safetensors")
        return MEMORY
    with TemporaryDirectory() as scratch:
        export(memory, Path(scratch) / SMALL_MEMORY)
        with np.load(Path(scratch) / SMALL_MEMORY) as arrays:
            np.savez_compressed(folder / SMALL_MEMORY, **arrays)
    return SMALL_MEMORY


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_trained(
    path: str | Path | None = None, which: Which = "best", device: str = "cpu"
) -> tuple[Mem3D, Memory, State]:
    """Open a run or a published folder.

    Args:
        path: of the folder; None is the bundled model.
        which: of a run: the best epoch on validation, or the last.
        device: where the weights go.

    Returns:
        the network in evaluation mode, its memory (in RAM, or open to be read), and the state; a
        published folder has no snapshots (""), and of its training only the steps are known.

    Raises:
        ValueError: there is no folder, or it holds neither.
        memstore.MemstoreError: the memory is missing or damaged.
    """
    path = bundled_model() if path is None else Path(path)
    check_trained(path)
    if not is_published(path):
        return checkpoint.load(path, which, device)
    model, memory, preset = load_folder(path, device)
    nan = math.nan
    steps = _steps(path / CONFIG)
    return (
        model,
        memory,
        State(
            preset=preset,
            step=steps,
            snapshot="",
            validation_iou=nan,
            best_iou=nan,
            best_step=steps,
        ),
    )


def load_folder(folder: str | Path, device: str = "cpu") -> tuple[Mem3D, Memory, Preset]:
    """Open a published folder, believing nothing.

    Args:
        folder: written by `save_folder`.
        device: where the weights go.

    Returns:
        the network in evaluation mode, its memory (in RAM), and their settings.

    Raises:
        ValueError: a file is missing, damaged or too large, or they do not fit each other.
        memstore.MemstoreError: the memory is missing or damaged.
    """
    folder, device = Path(folder), check_device(device)
    preset, files = _settings(folder / CONFIG)
    name = MEMORY if (folder / MEMORY).is_file() else SMALL_MEMORY
    for file_name in (WEIGHTS, name):
        _check_file(folder / file_name, files)
    with opened(folder / WEIGHTS, _WANT) as file:
        model = filled(folder / WEIGHTS, file, preset.model, device, _WANT)
    memory = import_memory(folder / name)
    if memory.config != preset.memory:
        raise ValueError(
            f"{folder / name}: got a memory of {memory.config}, want that of {CONFIG}: "
            f"{preset.memory}"
        )
    return model, memory, preset


def _settings(path: Path) -> tuple[Preset, dict[str, Any] | None]:
    """Settings in a config.json, and the checks of the other files if it names them."""
    with _reading(path):
        facts = _facts(path)
        files = None
        if facts.keys() & {"check", "files"}:
            check, files = facts.pop("check", None), dict(facts["files"])
            if check != check_of_facts(facts):
                raise ValueError("a damaged or changed file (to change it, remove check and files)")
        return Preset.from_dict(facts["preset"]), files


def _facts(path: Path) -> dict[str, Any]:
    """What a config.json holds."""
    with open_regular(path) as file:
        data = file.read(_MAX_CONFIG + 1)
    facts = parse_json(data, _MAX_CONFIG)
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise ValueError(f"no format {FORMAT}; a newer release may read it")
    return facts


def _steps(path: Path) -> int:
    """Optimizer steps that a config.json tells of; 0 where it does not."""
    with _reading(path):
        steps = dict(_facts(path).get("trained", {})).get("steps")
        return steps if type(steps) is int and steps > 0 else 0


def _check_file(path: Path, files: dict[str, Any] | None) -> None:
    """Raise ValueError unless a file is the one that config.json names."""
    if files is None:
        return
    try:
        check = check_of_file(path)
    except OSError as error:
        raise ValueError(f"{path}: got {error}, want {_WANT}") from error
    if check != files.get(path.name):
        raise ValueError(
            f"{path}: got a damaged or another file (BLAKE2b {check}), want the one that {CONFIG} "
            f"names ({files.get(path.name)}); download or publish the folder anew"
        )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """What is wrong with the file is a ValueError that names it."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).removeprefix("got ")
        raise ValueError(f"{path}: got {reason}, want the settings of {_WANT}") from error


def download(repo: str, revision: str | None = None) -> Path:
    """Fetch a published folder into the hub's cache, or find it there.

    Only the files that `load_folder` reads are fetched.

    Raises:
        ExtraMissingError: huggingface_hub is not installed.
        ValueError: the repository cannot be had.
    """
    hub = _hub(repo)
    try:
        folder = hub.snapshot_download(
            repo, revision=revision, allow_patterns=[*FILES, SMALL_MEMORY]
        )
    except _refusals() as error:
        raise ValueError(
            f"{repo}: got neither a folder nor a download ({_line(error)}), want a folder written "
            "by save_pretrained or owner/name on the hub"
        ) from error
    return Path(folder)


def check_repo(repo: str) -> None:
    """Raise an error unless `repo` reads owner/name and huggingface_hub is installed."""
    _hub(repo)
    from huggingface_hub import utils

    names: Any = utils  # which does not export it in the open
    try:
        names.validate_repo_id(repo)
    except _refusals() as error:
        raise ValueError(f"repo: got {repo!r} ({_line(error)}), want owner/name") from error
    if "/" not in repo:
        raise ValueError(f"repo: got {repo!r}, want owner/name")


def upload(folder: Path, repo: str, *, private: bool = False) -> str:
    """Send a published folder to a repository, made if it is not there.

    Returns:
        Address of the commit.

    Raises:
        ExtraMissingError: huggingface_hub is not installed.
        ValueError: the name is none, or the hub refuses.
    """
    check_repo(repo)
    hub = _hub(repo)
    try:
        api = hub.HfApi(library_name="mem3d")
        name = api.create_repo(repo, private=private, exist_ok=True).repo_id
        sent = api.upload_folder(
            repo_id=name,
            folder_path=folder,
            allow_patterns=[*FILES, SMALL_MEMORY, CARD, PICTURE, SUMS],
            commit_message="A trained Mem3D and its memory",
        )
    except _refusals() as error:
        raise ValueError(
            f"{repo}: the hub refused ({_line(error)}), want a network, a token (hf auth login) "
            "and a name that is yours"
        ) from error
    return str(sent.commit_url)


def _hub(repo: str) -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ExtraMissingError.of(repo, "huggingface_hub", "hub") from error
    return huggingface_hub


def _refusals() -> tuple[type[Exception], ...]:
    """What huggingface_hub raises: of the network and the server, of a name, of the disk."""
    from huggingface_hub import errors

    names: Any = errors  # HTTPError is httpx's, which it hands on
    return (names.HTTPError, names.HFValidationError, OSError)


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
