"""Weights and memory as one pair.

A checkpoint is one safetensors file that names a snapshot of the memory beside it. The memory is
committed first, then the file is put into place: whenever a run dies, or the power goes, the file
on disk names a snapshot that is there. No pickle; what has rotted on the disk is refused when it is
loaded (`mem3d.tensor_files`).

    run/memory/             the memory, an Icechunk repository (memstore)
    run/last.safetensors    weights, optimizer and random state of the last epoch
    run/best.safetensors    weights of the epoch with the best validation IoU
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mem3d.network.config import ModelConfig, Preset
from mem3d.network.model import Mem3D, channels_innermost
from mem3d.tensor_files import TensorFile, opened, save_tensors
from memstore import Memory
from memstore.json_text import parse_json

LAST, BEST = "last.safetensors", "best.safetensors"
PAGE, PICTURE = "README.md", "validation.png"
CONFIG, WEIGHTS, MEMORY = FILES = ("config.json", "model.safetensors", "memory.safetensors")
"""Files of a published folder."""
SMALL_MEMORY = "memory.npz"
"""What may be there in place of the last: the same, deflated."""
FORMAT = 1
_WANT = "a checkpoint written by training"
Which = Literal["best", "last"]


@dataclass(frozen=True, kw_only=True)
class State:
    """What a checkpoint says of its run.

    Attributes:
        preset: network, memory and run configuration.
        step: optimizer steps done.
        snapshot: of the memory, to the same step.
        validation_iou: macro IoU at .3 of these weights; nan if there was no validation.
        best_iou: the best so far.
        best_step: when that was.
        data: fingerprint of the shapes it learns from and is validated on; "" if unknown.
    """

    preset: Preset
    step: int
    snapshot: str
    validation_iou: float
    best_iou: float
    best_step: int
    data: str = ""


def save(
    path: Path, state: State, model: nn.Module, optimizer: torch.optim.Optimizer | None = None
) -> None:
    """Write a checkpoint beside `path`, then rename it there.

    Args:
        path: the file.
        state: its snapshot must have been committed.
        model: weights to save.
        optimizer: with it, the run can be resumed: its state and torch's random state are saved.

    Raises:
        memstore.PathError: the disk refuses.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    if optimizer is not None:
        for index, slots in optimizer.state_dict()["state"].items():
            for name, value in slots.items():
                tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value)
        tensors["random.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
    fields = {**asdict(state), "preset": state.preset.to_dict(), "format": FORMAT}
    save_tensors(path, tensors, {"mem3d": json.dumps(fields)})


def read_state(path: Path, *, resuming: bool = False) -> State:
    """What a checkpoint says of itself, without its tensors.

    Args:
        path: the file.
        resuming: whether its run is to go on, see `Preset.from_dict`.

    Raises:
        ValueError: no such file, no checkpoint of ours, or one of a newer format.
    """
    with opened(path, _WANT) as file:
        return _state(path, file, resuming)


def _state(path: Path, file: TensorFile, resuming: bool = False) -> State:
    """What the metadata of an open checkpoint says, checked."""
    try:
        fields: dict[str, Any] = parse_json(file.metadata["mem3d"])
        if fields.pop("format") != FORMAT:
            raise ValueError(f"got another format, want {FORMAT}; a newer release may read it")
        preset = Preset.from_dict(fields.pop("preset"), resuming=resuming)
        state = State(preset=preset, **fields)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        reason = str(error).removeprefix("got ")
        raise ValueError(f"{path}: got {reason}, want {_WANT}") from error
    numbers = (state.validation_iou, state.best_iou, state.step, state.best_step)
    texts = (state.snapshot, state.data)
    if not all(isinstance(n, int | float) for n in numbers) or not all(
        isinstance(text, str) for text in texts
    ):
        raise ValueError(f"{path}: got a damaged state, want {_WANT}")
    return state


def restore_run(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> State:
    """Load weights, optimizer and random state, to go on as if nothing had happened.

    Returns:
        what the checkpoint says of itself.

    Raises:
        ValueError: the checkpoint holds weights only, or does not fit.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    slots: dict[int, dict[str, Tensor]] = {}
    with opened(path, _WANT) as file:
        state = _state(path, file)
        check_fit(path, file, model, _WANT, "model.")
        model.load_state_dict(file.tensors("model."))
        saved, random = file.tensors("optimizer."), file.tensors("random.")
    for name, tensor in saved.items():
        index, _, key = name.partition(".")
        if not index.isdecimal() or int(index) >= len(weights):
            raise ValueError(f"{path}: got optimizer state {name}, want {len(weights)} weights'")
        weight = weights[int(index)]
        # Copies, for the file stays on the disk as long as one of its tensors lives.
        if tensor.shape == weight.shape:  # in the weight's memory layout: fused steps rely on it
            tensor = torch.empty_like(weight).copy_(tensor)
        else:
            tensor = tensor.clone()
        slots.setdefault(int(index), {})[key] = tensor
    if "cpu" not in random:
        raise ValueError(f"{path}: got weights only, want a checkpoint that can be resumed")
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": slots, "param_groups": groups})
    torch.set_rng_state(random["cpu"])
    if "cuda" in random and torch.cuda.is_available():
        torch.cuda.set_rng_state(random["cuda"])
    return state


def load_weights(path: Path, model: nn.Module) -> None:
    """Fill a model with a checkpoint's weights, to learn something else from there on.

    Raises:
        ValueError: no readable checkpoint, or one of a network of another size.
    """
    with opened(path, _WANT) as file:
        _state(path, file)
        check_fit(path, file, model, _WANT, "model.")
        model.load_state_dict(file.tensors("model."))


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
        ValueError: there is no folder, a published one, or one without a readable checkpoint.
        memstore.MemstoreError: the memory is missing or lacks the snapshot.
    """
    check_run(run)
    device = check_device(device)
    path = Path(run) / f"{which}.safetensors"
    if which == "best" and not path.exists() and (Path(run) / LAST).exists():
        raise ValueError(f"{path}: got a run without a validation yet, want one; or take the last")
    with opened(path, _WANT) as file:  # once: training may rename another one into place
        state = _state(path, file)
        model = filled(path, file, state.preset.model, device, _WANT, "model.")
    memory = Memory.open(Path(run) / "memory", mode="r", at=state.snapshot)
    return model, memory, state


def check_fit(path: Path, file: TensorFile, model: nn.Module, want: str, prefix: str = "") -> None:
    """Raise ValueError unless the weights have the model's names and shapes."""
    sizes = {prefix + name: list(weight.shape) for name, weight in model.state_dict().items()}
    shapes = {name: file.shape(name) for name in file.names if name.startswith(prefix)}
    for name in sorted(sizes.keys() | shapes.keys()):
        if sizes.get(name) != shapes.get(name):
            raise ValueError(
                f"{path}: got weights that do not fit its settings ({name}: got "
                f"{shapes.get(name)}, want {sizes.get(name)}), want {want}"
            )


def filled(
    path: Path, file: TensorFile, config: ModelConfig, device: str, want: str, prefix: str = ""
) -> Mem3D:
    """A network in evaluation mode with the weights of an open file.

    Raises:
        ValueError: the weights are of a network of another size.
    """
    with torch.device("meta"):  # no memory is taken before the file is known to fit
        model = Mem3D(config)
    check_fit(path, file, model, want, prefix)
    # Given, not copied: to make room for weights without numbers, torch would load its compiler.
    weights = {
        name: value.to(device, torch.float32 if value.is_floating_point() else value.dtype)
        for name, value in file.tensors(prefix).items()
    }
    model.load_state_dict(weights, assign=True)
    channels_innermost(model)
    return model.eval()


def check_device(device: str) -> str:
    """The device, if torch can compute there.

    Raises:
        ValueError: it cannot.
    """
    try:
        torch.device(device)
    except RuntimeError:  # its message lists twenty kinds of device
        raise ValueError(f"device: got {device!r}, want cpu or cuda") from None
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch raises both
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device: got {device!r} ({reason}), want cpu or an available GPU"
        ) from None
    return device


def is_published(folder: str | Path) -> bool:
    """Whether a folder looks like a published one."""
    settings, weights, memory = ((Path(folder) / name).is_file() for name in FILES)
    return settings and weights and (memory or (Path(folder) / SMALL_MEMORY).is_file())


def check_run(run: str | Path) -> None:
    """Raise ValueError unless there is a folder, and not a published one, which is no run."""
    if is_published(run):
        raise ValueError(f"{run}: got a published folder, want the run that it was made from")
    _check_folder(run, "a run's folder, as training makes it")


def check_trained(folder: str | Path) -> None:
    """Raise ValueError unless there is a folder, be it a run's or a published one."""
    _check_folder(folder, "a run's folder or a published one")


def _check_folder(path: str | Path, want: str) -> None:
    if not Path(path).is_dir():
        what = "a file" if Path(path).exists() else "nothing there"
        raise ValueError(f"{path}: got {what}, want {want}")
