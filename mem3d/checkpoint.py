"""Weights and memory as one pair.

A checkpoint is one safetensors file that names a snapshot of the memory beside it. The memory is
committed first, then the file is renamed into place: whenever a run dies, the file on disk names a
snapshot that is there. No pickle.

    run/memory/             the memory, an Icechunk repository (memstore)
    run/last.safetensors    weights, optimiser and random state of the last epoch
    run/best.safetensors    weights of the epoch with the best validation IoU
"""

import json
import os
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mem3d.config import Preset
from mem3d.model import Mem3D
from memstore import Memory

FORMAT = 1
MAX_HEADER = 16 * 2**20  # bytes; the JSON header of the paper preset takes about 0.1 MB
Which = Literal["best", "last"]


@dataclass(frozen=True, kw_only=True)
class State:
    """What a checkpoint says of its run.

    Attributes:
        preset: network, memory and run configuration.
        step: optimiser steps done.
        snapshot: of the memory, to the same step.
        validation_iou: macro IoU at .3 of these weights; nan if there was no validation.
        best_iou: the best so far.
        best_step: when that was.
    """

    preset: Preset
    step: int
    snapshot: str
    validation_iou: float
    best_iou: float
    best_step: int


def save(
    path: Path, state: State, model: nn.Module, optimizer: torch.optim.Optimizer | None = None
) -> None:
    """Write a checkpoint beside `path`, then rename it there.

    Args:
        path: the file.
        state: its snapshot must have been committed.
        model: weights to save.
        optimizer: with it, the run can be resumed: its state and torch's random state are saved.
    """
    tensors = {f"model.{name}": t.contiguous() for name, t in model.state_dict().items()}
    if optimizer is not None:
        for index, slots in optimizer.state_dict()["state"].items():
            for name, value in slots.items():
                tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value).contiguous()
        tensors["random.cpu"] = torch.get_rng_state()
    fields = {**asdict(state), "preset": state.preset.to_dict(), "format": FORMAT}
    beside = path.with_name(f".{path.name}.partial")
    try:
        save_file(tensors, beside, metadata={"mem3d": json.dumps(fields)})
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def read_state(path: Path) -> State:
    """What a checkpoint says of itself, without its tensors.

    Raises:
        ValueError: no such file, no checkpoint of ours, or one of a newer format.
    """
    try:
        _check_header(path)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        fields: dict[str, Any] = json.loads(metadata["mem3d"])
        if fields.pop("format") != FORMAT:
            raise ValueError(f"{path}: got a checkpoint of another format, want format {FORMAT}")
        return State(preset=Preset.from_dict(fields.pop("preset")), **fields)
    except FileNotFoundError as error:
        raise ValueError(f"{path}: got no file, want a checkpoint written by training") from error
    except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: got {error}, want a checkpoint written by training") from error


def _check_header(path: Path) -> None:
    """Refuse a file whose claimed header would be read into memory whatever its size."""
    with path.open("rb") as file:
        start = file.read(8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
    if not 0 < length <= min(MAX_HEADER, path.stat().st_size):
        raise ValueError(f"{path}: got a header of {length} bytes, want a safetensors file")


def _tensors(path: Path, prefix: str) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as file:
        names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
        return {name.removeprefix(prefix): file.get_tensor(name) for name in names}


def restore_weights(path: Path, model: nn.Module) -> None:
    """Load a checkpoint's weights into a model.

    Raises:
        ValueError: they do not fit the model.
    """
    try:
        model.load_state_dict(_tensors(path, "model."))
    except RuntimeError as error:
        raise ValueError(f"{path}: got weights that do not fit its own preset: {error}") from error


def restore_run(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Load weights, optimiser and random state, to go on as if nothing had happened.

    Raises:
        ValueError: the checkpoint holds weights only, or does not fit.
    """
    restore_weights(path, model)
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _tensors(path, "optimizer.").items():
        index, key = name.split(".", 1)
        weight = weights[int(index)]
        if tensor.shape == weight.shape:  # in the weight's memory layout: fused steps rely on it
            tensor = torch.empty_like(weight).copy_(tensor)
        slots.setdefault(int(index), {})[key] = tensor
    random = _tensors(path, "random.")
    if "cpu" not in random:
        raise ValueError(f"{path}: got weights only, want a checkpoint that can be resumed")
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": slots, "param_groups": groups})
    torch.set_rng_state(random["cpu"])


def load(
    run: str | Path, which: Which = "best", device: str = "cpu"
) -> tuple[Mem3D, Memory, State]:
    """Open a trained model with its memory.

    Args:
        run: folder written by training.
        which: the best epoch on validation, or the last.
        device: where the weights go.

    Returns:
        the model in evaluation mode, its memory (read-only, at the checkpoint's snapshot), and the
        checkpoint's state.

    Raises:
        ValueError: the folder holds no readable checkpoint.
        memstore.MemstoreError: the memory is missing or lacks the snapshot.
    """
    path = Path(run) / f"{which}.safetensors"
    state = read_state(path)
    model = Mem3D(state.preset.model)
    restore_weights(path, model)
    memory = Memory.open(Path(run) / "memory", mode="r", at=state.snapshot)
    return model.to(device).eval(), memory, state


def run_data(run: str | Path) -> Path:
    """Data folder a run was trained on, from its run.json.

    Raises:
        ValueError: there is none to read.
    """
    path = Path(run) / "run.json"
    try:
        return Path(json.loads(path.read_text())["data"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: got {error!r}, want a run's description; name the data"
        ) from error
