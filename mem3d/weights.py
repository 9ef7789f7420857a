"""Weights in safetensors files, read with suspicion: nothing is made before the file fits.

Checkpoints (checkpoint.py) and published folders (publishing.py) are read through here. No pickle.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from mem3d.config import ModelConfig
from mem3d.model import Mem3D
from memstore.files import open_regular

MAX_HEADER = 16 * 2**20  # bytes; the JSON header of the paper preset takes about 0.1 MB


@contextmanager
def opened(path: Path, want: str) -> Iterator[Any]:
    """The file, whose header has been found harmless; what goes wrong inside names the path.

    Args:
        path: a safetensors file.
        want: what it should be, for errors.

    Raises:
        ValueError: there is no such file, or it is no safetensors file.
    """
    try:
        _check_header(path)
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError as error:
        raise ValueError(f"{path}: got no file, want {want}") from error
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: got {error}, want {want}") from error


def tensors_of(file: Any, prefix: str) -> dict[str, Tensor]:
    """Tensors of an open file whose names begin so, by the rest of their names."""
    names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
    return {name.removeprefix(prefix): file.get_tensor(name) for name in names}


def check_fit(path: Path, file: Any, model: nn.Module, want: str, prefix: str = "") -> None:
    """Raise ValueError unless the weights have the model's names and shapes."""
    wanted = {prefix + name: list(weight.shape) for name, weight in model.state_dict().items()}
    names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
    got = {name: file.get_slice(name).get_shape() for name in names}
    odd = [name for name in sorted(wanted.keys() | got.keys()) if wanted.get(name) != got.get(name)]
    if odd:
        raise ValueError(
            f"{path}: got weights that do not fit its settings ({odd[0]}: got {got.get(odd[0])}, "
            f"want {wanted.get(odd[0])}), want {want}"
        )


def filled(
    path: Path, file: Any, config: ModelConfig, device: str, want: str, prefix: str = ""
) -> Mem3D:
    """A network in evaluation mode with the weights of an open file.

    Raises:
        ValueError: the weights are of a network of another size.
    """
    with torch.device("meta"):  # no memory is taken before the file is found to fit
        model = Mem3D(config)
    check_fit(path, file, model, want, prefix)
    model.to_empty(device=device)
    model.load_state_dict(tensors_of(file, prefix))
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


def _check_header(path: Path) -> None:
    """Refuse a file whose claimed header would be read into memory whatever its size."""
    with open_regular(path) as file:
        start = file.read(8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
    if not 0 < length <= min(MAX_HEADER, path.stat().st_size):
        raise ValueError(f"{path}: got a header of {length} bytes, want a safetensors file")
